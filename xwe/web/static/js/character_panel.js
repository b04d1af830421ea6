// Beside the chat: who the character is, and what it remembers.

import { AnswerError, ask } from "./server.js";

const byTemplate = (name) => document.getElementById(name).content.firstElementChild;

export class CharacterPanel {
  #node;
  #base;

  constructor(node, role) {
    this.#node = node;
    this.#base = `/api/characters/${encodeURIComponent(role)}`;
    for (const button of node.querySelectorAll("[data-do=reload]")) {
      button.addEventListener("click", () => this.refresh());
    }
  }

  /** Read both (again). */
  async refresh() {
    await Promise.all([
      this.#part("sheet", "structured", (body) => this.#showSheet(body)),
      this.#part("memories", "memories", (body) => this.#showMemories(body)),
    ]);
  }

  async #part(name, address, show) {
    const part = this.#node.querySelector(`[data-part=${name}]`);
    try {
      const response = await ask(`${this.#base}/${address}`);
      part.dataset.state = show(await response.json()) ? "shown" : "empty";
    } catch (error) {
      if (!(error instanceof AnswerError)) console.error(error);
      part.dataset.state = "failed";
    }
  }

  /** The first category says who somebody is; the others are on the sheet. */
  #showSheet(body) {
    const { identity } = this.#node.dataset;
    const facts = Object.entries(body[identity.split("|").find((name) => name in body)] ?? {}).filter(([, value]) => isSaid(value));
    const place = this.#node.querySelector(".panel-facts");
    place.replaceChildren(...facts.map(([key, value]) => fact(key, value)));
    return facts.length > 0;
  }

  #showMemories(body) {
    for (const tier of ["long_term", "short_term"]) {
      const remembered = body[tier] ?? [];
      const block = this.#node.querySelector(`[data-tier=${tier}]`);
      block.hidden = remembered.length === 0;
      const items = remembered.map((memory) => {
        const item = document.createElement("li");
        item.textContent = memory.split("|").map((part) => part.trim()).filter(Boolean).join(" · ");
        return item;
      });
      block.querySelector("ul").replaceChildren(...items);
    }
    return Boolean(body.long_term?.length || body.short_term?.length);
  }
}

const isSaid = (value) => (Array.isArray(value) ? value.length > 0 : Boolean(value));

function fact(key, value) {
  const node = byTemplate("fact-template").cloneNode(true);
  node.querySelector("dt").textContent = key;
  const words = Array.isArray(value) ? value : [value];
  const texts = words.map((word) => (typeof word === "object" ? Object.values(word).join(" ") : word));
  node.querySelector("dd").textContent = texts.join(" · ");
  return node;
}
