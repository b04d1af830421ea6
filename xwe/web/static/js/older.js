// Paging upward: older messages come when the reader nears the top, and nothing moves.

import { AnswerError } from "./server.js";

/** The line above the oldest message; `load()` brings older ones and says whether there are more. */
export class Older {
  #place;
  #seen;

  constructor(place, scroll, load) {
    this.#place = place;
    place.querySelector("[data-do=reload]").addEventListener("click", () => this.#load(load));
    this.#seen = new IntersectionObserver(
      (entries) => entries.at(-1).isIntersecting && this.#load(load),
      { root: scroll, rootMargin: "300px 0px 0px" },
    );
  }

  /** Whether there are older messages; asked anew each time, since what is seen tells only once. */
  set exist(exist) {
    this.#seen.disconnect();
    this.#place.hidden = !exist;
    this.#place.dataset.state = "waiting";
    if (exist) this.#seen.observe(this.#place);
  }

  async #load(load) {
    if (this.#place.dataset.state === "loading") return;
    this.#place.dataset.state = "loading";
    try {
      this.exist = await load();
    } catch (error) {
      if (!(error instanceof AnswerError)) console.error(error);
      this.#place.dataset.state = "failed";
    }
  }
}
