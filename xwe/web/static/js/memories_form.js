// What a character remembers: shown a line each, and changed.

import * as api from "./characters_api.js";
import { meant, onSend } from "./forms.js";
import { say } from "./texts.js";
import { trouble } from "./trouble.js";

const TIERS = ["long_term", "short_term"];

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** Fill the form in `section`. Until then nothing can be written: it would be lost, or, once saved,
 * would stand in place of what was never seen. `isChanged` of what is returned tells whether there
 * is something that has not been saved. */
export function showMemories(section, role) {
  const form = section.querySelector("form");
  const place = section.querySelector(".trouble-place");
  const saved = section.querySelector(".saved");
  const fields = form.querySelector("fieldset");
  const written = () => TIERS.map((tier) => [tier, lines(form.elements[tier].value)]);
  let stored = JSON.stringify(written());

  async function read() {
    place.replaceChildren();
    try {
      const found = await api.memories(role);
      for (const tier of TIERS) form.elements[tier].value = found[tier].join("\n");
      stored = JSON.stringify(written());
      fields.disabled = false;
    } catch (error) {
      place.append(trouble(meant(error, { not_found: "character_gone" }), read));
    }
  }

  onSend(
    form,
    form.querySelector(".form-problem"),
    () => void (saved.textContent = ""),
    async () => {
      const sent = written();
      await api.saveMemories(role, Object.fromEntries(sent));
      stored = JSON.stringify(sent);
      // What was written meanwhile has not been.
      if (JSON.stringify(written()) === stored) saved.textContent = say("characters.saved");
    },
    { not_found: "character_gone", invalid_request: "text_refused" },
  );
  form.addEventListener("input", () => void (saved.textContent = ""));
  read();
  return {
    get isChanged() {
      return JSON.stringify(written()) !== stored;
    },
  };
}
