// Chats in which something was answered while their reader was elsewhere. The browser keeps it: a
// chat is a page of its own, and what one tab has shown is read in the others too.

import { ChatApi } from "./chat_api.js";
import { browser, ownName } from "./memory.js";
import { AnswerError } from "./server.js";

const ENDED = new Set(["complete", "partial", "failed"]); // what was stopped, its reader has stopped

/**
 * By character: `told` and `seen`, the newest answer that was told of and that was shown, and
 * whether an answer was coming when the page was left.
 */
export class Unread {
  #name;
  #onChange;

  constructor(userId, onChange) {
    this.#name = ownName(userId, "unread");
    this.#onChange = onChange;
    addEventListener("storage", (event) => event.key === this.#name && onChange());
  }

  has(role) {
    const { told = 0, seen = 0 } = this.#all[role] ?? {};
    return told > seen;
  }

  /** Take in what the server tells of a chat. */
  hear({ role, status, message_id: id }) {
    if (ENDED.has(status)) this.#note(role, { told: id, awaited: false });
  }

  /** These messages of a chat are shown. */
  show(role, messages) {
    const ids = messages.flatMap((message) => [message.id ?? 0, ...(message.variants ?? [])]);
    const isComing = messages.some((message) => message.status === "streaming");
    // What is coming has its name already, and is not read before it has ended.
    const seen = isComing ? Math.max(0, ...ids) - 1 : Math.max(0, ...ids);
    this.#note(role, { seen, awaited: false });
  }

  /** The chat is left while an answer is coming. */
  await(role) {
    this.#note(role, { awaited: true });
  }

  /** Ask for what may have ended while no page was there to hear of it. */
  async look(current) {
    for (const [role, { awaited }] of Object.entries(this.#all)) {
      if (!awaited || role === current) continue;
      try {
        const [newest] = (await new ChatApi(role).page(null, 1)).messages;
        if (newest) this.hear({ role, status: newest.status, message_id: newest.id });
        if (newest?.status === "cancelled") this.#note(role, { awaited: false });
      } catch (error) {
        if (!(error instanceof AnswerError)) throw error;
        if (error.code === "not_found") this.#note(role, { awaited: false });
      }
    }
  }

  get #all() {
    return JSON.parse(browser.recall(this.#name) ?? "{}");
  }

  #note(role, news) {
    const all = this.#all;
    const before = JSON.stringify(all);
    const known = all[role] ?? {};
    all[role] = { ...known, ...news };
    for (const which of ["told", "seen"]) {
      all[role][which] = Math.max(known[which] ?? 0, news[which] ?? 0);
    }
    const after = JSON.stringify(all);
    if (after === before) return;
    browser.remember(this.#name, after);
    this.#onChange();
  }
}
