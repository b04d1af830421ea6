// GET /chat, read as it comes: plain text, whole characters.

import { AnswerError, ask } from "./server.js";

/**
 * The answer in pieces: `{text, bytes}`.
 *
 * The server ends a broken answer by cutting the connection, never by words in the text: reading
 * then fails, and so does this with the code "interrupted".
 *
 * @param {string} prompt
 * @param {AbortSignal} signal closes the connection, and the server then stops the model
 */
export async function* readPlainText(prompt, signal) {
  const response = await ask(`/chat?prompt=${encodeURIComponent(prompt)}`, { signal });
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      // A character may have been cut in two on the way: the decoder keeps its first half.
      const text = decoder.decode(value, { stream: !done });
      if (text || value) yield { text, bytes: value?.length ?? 0 };
      if (done) return;
    }
  } catch (error) {
    throw signal.aborted ? error : new AnswerError("interrupted");
  } finally {
    reader.cancel().catch(() => {}); // it has ended, or nobody wants the rest
  }
}
