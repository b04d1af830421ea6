// A question and its answer in the open chat.

import { Answer } from "./answer.js";
import { Question } from "./question.js";

/** One turn. `onRetry` is called when the reader asks for the answer again. */
export class Turn {
  #question;
  #answer = null;

  constructor(log, prompt, onRetry) {
    Object.assign(this, { log, prompt, onRetry });
    this.#question = new Question(prompt);
    log.append(this.#question.node);
  }

  /** A turn as `saved` describes it; one that was under way has the state "streaming" again. */
  static restore(log, saved, onRetry) {
    const turn = new Turn(log, saved.prompt, onRetry);
    turn.begin();
    turn.accepted();
    turn.#answer.restore(saved);
    turn.#look();
    return turn;
  }

  get saved() {
    return { prompt: this.prompt, ...this.#answer.saved };
  }

  /** The model's words so far; what a conversation goes on with. */
  get text() {
    return this.#answer?.text ?? "";
  }

  get state() {
    return this.#answer.state;
  }

  /** Whether nothing more will come. */
  get isOver() {
    return this.#answer.isOver;
  }

  /** Whether `node` belongs to this turn's answer. */
  owns(node) {
    return this.#answer.node.contains(node);
  }

  remove() {
    this.#question.node.remove();
    this.#answer.node.remove();
  }

  /** The question is on its way (again). */
  begin() {
    this.#question.state = "sending";
    const before = this.#answer?.node;
    const hadFocus = before?.contains(document.activeElement);
    before?.remove();
    this.#answer = new Answer(this.onRetry);
    this.log.append(this.#answer.node);
    if (hadFocus) this.#answer.focus();
  }

  /** The server has taken the question. */
  accepted() {
    this.#question.state = "sent";
  }

  /** The connection is lost, or found again. */
  set reconnecting(lost) {
    this.#answer.reconnecting = lost;
  }

  /** One event of the answer. Resolves once it is shown, where that is worth waiting for. */
  async take(event) {
    await this.#answer.take(event);
    this.#look();
  }

  /** An error is shown beside what has come, never in it. */
  failed(error) {
    this.#answer.failed(error);
    this.#look();
  }

  #look() {
    if (this.state === "failed") this.#question.state = "failed";
  }
}
