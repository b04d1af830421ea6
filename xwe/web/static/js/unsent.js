// What was written in a chat and has not reached the server, as far as is known: it is kept until
// it has, or until its writer takes it back.

import { browser } from "./memory.js";

/**
 * @typedef {{text: string, clientId: string, code: ?string}} Written with the code of what kept it
 *   from being sent; null while it is on its way
 */

export class Unsent {
  #name;

  /** @param {string} name under which the browser keeps it */
  constructor(name) {
    this.#name = name;
  }

  // Read anew each time: another tab may have the same chat open.
  /** @returns {Written[]} in the order of writing */
  get all() {
    return JSON.parse(browser.recall(this.#name) ?? "[]");
  }

  keep(text, clientId, code = null) {
    const all = this.all;
    const known = all.find((each) => each.clientId === clientId);
    if (known) known.code = code;
    else all.push({ text, clientId, code });
    this.#store(all);
  }

  /** These are where they belong, or not wanted any more. */
  forget(clientIds) {
    const all = this.all;
    const left = all.filter((each) => !clientIds.includes(each.clientId));
    if (left.length < all.length) this.#store(left);
  }

  #store(all) {
    browser.remember(this.#name, all.length ? JSON.stringify(all) : "");
  }
}
