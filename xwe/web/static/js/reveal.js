// Text that came in bursts, shown as it would have been typed: a part of what waits each frame.

// The backlog halves about every fifth frame, so that it never falls noticeably behind.
const SHARE = 1 / 7;

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Calls `show` with a growing part of the text that `add` brings. */
export class Reveal {
  #show;
  #text = "";
  #shown = 0;
  #frame = 0;
  #settled = null;

  constructor(show) {
    this.#show = show;
  }

  get text() {
    return this.#text;
  }

  add(text) {
    this.#text += text;
    if (still.matches || document.hidden) this.finish(); // a hidden page gets no frames
    else this.#frame ||= requestAnimationFrame(() => this.#step());
  }

  /** Wait until everything is shown. */
  settle() {
    if (this.#shown === this.#text.length || document.hidden) {
      this.finish();
      return Promise.resolve();
    }
    return new Promise((resolve) => (this.#settled = resolve));
  }

  /** Show everything now. */
  finish() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#shown = this.#text.length;
    this.#show(this.#text);
    this.#settled?.();
  }

  #step() {
    this.#frame = 0;
    const waiting = this.#text.length - this.#shown;
    if (document.hidden || waiting <= 1) return this.finish();
    this.#shown += Math.max(1, Math.ceil(waiting * SHARE));
    // Not between the two halves of a character beyond the 16-bit ones.
    if ((this.#text.charCodeAt(this.#shown - 1) & 0xfc00) === 0xd800) this.#shown += 1;
    if (this.#shown >= this.#text.length) return this.finish();
    this.#show(this.#text.slice(0, this.#shown));
    this.#frame = requestAnimationFrame(() => this.#step());
  }
}
