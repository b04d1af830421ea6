// Measures users who ask this server: all at once, and one after another.

import { AnswerError, asAnswerError, ask, post } from "./server.js";

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
    await this.#ask(this.#warmUp);
    if (!this.#warmUp.isAnswered) return;
    // Both ways start with their connections open: how fast that goes is not the question here.
    await Promise.allSettled([ask("/health/live"), ask("/health/live")]);
    this.#startedAt = performance.now();
    await Promise.all([this.#runInTurn(), this.#runAtOnce()]);
  }

  /**
   * One request for all of them, since a browser holds no more than six connections to a server. The
   * server makes a model call for each and tells when each was answered; what the request itself took
   * on its way there and back is added to every one.
   */
  async #runAtOnce() {
    const { runs } = this.atOnce;
    const from = this.elapsedMs;
    for (const run of runs) run.from = from;
    try {
      const prompts = runs.map(() => this.#message);
      const all = { prompts, limit: prompts.length, max_tokens: LONGEST_ANSWER_TOKENS };
      const told = await this.#post("/api/llm/batch", all);
      const onTheWayMs = Math.max(0, this.elapsedMs - from - 1000 * told.total_duration);
      runs.forEach((run, index) => {
        const { error } = told.results[index];
        if (error) run.error = new AnswerError(error.code, error);
        run.to = from + onTheWayMs + 1000 * told.durations[index];
      });
    } catch (error) {
      for (const run of runs) this.#fail(run, error);
    }
  }

  async #runInTurn() {
    for (const run of this.inTurn.runs) {
      if (this.isStopped) return;
      run.from = this.elapsedMs;
      await this.#ask(run);
      if (run.error) return; // who comes after would only fail again
    }
  }

  async #ask(run) {
    try {
      const question = { message: this.#message, max_tokens: LONGEST_ANSWER_TOKENS };
      await this.#post("/api/llm/chat", question);
      run.to = this.elapsedMs;
    } catch (error) {
      this.#fail(run, error);
    }
  }

  #fail(run, error) {
    if (this.isStopped) return;
    run.error = asAnswerError(error, "interrupted");
    run.to = this.elapsedMs;
  }

  async #post(address, body) {
    const response = await post(address, body, { signal: this.#controller.signal });
    return response.json();
  }
}
