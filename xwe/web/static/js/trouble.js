// An error as a block of its own: what happened, what helps, and a way to try again.

import { act } from "./forms.js";
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
  retry.addEventListener("click", () => act(retry, async () => onRetry()));

  const link = block.querySelector("[data-do=sign-in]");
  if (error.code === "signed_out") {
    link.hidden = false;
    link.target = "_blank"; // what was written stays on this page
  }
  if (error.code === "unauthorized") {
    link.hidden = false;
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
