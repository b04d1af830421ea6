// A question and its answer on the page: what is shown in which state.

import { MarkdownView } from "./markdown.js";
import { Reveal } from "./reveal.js";
import { AnswerError } from "./server.js";
import { say, seconds } from "./texts.js";
import { trouble } from "./trouble.js";

const TEMPLATES = ["question", "answer", "code"];
const templates = Object.fromEntries(
  TEMPLATES.map((name) => [name, document.getElementById(`${name}-template`)]),
);

const clone = (name) => templates[name].content.firstElementChild.cloneNode(true);

/** One turn. `onRetry` is called when the reader asks for the answer again. */
export class Turn {
  #question = clone("question");
  #answer = null;
  #reveal = null;
  #reasoning = "";
  #thinkingSince = null;
  #thoughtMs = null;
  #timing = null;
  #error = null;

  constructor(log, prompt, onRetry) {
    Object.assign(this, { log, prompt, onRetry });
    this.#question.querySelector(".question-text").textContent = prompt;
    log.append(this.#question);
  }

  /** A turn as `saved` describes it; one that was under way has the state "streaming" again. */
  static restore(log, saved, onRetry) {
    const turn = new Turn(log, saved.prompt, onRetry);
    turn.begin();
    turn.accepted();
    if (saved.reasoning) {
      turn.#think(saved.reasoning);
      turn.#stopThinking(saved.thoughtMs);
    }
    if (saved.text) turn.#add(saved.text);
    turn.#reveal.finish();
    turn.#timing = saved.timing;
    if (saved.state === "complete") turn.#finish();
    else if (saved.state === "stopped") turn.stopped();
    else if (saved.error) turn.failed(saved.error);
    return turn;
  }

  /** What `restore` needs; the error's fields are copied, since an Error does not survive JSON. */
  get saved() {
    const { prompt, text, state } = this;
    const error = this.#error && { ...this.#error };
    const [reasoning, thoughtMs, timing] = [this.#reasoning, this.#thoughtMs, this.#timing];
    return { prompt, text, state, reasoning, thoughtMs, timing, error };
  }

  /** The model's words so far; what a conversation goes on with. */
  get text() {
    return this.#reveal?.text ?? "";
  }

  get state() {
    return this.#answer.dataset.state;
  }

  /** Whether `node` belongs to this turn's answer. */
  owns(node) {
    return this.#answer.contains(node);
  }

  remove() {
    this.#question.remove();
    this.#answer.remove();
  }

  /** The question is on its way (again). */
  begin() {
    this.#question.dataset.state = "sending";
    this.#answer?.remove();
    this.#answer = clone("answer");
    this.#find("[data-do=again]").addEventListener("click", this.onRetry);
    this.log.append(this.#answer);
    const view = new MarkdownView(this.#find(".prose"), templates.code);
    this.#reveal = new Reveal((text) => view.show(text));
    this.#reasoning = "";
    this.#thinkingSince = this.#thoughtMs = this.#timing = this.#error = null;
  }

  /** The server has taken the question. */
  accepted() {
    this.#question.dataset.state = "sent";
  }

  /** The connection is lost, or found again. */
  set reconnecting(lost) {
    this.#find(".reconnecting").hidden = !lost;
  }

  /** One event of the answer. Resolves once it is shown, where that is worth waiting for. */
  async take(event) {
    switch (event.type) {
      case "text-delta":
        return this.#add(event.delta);
      case "reasoning-delta":
        return this.#think(event.delta);
      case "data-timing":
        this.#timing = event.data;
        return;
      case "finish":
        await this.#reveal.settle();
        return this.#finish();
      case "abort":
        return this.stopped();
      case "error":
        return this.failed(
          new AnswerError(event.code ?? "internal", {
            message: event.errorText,
            requestId: event.requestId,
          }),
        );
      case "data-shutdown":
        return this.failed(new AnswerError("draining"));
    }
  }

  /** Whether nothing more will come. */
  get isOver() {
    return this.state !== "waiting" && this.state !== "streaming";
  }

  /** The reader has had enough: what has come stays. */
  stopped() {
    this.accepted();
    this.#reveal.finish();
    this.#end("stopped");
  }

  /** An error is shown beside what has come, never in it. */
  failed(error) {
    this.#error = error;
    this.#reveal.finish();
    const anyText = this.text !== "";
    if (!anyText) this.#question.dataset.state = "failed";
    this.#find(".trouble-place").append(trouble(error, this.onRetry));
    this.#end(anyText ? "interrupted" : "failed");
  }

  #add(text) {
    this.#stopThinking();
    this.#answer.dataset.state = "streaming";
    this.#reveal.add(text);
  }

  #think(text) {
    this.#thinkingSince ??= performance.now();
    this.#reasoning += text;
    this.#find(".reasoning").hidden = false;
    this.#find(".reasoning-text").append(text);
  }

  #stopThinking(thoughtMs = null) {
    if (!this.#reasoning || this.#thoughtMs !== null) return;
    this.#thoughtMs = thoughtMs ?? performance.now() - this.#thinkingSince;
    const title = say("thought", { seconds: seconds(this.#thoughtMs) });
    this.#find(".reasoning-title").textContent = title;
  }

  #finish() {
    if (this.#timing) {
      const { ttft, total } = this.#timing;
      const figures = { first: seconds(ttft), total: seconds(total) };
      this.#find(".figures").textContent = say("figures", figures);
    }
    this.#end("complete");
  }

  #end(state) {
    this.#stopThinking();
    this.reconnecting = false;
    this.#answer.dataset.state = state;
    this.#answer.setAttribute("aria-busy", "false");
  }

  #find(selector) {
    return this.#answer.querySelector(selector);
  }
}
