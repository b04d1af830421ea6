// The chat with one character, as the server keeps it.

import { ask, post } from "./server.js";

const PAGE = 50;

export class ChatApi {
  #base;

  constructor(role) {
    this.#base = `/api/chat/${encodeURIComponent(role)}`;
  }

  /** Where a message is answered as a stream. */
  get stream() {
    return `${this.#base}/stream`;
  }

  /** Where an answer is made anew, as a stream. */
  regeneration(messageId) {
    return `${this.#base}/messages/${messageId}/regenerate`;
  }

  /** A page of messages: the newest, or those before a place. */
  async page(beforeSeq = null, count = PAGE) {
    const before = beforeSeq === null ? "" : `&before_seq=${beforeSeq}`;
    const response = await ask(`${this.#base}/messages?limit=${count}${before}`);
    return response.json();
  }

  /** The message at a place. */
  async at(seq) {
    const response = await ask(`${this.#base}/messages?limit=1&before_seq=${seq + 1}`);
    return (await response.json()).messages.find((message) => message.seq === seq);
  }

  /** Show this variant from now on. */
  select(messageId) {
    return post(`${this.#base}/messages/${messageId}/select`, {});
  }
}

/** A name for a message that nobody else gives, also where the page is not served securely. */
export function newClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
