// The chat: questions, live answers, and a conversation that lives as long as the tab.

import { markTitle } from "./background.js";
import { Composer } from "./composer.js";
import { copiesFrom } from "./copying.js";
import { Follow } from "./follow.js";
import { LiveAnswer } from "./live_answer.js";
import { recall, remember } from "./memory.js";
import "./model_dialog.js";
import { AnswerError, asAnswerError } from "./server.js";
import { say } from "./texts.js";
import { toast } from "./toasts.js";
import { Turn } from "./turn.js";

const CONVERSATION = "xwe.conversation";
const HISTORY_TURNS = 20; // what a model is reminded of; a longer past costs more than it helps
// Events that a reader who is above is told of.
const NEWS = new Set(["text-delta", "reasoning-delta", "finish", "abort", "error"]);
const SAVE_EVERY_MS = 500; // a crash may cost that much; leaving the page costs nothing

const byId = (id) => document.getElementById(id);
const log = byId("log");
const status = byId("status");
const follow = new Follow(byId("scroll"), log, byId("newest"));

let turns = [];
let running = null; // {turn, live} of the answer that is coming
let saving = 0;
let takeOfferBack = () => {};

const composer = new Composer({
  draft: "xwe.draft",
  form: byId("composer"),
  field: byId("prompt"),
  send: byId("send"),
  stop: byId("stop"),
  onSend: (prompt) => open(prompt),
  onStop: () => running?.live.stop(),
});

function open(prompt) {
  takeOfferBack();
  const turn = new Turn(log, prompt, () => again(turn));
  begin(turn);
}

function begin(turn) {
  turns.push(turn);
  showConversation(true);
  turn.begin();
  const live = new LiveAnswer({}, (lost) => connectionChanged(turn, lost));
  read(turn, live, live.begin({ message: turn.prompt, messages: history(turn) }));
}

/** Ask once more; what came after the old answer was said to it, so it goes. */
function again(turn) {
  abandon();
  const before = turns.map((each) => each.saved);
  const later = turns.splice(turns.indexOf(turn));
  for (const gone of later.slice(1)) gone.remove();
  if (later.length > 1) offerUndo("shortened", before);
  begin(turn);
}

/** Nobody waits for the running answer any more. */
function abandon() {
  if (!running) return;
  const { turn, live } = running;
  running = null;
  live.stop();
  live.leave();
  turn.take({ type: "abort" });
  composer.running = false;
}

/** What has just gone can be had back, until something new is asked. */
function offerUndo(what, before) {
  takeOfferBack();
  const act = () => {
    abandon();
    show(before);
    follow.toNewest();
    save();
    composer.focus();
  };
  takeOfferBack = toast(say(`chat.${what}`), { label: say("chat.undo"), act, stays: true });
}

async function read(turn, live, events) {
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
      if (NEWS.has(event.type)) follow.news();
      await turn.take(event);
      saving ||= setTimeout(save, SAVE_EVERY_MS);
      if (!turn.isOver) continue;
      release(mine); // now, and not once its connection is closed: the reader may go on
      break;
    }
    if (running === mine && !turn.isOver) turn.failed(new AnswerError("interrupted"));
  } catch (error) {
    if (running !== mine) return;
    turn.failed(asAnswerError(error));
    // As it is, it can never be sent: it is there again to be shortened.
    if (error.code === "too_large" && !composer.text) composer.write(turn.prompt);
  } finally {
    release(mine);
  }
}

function release(reading) {
  if (running !== reading) return;
  running = null;
  composer.running = false;
  announceEnd(reading.turn);
  save();
}

function announceEnd(turn) {
  const said = { complete: `${say("answered")} ${turn.text}`, stopped: say("stopped") };
  status.textContent = said[turn.state] ?? ""; // an error block announces itself
  markTitle();
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

/** Show these turns, as they were saved, and no others. */
function show(saved) {
  log.replaceChildren();
  turns = saved.map((each) => {
    const turn = Turn.restore(log, each, () => again(turn));
    return turn;
  });
  showConversation(turns.length > 0);
}

function restore() {
  const saved = JSON.parse(recall(CONVERSATION) ?? '{"turns": []}');
  show(saved.turns);
  if (turns.length > 0) follow.toNewest();
  const last = turns.at(-1);
  if (!last || last.isOver) return;
  if (!saved.live?.id) {
    last.failed(new AnswerError("interrupted")); // it was left before the server had taken it
    return;
  }
  const live = new LiveAnswer(saved.live, (lost) => connectionChanged(last, lost));
  read(last, live, live.resume());
}

byId("new-chat").addEventListener("click", () => {
  abandon();
  offerUndo("cleared", turns.map((turn) => turn.saved));
  show([]);
  byId("scroll").scrollTop = 0;
  save();
  composer.focus();
});

for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => {
    open(example.dataset.prompt);
    composer.focus();
  });
}

document.addEventListener("keydown", (event) => {
  const elsewhere = byId("model-dialog").open || byId("rail").matches(":popover-open");
  if (event.key === "Escape" && !event.isComposing && !elsewhere) running?.live.stop();
});

addEventListener("pagehide", save);

copiesFrom(log, (button) => turns.find((turn) => turn.owns(button)).text);

restore();
