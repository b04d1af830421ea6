// Text that came in bursts, shown as it would have been typed: a part of what waits each frame, in
// whole words and intact Markdown.

import { intact, nextBorder, wholeWords } from "./intact.js";

// The backlog halves about every fifth frame, so that it never falls noticeably behind.
const SHARE = 1 / 7;

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Calls `show` with a growing part of the text that `add` brings. */
export class Reveal {
  #show;
  #text = "";
  #shown = 0;
  #ahead = 0;
  #frame = 0;
  #settled = null;

  constructor(show) {
    this.#show = show;
  }

  get text() {
    return this.#text;
  }

  /** Show this at once: `add` will bring it again, from its beginning. */
  preview(text) {
    this.#ahead = text.length;
    this.#show(intact(text));
  }

  /** The text will come once more, from its beginning; what is shown stays until then. */
  again() {
    cancelAnimationFrame(this.#frame);
    this.#ahead = Math.max(this.#ahead, this.#shown);
    [this.#text, this.#shown, this.#frame] = ["", 0, 0];
  }

  add(text) {
    this.#text += text;
    this.#shown = Math.max(this.#shown, Math.min(this.#ahead, this.#text.length));
    if (this.#text.length <= this.#ahead) return;
    if (still.matches || document.hidden) this.#draw(this.#ready); // a hidden page gets no frames
    else this.#frame ||= requestAnimationFrame(() => this.#step());
  }

  /** Wait until everything is shown: nothing will be added. */
  settle() {
    if (still.matches || document.hidden) this.finish();
    if (this.#shown === this.#text.length && !this.#frame) {
      this.finish();
      return Promise.resolve();
    }
    const settled = new Promise((resolve) => (this.#settled = resolve));
    document.addEventListener("visibilitychange", () => this.#settled && this.finish(), {
      once: true,
    });
    this.#frame ||= requestAnimationFrame(() => this.#step());
    return settled;
  }

  /** Show everything now. */
  finish() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#shown = this.#text.length;
    this.#show(this.#text);
    this.#settled?.();
    this.#settled = null;
  }

  /** How much can be shown of what is here: the last word may not be whole yet. */
  get #ready() {
    return this.#settled ? this.#text.length : wholeWords(this.#text);
  }

  #draw(length) {
    this.#shown = Math.max(this.#shown, length);
    this.#show(intact(this.#text.slice(0, this.#shown)));
  }

  #step() {
    this.#frame = 0;
    const ready = this.#ready;
    const waiting = ready - this.#shown;
    if (document.hidden) return this.#settled ? this.finish() : this.#draw(ready);
    if (waiting > 0) {
      const wanted = this.#shown + Math.max(1, Math.ceil(waiting * SHARE));
      this.#draw(Math.min(ready, nextBorder(this.#text, wanted)));
    }
    if (this.#shown < ready) this.#frame = requestAnimationFrame(() => this.#step());
    else if (this.#settled) this.finish();
  }
}
