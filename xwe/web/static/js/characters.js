// The list of characters: cards, a search, and a deletion that can be undone.

import { avatar } from "./avatar.js";
import * as api from "./characters_api.js";
import { act, leaveFor, meant } from "./forms.js";
import { say } from "./texts.js";
import { toast } from "./toasts.js";
import { trouble } from "./trouble.js";

const SEARCH_FROM = 5; // fewer are seen at a glance

const byId = (id) => document.getElementById(id);
const people = byId("people");
const template = byId("person-template").content.firstElementChild;
const language = document.documentElement.lang;
const when = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

async function load() {
  people.ariaBusy = "true";
  byId("trouble").replaceChildren();
  try {
    show((await api.all()).items);
  } catch (error) {
    people.replaceChildren();
    fail(error, load);
  } finally {
    people.ariaBusy = "false";
  }
}

function fail(error, again) {
  byId("trouble").replaceChildren(trouble(meant(error, { not_found: "character_gone" }), again));
}

function show(items) {
  people.replaceChildren(...items.map(card));
  byId("empty").hidden = items.length > 0;
  byId("search").hidden = items.length < SEARCH_FROM;
  filter();
}

function card(item) {
  const node = template.cloneNode(true);
  node.dataset.role = item.role;
  avatar(node.querySelector(".avatar"), item.role, item.avatar_url);
  const name = node.querySelector(".person-name");
  name.textContent = item.role;
  name.href = api.sheetPage(item.role);
  node.querySelector(".person-preview").textContent = item.preview;
  node.querySelector(".person-when").textContent = when.format(new Date(item.updated_at));
  const chat = node.querySelector(".person-chat");
  chat.href = api.chatPage(item.role);
  const removing = node.querySelector("[data-do=remove]");
  removing.ariaLabel = removing.title = say("characters.remove", { name: item.role });
  removing.addEventListener("click", () => remove(item.role, removing));
  return node;
}

function remove(role, button) {
  const work = async () => {
    const place = [...people.children].findIndex((node) => node.dataset.role === role);
    await api.remove(role);
    await load();
    focusAt(place);
    offerUndo(role);
  };
  return act(button, work, (error) => fail(error, () => remove(role, button)));
}

/** Go on where the list was left: with who stands in that place by now, else with the one before. */
function focusAt(place) {
  const shown = [...people.children].filter((node) => !node.hidden);
  const next = shown.find((node) => [...people.children].indexOf(node) >= place) ?? shown.at(-1);
  (next?.querySelector(".person-name") ?? byId("sample")).focus();
}

function offerUndo(role) {
  const act = () => bringBack(role);
  toast(say("characters.removed", { name: role }), { label: say("characters.undo"), act });
}

async function bringBack(role) {
  try {
    await api.restore(role);
    await load();
    const there = [...people.children].find((node) => node.dataset.role === role);
    there?.querySelector(".person-name").focus();
  } catch (error) {
    fail(error, () => bringBack(role));
  }
}

function filter() {
  const wanted = byId("search").querySelector("input").value.trim().toLowerCase();
  let found = 0;
  for (const node of people.children) {
    node.hidden = !(node.dataset.role ?? "").toLowerCase().includes(wanted);
    found += !node.hidden;
  }
  byId("none-found").hidden = !wanted || found > 0;
}

byId("search").addEventListener("input", filter);
byId("sample").addEventListener("click", (event) => {
  const button = event.currentTarget;
  const work = async () => {
    const wanted = { source: "sample", language: language.startsWith("zh") ? "zh" : "en" };
    await leaveFor(api.sheetPage((await api.make(wanted)).role));
  };
  act(button, work, (error) => fail(error, () => button.click()));
});

// Deleted on its own page, it can be brought back here.
const gone = new URLSearchParams(location.search).get("removed");
await load();
if (gone) {
  history.replaceState(null, "", location.pathname);
  offerUndo(gone);
}
