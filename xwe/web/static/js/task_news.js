// The end of a character's writing, told on whichever page the reader is by then.
//
// It is asked for rather than waited for: the process that hears of a task need not be the one that
// this page is connected to, and a connection that is held for it would be one less for answers.

import { tell } from "./background.js";
import { forgetTask, notedTasks, TASKS, tasksElsewhere } from "./noted_tasks.js";
import { AnswerError, ask } from "./server.js";
import { hasEnded } from "./task_watch.js";
import { toast } from "./toasts.js";

const EVERY_MS = 4_000;
const AFTER_OTHERS_MS = 2 * EVERY_MS; // a page that is looked at comes first

let looking = false;

async function look() {
  if (looking) return;
  looking = true;
  while (tasksElsewhere().length) {
    for (const task of tasksElsewhere()) if (!(await lookAt(task))) return void (looking = false);
    if (tasksElsewhere().length) await pause(EVERY_MS);
  }
  looking = false;
}

/** Look how far a task is; whether it makes sense to look again. */
async function lookAt({ id, role }) {
  let task;
  try {
    task = await (await ask(`/api/tasks/${id}`)).json();
  } catch (error) {
    if (!(error instanceof AnswerError)) throw error;
    if (error.code === "not_found") forgetTask(id);
    return error.code !== "signed_out";
  }
  if (!hasEnded(task)) return true;
  if (document.hidden) await pause(AFTER_OTHERS_MS);
  if (notedTasks().some((noted) => noted.id === id)) await announce(task, task.result?.role ?? role);
  forgetTask(id);
  return true;
}

async function announce(task, role) {
  if (task.status === "cancelled" || task.result?.removed) return;
  // Not every page has texts, and most have nothing to tell.
  const { say } = await import("./texts.js");
  const outcome = task.status === "error" ? "failed" : task.result?.failed?.length ? "partly" : "done";
  const words = say(`characters.elsewhere.${outcome}`, { name: role });
  const href = `/characters/${encodeURIComponent(role)}`;
  toast(words, { label: say("characters.elsewhere.open"), href });
  tell(role, words, `xwe.sheet.${role}`);
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

if (document.getElementById("texts")) {
  addEventListener("storage", (event) => event.key === TASKS && look());
  look();
}
