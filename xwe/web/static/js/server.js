// Asking this server, and what it may say instead of an answer.

import { recall, remember } from "./memory.js";

const TOKEN = "xwe.token";

/** What went wrong, by the server's code or our own "unreachable" and "interrupted". */
export class AnswerError extends Error {
  constructor(code, { message = "", requestId = null, retryAfterS = null } = {}) {
    super(message || code);
    Object.assign(this, { code, requestId, retryAfterS });
  }
}

/** `error` as one that can be told: a fault of the page itself goes to the console, as `code`. */
export function asAnswerError(error, code = "internal") {
  if (error instanceof AnswerError) return error;
  console.error(error);
  return new AnswerError(code);
}

/** `fetch`, with the reader's token; anything but a good reply is an `AnswerError`. */
export async function ask(address, options = {}) {
  const token = recall(TOKEN);
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(address, { cache: "no-store", ...options, headers });
  } catch (error) {
    throw options.signal?.aborted ? error : new AnswerError("unreachable");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** `ask`, with a JSON body. */
export function post(address, body, options = {}) {
  const headers = { "Content-Type": "application/json", ...options.headers };
  return ask(address, { ...options, method: "POST", headers, body: JSON.stringify(body) });
}

/** Send this token from now on. */
export function useToken(token) {
  remember(TOKEN, token);
}

// What a server or a proxy in front says without our words.
const BY_STATUS = {
  413: "too_large",
  414: "too_large",
  431: "too_large",
  502: "unreachable",
  503: "unreachable",
  504: "unreachable",
};

async function refusal(response) {
  const described = await response.json().then((body) => body.error, () => null);
  const code = described?.code ?? BY_STATUS[response.status] ?? "internal";
  // Where somebody was signed in when the page came, they are so no more.
  const isOver = code === "unauthorized" && "signedIn" in document.body.dataset;
  return new AnswerError(isOver ? "signed_out" : code, {
    message: described?.message,
    requestId: response.headers.get("X-Request-ID"),
    retryAfterS: Number(response.headers.get("Retry-After")) || null,
  });
}
