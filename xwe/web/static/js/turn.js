// A question and its answer on the page: what is shown in which state.

import { MarkdownView } from "./markdown.js";
import { Reveal } from "./reveal.js";
import { explain, say, seconds } from "./texts.js";

const TEMPLATES = ["question", "answer", "trouble", "code"];
const templates = Object.fromEntries(
  TEMPLATES.map((name) => [name, document.getElementById(`${name}-template`)]),
);

const clone = (name) => templates[name].content.firstElementChild.cloneNode(true);

/** One turn. `onRetry` is called when the reader asks for the answer again. */
export class Turn {
  #question = clone("question");
  #answer = null;
  #reveal = null;
  #asked = 0;
  #first = null;

  constructor(log, prompt, { onRetry, onToken }) {
    Object.assign(this, { log, prompt, onRetry, onToken });
    this.#question.querySelector(".question-text").textContent = prompt;
    log.append(this.#question);
  }

  /** The model's words so far; what a conversation goes on with. */
  get text() {
    return this.#reveal?.text ?? "";
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
    this.#asked = performance.now();
    this.#first = null;

    this.#answer?.remove();
    this.#answer = clone("answer");
    this.#find("[data-do=again]").addEventListener("click", this.onRetry);
    this.log.append(this.#answer);

    const view = new MarkdownView(this.#find(".prose"), templates.code);
    this.#reveal = new Reveal((text) => view.show(text));
  }

  /** The server has taken the question. */
  accepted() {
    this.#question.dataset.state = "sent";
  }

  add(text) {
    if (this.#first === null) {
      this.#first = performance.now();
      this.#answer.dataset.state = "streaming";
    }
    this.#reveal.add(text);
  }

  async complete() {
    const total = performance.now() - this.#asked;
    await this.#reveal.settle();
    const first = (this.#first ?? performance.now()) - this.#asked;
    this.#find(".figures").textContent = say("figures", {
      first: seconds(first),
      total: seconds(total),
    });
    this.#end("complete");
  }

  /** The reader has had enough: what has come stays. */
  stopped() {
    this.accepted();
    this.#reveal.finish();
    this.#end("stopped");
  }

  /** An error is shown beside what has come, never in it. */
  failed(error) {
    this.#reveal.finish();
    const anyText = this.text !== "";
    if (!anyText) this.#question.dataset.state = "failed";
    this.#find(".trouble-place").append(this.#trouble(error));
    this.#end(anyText ? "interrupted" : "failed");
  }

  #trouble(error) {
    const block = clone("trouble");
    const { title, advice } = explain(error.code);
    block.querySelector(".trouble-title").textContent = title;
    block.querySelector(".trouble-advice").textContent = advice;
    block.querySelector(".trouble-detail").textContent = [
      error.retryAfterS && say("retry_after", { seconds: error.retryAfterS }),
      error.requestId && say("request", { id: error.requestId }),
    ]
      .filter(Boolean)
      .join(" ");
    const retry = block.querySelector("[data-do=retry]");
    retry.addEventListener("click", this.onRetry);

    if (error.code === "unauthorized") {
      const form = block.querySelector(".token-form");
      form.hidden = false;
      retry.hidden = true;
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.onToken(form.elements.token.value.trim());
        this.onRetry();
      });
    }
    return block;
  }

  #end(state) {
    this.#answer.dataset.state = state;
    this.#answer.setAttribute("aria-busy", "false");
  }

  #find(selector) {
    return this.#answer.querySelector(selector);
  }
}
