// The chat with one character. The server keeps it: this page shows it, reads the answer that is
// being made, whoever has asked for it, and adds what the reader says.

import { offerTelling, tell } from "./background.js";
import { ChatApi, newClientId } from "./chat_api.js";
import { ChatList } from "./chat_list.js";
import { CharacterPanel } from "./character_panel.js";
import { Composer } from "./composer.js";
import { copiesFrom } from "./copying.js";
import { Follow } from "./follow.js";
import { act } from "./forms.js";
import { LiveAnswer } from "./live_answer.js";
import { browser, ownName } from "./memory.js";
import "./model_dialog.js";
import { listen, tellTabs } from "./news.js";
import { Older } from "./older.js";
import { AnswerError, asAnswerError } from "./server.js";
import { say } from "./texts.js";
import { Thread } from "./thread.js";
import { trouble } from "./trouble.js";
import { Unsent } from "./unsent.js";

// Refusals after which the server may know more than this page: another tab's question, or this one,
// taken in before its reply got lost.
const MAY_BE_STORED = new Set(["generation_running", "unreachable"]);
// What no second try can change.
const HOPELESS = new Set(["too_large", "invalid_request"]);
// Events that a reader who is above is told of.
const NEWS = new Set(["text-delta", "reasoning-delta", "finish", "abort", "error"]);
// Ends of an answer that is there, so that another one is a variant of it.
const ANSWERED = new Set(["complete", "stopped"]);
const WORTH_TELLING_MS = 500; // an answer that is joined at once was never lost

const byId = (id) => document.getElementById(id);
const main = byId("main");
const log = byId("log");
const status = byId("status");
const { role, user, character } = main.dataset;

const api = new ChatApi(role);
const follow = new Follow(byId("scroll"), log, byId("newest"));
const chats = new ChatList(byId("chats"), user, role);
const panel = new CharacterPanel(byId("panel"), role);
const thread = new Thread(log, {
  onAgain: again,
  onVariant: (answered, steps) => choose(answered, steps),
});
const older = new Older(byId("older"), byId("scroll"), async () => {
  const page = await api.page(thread.oldest);
  follow.keepPlace(() => thread.prepend(page.messages));
  return page.has_more;
});

let running = null; // {answered, live} of the answer that is coming
let refreshing = null;
let isStale = false;
let isSignedOut = false;
let isLeaving = false; // what breaks then, the leaving has broken
let losing = 0;

// By the character's number: a name may change, or be given again.
const unsent = new Unsent(ownName(user, `unsent.${character}`));
const composer = new Composer({
  draft: ownName(user, `draft.${character}`),
  memory: browser,
  form: byId("composer"),
  field: byId("prompt"),
  send: byId("send"),
  stop: byId("stop"),
  onSend: (text) => {
    const clientId = newClientId();
    unsent.keep(text, clientId);
    send(thread.say(text, clientId));
  },
  onStop: () => running?.live.stop(),
});

// --- what the reader asks for ---

/** Send what was written; once more under its own name, so that it cannot be there twice. */
function send(answered) {
  if (running) return;
  if (isSignedOut) return location.reload(); // which leads to where one signs in
  isLeaving = false;
  const { asked } = answered;
  asked.question.state = "sending";
  asked.question.onEdit = null;
  answered.renew();
  thread.toEnd(answered);
  showMessages();
  follow.toNewest();
  const body = { content: asked.text, client_id: asked.clientId };
  read(answered, (live) => live.begin(body, api.stream));
}

/** Once more: an answer gets a variant, a message that brought none is sent again. */
async function again(answered) {
  // What has ended just now has its name from the next look only.
  if (answered.id === null && ANSWERED.has(answered.answer.state)) await refresh();
  if (answered.id === null) send(answered);
  else regenerate(answered);
}

/** Have the answer made anew; the one that is there stays as a variant. */
function regenerate(answered) {
  if (running) return;
  if (isSignedOut) return location.reload();
  answered.renew();
  read(answered, (live) => live.begin({}, api.regeneration(answered.id)));
}

async function choose(answered, steps) {
  const id = answered.neighbour(steps);
  if (id === null || running) return;
  const pressed = answered.node.querySelector(`[data-do=${steps < 0 ? "earlier" : "later"}]`);
  const complain = (error) => answered.answer.complain(known(error), () => choose(answered, steps));
  await act(pressed, async () => {
    await api.select(id);
    answered.show(await api.at(answered.seq));
    tellTabs({ type: "message", role });
    const again = answered.node.querySelector(`[data-do=${steps < 0 ? "earlier" : "later"}]`);
    (again.disabled ? answered.node.querySelector(".variants button:enabled") : again)?.focus();
  }, complain);
}

// --- the answer that is coming ---

