// A new character that has not been sent yet: it is there again after a reload or a sign-in.

import { browser } from "./memory.js";

const PAUSE_MS = 300; // a long text is not written at every key

export class NewDraft {
  #name;
  #read;
  #timer = 0;
  #isSent = false;

  /** @param {string} name under which it is remembered; `read()` is what is written by now */
  constructor(name, read) {
    this.#name = name;
    this.#read = read;
    addEventListener("pagehide", () => this.#keep());
  }

  /** What was left here; null if nothing was. */
  get left() {
    return JSON.parse(browser.recall(this.#name) ?? "null");
  }

  /** Something was written. */
  changed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#keep(), PAUSE_MS);
  }

  /** It has been sent: nothing is left. */
  sent() {
    this.#isSent = true;
    browser.remember(this.#name, "");
  }

  #keep() {
    clearTimeout(this.#timer);
    if (this.#isSent) return;
    // First nothing: where there is no room for the new one, an old one must not come back.
    browser.remember(this.#name, "");
    browser.remember(this.#name, JSON.stringify(this.#read()));
  }
}
