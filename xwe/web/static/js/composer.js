// Where a question is written: grows with its text, keeps the draft, minds the input method.

import { recall, remember } from "./memory.js";

const DRAFT = "xwe.draft";

export class Composer {
  #field;
  #send;
  #stop;
  #running = false;

  constructor({ form, field, send, stop, onSend, onStop }) {
    this.#field = field;
    this.#send = send;
    this.#stop = stop;

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const prompt = field.value.trim();
      if (!prompt || this.#running) return;
      this.#write("");
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
    this.#write(recall(DRAFT) ?? "");
  }

  /** While an answer comes, the way to send is the way to stop. */
  set running(running) {
    const hadFocus = document.activeElement === this.#stop;
    this.#running = running;
    this.#send.hidden = running;
    this.#stop.hidden = !running;
    if (hadFocus) this.focus();
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  #write(text) {
    this.#field.value = text;
    this.#changed();
  }

  #changed() {
    const field = this.#field;
    remember(DRAFT, field.value);
    this.#send.disabled = !field.value.trim();
    field.style.blockSize = "auto";
    field.style.blockSize = `${field.scrollHeight}px`;
  }
}
