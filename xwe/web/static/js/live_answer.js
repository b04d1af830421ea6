// One answer over the wire: it is made on the server whether or not we listen, so a connection that
// breaks is no end. We join it again after the last event that we have.

import { AnswerError, ask, post } from "./server.js";
import { readEvents } from "./sse.js";

// The server says something at each heartbeat; a connection that is silent for longer is dead.
const HEARTBEAT_MS = Number(document.documentElement.dataset.heartbeat) * 1000;
const LONGEST_SILENCE_MS = HEARTBEAT_MS + 5_000;
// An answer that was put together anew begins at once: then it is not known yet whether it goes on.
const FOUND_AFTER_MS = 300;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
const GIVE_UP_AFTER_MS = 120_000;
// How long the server's word that it has stopped is waited for.
const STOP_MS = 2_000;

const ENDS = new Set(["finish", "abort", "error", "data-shutdown"]);
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
  #isLost = false;
  #isBehind = false;
  #finding = 0;
  #chars = 0; // of the answer as it is read now
  #most = 0; // that were read before it was put together anew

  constructor({ id = null, after = 0 } = {}, onConnection = () => {}) {
    Object.assign(this, { id, after, requestId: null });
    this.#onConnection = onConnection;
  }

  /** Ask, and read the answer's events: `{type, …}`. */
  async *begin(question, address = "/api/llm/stream") {
    let response;
    try {
      response = await this.#open(() => post(address, question, this.#options()));
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
      if (response === null) {
        this.#tell(false);
        return yield* this.#ended();
      }
      try {
        for await (const event of this.#read(response)) {
          this.#keepTrack(event);
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

  // Another process that tells an answer anew may not know how it goes on: who makes it may be dead.
  // It is found again once there is more of it than before.
  #keepTrack(event) {
    if (event.type === "start") {
      [this.#most, this.#chars] = [Math.max(this.#most, this.#chars), 0];
      this.#isBehind = this.#most > 0;
    } else if (event.type === "text-delta") {
      this.#chars += event.delta.length;
    }
    if (ENDS.has(event.type) || this.#chars > this.#most) this.#isBehind = false;
    this.#tell(this.#isBehind);
  }

  #tell(isLost) {
    clearTimeout(this.#finding);
    if (isLost === this.#isLost) return;
    this.#isLost = isLost;
    this.#onConnection(isLost);
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
    this.#tell(true);
    try {
      for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
        if (this.#left || this.#stopping) return null;
        try {
          const headers = { "Last-Event-ID": String(this.after) };
          const address = `/api/generations/${this.id}/events`;
          const response = await this.#open(() => ask(address, { headers, ...this.#options() }));
          this.#finding = setTimeout(() => this.#tell(this.#isBehind), FOUND_AFTER_MS);
          return response;
        } catch (error) {
          if (this.#left) return null;
          if (!PASSING.has(error.code)) throw error;
          if (performance.now() > until) throw new AnswerError("interrupted");
        }
        await this.#pause(pause);
      }
    } catch (error) {
      this.#tell(false);
      throw error;
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
