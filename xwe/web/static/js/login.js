// Signing in and signing up: one card for both.

import { leaveFor, onSend, wrongName, wrongPassword } from "./forms.js";
import { post } from "./server.js";
import { say } from "./texts.js";

const form = document.getElementById("login");
const { username, password } = form.elements;

function check(_, button) {
  if (!username.value.trim() || !password.value) return say("account.both_needed");
  if (button?.value !== "register") return null;
  return wrongName(username.value) ?? wrongPassword(password.value);
}

async function send(_, button) {
  const action = button?.value ?? "login";
  await post(`/auth/${action}`, { username: username.value.trim(), password: password.value });
  await leaveFor(form.dataset.next, (address) => location.replace(address));
}

onSend(form, document.getElementById("login-problem"), check, send);
