// The tasks that were begun in this browser, so that whichever page is open tells of their end.

import { browser, ownName } from "./memory.js";

/** Under which the browser keeps them. */
export const TASKS = ownName(document.getElementById("toasts").dataset.user, "tasks");
const MOST = 50;

const followed = new Set(); // those that this page tells of by itself

/** Every task whose end has not been told: `{id, role}`. */
export function notedTasks() {
  try {
    return JSON.parse(browser.recall(TASKS)) ?? [];
  } catch {
    return []; // something else wrote there
  }
}

/** Note a task that has begun, to be told of by other pages. */
export function noteTask(id, role) {
  const others = notedTasks().filter((task) => task.id !== id);
  keep([...others, { id, role }].slice(-MOST));
}

/** Note a task that this page follows, and tells of by itself. */
export function followTask(id, role) {
  followed.add(id);
  noteTask(id, role);
}

/** Those of the noted ones that this page does not follow. */
export function tasksElsewhere() {
  return notedTasks().filter((task) => !followed.has(task.id));
}

/** Its end has been told. */
export function forgetTask(id) {
  keep(notedTasks().filter((task) => task.id !== id));
}

function keep(tasks) {
  browser.remember(TASKS, tasks.length ? JSON.stringify(tasks) : "");
}
