// One answer over the wire: it is made on the server whether or not we listen, so a connection that
// breaks is no end. We join it again after the last event that we have.

import { AnswerError, ask, post } from "./server.js";
import { readEvents } from "./sse.js";

// The server says something every 15 s; a connection that is silent for longer is dead.
const LONGEST_SILENCE_MS = 40_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
const GIVE_UP_AFTER_MS = 120_000;
// How long the server's word that it has stopped is waited for.
const STOP_MS = 2_000;

// What may be different a moment later.
const PASSING = new Set(["unreachable", "saturated", "draining"]);

/**
 * @param {{id?: string, after?: number}} known of an answer that was being read before
 * @param {(lost: boolean) => void} onConnection told when the connection is lost and found again
 */
export class LiveAnswer {
  #wire = new AbortController();
  #wake = null;
  #stopping = false;
  #left = false;
  #onConnection;

  constructor({ id = null, after = 0 } = {}, onConnection = () => {}) {
    Object.assign(this, { id, after, requestId: null });
    this.#onConnection = onConnection;
  }

  /** Ask, and read the answer's events: `{type, …}`. */
  async *begin(question) {
    let response;
    try {
      response = await this.#open(() => post("/api/llm/stream", question, this.#options()));
    } catch (error) {
      if (this.#stopping) return yield* this.#ended();
      throw error;
    }
    yield* this.#follow(response);
  }

  /** Read on after the last event that was seen. */
  async *resume() {
    yield* this.#follow(null);
  }

  /** End the answer on the server; the events end with `abort`. */
  async stop() {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#wake?.();
    setTimeout(() => this.#wire.abort(), STOP_MS);
    if (this.id !== null) await this.#sendStop(); // else #open does, once the answer has its name
  }

  /** Read no more; the answer goes on without us. */
  leave() {
    this.#left = true;
    this.#wake?.();
    this.#wire.abort();
  }

  async *#follow(response) {
    for (;;) {
      response ??= await this.#rejoin();
      if (response === null) return yield* this.#ended();
      try {
        for await (const event of this.#read(response)) {
          yield event;
          if (event.type === "done") return;
        }
      } catch (error) {
        if (error instanceof AnswerError) throw error;
      }
      if (this.#left || this.#stopping) return yield* this.#ended();
      response = null;
    }
  }

  async *#ended() {
    if (this.#stopping) yield { type: "abort" };
  }

  async *#read(response) {
    let guard = 0;
    const listen = () => {
      clearTimeout(guard);
      guard = setTimeout(() => this.#wire.abort(), LONGEST_SILENCE_MS);
    };
    listen();
    try {
      for await (const event of readEvents(response.body)) {
        listen();
        if (event === null) continue;
        if (event.data === "[DONE]") return yield { type: "done" };
        this.after = Number(event.id);
        yield { ...JSON.parse(event.data), requestId: this.requestId };
      }
    } finally {
      clearTimeout(guard);
    }
  }

  /** The answer from where we were, as soon as it can be had; null when nobody wants it any more. */
  async #rejoin() {
    const until = performance.now() + GIVE_UP_AFTER_MS;
    this.#onConnection(true);
    try {
      for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
        if (this.#left || this.#stopping) return null;
        try {
          const headers = { "Last-Event-ID": String(this.after) };
          const address = `/api/generations/${this.id}/events`;
          return await this.#open(() => ask(address, { headers, ...this.#options() }));
        } catch (error) {
          if (this.#left) return null;
          if (!PASSING.has(error.code)) throw error;
          if (performance.now() > until) throw new AnswerError("interrupted");
        }
        await this.#pause(pause);
      }
    } finally {
      this.#onConnection(false);
    }
  }

  async #open(send) {
    this.#wire = new AbortController();
    const response = await send();
    this.id = response.headers.get("X-Generation-Id");
    this.requestId = response.headers.get("X-Request-ID");
    if (this.#stopping) await this.#sendStop();
    return response;
  }

  #options() {
    return { signal: this.#wire.signal };
  }

  async #sendStop() {
    try {
      await ask(`/api/generations/${this.id}/stop`, { method: "POST", keepalive: true });
    } catch {
      this.#wire.abort(); // it cannot be told, or has ended: for the reader it ends here
    }
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, milliseconds);
      addEventListener("online", resolve, { once: true });
    });
  }
}
