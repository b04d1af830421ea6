// The box above a sheet that is being written: how far it is, how long it takes, and the way to stop.

import { WHOLE } from "./sheet_states.js";
import { duration, say } from "./texts.js";

const BIOGRAPHY_FROM = 85; // percent: the categories are there, as the server counts

const lists = new Intl.ListFormat(document.documentElement.lang);

export class Making {
  #box;
  #group = [];
  #clock = 0;

  constructor(box) {
    this.#box = box;
  }

  /**
   * Show the tasks' progress; without any that runs, nothing.
   *
   * @param {object[]} group those followed since nothing ran
   * @param {{names: string[], done: number, isFetched: boolean}} sheet its parts, how many are
   *   there, and whether its material comes from elsewhere and has not come yet
   */
  show(group, sheet) {
    const live = group.filter((each) => !each.isOver);
    this.#group = [...group];
    if (live.length === 0) return this.#hide();
    if (this.#box.hidden) {
      this.#box.hidden = false;
      this.#clock = setInterval(() => this.#showTime(), 1000);
      this.#showTime();
      // What was pressed for this may be gone: "try again" goes with its trouble.
      if (document.activeElement === document.body) this.#box.focus({ preventScroll: true });
    }
    const percents = group.map((each) => (each.isOver ? 100 : each.state.progress));
    this.#part("progress").value = percents.reduce((sum, each) => sum + each, 0) / group.length;
    this.#part("making-message").textContent = told(live, sheet);
    this.#part("reconnecting").hidden = !live.some((each) => each.isLost);
  }

  get hasFocus() {
    return this.#box.contains(document.activeElement);
  }

  #hide() {
    clearInterval(this.#clock);
    this.#box.hidden = true;
  }

  #showTime() {
    const since = Math.min(...this.#group.map((each) => each.since));
    this.#part("making-time").textContent = duration(Math.round((performance.now() - since) / 1000));
  }

  #part(id) {
    return this.#box.querySelector(`#${id}`);
  }
}

// In the reader's language: the task's own message is in the character's.
function told(live, { names, done, isFetched }) {
  const writing = names.filter((name) => {
    return live.some(({ state }) => state.detail?.[name]?.state === "running");
  });
  if (writing.length && live.some(({ state }) => state.kind === WHOLE)) {
    return say("characters.making.parts", { done, all: names.length });
  }
  if (writing.length) return say("characters.making.part", { names: lists.format(writing) });
  if (live.every(({ state }) => state.status === "pending")) return say("characters.making.waiting");
  if (live.some(({ state }) => state.progress >= BIOGRAPHY_FROM)) return say("characters.making.biography");
  return say(isFetched ? "characters.making.source" : "characters.making.facts");
}
