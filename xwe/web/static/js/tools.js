// The tools lab: a question with tools, in one mode or in all of them side by side.

import { recall, remember } from "./memory.js";
import { asAnswerError, ask } from "./server.js";
import { inOurLanguage, say, seconds } from "./texts.js";
import { ToolRun } from "./tool_run.js";
import { trouble } from "./trouble.js";

const MODES = ["sync", "non_preemptive", "preemptive"];
const RUNS = "xwe.tools";
const SHORTEST_AXIS_MS = 2000;
const AXIS_STEP = 1.25; // how much further it reaches once something has come to its end
const FRAME_MS = 33;
const STILL_FRAME_MS = 500;

const byId = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const form = byId("ask");
const place = byId("runs");

let tools = null;
let runs = [];
let question = null;
let axisMs = SHORTEST_AXIS_MS;

const startsEagerly = (name) =>
  tools?.find((tool) => tool.name === name)?.effect !== "side_effect";

// --- the tools ---

async function loadTools() {
  byId("tools-trouble").replaceChildren();
  try {
    ({ tools } = await (await ask("/api/agent/tools")).json());
    byId("tools-list").replaceChildren(...tools.map(offer));
  } catch (error) {
    byId("tools-list").replaceChildren();
    byId("tools-trouble").append(trouble(asAnswerError(error), loadTools));
  } finally {
    byId("tools-list").setAttribute("aria-busy", "false");
  }
}

function offer(tool) {
  const node = byId("tool-template").content.firstElementChild.cloneNode(true);
  node.querySelector("input").value = tool.name;
  node.querySelector(".tool-name").textContent = tool.name;
  node.querySelector(".tool-effect").textContent = say(`tools.effect.${tool.effect}`);
  node.querySelector(".tool-text").textContent = inOurLanguage(tool.description);
  return node;
}

/** The names of the tools that are to be offered; null for all, where they are not known. */
function offered() {
  if (tools === null) return null;
  return [...form.querySelectorAll("[name=tool]:checked")].map((box) => box.value);
}

// --- the runs ---

function start() {
  const chosen = new FormData(form);
  question = { message: chosen.get("message").trim(), tools: offered() };
  if (!question.message) return form.elements.message.focus();
  const modes = chosen.get("mode") === "each" ? MODES : [chosen.get("mode")];
  show(modes.map((mode) => newRun({ mode, awaiting: chosen.get("await"), id: null })));
  for (const run of runs) follow(run);
  byId("lab").scrollIntoView({ behavior: still.matches ? "auto" : "smooth" });
}

function newRun(asked) {
  return new ToolRun(asked, startsEagerly, again);
}

/** Another try of one run; the others stay as they are. */
function again(run) {
  if (question === null) return start();
  run.leave();
  const next = newRun({ mode: run.mode, awaiting: run.awaiting, id: null });
  run.card.replaceWith(next.card);
  runs[runs.indexOf(run)] = next;
  setRunning(true);
  follow(next);
  next.card.focus();
}

function show(next) {
  for (const run of runs) run.leave();
  runs = next;
  axisMs = SHORTEST_AXIS_MS;
  place.replaceChildren(...runs.map((run) => run.card));
  place.dataset.count = String(runs.length);
  byId("empty").hidden = true;
  byId("lab").hidden = false;
  setRunning(true);
}

async function follow(run) {
  const all = runs;
  const going = run.go(question);
  drawSoon();
  await going;
  if (runs !== all || !runs.includes(run)) return;
  draw();
  save();
  if (runs.some((each) => each.isRunning)) byId("verdict").textContent = ended(run);
  else conclude();
}

function conclude() {
  setRunning(false);
  const verdict = byId("verdict");
  const isTimed = (run) => run.state === "complete" && run.record.timing;
  const words = runs.map((run) => (isTimed(run) ? told(run) : ended(run)));
  verdict.dataset.state = "measured";
  verdict.textContent = runs.some(isTimed) ? words.join(" ") : say("tools.nothing");
}

/** What a run took, in a sentence. */
function told(run) {
  const { ttft, firstGrounded, total } = run.record.timing;
  const name = say(`tools.mode.${run.mode}.title`);
  const fields = { mode: name, first: seconds(ttft ?? total), total: seconds(total) };
  if (firstGrounded === null) return say("tools.told_plain", fields);
  return say("tools.told", { ...fields, grounded: seconds(firstGrounded) });
}

const ended = (run) =>
  say(`tools.ended.${run.state}`, { mode: say(`tools.mode.${run.mode}.title`) });

// --- drawing ---

let drawing = 0;

function drawSoon() {
  if (drawing) return;
  const frame = () => {
    drawing = 0;
    draw();
    if (runs.some((run) => run.isRunning)) drawSoon();
  };
  const pause = still.matches ? STILL_FRAME_MS : FRAME_MS;
  drawing = setTimeout(() => requestAnimationFrame(frame), pause);
}

/** All on one axis, so that their lengths can be compared. */
function draw() {
  const longest = Math.max(0, ...runs.map((run) => run.elapsedMs));
  const isRunning = runs.some((run) => run.isRunning);
  if (!isRunning) axisMs = Math.max(SHORTEST_AXIS_MS, longest) * 1.03;
  else while (axisMs < longest * 1.03) axisMs *= AXIS_STEP;
  for (const run of runs) run.draw(axisMs);
}

function setRunning(running) {
  const hadFocus = [...document.querySelectorAll("[data-do=run]"), byId("stop")].includes(
    document.activeElement,
  );
  byId("run").hidden = running;
  byId("stop").hidden = !running;
  if (hadFocus) byId(running ? "stop" : "run").focus();
  if (!running) return;
  delete byId("verdict").dataset.state;
  byId("verdict").textContent = say("tools.running");
}

// --- a reload ---

// The runs live on the server for a while: a page that comes back reads them again.
function save() {
  const known = runs
    .filter((run) => run.id)
    .map(({ id, mode, awaiting }) => ({ id, mode, awaiting }));
  remember(RUNS, JSON.stringify({ question, runs: known }));
}

async function restore() {
  const saved = JSON.parse(recall(RUNS) ?? '{"runs": []}');
  if (!saved.runs.length) return;
  question = saved.question;
  form.elements.message.value = question.message;
  show(saved.runs.map(newRun));
  await Promise.all(runs.map(follow));
  if (!runs.every((run) => run.error?.code === "not_found")) return;
  for (const run of runs) run.leave();
  runs = []; // it was too long ago
  remember(RUNS, JSON.stringify({ runs }));
  byId("empty").hidden = false;
  byId("lab").hidden = byId("run").hidden = true;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
byId("stop").addEventListener("click", () => {
  for (const run of runs) run.stop();
});
form.addEventListener("change", nameButtons);
addEventListener("pagehide", save);

function nameButtons() {
  const mode = form.elements.mode.value;
  for (const label of document.querySelectorAll(".run-label")) {
    label.textContent = say(mode === "each" ? "tools.run_each" : "tools.run_one");
  }
}

nameButtons();
loadTools();
restore();
