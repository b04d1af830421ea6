// The buttons that copy an answer, or one of its pieces of code.

import { copy } from "./clipboard.js";

const DONE_FOR_MS = 1600;

/** `textOf(button)` is the text of the answer that the button belongs to. */
export function copiesFrom(log, textOf) {
  log.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-do^=copy]");
    if (!button) return;
    const isCode = button.dataset.do === "copy-code";
    const code = isCode && button.closest("figure").querySelector("code").textContent;
    if (!(await copy(isCode ? code : textOf(button)))) return;
    button.dataset.done = "";
    setTimeout(() => delete button.dataset.done, DONE_FOR_MS);
  });
}
