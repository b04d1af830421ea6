// A new character: its name, its source, and the way to its sheet.

import * as api from "./characters_api.js";
import { leaveFor, onSend, wrongCharacterName } from "./forms.js";
import { ownName } from "./memory.js";
import { NewDraft } from "./new_draft.js";
import { noteTask } from "./noted_tasks.js";
import { decodeText } from "./text_file.js";
import { number, say } from "./texts.js";

const MAX_CHARS = 200_000;
const MAX_FILE_BYTES = 1_000_000;

const byId = (id) => document.getElementById(id);
const form = byId("make");
const { role, text, file } = form.elements;

let inPlaceOf = null; // {role, version} of one whose sheet is empty
let samples = [];
let sampleName = ""; // the one that stands there by itself
let hasChosenLanguage = false;

const source = () => form.elements.source.value;
const language = () => form.elements.language.value;

const draft = new NewDraft(ownName(form.dataset.user, "draft.new"), () => ({
  role: role.value,
  text: text.value,
  source: source(),
  language: hasChosenLanguage ? language() : null,
  inPlaceOf,
}));

function showPart() {
  for (const part of form.querySelectorAll(":not(input)[data-source]")) {
    part.hidden = !part.dataset.source.split(" ").includes(source());
  }
  tell("");
}

function showInPlaceOf() {
  const isMeant = inPlaceOf && role.value.trim() === inPlaceOf.role;
  byId("in-place-of").textContent = isMeant ? say("characters.in_place_of", { name: inPlaceOf.role }) : "";
}

const tell = (words) => (byId("problem").textContent = words);

const characters = () => [...text.value].length;

function count() {
  const made = text.value ? say("characters.count", { count: number(characters()), most: number(MAX_CHARS) }) : "";
  byId("count").textContent = made;
}

/** A sample's name is there for the reader to change: they may have one of that name already. */
async function nameSample() {
  if (role.value === sampleName) role.value = "";
  sampleName = "";
  if (source() !== "sample" || role.value.trim()) return;
  try {
    if (samples.length === 0) samples = (await api.samples()).items;
  } catch {
    return; // without a name, the server takes the sample's own
  }
  if (source() !== "sample" || role.value.trim()) return;
  sampleName = samples.find((sample) => sample.language === language())?.name ?? "";
  role.value = sampleName;
}

function wrong() {
  if (source() !== "text") return null;
  if (!text.value.trim()) return [text, "characters.text_missing"];
  return characters() > MAX_CHARS ? [text, "characters.text_long"] : null;
}

function check() {
  const isNamed = source() !== "sample" || role.value.trim();
  const misnamed = isNamed ? wrongCharacterName(role.value) : null;
  if (misnamed) role.focus();
  if (misnamed) return misnamed;
  const found = wrong();
  found?.[0].focus();
  return found && say(found[1], { most: number(MAX_CHARS) });
}

async function send() {
  const wanted = { source: source(), language: language() };
  if (role.value.trim()) wanted.role = role.value;
  if (source() === "text") wanted.text = text.value;
  const made = await make(wanted).catch((error) => {
    if (error.code === "name_taken") role.select();
    throw error;
  });
  noteTask(made.task_id, made.role);
  draft.sent();
  await leaveFor(api.sheetPage(made.role));
}

/** Make it, after the one whose place it takes has gone; which comes back if it cannot be made. */
async function make(wanted) {
  if (!(await isInTheWay(wanted.role))) return api.make(wanted);
  await api.remove(inPlaceOf.role);
  try {
    return await api.make(wanted);
  } catch (error) {
    await api.restore(inPlaceOf.role).catch(() => {}); // what went wrong first is what to tell
    throw error;
  }
}

async function isInTheWay(name) {
  if (!inPlaceOf || name?.trim() !== inPlaceOf.role) return false;
  try {
    // One that was written on since is not empty any more.
    return (await api.sheet(inPlaceOf.role)).version === inPlaceOf.version;
  } catch (error) {
    if (error.code === "not_found") return false;
    throw error;
  }
}

async function take(chosen) {
  if (chosen.size > MAX_FILE_BYTES) return tell(say("characters.file_large"));
  const found = decodeText(new Uint8Array(await chosen.arrayBuffer()));
  if (found === null) return tell(say("characters.file_unreadable"));
  text.value = found;
  role.value ||= chosen.name.replace(/\.[^.]*$/, "");
  changed();
  tell("");
}

function changed() {
  count();
  showInPlaceOf();
  draft.changed();
}

/** What was left here, or what the address says. What was typed before this script came is newer. */
function begin() {
  const { left } = draft;
  if (left) {
    role.value ||= left.role;
    text.value ||= left.text;
    form.elements.source.value = left.source;
    if (left.language) form.elements.language.value = left.language;
    hasChosenLanguage = left.language !== null;
    ({ inPlaceOf } = left);
  }
  const asked = new URLSearchParams(location.search);
  if (asked.has("in_place_of")) {
    inPlaceOf = { role: asked.get("in_place_of"), version: Number(asked.get("version")) };
    role.value = inPlaceOf.role;
    form.elements.source.value = "text";
    history.replaceState(null, "", location.pathname);
  }
  showPart();
  changed();
  nameSample();
}

onSend(form, byId("problem"), check, send, { invalid_request: "text_refused" });
form.addEventListener("change", (event) => {
  if (event.target.name === "source") showPart();
  if (event.target.name === "language") hasChosenLanguage = true;
  if (["source", "language"].includes(event.target.name)) nameSample().then(changed);
});
form.addEventListener("input", changed);
file.addEventListener("change", async () => {
  const [chosen] = file.files;
  if (chosen) await take(chosen);
  file.value = "";
});
// Brought back as it was left, it would be waiting for the character that it has sent.
addEventListener("pageshow", (event) => event.persisted && location.reload());
begin();
form.dataset.state = "ready";