async function read(answered, begin, knownId = null) {
  const { answer, asked } = answered;
  const live = new LiveAnswer({ id: knownId }, (lost) => connectionChanged(answer, lost));
  const mine = { answered, live };
  running = mine;
  answered.isLive = true;
  composer.running = true;
  status.textContent = say("chats.answering", { name: role });
  let refused = null;
  try {
    for await (const event of begin(live)) {
      if (asked) taken(asked);
      if (NEWS.has(event.type)) follow.news();
      if (event.type === "start") tellTabs({ type: "message", role });
      await answer.take(event);
      if (!answer.isOver) continue;
      release(mine); // now, and not once its connection is closed: the reader may go on
      break;
    }
    if (!answer.isOver) answer.failed(new AnswerError("interrupted"));
  } catch (error) {
    if (live.id === null) refused = known(error);
    else answer.failed(known(error));
  }
  release(mine);
  if (refused) return notTaken(answered, asked, refused);
  announceEnd(answer);
  tellTabs({ type: "message", role });
  await refresh();
  chats.refresh();
  // Another variant may stand there again; what has become of this one is told below it.
  const { error } = answer;
  if (error && answered.answer !== answer && answered.answer.state !== "failed") {
    answered.answer.complain(error, () => regenerate(answered));
  }
}

function taken(asked) {
  if (asked.question.state === "sent") return;
  asked.question.state = "sent";
  unsent.forget([asked.clientId]);
}

function release(reading) {
  if (running !== reading) return;
  running = null;
  reading.answered.isLive = false;
  composer.running = false;
}

/** The server has not taken it, as far as we know: what is there stays as it is. */
function notTaken(answered, asked, error) {
  status.textContent = "";
  isSignedOut = error.code === "signed_out";
  if (asked) {
    unsent.keep(asked.text, asked.clientId, isLeaving ? null : error.code);
    showUnsent(answered, error);
  } else {
    answered.revert();
    answered.answer.complain(error, () => regenerate(answered));
  }
  if (MAY_BE_STORED.has(error.code)) refresh();
}

/** It stays until it is sent, or taken back to where it was written. */
function showUnsent(answered, error) {
  const { asked, answer } = answered;
  asked.question.state = "failed";
  asked.question.onEdit = () => {
    unsent.forget([asked.clientId]);
    thread.drop(answered);
    composer.write([asked.text, composer.text].filter(Boolean).join("\n"));
    composer.focus();
    showMessages();
  };
  answer.failed(error);
  if (HOPELESS.has(error.code)) answer.node.querySelector("[data-do=retry]").hidden = true;
}

/** What an earlier page has left, unless it has arrived after all. */
function restoreUnsent() {
  for (const { text, clientId, code } of unsent.all) {
    if (thread.has(clientId)) continue;
    showUnsent(thread.say(text, clientId), new AnswerError(code ?? "unsent"));
  }
}

function announceEnd(answer) {
  const ended = say("chats.answered", { name: role, text: answer.text });
  const said = { complete: ended, stopped: say("stopped") };
  status.textContent = said[answer.state] ?? ""; // an error block announces itself
  tell(role, answer.text || say("chats.failed"), `xwe.${role}`);
}

function connectionChanged(answer, lost) {
  answer.reconnecting = lost;
  clearTimeout(losing);
  const isTold = status.textContent === say("reconnecting");
  if (lost) losing = setTimeout(() => (status.textContent = say("reconnecting")), WORTH_TELLING_MS);
  else if (isTold) status.textContent = say("reconnected");
}

// What these codes mean of a chat is something else than of an answer.
const MEANT = { unauthorized: "signed_out", not_found: "chat_gone" };

function known(error) {
  const answer = asAnswerError(error);
  return answer.code in MEANT ? new AnswerError(MEANT[answer.code]) : answer;
}

// --- what the server knows ---

/** Bring the page to what the server knows; calls that come meanwhile are one more reading. */
function refresh() {
  isStale = true;
  refreshing ??= readNewest().finally(() => (refreshing = null));
  return refreshing;
}

async function readNewest() {
  while (isStale) {
    isStale = false;
    try {
      take(await api.page());
    } catch (error) {
      if (main.dataset.state === "shown") return; // it is asked again when there is news
      const problem = known(error);
      const isOut = problem.code === "signed_out";
      const block = trouble(problem, isOut ? () => location.reload() : refresh);
      byId("loading-trouble").replaceChildren(block);
      main.dataset.state = "failed";
    }
  }
}

function take({ messages, has_more: hasMore }) {
  const isFirst = main.dataset.state !== "shown";
  const { oldest, newest } = thread;
  thread.update(messages, hasMore);
  unsent.forget(messages.map((message) => message.client_id));
  if (isFirst) restoreUnsent();
  else if (thread.newest > newest) follow.news();
  if (!document.hidden) chats.unread.show(role, messages);
  if (isFirst || thread.oldest !== oldest) older.exist = hasMore;
  showMessages();
  if (isFirst) follow.toNewest();
  const { unfinished } = thread;
  if (unfinished && !running) {
    read(unfinished, (live) => live.resume(), unfinished.generationId);
  }
}

function showMessages() {
  main.dataset.state = "shown";
  byId("welcome").hidden = !thread.isEmpty;
}

listen((news) => {
  if (news && news.type !== "message") return;
  if (news) chats.unread.hear(news);
  chats.refresh();
  if (!running && (news === null || news.role === role)) refresh();
});

document.addEventListener("keydown", (event) => {
  const elsewhere = document.querySelector("dialog[open], :popover-open");
  if (event.key === "Escape" && !event.isComposing && !elsewhere) running?.live.stop();
});

addEventListener("beforeunload", () => (isLeaving = true));
addEventListener("pagehide", () => running && chats.unread.await(role));

offerTelling(byId("tell"));
copiesFrom(log, (button) => thread.answerAt(button).text);
refresh();
chats.refresh();
panel.refresh();
