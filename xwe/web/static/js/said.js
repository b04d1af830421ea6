// What was said in a turn, as it was shown: what only passed the time is told apart from the
// answer, and where it was cut off is marked.

import { MarkdownView } from "./markdown.js";
import { Reveal } from "./reveal.js";
import { number, say } from "./texts.js";

const template = (name) => document.getElementById(`${name}-template`);
const clone = (name) => template(name).content.firstElementChild.cloneNode(true);

/** The parts of a turn's message in their `place`. */
export class Said {
  #place;
  #record;
  #shown = new Map();

  constructor(place, record) {
    this.#place = place;
    this.#record = record;
  }

  /** Show how far this part of the `TurnRecord` has grown. */
  show(part) {
    if (!this.#shown.has(part)) this.#shown.set(part, this.#begin(part));
    const shown = this.#shown.get(part);
    shown.grow(part.text.slice(shown.length));
    shown.length = part.text.length;
  }

  /** The part is whole, or will not be continued. */
  end(part) {
    this.#shown.get(part)?.finish();
  }

  /** Mark where it was cut off. */
  cut(part, { shownChars, savedTokens }) {
    const mark = this.#shown.get(part)?.node.querySelector(".said-cut");
    if (!mark) return;
    const fields = { shown: number(shownChars), saved: number(savedTokens) };
    mark.querySelector(".said-cut-text").textContent = say("tools.cut_after", fields);
    mark.hidden = false;
  }

  finish() {
    for (const shown of this.#shown.values()) shown.finish();
  }

  #begin(part) {
    const node = clone(part.kind === "reasoning" ? "thoughts" : "said");
    this.#place.append(node);
    if (part.kind === "reasoning") {
      const place = node.querySelector(".thoughts-text");
      return { node, length: 0, grow: (text) => place.append(text), finish: () => {} };
    }
    const kind = part.by === this.#record.steps[0] ? "first" : part.by.kind;
    node.dataset.kind = kind;
    node.querySelector(".said-label").textContent = say(`tools.lane.${kind}`);
    const view = new MarkdownView(node.querySelector(".prose"), template("code"));
    const reveal = new Reveal((text) => view.show(text));
    return { node, length: 0, grow: (text) => reveal.add(text), finish: () => reveal.finish() };
  }
}
