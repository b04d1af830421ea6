// One turn in one mode: asked, read, and shown in a card of its own.

import { LiveAnswer } from "./live_answer.js";
import { Said } from "./said.js";
import { AnswerError, asAnswerError } from "./server.js";
import { say, seconds } from "./texts.js";
import { Timeline } from "./timeline.js";
import { ToolCalls } from "./tool_calls.js";
import { trouble } from "./trouble.js";
import { showFigures } from "./turn_figures.js";
import { TurnRecord } from "./turn_record.js";

const ADDRESS = "/api/agent/stream";

/** A run of `question`; `state` is "running" until it is "complete", "stopped" or "failed". */
export class ToolRun {
  state = "running";
  error = null;
  #live;
  #card;
  #timeline;
  #said;
  #calls;
  #onRetry;

  /**
   * @param {{mode: string, awaiting: string, id: ?string}} asked `id` is of a run that was being
   *   read before
   * @param {(tool: string) => boolean} startsEagerly
   * @param {(run: ToolRun) => void} onRetry called when the reader wants another try
   */
  constructor(asked, startsEagerly, onRetry) {
    Object.assign(this, { mode: asked.mode, awaiting: asked.awaiting });
    this.record = new TurnRecord(startsEagerly);
    this.#onRetry = onRetry;
    this.#live = new LiveAnswer({ id: asked.id }, (lost) => {
      this.#find(".reconnecting").hidden = !lost;
    });
    this.#build();
  }

  get card() {
    return this.#card;
  }

  get id() {
    return this.#live.id;
  }

  get isRunning() {
    return this.state === "running";
  }

  /** How long it has gone on, or has taken, in milliseconds. */
  get elapsedMs() {
    return this.record.endedAt ?? this.record.at(performance.now());
  }

  /** Ask, and read to the end; or read the run again that is known by its id. */
  async go(question) {
    const body = { message: question?.message, mode: this.mode, await: this.awaiting };
    if (question?.tools) body.tools = question.tools;
    const events = this.id ? this.#live.resume() : this.#live.begin(body, ADDRESS);
    try {
      for await (const event of events) {
        this.#take(event);
        if (!this.isRunning) break;
      }
      if (this.isRunning) this.#fail(new AnswerError("interrupted"));
    } catch (error) {
      this.#fail(asAnswerError(error));
    }
  }

  stop() {
    if (this.isRunning) this.#live.stop();
  }

  /** Nobody looks at it any more. */
  leave() {
    this.stop();
    this.#live.leave();
    this.#timeline.close();
  }

  draw(axisMs) {
    this.#timeline.draw(this.elapsedMs, axisMs);
    const shown = this.isRunning || this.record.endedAt ? seconds(this.elapsedMs) : "";
    this.#find(".run-clock").textContent = shown && say("seconds", { value: shown });
  }

  #build() {
    const template = document.getElementById("run-template");
    this.#card = template.content.firstElementChild.cloneNode(true);
    this.#card.dataset.mode = this.mode;
    this.#find(".run-title").textContent = say(`tools.mode.${this.mode}.title`);
    this.#find(".run-note").textContent = say(`tools.mode.${this.mode}.text`);
    const stop = this.#find("[data-do=stop]");
    const label = say("tools.stop_one", { mode: say(`tools.mode.${this.mode}.title`) });
    stop.setAttribute("aria-label", label);
    stop.title = label;
    stop.addEventListener("click", () => this.stop());
    this.#timeline = new Timeline(this.#find(".timeline"), this.record, this.mode);
    this.#said = new Said(this.#find(".said-place"), this.record);
    this.#calls = new ToolCalls(this.#find(".calls"));
  }

  #take(event) {
    const { record } = this;
    record.take(event, performance.now());
    const part = event.id && record.parts.findLast((each) => each.id === event.id);
    switch (event.type) {
      case "text-delta":
      case "reasoning-delta":
        this.#find(".run-waiting").hidden = true;
        return part && this.#said.show(part);
      case "text-end":
        return this.#said.end(part);
      case "data-interrupt":
        return this.#cut(event.data);
      case "finish":
        return this.#end("complete");
      case "abort":
        return this.#end("stopped");
      case "error":
        return this.#fail(
          new AnswerError(event.code ?? "internal", {
            message: event.errorText,
            requestId: event.requestId,
          }),
        );
      case "data-shutdown":
        return this.#fail(new AnswerError("draining"));
    }
    if (event.type.startsWith("tool-") || event.type.startsWith("data-")) {
      this.#calls.show(record.calls, false);
    }
  }

  #cut(data) {
    const part = this.record.parts.findLast((each) => each.id === data.textId);
    if (part) this.#said.cut(part, data);
  }

  #fail(error) {
    this.error = error;
    this.#find(".trouble-place").append(trouble(error, () => this.#onRetry(this)));
    this.#end("failed");
  }

  #end(state) {
    this.state = state;
    this.record.end(performance.now());
    this.#said.finish();
    this.#calls.show(this.record.calls, true);
    this.#find(".run-waiting").hidden = true;
    this.#find(".reconnecting").hidden = true;
    const stop = this.#find("[data-do=stop]");
    const hadFocus = document.activeElement === stop;
    this.#card.dataset.state = state;
    this.#card.setAttribute("aria-busy", "false");
    if (hadFocus) this.#card.focus();
    if (state === "complete" && this.record.timing) showFigures(this.#card, this.record, this);
    this.#find(".run-figures").hidden = state !== "complete" || !this.record.timing;
  }

  #find(selector) {
    return this.#card.querySelector(selector);
  }
}
