// How far each part of a sheet is: from what is stored, and from what its tasks have told.

export const WHOLE = "character"; // the task that writes all of it; others write one category

export class SheetStates {
  #told = new Map(); // part -> {state, seconds, error, isRewriting}
  #asked = new Set();

  /** It is being asked for; nothing is known of a task yet. */
  ask(name) {
    this.#asked.add(name);
    this.#told.delete(name);
  }

  /** The asking is over. */
  asked(name) {
    this.#asked.delete(name);
  }

  /** What was told of it is no longer about what is there. */
  forget(name) {
    this.#told.delete(name);
  }

  /** Everything that is missing is being asked for. */
  forgetTroubles() {
    for (const [name, { state }] of this.#told) if (state === "error") this.#told.delete(name);
  }

  /** A task has told how far its parts are. */
  note({ kind, detail }) {
    for (const [name, { state, seconds, error }] of Object.entries(detail ?? {})) {
      // Without a time it is not what this task has done, but what it found.
      const isEnd = state === "error" || (state === "done" && seconds != null);
      if (isEnd) this.#told.set(name, { state, seconds, error, isRewriting: kind !== WHOLE });
    }
  }

  /** What to tell of a part, while those tasks run; `isThere`: whether the sheet has it. */
  of(name, isThere, live) {
    const states = live.map(({ state }) => state.detail?.[name]?.state);
    if (states.includes("running")) return { state: "running" };
    const isWanted = live.some(({ category }, index) => category === name && !states[index]);
    if (isWanted || this.#asked.has(name)) return { state: "pending" };
    const told = this.#told.get(name);
    if (told?.state === "error" && (!isThere || told.isRewriting)) return told;
    if (isThere || states.includes("done")) {
      return { state: "done", seconds: told?.state === "done" ? told.seconds : null };
    }
    const isToCome = live.some(({ category, state }) => !category && (state.kind ?? WHOLE) === WHOLE);
    return { state: isToCome ? "pending" : "missing" };
  }
}
