// One answer over the wire: plain text, read as it comes.

// Beyond this a prompt goes into a body: proxies and servers bound the length of an address.
const LONGEST_ADDRESS = 2000;

/** What went wrong, by the server's code or our own "unreachable" and "interrupted". */
export class AnswerError extends Error {
  constructor(code, { message = "", requestId = null, retryAfterS = null } = {}) {
    super(message || code);
    Object.assign(this, { code, requestId, retryAfterS });
  }
}

/**
 * The answer's text in pieces, whole characters each.
 *
 * The server ends a broken answer by cutting the connection, never by words in the text: reading
 * then fails, and so does this with the code "interrupted".
 *
 * @param {string} prompt
 * @param {{role: string, content: string}[]} history what was said before
 * @param {{signal: AbortSignal, token?: string, onAccepted?: () => void}} options aborting the
 *   signal closes the connection, and the server then stops the model
 */
export async function* streamAnswer(prompt, history, { signal, token, onAccepted }) {
  const response = await ask(prompt, history, signal, token);
  if (!response.ok) throw await refusal(response);
  onAccepted?.();

  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await read(reader, signal);
      // A character may have been cut in two on the way: the decoder keeps its first half.
      const text = decoder.decode(value, { stream: !done });
      if (text) yield text;
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {}); // it has ended, or nobody wants the rest
  }
}

async function ask(prompt, history, signal, token) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const address = `/chat?prompt=${encodeURIComponent(prompt)}`;
  try {
    if (history.length === 0 && address.length <= LONGEST_ADDRESS) {
      return await fetch(address, { headers, signal, cache: "no-store" });
    }
    headers["Content-Type"] = "application/json";
    const body = JSON.stringify({ prompt, messages: history });
    return await fetch("/chat", { method: "POST", headers, body, signal });
  } catch (error) {
    throw signal.aborted ? error : new AnswerError("unreachable");
  }
}

async function read(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    throw signal.aborted ? error : new AnswerError("interrupted");
  }
}

async function refusal(response) {
  const described = await response.json().then((body) => body.error, () => null);
  return new AnswerError(described?.code ?? "internal", {
    message: described?.message,
    requestId: response.headers.get("X-Request-ID"),
    retryAfterS: Number(response.headers.get("Retry-After")) || null,
  });
}
