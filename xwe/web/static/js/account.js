// One's account: password, where one is signed in, and tokens for programs.

import { act, leaveFor, onSend, problem, wrongPassword } from "./forms.js";
import { forgetOwn } from "./memory.js";
import { asAnswerError, ask, post } from "./server.js";
import { say } from "./texts.js";
import { trouble } from "./trouble.js";

const MEANT = { not_found: "row_gone", wrong_password: "old_password_wrong" };

const byId = (id) => document.getElementById(id);
const LOCALE = document.documentElement.lang;
const moments = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "short" });
const moment = (text) => moments.format(new Date(text));

function row(name, about, action, onPress) {
  const item = byId("row-template").content.firstElementChild.cloneNode(true);
  item.querySelector(".row-name").textContent = name;
  item.querySelector(".row-about").textContent = about;
  const button = item.querySelector("button");
  button.textContent = action;
  button.setAttribute("aria-label", `${action}: ${name}`);
  button.addEventListener("click", () => onPress(button));
  return item;
}

const readings = new Map(); // by list, the newest: an older one may come later

/** Fill a list from its address; where that fails, `again` is another try. */
async function fill(name, make, again) {
  const reading = {};
  readings.set(name, reading);
  let items = [];
  let problems = [];
  try {
    ({ items } = await (await ask(`/api/me/${name}`)).json());
  } catch (error) {
    problems = [trouble(asAnswerError(error), again)];
  }
  if (readings.get(name) !== reading) return;
  const list = byId(name);
  list.replaceChildren(...items.map(make));
  list.ariaBusy = "false";
  byId(`${name}-trouble`).replaceChildren(...problems);
  const whenEmpty = byId(`no-${name}`);
  if (whenEmpty) whenEmpty.hidden = items.length > 0 || problems.length > 0;
}

/** Do what a button is for, then `after`; what goes wrong is told in `place`. */
function doing(place, work, after) {
  return (button) => {
    place.textContent = "";
    const tell = (error) => (place.textContent = problem(error, MEANT));
    return act(button, () => work().then(after), tell);
  };
}

/** Ask before something that cannot be undone; true for go on. */
function confirmed(question, fields, action) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = say(`account.${question}`, fields);
  byId("confirm-text").textContent = say(`account.${question}_text`, fields);
  byId("confirm-go").textContent = action;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "go"), { once: true });
  });
}

const remove = (address) => ask(address, { method: "DELETE" });

/** Whoever comes next may be somebody else. */
function leave() {
  forgetOwn();
  return leaveFor("/login", (address) => location.replace(address));
}

function sessionRow(session) {
  const name = session.user_agent || say("account.unknown_browser");
  const about = session.is_this_one
    ? say("account.this_one")
    : say("account.last_seen", { when: moment(session.last_seen) });
  const end = doing(byId("sessions-problem"), () => remove(`/api/me/sessions/${session.id}`), () =>
    session.is_this_one ? leave() : showSessions(),
  );
  const asking = async (button) => {
    const action = say("account.end");
    if (session.is_this_one || (await confirmed("end_session", { name }, action))) end(button);
  };
  return row(name, about, say("account.end"), asking);
}

function tokenRow(token) {
  const about = token.last_used_at
    ? say("account.last_used", { when: moment(token.last_used_at) })
    : say("account.never_used");
  const destroy = doing(byId("tokens-problem"), () => remove(`/api/me/tokens/${token.id}`), () => {
    if (byId("new-secret").dataset.token === String(token.id)) hideSecret();
    return showTokens();
  });
  const asking = async (button) => {
    const { name } = token;
    if (await confirmed("delete_token", { name }, say("account.delete"))) destroy(button);
  };
  return row(token.name, about, say("account.delete"), asking);
}

function showSecret({ id, token }) {
  byId("secret").textContent = token;
  byId("new-secret").dataset.token = id;
  byId("new-secret").hidden = false;
}

function hideSecret() {
  byId("secret").textContent = "";
  byId("new-secret").hidden = true;
}

const showSessions = () => fill("sessions", sessionRow, showSessions);
const showTokens = () => fill("tokens", tokenRow, showTokens);

onSend(
  byId("password"),
  byId("password-problem"),
  (form) => {
    byId("password-done").textContent = "";
    if (!form.elements.old.value) return say("account.old_needed");
    return wrongPassword(form.elements.new.value);
  },
  async (form) => {
    const { old, new: wanted } = form.elements;
    await post("/auth/password", { old: old.value, new: wanted.value });
    form.reset();
    byId("password-done").textContent = say("account.password_changed");
    await showSessions();
  },
  MEANT,
);

onSend(
  byId("new-token"),
  byId("tokens-problem"),
  (form) => (form.elements.name.value.trim() ? null : say("account.name_needed")),
  async (form) => {
    const response = await post("/api/me/tokens", { name: form.elements.name.value });
    showSecret(await response.json());
    form.reset();
    await showTokens();
  },
);

const place = byId("sessions-problem");
const signOut = doing(place, () => post("/auth/logout", {}), leave);
const signOutEverywhere = doing(place, () => remove("/api/me/sessions"), leave);
byId("sign-out").addEventListener("click", (event) => signOut(event.currentTarget));
byId("sign-out-everywhere").addEventListener("click", async ({ currentTarget: button }) => {
  if (await confirmed("end_sessions", {}, say("account.end"))) signOutEverywhere(button);
});

showSessions();
showTokens();
