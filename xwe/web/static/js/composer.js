// Where a question is written: grows with its text, keeps the draft, minds the input method.

import { tab } from "./memory.js";

export class Composer {
  #field;
  #send;
  #stop;
  #running = false;
  #draft;
  #memory;

  /** `draft` is the name under which `memory` keeps an unsent text. */
  constructor({ draft, memory = tab, form, field, send, stop, onSend, onStop }) {
    this.#draft = draft;
    this.#memory = memory;
    this.#field = field;
    this.#send = send;
    this.#stop = stop;

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const prompt = field.value.trim();
      if (!prompt || this.#running) return;
      this.write("");
      onSend(prompt);
    });
    field.addEventListener("keydown", (event) => {
      // While an input method composes, Enter chooses its words (229 is Safari's way to say so).
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    field.addEventListener("input", () => this.#changed());
    stop.addEventListener("click", onStop);
    // What was typed before this script had loaded is newer than any draft.
    this.write(field.value || (memory.recall(draft) ?? ""));
  }

  /** While an answer comes, the way to send is the way to stop. */
  set running(running) {
    const hadFocus = document.activeElement === this.#stop;
    this.#running = running;
    this.#send.hidden = running;
    this.#stop.hidden = !running;
    if (hadFocus) this.focus();
  }

  get text() {
    return this.#field.value;
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  write(text) {
    this.#field.value = text;
    this.#changed();
  }

  #changed() {
    const field = this.#field;
    this.#memory.remember(this.#draft, field.value);
    this.#send.disabled = !field.value.trim();
    field.style.blockSize = "auto";
    field.style.blockSize = `${field.scrollHeight}px`;
  }
}
