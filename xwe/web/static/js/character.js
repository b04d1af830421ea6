// A character's sheet: it fills in while it is written, and is edited, renamed, copied, deleted.

import { avatar } from "./avatar.js";
import { offerTelling, tell } from "./background.js";
import { CategoryCard } from "./category_card.js";
import { isSame, textOf } from "./category_value.js";
import * as api from "./characters_api.js";
import { act, leaveFor, meant, onSend, wrongCharacterName } from "./forms.js";
import { Making } from "./making.js";
import { showMemories } from "./memories_form.js";
import { followTask, forgetTask } from "./noted_tasks.js";
import { AnswerError, asAnswerError } from "./server.js";
import { SheetStates, WHOLE } from "./sheet_states.js";
import { SheetTasks } from "./sheet_tasks.js";
import { explain, say } from "./texts.js";
import { toast } from "./toasts.js";
import { trouble } from "./trouble.js";

const byId = (id) => document.getElementById(id);
const given = JSON.parse(byId("sheet").textContent);
const when = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium" });
const SOURCES = ["zhwiki", "baike", "sample"];
const MEANINGS = { not_found: "character_gone" };

const { role } = byId("main").dataset;
const fieldsOf = new Map(given.categories.map(({ name, fields }) => [name, fields]));
let { sheet } = given;

const states = new SheetStates();
const tasks = new SheetTasks({ onChange: taskChanged, onEnd: taskEnded });
const making = new Making(byId("making"));

const cards = given.categories.map(
  (category) =>
    new CategoryCard(category, {
      save,
      retry: (name) => {
        byName(name).focus(); // its button goes
        begin(() => api.retry(role, name), name);
      },
      reload: async () => take(await api.sheet(role)),
    }),
);
byId("categories").append(...cards.map((card) => card.node));

const byName = (name) => cards.find((card) => card.name === name);
const isMissing = () => cards.some((card) => !sheet[card.name]);

function show() {
  avatar(byId("avatar"), role);
  byId("first-message").textContent = sheet.first_message;
  byId("source").replaceChildren(...sourceLine());
  for (const card of cards) card.show(sheet[card.name], sheet.quoted[card.name], sheet.version);
  showStates();
}

function showStates() {
  const { group, live } = tasks;
  const hadFocus = making.hasFocus;
  const names = cards.map((card) => card.name);
  const done = names.filter((name) => sheet[name]).length;
  const { kind, url } = sheet[given.source] ?? {};
  making.show(group, { names, done, isFetched: ["zhwiki", "baike"].includes(kind) && !url });
  if (hadFocus && live.length === 0) cards[0].focus();
  for (const card of cards) card.tell(states.of(card.name, Boolean(sheet[card.name]), live));
  byId("nothing").hidden = done > 0 || live.length > 0;
  byId("paste").href = api.newPage(role, sheet.version);
}

function sourceLine() {
  const { kind, url, fetched_at: at } = sheet[given.source] ?? {};
  const name = SOURCES.includes(kind) ? kind : "text";
  const line = say(`characters.source.${name}`);
  const told = at ? say("characters.source.fetched", { source: line, when: when.format(new Date(at)) }) : line;
  if (!url?.startsWith("https://")) return [told];
  const link = document.createElement("a");
  link.className = "link";
  link.href = url;
  link.rel = "noopener noreferrer";
  link.textContent = decodeURIComponent(url.split("/").at(-1).split("?")[0]) || url;
  return [`${told} `, link];
}

/** Show a sheet, unless a newer one has come before it. */
function take(newest) {
  if (newest.version >= sheet.version) sheet = newest;
  show();
}

// --- while it is being written

/** Queue a task and follow it: for one part of the sheet, or for all that is missing. */
async function begin(queue, part = null) {
  byId("trouble").replaceChildren();
  if (part) states.ask(part);
  else states.forgetTroubles();
  showStates();
  const again = () => begin(queue, part);
  const before = sheet[part];
  try {
    const { task_id: id } = await queue().finally(() => states.asked(part));
    await tasks.follow(id, { category: part, again, before });
  } catch (error) {
    showStates();
    fail(error, again);
  }
}

/** Follow a task that is under way already. */
async function resume(id) {
  try {
    await tasks.follow(id);
  } catch (error) {
    showStates();
    fail(error, () => resume(id));
  }
}

/** What the last task of the whole has told: how long each part took, or why it is missing. */
async function recall(id) {
  try {
    const state = await api.task(id);
    states.note(state);
    showStates();
    if (isMissing()) tellTrouble({ state });
  } catch (error) {
    // It is not kept for ever; and what it tells of a whole sheet is not worth a word.
    if (isMissing() && error.code !== "not_found") fail(error, () => recall(id));
  }
}

const doneOf = ({ state }) => cards.filter((card) => state.detail?.[card.name]?.state === "done").length;

async function taskChanged(followed) {
  if (followed.done === undefined) followTask(followed.id, role);
  followed.done ??= 0;
  states.note(followed.state);
  const done = doneOf(followed);
  if (done > followed.done) {
    followed.done = done;
    byId("status").textContent = say("characters.progress", { done, all: cards.length });
    await api.sheet(role).then(take, asAnswerError); // what is done is stored by then
  }
  showStates();
}

