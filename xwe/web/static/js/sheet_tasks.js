// The tasks that write a sheet, each followed to its end; there may be several at once.

import { hasEnded, watchTask } from "./task_watch.js";

// A browser holds six connections to a server, and the page needs some for itself.
const WATCHED_AT_ONCE = 3;

/**
 * @typedef {{id: number, category: ?string, state: object, since: number, isLost: boolean,
 *   isOver: boolean}} Followed a task as it was last heard of; `category` where it is for one, and
 *   that is known; `since` by the page's clock
 */
export class SheetTasks {
  #known = new Set();
  #group = [];
  #watching = 0;
  #queue = [];
  #onChange;
  #onEnd;

  /** `onChange(followed)` is awaited after each news of one, `onEnd(followed)` after its last. */
  constructor({ onChange, onEnd }) {
    this.#onChange = onChange;
    this.#onEnd = onEnd;
  }

  /** All since nothing ran, those among them too that have ended. */
  get group() {
    return this.#group;
  }

  /** Those that run. */
  get live() {
    return this.#group.filter((each) => !each.isOver);
  }

  /** Follow a task to its end, unless that is done or being done. */
  async follow(id, about = {}) {
    if (this.#known.has(id)) return;
    this.#known.add(id);
    const state = { status: "pending", progress: 0 };
    const followed = { ...about, id, state, since: performance.now(), isLost: false, isOver: false };
    this.#group.push(followed);
    try {
      await this.#onChange(followed);
      await this.#turn();
      await this.#watch(followed);
    } catch (error) {
      this.#known.delete(id);
      throw error;
    } finally {
      followed.isOver = true;
      if (this.live.length === 0) this.#group = [];
    }
    await this.#onEnd(followed);
  }

  async #watch(followed) {
    try {
      const onConnection = (isLost) => {
        followed.isLost = isLost;
        this.#onChange(followed);
      };
      for await (const state of watchTask(followed.id, onConnection)) {
        followed.state = state;
        const began = performance.now() - 1000 * state.elapsed_sec;
        followed.since = Math.min(followed.since, began);
        if (!hasEnded(state)) await this.#onChange(followed);
      }
    } finally {
      this.#watching -= 1;
      this.#queue.shift()?.();
    }
  }

  async #turn() {
    while (this.#watching >= WATCHED_AT_ONCE) {
      await new Promise((resolve) => this.#queue.push(resolve));
    }
    this.#watching += 1;
  }
}
