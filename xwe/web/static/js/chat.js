// The first page: questions, streamed answers, one conversation that lives as long as the page.

import { AnswerError, streamAnswer } from "./answer_stream.js";
import { Composer } from "./composer.js";
import { Follow } from "./follow.js";
import { recall, remember } from "./memory.js";
import { say } from "./texts.js";
import { Turn } from "./turn.js";

const TOKEN = "xwe.token";
const HISTORY_TURNS = 20; // what a model is reminded of; a longer past costs more than it helps
const COPIED_FOR_MS = 1600;

const byId = (id) => document.getElementById(id);
const log = byId("log");
const status = byId("status");
const follow = new Follow(byId("scroll"), log, byId("newest"));

let turns = [];
let running = null; // the AbortController of the answer that is coming

const composer = new Composer({
  form: byId("composer"),
  field: byId("prompt"),
  send: byId("send"),
  stop: byId("stop"),
  onSend: (prompt) => open(prompt),
  onStop: () => running?.abort(),
});

function open(prompt) {
  byId("welcome").hidden = true;
  byId("new-chat").hidden = false;
  const turn = new Turn(log, prompt, {
    onRetry: () => again(turn),
    onToken: (token) => remember(TOKEN, token),
  });
  turns.push(turn);
  answer(turn);
}

/** Ask once more; what came after the old answer was said to it, so it goes. */
function again(turn) {
  running?.abort();
  const later = turns.splice(turns.indexOf(turn) + 1);
  for (const gone of later) gone.remove();
  answer(turn);
}

async function answer(turn) {
  const controller = new AbortController();
  running = controller;
  composer.running = true;
  status.textContent = say("answering");
  turn.begin();
  follow.toNewest();
  try {
    const pieces = streamAnswer(turn.prompt, history(turn), {
      signal: controller.signal,
      token: recall(TOKEN),
      onAccepted: () => turn.accepted(),
    });
    for await (const piece of pieces) turn.add(piece);
    await turn.complete();
    status.textContent = `${say("answered")} ${turn.text}`;
  } catch (error) {
    if (controller.signal.aborted) {
      turn.stopped();
      status.textContent = say("stopped");
    } else {
      if (!(error instanceof AnswerError)) console.error(error);
      turn.failed(error instanceof AnswerError ? error : new AnswerError("internal"));
      status.textContent = "";
    }
  } finally {
    if (running === controller) {
      running = null;
      composer.running = false;
    }
  }
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

byId("new-chat").addEventListener("click", () => {
  running?.abort();
  turns = [];
  log.replaceChildren();
  byId("welcome").hidden = false;
  byId("new-chat").hidden = true;
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
  if (event.key === "Escape" && !event.isComposing && !byId("model-dialog").open) running?.abort();
});

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

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without TLS, away from localhost, browsers keep the clipboard's own interface back.
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