async function taskEnded(followed) {
  const { id, state, category, before } = followed;
  states.note(state);
  if (await reload()) tellTrouble(followed);
  if (before && !isSame(fieldsOf.get(category), before, sheet[category])) offerUndo(category, before);
  if (tasks.live.length === 0) tellEnd(state);
  whenSeen(() => forgetTask(id));
  if (sheet.is_unfinished) await resume(sheet.task_id); // another one, begun elsewhere
}

/** Show what is stored; whether it could be read. */
async function reload() {
  try {
    take(await api.sheet(role));
    return true;
  } catch (error) {
    showStates();
    fail(error, async () => {
      byId("trouble").replaceChildren();
      await reload();
    });
    return false;
  }
}

function tellEnd({ status }) {
  const missing = isMissing() ? say("characters.ended_missing") : say("characters.ended");
  const words = status === "cancelled" ? explain("cancelled").title : missing;
  byId("status").textContent = words;
  if (status !== "cancelled") tell(role, words, `xwe.sheet.${role}`);
}

/** Why something could not be written, unless its card says so. */
function tellTrouble({ state, again }) {
  const failed = Object.entries(state.detail ?? {}).filter(([, part]) => part.state === "error");
  const complete = () => begin(() => api.complete(role));
  if (state.status === "error") {
    const isOnCard = state.kind !== WHOLE && byName(failed[0]?.[0]);
    if (!isOnCard) fail(new AnswerError(failed[0]?.[1].error ?? "internal"), again ?? complete);
  } else if (isMissing() && state.status === "cancelled") {
    fail(new AnswerError("cancelled"), complete);
  } else if (state.result?.failed?.length && !sheet.first_message) {
    const biography = state.result.failed.at(-1);
    fail(new AnswerError("biography_missing"), () => begin(() => api.retry(role, biography), biography));
  }
}

function whenSeen(act) {
  if (!document.hidden) act();
  else document.addEventListener("visibilitychange", act, { once: true });
}

function fail(error, again) {
  byId("trouble").replaceChildren(trouble(meant(error, MEANINGS), again));
}

function onPress(button, work) {
  const press = () => act(button, work, (error) => fail(error, press));
  button.addEventListener("click", press);
}
onPress(byId("cancel"), () => Promise.all(tasks.live.map(({ id }) => api.cancelTask(id))));

// --- editing

/**
 * Save a category that was edited from `base`, its value and the sheet's version by then. What has
 * changed elsewhere in the sheet since is no conflict; with `anyway` nothing is.
 */
async function save(name, value, base, anyway = false) {
  for (let { version } = base; ; version = sheet.version) {
    try {
      const saved = await api.save(role, { [name]: value }, version);
      const quoted = (sheet.quoted[name] ?? []).filter(
        (field) => textOf(value[field]) === textOf(sheet[name]?.[field]),
      );
      states.forget(name);
      undone(name);
      const said = { ...sheet, [name]: value, quoted: { ...sheet.quoted, [name]: quoted } };
      take({ ...said, version: saved.version });
      return;
    } catch (error) {
      if (error.code !== "stale_version") throw error;
      take(await api.sheet(role));
      if (!anyway && !isSame(fieldsOf.get(name), sheet[name], base.value)) throw error;
    }
  }
}

const undoable = new Map(); // category -> what it said before, oldest first, and its toast

/** What was written anew can be taken back, as often as it was. */
function offerUndo(name, ...before) {
  const values = [...(undoable.get(name)?.values ?? []), ...before];
  undoable.get(name)?.close();
  const close = toast(say("characters.rewritten", { name }), {
    label: say("characters.undo"),
    stays: true,
    act: () => undo(name, values),
    onClose: () => undoable.delete(name),
  });
  undoable.set(name, { values, close });
}

async function undo(name, values) {
  undoable.delete(name);
  byId("trouble").replaceChildren();
  byName(name).focus();
  try {
    await save(name, values.at(-1), { value: sheet[name], version: sheet.version });
    if (values.length > 1) offerUndo(name, ...values.slice(0, -1));
  } catch (error) {
    fail(error, () => undo(name, values));
  }
}

/** Somebody has written there since. */
function undone(name) {
  undoable.get(name)?.close();
  undoable.delete(name);
}

const renaming = byId("rename-form");
byId("rename").addEventListener("click", () => {
  renaming.elements.new_name.value = role;
  byId("rename-problem").textContent = "";
  byId("rename-dialog").showModal();
});
const rename = async () => {
  const renamed = await api.rename(role, renaming.elements.new_name.value);
  await leaveFor(api.sheetPage(renamed.role), (address) => location.replace(address));
};
onSend(renaming, byId("rename-problem"), (form) => wrongCharacterName(form.elements.new_name.value), rename, MEANINGS);

let isRemoved = false;

onPress(byId("copy"), async () => leaveFor(api.sheetPage((await api.copy(role)).role)));
onPress(byId("remove"), async () => {
  await api.remove(role);
  isRemoved = true;
  await leaveFor(`/characters?removed=${encodeURIComponent(role)}`);
});

const memories = showMemories(byId("memories"), role);
addEventListener("beforeunload", (event) => {
  const isChanged = memories.isChanged || cards.some((card) => card.isChanged);
  if (isChanged && !isRemoved) event.preventDefault();
});
offerTelling(byId("tell"));
show();
if (sheet.is_unfinished) await resume(sheet.task_id);
else if (sheet.task_id) await recall(sheet.task_id);
