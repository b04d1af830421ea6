// Keeps the newest line in sight, unless the reader has scrolled away from it.

const NEAR = 64; // pixels; closer than that counts as being there

export class Follow {
  #scroll;
  #content;
  #button;
  #following = true;
  #top = 0; // where it was scrolled to when it was last looked at

  constructor(scroll, content, button) {
    this.#scroll = scroll;
    this.#content = content;
    this.#button = button;
    scroll.addEventListener("scroll", () => this.#look(), { passive: true });
    button.addEventListener("click", () => this.toNewest());
    new ResizeObserver(() => this.#grow()).observe(content);
    new ResizeObserver(() => this.#grow()).observe(scroll);
  }

  toNewest() {
    this.#following = true;
    this.#button.hidden = true;
    this.#moveTo(this.#scroll.scrollHeight);
  }

  /** Something new has come: who reads above is told. */
  news() {
    if (!this.#following) this.#button.hidden = false;
  }

  /** Have `change` put something above, and leave the reader with the line that they read. */
  keepPlace(change) {
    const below = this.#scroll.scrollHeight - this.#scroll.scrollTop;
    change();
    this.#moveTo(this.#scroll.scrollHeight - below);
  }

  get #distance() {
    return this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight;
  }

  #moveTo(top) {
    this.#scroll.scrollTop = top;
    this.#top = this.#scroll.scrollTop;
  }

  // The event comes late: what was at the end when it was scrolled there may have grown since. Who
  // leaves the end scrolls upward.
  #look() {
    const top = this.#scroll.scrollTop;
    if (this.#distance < NEAR) this.#following = true;
    else if (top < this.#top) this.#following = false;
    if (this.#following) this.#button.hidden = true;
    this.#top = top;
  }

  // What grows may be the composer, or a part that the reader has opened: that is no news.
  #grow() {
    if (!this.#content.hasChildNodes()) return;
    if (this.#following) this.#moveTo(this.#scroll.scrollHeight);
  }
}
