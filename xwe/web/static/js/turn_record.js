// A turn with tools as its events tell of it: who spoke when, what ran when. Nothing is drawn here.
// Times are in milliseconds of the turn, by the server's clock.

/**
 * @typedef {{kind: "answer"|"bridge", from: number, to: ?number, firstAt: ?number,
 *   textAt: ?number, pieces: number}} Step one request to the model; `firstAt` is when its first
 *   token reached us, `textAt` when its first text was there, where the server says so
 * @typedef {{id: string, tool: string, by: Step, input: ?object, output: string, error: string,
 *   state: "announced"|"ready"|"running"|"done"|"failed", readyAt: ?number, from: ?number,
 *   to: ?number, progress: ?{fraction: ?number, message: string}}} Call
 * @typedef {{id: string, kind: "text"|"reasoning", by: Step, text: string}} Part
 */

/** Everything that is known of one turn. */
export class TurnRecord {
  /** @type {Step[]} */ steps = [];
  /** @type {Call[]} */ calls = [];
  /** @type {Part[]} */ parts = [];
  /** @type {{at: number, shownChars: number, textId: ?string}[]} */ cuts = [];
  timing = null;
  tailPieces = 0; // of the first request, after its last call
  endedAt = null;
  #lag = Infinity; // how far our clock is ahead of the turn's, at most
  #startsEagerly;

  /** @param {(tool: string) => boolean} startsEagerly whether its own arguments are enough */
  constructor(startsEagerly) {
    this.#startsEagerly = startsEagerly;
  }

  /** One event of the turn; `clock` is our clock's time, in milliseconds. */
  take(event, clock) {
    switch (event.type) {
      case "data-mark":
        this.#lag = Math.min(this.#lag, clock - event.data.at);
        return this.#mark(event.data);
      case "text-start":
      case "reasoning-start":
        return this.#begin(event.id, event.type.split("-")[0]);
      case "text-delta":
      case "reasoning-delta":
        return this.#grow(event, clock);
      case "tool-input-start":
        this.#spoke(this.#openStep("answer"), clock);
        return this.#announce(event);
      case "tool-input-delta":
        return this.#spoke(this.#openStep("answer"), clock);
      case "tool-input-available":
        return this.#note(event.toolCallId, { input: event.input, state: "ready" });
      case "tool-output-available":
        return this.#note(event.toolCallId, { output: event.output, state: "done" });
      case "tool-output-error":
        return this.#note(event.toolCallId, { error: event.errorText, state: "failed" });
      case "data-tool-progress":
        return this.#note(event.data.callId, { progress: event.data });
      case "data-interrupt":
        return this.cuts.push(event.data);
      case "data-timing":
        return this.#time(event.data);
    }
  }

  /** Where the turn stands by our clock. */
  at(clock) {
    return Number.isFinite(this.#lag) ? Math.max(0, clock - this.#lag) : 0;
  }

  /** The turn goes no further. */
  end(clock) {
    this.endedAt = this.timing?.total ?? this.at(clock);
  }

  /** What the turn showed of the model's speed and of the tools'; null where that is not known. */
  get speeds() {
    const spoken = this.steps.filter((step) => step.textAt !== null);
    const areKnown = this.calls.every((call) => call.readyAt !== null && call.to !== null);
    if (!this.calls.length || !areKnown || !spoken.length) return null;
    const [first, ...later] = this.steps;
    return {
      // The shortest: what another request waited beyond it shows in the difference.
      F: Math.min(...spoken.map((step) => step.textAt - step.from)),
      r: pace(spoken.filter((step) => step !== first)),
      T: this.tailPieces,
      B: later.find((step) => step.kind === "bridge")?.pieces ?? 0,
      G: later.at(-1)?.pieces ?? 0,
      hasPreamble: first.textAt !== null,
      calls: this.calls.map((call) => ({
        a: call.readyAt,
        L: call.to - (call.from ?? call.readyAt),
        isEager: this.#startsEagerly(call.tool),
      })),
    };
  }

  /** Whether the turn is of the shape that can be computed: calls once, and one answer to them. */
  get isSimple() {
    const [first, ...rest] = this.steps;
    const answers = rest.filter((step) => step.kind === "answer");
    return answers.length === 1 && this.calls.every((call) => call.by === first);
  }

  #mark({ what, at, kind, callId }) {
    if (what === "step-start") {
      const unknown = { to: null, firstAt: null, textAt: null };
      this.steps.push({ kind, from: at, pieces: 0, ...unknown });
    } else if (what === "step-end") {
      const step = this.#openStep(kind);
      if (step) step.to = at;
    } else if (what === "call-ready") this.#note(callId, { readyAt: at });
    else if (what === "tool-start") this.#note(callId, { from: at, state: "running" });
    else if (what === "tool-end") this.#note(callId, { to: at });
  }

  #openStep(kind) {
    return this.steps.findLast((step) => step.to === null && (!kind || step.kind === kind));
  }

  #begin(id, kind) {
    this.parts.push({ id, kind, by: this.#openStep() ?? this.steps.at(-1), text: "" });
  }

  #grow({ id, delta }, clock) {
    const part = this.parts.findLast((each) => each.id === id);
    if (!part) return;
    part.text += delta;
    this.#spoke(part.by, clock);
    if (part.kind !== "text") return;
    part.by.pieces += 1;
    if (part.by === this.steps[0]) this.tailPieces += 1;
  }

  #spoke(step, clock) {
    if (step) step.firstAt ??= this.at(clock);
  }

  #announce({ toolCallId: id, toolName: tool }) {
    const known = { id, tool, by: this.#openStep("answer"), state: "announced" };
    const unknown = { readyAt: null, from: null, to: null, progress: null };
    this.tailPieces = 0;
    this.calls.push({ ...known, input: null, output: "", error: "", ...unknown });
  }

  /** The newest call of that id: a model may use one again in a later round. */
  #note(id, fields) {
    const call = this.calls.findLast((each) => each.id === id);
    if (call) Object.assign(call, fields);
  }

  /** The server's own times for the two texts that came first; ours are late by the way to us. */
  #time(timing) {
    this.timing = timing;
    const texts = this.parts.filter((part) => part.kind === "text").map((part) => part.by);
    const answer = texts.find((step) => step.kind === "answer" && step !== this.steps[0]);
    if (texts.length) texts[0].textAt = timing.ttft;
    if (answer) answer.textAt = timing.firstGrounded;
    for (const step of this.steps.slice(1)) step.firstAt = step.textAt ?? step.firstAt;
  }
}

/** Pieces of text in a millisecond; Infinity where they came too close together to tell. */
function pace(steps) {
  const time = steps.reduce((sum, step) => sum + step.to - step.textAt, 0);
  const gaps = steps.reduce((sum, step) => sum + step.pieces - 1, 0);
  return time > 0 && gaps > 0 ? gaps / time : Infinity;
}
