// The addresses of characters, and what is asked of them.

import { ask, post } from "./server.js";

const base = (role) => `/api/characters/${encodeURIComponent(role)}`;
const json = (response) => response.json();
const put = (address, body, headers = {}) =>
  ask(address, {
    method: "PUT",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  }).then(json);

export const sheetPage = (role) => `/characters/${encodeURIComponent(role)}`;
/** Where a character is made; with a name, in place of one whose sheet of that version is empty. */
export const newPage = (role, version) =>
  `/characters/new?${new URLSearchParams({ in_place_of: role, version })}`;
export const chatPage = (role) => `/chat/${encodeURIComponent(role)}`;

export const all = () => ask("/api/characters").then(json);
export const make = (wanted) => post("/api/characters", wanted).then(json);
export const sheet = (role) => ask(`${base(role)}/structured`).then(json);
export const save = (role, changes, version) =>
  put(`${base(role)}/structured`, changes, { "If-Match": `"${version}"` });
export const retry = (role, category) =>
  post(`${base(role)}/categories/${encodeURIComponent(category)}/retry`, {}).then(json);
export const complete = (role) => post(`${base(role)}/complete`, {}).then(json);
export const rename = (role, name) => put(`${base(role)}/rename`, { new_name: name });
export const copy = (role) => post(`${base(role)}/copy`, {}).then(json);
export const remove = (role) => ask(base(role), { method: "DELETE" });
export const restore = (role) => post(`${base(role)}/restore`, {});
export const memories = (role) => ask(`${base(role)}/memories`).then(json);
export const saveMemories = (role, tiers) => put(`${base(role)}/memories`, tiers);
export const samples = () => ask("/api/characters/samples").then(json);
export const task = (id) => ask(`/api/tasks/${id}`).then(json);
export const cancelTask = (id) => post(`/api/tasks/${id}/cancel`, {});
