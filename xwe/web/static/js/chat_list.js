// The reader's chats, the one talked in last first.

import { avatar } from "./avatar.js";
import { AnswerError, ask } from "./server.js";
import { when } from "./texts.js";
import { Unread } from "./unread.js";

// Where it is narrow, the list is in a drawer, and what opens that tells of it.
const menu = document.querySelector(".menu");
const template = document.getElementById("chat-link-template");

/** Shows the chats in `place`, whose `data-state` is "loading", "shown", "empty" or "failed". */
export class ChatList {
  #place;
  #list;
  #unread;
  #current;
  #links = new Map();
  #reading = null;
  #wanted = false;

  /**
   * @param {string} user the number of the reader's account
   * @param {?string} current the character whose chat is open
   */
  constructor(place, user, current = null) {
    this.#place = place;
    this.#unread = new Unread(user, () => this.#mark());
    this.#list = place.querySelector(".chat-links");
    this.#current = current;
    place.querySelector("[data-do=reload]").addEventListener("click", () => this.refresh());
  }

  /** Which chats have an answer that was not seen yet. */
  get unread() {
    return this.#unread;
  }

  /** Read the list (again); calls that come meanwhile are one more reading. */
  refresh() {
    this.#wanted = true;
    this.#reading ??= this.#read().finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #read() {
    while (this.#wanted) {
      this.#wanted = false;
      try {
        const response = await ask("/api/characters");
        this.#show((await response.json()).items);
        await this.#unread.look(this.#current);
      } catch (error) {
        if (!(error instanceof AnswerError)) console.error(error);
        if (this.#links.size === 0) this.#place.dataset.state = "failed";
      }
    }
  }

  #show(items) {
    const before = this.#links;
    this.#links = new Map(items.map((item) => [item.role, before.get(item.role) ?? this.#make(item)]));
    for (const item of items) this.#fill(this.#links.get(item.role), item);
    this.#mark();
    this.#place.dataset.state = items.length ? "shown" : "empty";
    const [links, there] = [[...this.#links.values()], [...this.#list.children]];
    if (links.length === there.length && links.every((link, index) => link === there[index])) return;
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
    this.#list.replaceChildren(...links);
    focused?.focus({ preventScroll: true });
  }

  #mark() {
    let text = null;
    for (const [role, node] of this.#links) {
      const mark = node.querySelector(".chat-link-unread");
      mark.hidden = role === this.#current || !this.#unread.has(role);
      if (!mark.hidden) text = mark.textContent;
    }
    menu.toggleAttribute("data-unread", text !== null);
    menu.ariaDescription = text;
  }

  #make(item) {
    const node = template.content.firstElementChild.cloneNode(true);
    const link = node.querySelector("a");
    link.href = `/chat/${encodeURIComponent(item.role)}`;
    if (item.role === this.#current) link.setAttribute("aria-current", "page");
    avatar(node.querySelector(".avatar"), item.role, item.avatar_url);
    node.querySelector(".chat-link-name").textContent = item.role;
    return node;
  }

  #fill(node, item) {
    node.querySelector(".chat-link-preview").textContent = item.preview;
    const time = node.querySelector("time");
    time.dateTime = item.updated_at;
    time.textContent = when(item.updated_at);
  }
}
