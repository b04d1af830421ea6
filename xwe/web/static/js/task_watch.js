// A task's states as they change, until its end; a lost connection is made again.

import { readEvents } from "./sse.js";
import { AnswerError, ask } from "./server.js";

const FINAL = ["done", "error", "cancelled"];
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

/**
 * The states of a task. `onConnection(lost)` is told when the connection goes and comes back.
 *
 * @param {number} id
 */
export async function* watchTask(id, onConnection, signal) {
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    try {
      const response = await ask(`/api/tasks/${id}/events`, { signal });
      onConnection(false);
      for await (const event of readEvents(response.body)) {
        if (!event || event.data === "[DONE]") continue;
        const task = JSON.parse(event.data);
        if (!task.status) continue; // an error of the stream's own; the next connection tells
        waitMs = FIRST_WAIT_MS;
        yield task;
        if (FINAL.includes(task.status)) return;
      }
    } catch (error) {
      if (signal?.aborted) return;
      const passes = !(error instanceof AnswerError) || ["unreachable", "draining", "saturated", "database_unavailable"].includes(error.code);
      if (!passes) throw error;
    }
    onConnection(true);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    if (signal?.aborted) return;
  }
}

export const hasEnded = (task) => FINAL.includes(task.status);
