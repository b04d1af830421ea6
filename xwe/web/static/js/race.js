// Measures users who ask this server: all at once, and one after another.

import { AnswerError, ask, post } from "./server.js";

// A browser holds six connections to a server, and six more for requests without credentials,
// which it keeps apart. One of these twelve belongs to the users who come one after another.
const LANES = [...Array(6).fill("omit"), ...Array(5).fill("same-origin")];
const LONGEST_ANSWER_TOKENS = 64;

/** One user's question: times in milliseconds since the start; `to` is null until it has ended. */
class Run {
  from = null;
  to = null;
  error = null;

  get isAnswered() {
    return this.to !== null && this.error === null;
  }
}

/** One way of asking, with the runs of its users. */
export class Runners {
  constructor(users) {
    this.runs = Array.from({ length: users }, () => new Run());
  }

  get answered() {
    return this.runs.filter((run) => run.isAnswered);
  }

  get failed() {
    return this.runs.filter((run) => run.error !== null);
  }

  get areAllAnswered() {
    return this.runs.every((run) => run.isAnswered);
  }

  /** When the newest answer came, in milliseconds since the start; 0 before the first. */
  get lastMs() {
    return Math.max(0, ...this.answered.map((run) => run.to));
  }

  /** The median time of one user's question, in milliseconds; null before the first answer. */
  get medianMs() {
    const times = this.answered.map((run) => run.to - run.from).sort((a, b) => a - b);
    return times.length ? times[Math.floor(times.length / 2)] : null;
  }
}

/** Both ways on one clock; `elapsedMs` runs until both have ended. */
export class Race {
  #message;
  #startedAt = null;
  #controller = new AbortController();
  #warmUp = new Run();

  constructor(users, message) {
    this.users = users;
    this.#message = message;
    this.atOnce = new Runners(users);
    this.inTurn = new Runners(users);
  }

  get elapsedMs() {
    return this.#startedAt === null ? 0 : performance.now() - this.#startedAt;
  }

  get isStopped() {
    return this.#controller.signal.aborted;
  }

  /** The first thing that went wrong, if anything has. */
  get error() {
    const runs = [this.#warmUp, ...this.atOnce.runs, ...this.inTurn.runs];
    return runs.find((run) => run.error !== null)?.error ?? null;
  }

  stop() {
    this.#controller.abort();
  }

  /** Resolves when every user has an answer, or the race has been stopped. */
  async run() {
    await this.#ask(this.#warmUp, "same-origin");
    if (!this.#warmUp.isAnswered) return;
    // Both ways start with their connections open: how fast that goes is not the question here.
    await Promise.allSettled(LANES.map((credentials) => ask("/health/live", { credentials })));
    this.#startedAt = performance.now();
    await Promise.all([this.#runInTurn(), this.#runAtOnce()]);
  }

  async #runAtOnce() {
    const waiting = [...this.atOnce.runs];
    for (const run of waiting) run.from = 0; // waiting for a connection counts
    const lane = async (credentials) => {
      while (waiting.length && !this.isStopped) await this.#ask(waiting.shift(), credentials);
    };
    await Promise.all(LANES.map(lane));
  }

  async #runInTurn() {
    for (const run of this.inTurn.runs) {
      if (this.isStopped) return;
      run.from = this.elapsedMs;
      await this.#ask(run, "same-origin");
      if (run.error) return; // who comes after would only fail again
    }
  }

  async #ask(run, credentials) {
    const question = { message: this.#message, max_tokens: LONGEST_ANSWER_TOKENS };
    const signal = this.#controller.signal;
    try {
      const response = await post("/api/llm/chat", question, { signal, credentials });
      await response.json();
      run.to = this.elapsedMs;
    } catch (error) {
      if (this.isStopped) return;
      if (!(error instanceof AnswerError)) console.error(error);
      run.error = error instanceof AnswerError ? error : new AnswerError("interrupted");
      run.to = this.elapsedMs;
    }
  }
}
