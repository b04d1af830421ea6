// An error as a block of its own: what happened, what helps, and a way to try again.

import { useToken } from "./server.js";
import { explain, say } from "./texts.js";

/** The block for an `AnswerError`; `onRetry` is called when the reader wants another try. */
export function trouble(error, onRetry) {
  const template = document.getElementById("trouble-template");
  const block = template.content.firstElementChild.cloneNode(true);
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
  retry.addEventListener("click", onRetry);

  if (error.code === "unauthorized") {
    const form = block.querySelector(".token-form");
    form.hidden = false;
    retry.hidden = true;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      useToken(form.elements.token.value.trim());
      onRetry();
    });
  }
  return block;
}
