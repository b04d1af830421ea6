// An answer on the page, from its first word to its end: what is shown in which state.

import { MarkdownView } from "./markdown.js";
import { Reveal } from "./reveal.js";
import { AnswerError } from "./server.js";
import { say, seconds } from "./texts.js";
import { trouble } from "./trouble.js";

const template = (name) => document.getElementById(`${name}-template`);

/**
 * One answer; `node` is what it looks like. Its `state` is "waiting" and "streaming", then
 * "complete", "stopped", "interrupted" (an error came after some words) or "failed" (before any).
 */
export class Answer {
  node = template("answer").content.firstElementChild.cloneNode(true);
  #reveal;
  #onRetry;
  #reasoning = "";
  #thinkingSince = null;
  #thoughtMs = null;
  #timing = null;
  #error = null;

  /** `onRetry` is called when the reader asks for the answer again. */
  constructor(onRetry) {
    this.#onRetry = onRetry;
    this.#find("[data-do=again]").addEventListener("click", onRetry);
    const view = new MarkdownView(this.#find(".prose"), template("code"));
    this.#reveal = new Reveal((text) => view.show(text));
  }

  /** Be where the keyboard is: what had the focus has made way for this. */
  focus() {
    this.node.tabIndex = -1;
    this.node.focus({ preventScroll: true });
  }

  /** What has ended it, if that was an error. */
  get error() {
    return this.#error;
  }

  /** The model's words so far. */
  get text() {
    return this.#reveal.text;
  }

  get state() {
    return this.node.dataset.state;
  }

  /** Whether nothing more will come. */
  get isOver() {
    return this.state !== "waiting" && this.state !== "streaming";
  }

  /** What `restore` needs; the error's fields are copied, since an Error does not survive JSON. */
  get saved() {
    const { text, state } = this;
    const error = this.#error && { ...this.#error };
    const [reasoning, thoughtMs, timing] = [this.#reasoning, this.#thoughtMs, this.#timing];
    return { text, state, reasoning, thoughtMs, timing, error };
  }

  /** Become what was `saved`; one that was under way has the state "streaming" again. */
  restore(saved) {
    if (saved.reasoning) {
      this.#think(saved.reasoning);
      this.#stopThinking(saved.thoughtMs ?? 0);
    }
    if (saved.text) this.#add(saved.text);
    this.#reveal.finish();
    this.#timing = saved.timing ?? null;
    if (saved.state === "complete") this.#finish();
    else if (saved.state === "stopped") this.stopped();
    else if (saved.error) this.failed(saved.error);
  }

  /** Show what is known of an answer whose events will come again from the first one. */
  preview(text) {
    if (!text) return;
    this.node.dataset.state = "streaming";
    this.#reveal.preview(text);
  }

  /** The connection is lost, or found again. */
  set reconnecting(lost) {
    this.#find(".reconnecting").hidden = !lost;
  }

  /** One event of the answer. Resolves once it is shown, where that is worth waiting for. */
  async take(event) {
    switch (event.type) {
      case "start":
        return this.#reveal.again(); // a rejoined answer may have been put together anew
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

  /** The reader has had enough: what has come stays. */
  stopped() {
    this.#reveal.finish();
    this.#end("stopped");
  }

  /** An error is shown beside what has come, never in it. */
  failed(error) {
    this.#error = error;
    this.#reveal.finish();
    this.complain(error, this.#onRetry);
    this.#end(this.text ? "interrupted" : "failed");
  }

  /** Tell of an error that leaves the answer as it is. */
  complain(error, onRetry) {
    this.#find(".trouble-place").replaceChildren(trouble(error, onRetry));
  }

  #add(text) {
    this.#stopThinking();
    this.node.dataset.state = "streaming";
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
    this.node.dataset.state = state;
    this.node.setAttribute("aria-busy", "false");
  }

  #find(selector) {
    return this.node.querySelector(selector);
  }
}
