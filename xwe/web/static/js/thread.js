// What was said in a chat as it stands on the page. Places are the server's (`seq`, ascending);
// what it does not know yet stands where it was written.

import { Answered, Asked } from "./chat_message.js";

/** @param hooks `onAgain(answered)` and `onVariant(answered, steps)`: what the reader asks for */
export class Thread {
  #log;
  #hooks;
  #entries = [];

  constructor(log, hooks) {
    this.#log = log;
    this.#hooks = hooks;
  }

  get isEmpty() {
    return this.#entries.length === 0;
  }

  /** The place of the oldest message that is here, or null. */
  get oldest() {
    return this.#entries.find((entry) => entry.seq !== null)?.seq ?? null;
  }

  /** The place of the newest message that is here, or null. */
  get newest() {
    return this.#entries.findLast((entry) => entry.seq !== null)?.seq ?? null;
  }

  /** The answer that is still being made, if there is one. */
  get unfinished() {
    return this.#entries.findLast((entry) => entry.role === "assistant" && entry.isUnfinished);
  }

  /** The answer that a part of the page belongs to. */
  answerAt(node) {
    return this.#entries.find((entry) => entry.node.contains(node)).answer;
  }

  /** Put down what the reader has just written, and where its answer will be. */
  say(text, clientId) {
    const asked = new Asked(text, clientId);
    asked.question.state = "sending";
    const answered = new Answered(asked, this.#hooks);
    for (const entry of [asked, answered]) this.#place(entry, this.#entries.length);
    return answered;
  }

  /** What was written and never taken in by the server, with the answers that it did not get. */
  drop(answered) {
    for (const entry of [answered.asked, answered]) this.#remove(entry);
  }

  /** What is sent again is said after everything that has been said since. */
  toEnd(answered) {
    const [last, before] = [this.#entries.at(-1), this.#entries.at(-2)];
    if (last === answered && before === answered.asked) return;
    for (const entry of [answered.asked, answered]) this.#move(entry, this.#entries.length);
  }

  /** Whether what the reader has written under this name is here. */
  has(clientId) {
    return this.#entries.some((entry) => entry.role === "user" && entry.clientId === clientId);
  }

  /** Take in older messages. */
  prepend(messages) {
    this.#show(messages);
  }

  /** Take in the newest messages: all from the first of them on are here then. */
  update(messages, hasMore) {
    if (messages.length > 0) this.#forgetBefore(messages[0], hasMore);
    const first = messages[0]?.seq ?? 0;
    const there = new Set(messages.map((message) => message.seq));
    for (const entry of [...this.#entries]) {
      const isGone = entry.seq !== null && entry.seq >= first && !there.has(entry.seq);
      if (isGone && !entry.isLive) this.#remove(entry);
    }
    this.#show(messages);
  }

  #show(messages) {
    let previous = null;
    for (const message of messages) {
      let entry = this.#entries.find((each) => each.seq === message.seq);
      entry ??= this.#unplaced(message, previous) ?? this.#insert(message);
      entry.show(message);
      this.#putInOrder(entry);
      previous = entry;
    }
  }

  /** The entry that this message is, put down before the server had told its place. */
  #unplaced(message, previous) {
    const unplaced = this.#entries.filter((entry) => entry.seq === null);
    if (message.role !== "user") return unplaced.find((entry) => entry.asked === previous);
    return unplaced.find((entry) => entry.role === "user" && entry.clientId === message.client_id);
  }

  #insert(message) {
    const isAsked = message.role === "user";
    const entry = isAsked ? new Asked(message.content) : new Answered(null, this.#hooks);
    const before = this.#entries.findLastIndex((each) => each.seq !== null && each.seq < message.seq);
    this.#place(entry, before + 1);
    return entry;
  }

  /** What does not fit before `first`, the oldest of the newest messages. */
  #forgetBefore(first, hasMore) {
    const known = this.#entries.filter((entry) => entry.seq !== null);
    const [greeting] = known;
    // A greeting has the place 0 until the first question makes a message of it.
    if (greeting?.seq === 0 && first.seq > 0 && !hasMore && first.role === greeting.role) {
      greeting.seq = first.seq;
    } else if (hasMore && known.length > 0 && known.at(-1).seq < first.seq) {
      for (const entry of known) this.#remove(entry); // what is between is not here
    }
  }

  /** Where it was written is not always where it has its place: another may have been sent first. */
  #putInOrder(entry) {
    const at = this.#entries.indexOf(entry);
    const isLater = (each) => each.seq !== null && each.seq > entry.seq;
    const isSooner = (each) => each.seq !== null && each.seq < entry.seq;
    if (!this.#entries.slice(0, at).some(isLater) && !this.#entries.slice(at).some(isSooner)) return;
    const others = this.#entries.filter((each) => each !== entry);
    this.#move(entry, others.findLastIndex(isSooner) + 1);
  }

  /** Put an entry where it has that index among the others. */
  #move(entry, index) {
    const at = this.#entries.indexOf(entry);
    const focused = entry.node.contains(document.activeElement) ? document.activeElement : null;
    this.#entries.splice(at, 1);
    this.#place(entry, index);
    focused?.focus({ preventScroll: true }); // what is moved loses it
  }

  #place(entry, index) {
    const next = this.#entries[index];
    this.#entries.splice(index, 0, entry);
    if (next) next.node.before(entry.node);
    else this.#log.append(entry.node);
  }

  #remove(entry) {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    entry.node.remove();
  }
}
