// The chat: questions, live answers, and a conversation that lives as long as the tab.

import { Composer } from "./composer.js";
import { copy } from "./clipboard.js";
import { Follow } from "./follow.js";
import { LiveAnswer } from "./live_answer.js";
import { recall, remember } from "./memory.js";
import { AnswerError } from "./server.js";
import { say } from "./texts.js";
import { Turn } from "./turn.js";

const CONVERSATION = "xwe.conversation";
const HISTORY_TURNS = 20; // what a model is reminded of; a longer past costs more than it helps
const COPIED_FOR_MS = 1600;
const SAVE_EVERY_MS = 500; // a crash may cost that much; leaving the page costs nothing

const byId = (id) => document.getElementById(id);
const log = byId("log");
const status = byId("status");
const follow = new Follow(byId("scroll"), log, byId("newest"));
const title = document.title;

let turns = [];
let running = null; // {turn, live} of the answer that is coming
let saving = 0;

const composer = new Composer({
  form: byId("composer"),
  field: byId("prompt"),
  send: byId("send"),
  stop: byId("stop"),
  onSend: (prompt) => open(prompt),
  onStop: () => running?.live.stop(),
});

function open(prompt) {
  const turn = new Turn(log, prompt, () => again(turn));
  begin(turn);
}

function begin(turn) {
  turns.push(turn);
  showConversation(true);
  turn.begin();
  const live = new LiveAnswer({}, (lost) => connectionChanged(turn, lost));
  show(turn, live, live.begin({ message: turn.prompt, messages: history(turn) }));
}

/** Ask once more; what came after the old answer was said to it, so it goes. */
function again(turn) {
  abandon();
  const later = turns.splice(turns.indexOf(turn));
  for (const gone of later.slice(1)) gone.remove();
  begin(turn);
}

/** Nobody waits for the running answer any more. */
function abandon() {
  running?.live.stop();
  running?.live.leave();
  running = null;
}

async function show(turn, live, events) {
  const mine = { turn, live };
  running = mine;
  composer.running = true;
  status.textContent = say("answering");
  follow.toNewest();
  save();
  try {
    for await (const event of events) {
      if (running !== mine) return;
      turn.accepted();
      await turn.take(event);
      saving ||= setTimeout(save, SAVE_EVERY_MS);
      if (turn.isOver) break;
    }
    if (running === mine && !turn.isOver) turn.failed(new AnswerError("interrupted"));
  } catch (error) {
    if (running !== mine) return;
    if (!(error instanceof AnswerError)) console.error(error);
    turn.failed(error instanceof AnswerError ? error : new AnswerError("internal"));
  } finally {
    if (running === mine) {
      running = null;
      composer.running = false;
      announceEnd(turn);
      save();
    }
  }
}

function announceEnd(turn) {
  const said = { complete: `${say("answered")} ${turn.text}`, stopped: say("stopped") };
  status.textContent = said[turn.state] ?? ""; // an error block announces itself
  if (document.hidden) document.title = `● ${title}`;
}

function connectionChanged(turn, lost) {
  turn.reconnecting = lost;
  status.textContent = say(lost ? "reconnecting" : "reconnected");
}

/** What was said before this turn, without the turns that brought no answer. */
function history(turn) {
  return turns
    .slice(0, turns.indexOf(turn))
    .filter((earlier) => earlier.text)
    .slice(-HISTORY_TURNS)
    .flatMap((earlier) => [
      { role: "user", content: earlier.prompt },
      { role: "assistant", content: earlier.text },
    ]);
}

function showConversation(exists) {
  byId("welcome").hidden = exists;
  byId("new-chat").hidden = !exists;
}

// The conversation and the place in the running answer are kept together, so that they always fit.
function save() {
  clearTimeout(saving);
  saving = 0;
  const live = running && { id: running.live.id, after: running.live.after };
  remember(CONVERSATION, JSON.stringify({ turns: turns.map((turn) => turn.saved), live }));
}

function restore() {
  const saved = JSON.parse(recall(CONVERSATION) ?? '{"turns": []}');
  turns = saved.turns.map((each) => {
    const turn = Turn.restore(log, each, () => again(turn));
    return turn;
  });
  showConversation(turns.length > 0);
  follow.toNewest();
  const last = turns.at(-1);
  if (!last || last.isOver) return;
  if (!saved.live?.id) {
    last.failed(new AnswerError("interrupted")); // it was left before the server had taken it
    return;
  }
  const live = new LiveAnswer(saved.live, (lost) => connectionChanged(last, lost));
  show(last, live, live.resume());
}

byId("new-chat").addEventListener("click", () => {
  abandon();
  composer.running = false;
  turns = [];
  log.replaceChildren();
  showConversation(false);
  save();
  composer.focus();
});

for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => {
    open(example.dataset.prompt);
    composer.focus();
  });
}

for (const opener of [byId("about-model"), byId("how-real")]) {
  opener?.addEventListener("click", () => byId("model-dialog").showModal());
}

byId("model-dialog").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close(); // the veil
});

document.addEventListener("keydown", (event) => {
  const elsewhere = byId("model-dialog").open || byId("rail").matches(":popover-open");
  if (event.key === "Escape" && !event.isComposing && !elsewhere) running?.live.stop();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) document.title = title;
});

addEventListener("pagehide", save);

log.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-do^=copy]");
  if (!button) return;
  const source =
    button.dataset.do === "copy-code"
      ? button.closest("figure").querySelector("code").textContent
      : turns.find((turn) => turn.owns(button)).text;
  await copy(source);
  button.dataset.done = "";
  setTimeout(() => delete button.dataset.done, COPIED_FOR_MS);
});

restore();
