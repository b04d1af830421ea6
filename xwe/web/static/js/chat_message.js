// One message of a chat with a character: what somebody wrote, or what the character answered.

import { Answer } from "./answer.js";
import { Question } from "./question.js";
import { number, when } from "./texts.js";

const STATES = { complete: "complete", cancelled: "stopped", partial: "interrupted", failed: "failed" };

/** What the reader wrote. `seq` is null as long as the server has not told its place. */
export class Asked {
  role = "user";
  seq = null;

  constructor(text, clientId = null) {
    this.question = new Question(text);
    this.clientId = clientId;
  }

  get node() {
    return this.question.node;
  }

  get text() {
    return this.question.text;
  }

  /** Become the stored message. */
  show(message) {
    this.seq = message.seq;
    this.clientId = message.client_id;
    this.question.state = "sent";
  }
}

/** What the character answered; a place where one of several variants stands. */
export class Answered {
  role = "assistant";
  seq = null;
  id = null;
  generationId = null;
  isLive = false; // its events are being read
  variants = [];
  #asked;
  #hooks;
  #message = null;

  /** @param {?Asked} asked what it answers, while the server has not told its place */
  constructor(asked, hooks) {
    this.#asked = asked;
    this.#hooks = hooks;
    this.answer = this.#blank();
  }

  get node() {
    return this.answer.node;
  }

  get asked() {
    return this.#asked;
  }

  /** Whether it is still being made, as far as is known. */
  get isUnfinished() {
    return this.generationId !== null && !STATES[this.#message?.status];
  }

  /** Begin anew, with nothing said yet. */
  renew() {
    const before = this.answer;
    this.answer = this.#blank();
    const hadFocus = before.node.contains(document.activeElement);
    before.node.replaceWith(this.answer.node);
    if (hadFocus) this.answer.focus();
    this.#showVariants();
    return this.answer;
  }

  /** Be again as the server told last, after something that came to nothing. */
  revert() {
    this.renew();
    this.#draw();
  }

  /** Become the stored message; a live one knows better what it says, but not its name. */
  show(message) {
    const hasFailedAnew = this.#message && this.#message.error_code !== message.error_code;
    this.#message = message;
    this.seq = message.seq;
    this.id = message.id;
    this.generationId = message.generation_id ?? null;
    this.variants = message.variants ?? [];
    this.#asked = null;
    if (!this.isLive && (hasFailedAnew || !this.#isShown)) {
      this.renew();
      this.#draw();
    }
    this.#showVariants();
    this.#showTime();
  }

  /** The variant so many steps away. */
  neighbour(steps) {
    return this.variants[this.variants.indexOf(this.id) + steps] ?? null;
  }

  /** Whether the page has it already: it was read while it came, or told before. */
  get #isShown() {
    const { content, status } = this.#message;
    return this.answer.text === content && this.answer.state === (STATES[status] ?? "streaming");
  }

  #draw() {
    const { content, status, error_code: code } = this.#message;
    const state = STATES[status];
    if (!state) this.answer.preview(content);
    else this.answer.restore({ text: content, state, error: { code: code ?? "interrupted" } });
  }

  #blank() {
    const answer = new Answer(() => this.#hooks.onAgain(this));
    for (const [name, steps] of [["earlier", -1], ["later", 1]]) {
      const button = answer.node.querySelector(`[data-do=${name}]`);
      button.addEventListener("click", () => this.#hooks.onVariant(this, steps));
    }
    return answer;
  }

  #showVariants() {
    const shown = this.variants.indexOf(this.id) + 1;
    const count = this.variants.length;
    const place = this.node.querySelector(".variants");
    place.hidden = count < 2 || this.isLive;
    place.querySelector(".variant-place").textContent = `${number(shown)}/${number(count)}`;
    place.querySelector("[data-do=earlier]").disabled = shown <= 1;
    place.querySelector("[data-do=later]").disabled = shown >= count;
  }

  #showTime() {
    const time = this.node.querySelector(".answer-time");
    time.dateTime = this.#message.created_at;
    time.textContent = when(this.#message.created_at);
  }
}
