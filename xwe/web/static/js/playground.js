// The playground: both ways of asking as they happen, on one axis.

import { Race } from "./race.js";
import { ticks } from "./scale.js";
import { explain, number, say, seconds } from "./texts.js";
import { trouble } from "./trouble.js";

const SHORTEST_AXIS_MS = 1000;
const AXIS_EASE = 0.18; // of what is missing, each frame

const byId = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const form = byId("start");
const users = form.elements.users;

/** The card of one way of asking. */
class Board {
  #card;
  #lanes = [];

  constructor(id) {
    this.#card = byId(id);
  }

  prepare(count) {
    const lanes = this.#find(".lanes");
    lanes.replaceChildren();
    this.#lanes = Array.from({ length: count }, () => {
      const bar = document.createElement("i");
      const lane = document.createElement("div");
      lane.append(bar);
      lanes.append(lane);
      return bar;
    });
    this.#find(".runners-seconds").textContent = "–";
    this.#card.dataset.state = "empty";
  }

  /** `nowMs` is where the clock stands; what is under way reaches up to it. */
  draw(runners, nowMs, axisMs, running) {
    const open = running && runners.runs.some((run) => run.from !== null && run.to === null);
    const endMs = open ? nowMs : runners.lastMs;
    this.#card.dataset.state = open ? "running" : runners.areAllAnswered ? "done" : "partial";
    place(this.#find(".track-bar"), 0, endMs, axisMs);
    this.#find(".runners-seconds").textContent = endMs ? seconds(endMs) : "–";
    runners.runs.forEach((run, index) => {
      const to = run.to ?? (open && run.from !== null ? nowMs : null);
      this.#lanes[index].dataset.state = run.error ? "failed" : run.to === null ? "open" : "done";
      place(this.#lanes[index], run.from ?? 0, to ?? run.from ?? 0, axisMs);
    });
    this.#find(".runners-count").textContent = count(runners);
  }

  #find(selector) {
    return this.#card.querySelector(selector);
  }
}

function place(bar, fromMs, toMs, axisMs) {
  bar.style.insetInlineStart = `${(100 * fromMs) / axisMs}%`;
  bar.style.inlineSize = `${(100 * (toMs - fromMs)) / axisMs}%`;
}

function count(runners) {
  const fields = { done: runners.answered.length, users: runners.runs.length };
  const [failure] = runners.failed;
  const parts = [
    runners.medianMs === null
      ? say("playground.answered", fields)
      : say("playground.each", { ...fields, median: seconds(runners.medianMs) }),
  ];
  if (failure) {
    const cause = explain(failure.error.code).title;
    parts.push(say("playground.failed", { failed: runners.failed.length, cause }));
  }
  return parts.join(" · ");
}

const boards = { atOnce: new Board("at_once"), inTurn: new Board("in_turn") };
let race = null;
let axisMs = SHORTEST_AXIS_MS;

/** How far the axis should reach: as far as those who ask in turn will probably need. */
function wantedAxisMs(nowMs) {
  const { inTurn, users: count } = race;
  const expected = inTurn.areAllAnswered ? inTurn.lastMs : (inTurn.medianMs ?? 0) * count;
  return Math.max(SHORTEST_AXIS_MS, nowMs, race.atOnce.lastMs, expected) * 1.04;
}

function draw(running) {
  const nowMs = running ? race.elapsedMs : Math.max(race.atOnce.lastMs, race.inTurn.lastMs);
  const wanted = wantedAxisMs(nowMs);
  axisMs += (wanted - axisMs) * (running && !still.matches ? AXIS_EASE : 1);
  axisMs = Math.max(axisMs, nowMs);
  boards.atOnce.draw(race.atOnce, nowMs, axisMs, running);
  boards.inTurn.draw(race.inTurn, nowMs, axisMs, running);
  drawAxis();
}

function drawAxis() {
  const { values, digits } = ticks(axisMs / 1000, 6);
  const marks = values.map((value) => {
    const mark = document.createElement("span");
    mark.textContent = number(value, digits);
    mark.style.insetInlineStart = `${(100_000 * value) / axisMs}%`;
    return mark;
  });
  const label = document.createElement("b");
  label.textContent = say("playground.axis");
  byId("axis").replaceChildren(...marks, label);
}

async function start() {
  race?.stop();
  const mine = (race = new Race(users.valueAsNumber, byId("race").dataset.message));
  axisMs = SHORTEST_AXIS_MS;
  for (const board of Object.values(boards)) board.prepare(mine.users);
  byId("trouble").replaceChildren();
  byId("figures").hidden = true;
  delete byId("verdict").dataset.state;
  byId("verdict").textContent = say("playground.running", { users: mine.users });
  setRunning(true);
  const frame = () => {
    if (race !== mine || !form.classList.contains("running")) return;
    draw(true);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  await mine.run();
  if (race !== mine) return;
  setRunning(false);
  draw(false);
  conclude();
}

function conclude() {
  const { atOnce, inTurn, users: count } = race;
  const fields = { users: count, at_once: seconds(atOnce.lastMs), in_turn: seconds(inTurn.lastMs) };
  byId("verdict").dataset.state = "measured";
  if (atOnce.areAllAnswered && inTurn.areAllAnswered) {
    const ratio = number(inTurn.lastMs / atOnce.lastMs, 1);
    byId("verdict").textContent = say("playground.verdict", { ...fields, ratio });
  } else if (atOnce.areAllAnswered && race.isStopped) {
    const done = inTurn.answered.length;
    byId("verdict").textContent = say("playground.stopped", { ...fields, done });
  } else {
    byId("verdict").textContent = say("playground.incomplete");
  }
  if (race.error) byId("trouble").append(trouble(race.error, start));
  const rows = byId("figures").querySelector("tbody");
  rows.replaceChildren(...atOnce.runs.map((run, index) => row(index, run, inTurn.runs[index])));
  byId("figures").hidden = false;
}

function row(index, ...runs) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = number(index + 1);
  line.append(head, ...runs.map(cell));
  return line;
}

function cell(run) {
  const node = document.createElement("td");
  if (run.error) node.textContent = say("playground.cell_failed");
  else if (run.to === null) node.textContent = say("playground.cell_none");
  else {
    const fields = { from: seconds(run.from), to: seconds(run.to) };
    node.textContent = say("playground.cell", fields);
  }
  return node;
}

function setRunning(running) {
  const hadFocus = [byId("run"), byId("stop")].includes(document.activeElement);
  form.classList.toggle("running", running);
  users.disabled = running;
  byId("run").hidden = running;
  byId("stop").hidden = !running;
  if (hadFocus) byId(running ? "stop" : "run").focus();
}

function showUsers() {
  byId("users-shown").textContent = number(users.valueAsNumber);
  if (race === null) for (const board of Object.values(boards)) board.prepare(users.valueAsNumber);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
byId("stop").addEventListener("click", () => race.stop());
users.addEventListener("input", showUsers);
showUsers();
