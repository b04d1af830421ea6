// Keeps the newest line in sight, unless the reader has scrolled away from it.

const NEAR = 64; // pixels; closer than that counts as being there

export class Follow {
  #scroll;
  #content;
  #button;
  #following = true;

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
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  get #distance() {
    return this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight;
  }

  #look() {
    this.#following = this.#distance < NEAR;
    if (this.#following) this.#button.hidden = true;
  }

  #grow() {
    if (!this.#content.hasChildNodes()) return;
    if (this.#following) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    else this.#button.hidden = this.#distance < NEAR;
  }
}
