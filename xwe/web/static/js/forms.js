// Forms and buttons that do something without leaving their page: what is pressed shows that it is
// at work, a second press meanwhile is none, and what is wrong is said beside it.

import { AnswerError, asAnswerError } from "./server.js";
import { explain, say } from "./texts.js";

// A page that was asked for, and whose server does not answer: one may press again.
const LEAVING_MS = 15_000;

/** `error` as what its code means here: `meanings` has another code for some of them. */
export function meant(error, meanings) {
  const known = asAnswerError(error);
  const code = meanings[known.code];
  if (!code) return known;
  const { message, requestId, retryAfterS } = known;
  return new AnswerError(code, { message, requestId, retryAfterS });
}

/** What to tell of an error, in sentences. */
export function problem(error, meanings = {}) {
  const { code, retryAfterS } = meant(error, meanings);
  return told(code, retryAfterS);
}

/** What to tell of an error of that code, in sentences. */
export function told(code, retryAfterS = null) {
  const { title, advice } = explain(code);
  const when = retryAfterS ? say("retry_after", { seconds: retryAfterS }) : "";
  return say(when ? "told_when" : "told", { title, advice, when });
}

/**
 * Have `work()` done for a button that was pressed. The button shows it; pressed again meanwhile it
 * does nothing, and it keeps the focus, which a disabled one would lose. What `work` throws goes to
 * `fail(error)`, or to the console.
 */
export async function act(button, work, fail = console.error) {
  if (button.ariaBusy === "true") return;
  setAtWork(button, true);
  try {
    await work();
  } catch (error) {
    fail(error);
  } finally {
    setAtWork(button, false);
  }
}

function setAtWork(button, isAtWork) {
  button.ariaBusy = button.ariaDisabled = isAtWork ? "true" : null;
}

/**
 * Have `send(form, button)` called when the form is sent; one press at a time. What `check(form,
 * button)` finds wrong, or `send` throws, is shown in `place`; `meanings` as for `meant`.
 */
export function onSend(form, place, check, send, meanings = {}) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    const button = event.submitter;
    const wrong = check(form, button);
    place.textContent = wrong ?? "";
    if (wrong) return;
    form.ariaBusy = "true";
    if (button) setAtWork(button, true);
    try {
      await send(form, button);
    } catch (error) {
      place.textContent = problem(error, meanings);
    } finally {
      form.ariaBusy = "false";
      if (button) setAtWork(button, false);
    }
  });
}

/**
 * Go to another page; `go` is how. Resolves when the reader is still here after all, or here again:
 * until then what was pressed is at work.
 */
export function leaveFor(address, go = (where) => location.assign(where)) {
  go(address);
  return new Promise((resolve) => {
    addEventListener("pageshow", resolve, { once: true });
    setTimeout(resolve, LEAVING_MS);
  });
}

const USERNAME = /^[A-Za-z0-9_.\-\u3007\u3400-\u4dbf\u4e00-\u9fff]{2,32}$/;
const SHORTEST_PASSWORD = 8;
// What no address of a character's page could hold; the server has the same rule.
const NO_NAME = /[/\\\u0000-\u001f\u007f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]/u;
const RESERVED_NAMES = new Set(["new", ".", ".."]);
const LONGEST_CHARACTER_NAME = 64;

/** What is wrong with a name that somebody wants to have, if anything. */
export function wrongName(name) {
  return USERNAME.test(name.trim().normalize("NFKC")) ? null : say("account.name_rule");
}

/** What is wrong with a password that somebody wants to have, if anything. */
export function wrongPassword(password) {
  return password.length < SHORTEST_PASSWORD ? say("account.password_rule") : null;
}

/** What is wrong with a name for a character, if anything. */
export function wrongCharacterName(name) {
  const kept = name.trim().split(/\s+/).join(" ").normalize("NFC");
  if (!kept) return say("characters.name_missing");
  const isFit = [...kept].length <= LONGEST_CHARACTER_NAME && !NO_NAME.test(kept);
  const fields = { most: LONGEST_CHARACTER_NAME };
  return isFit && !RESERVED_NAMES.has(kept) ? null : say("characters.name_rule", fields);
}
