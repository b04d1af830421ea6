// One category of a sheet: it fills in, shows its trouble, and is edited.

import { isSame } from "./category_value.js";
import { problem, told } from "./forms.js";
import { number, say } from "./texts.js";

const copyOf = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);
const LINES = { long: 28, most: 8 };
const MEANINGS = { not_found: "character_gone", invalid_request: "text_refused" };
const TOLD = { pending: "pending", running: "running", error: "failed", missing: "missing" };

export class CategoryCard {
  #node = copyOf("category-template");
  #category;
  #value = null;
  #quoted = [];
  #version = 0;
  #newest = null; // what has come while it is being edited
  #form = null;
  #actions;

  /**
   * @param {{name: string, fields: string[], lists: string[]}} category
   * @param {{save: Function, retry: Function, reload: Function}} actions
   *   `save(name, value, base, anyway)`, `base` being `{value, version}` from when the edit began,
   *   and `reload()` return promises; both have the newest shown.
   */
  constructor(category, actions) {
    this.#category = category;
    this.#actions = actions;
    const heading = this.#node.querySelector("h2");
    heading.textContent = category.name;
    this.#button("edit").addEventListener("click", () => this.#edit());
    this.#button("retry").addEventListener("click", () => actions.retry(category.name));
    for (const name of ["edit", "retry"]) this.#button(name).ariaLabel += ` ${category.name}`;
  }

  get node() {
    return this.#node;
  }

  get name() {
    return this.#category.name;
  }

  get isEditing() {
    return this.#form !== null;
  }

  /** Whether it is being edited, and says something else by now. */
  get isChanged() {
    return this.isEditing && !isSame(this.#category.fields, this.#read(this.#form), this.#value);
  }

  /** What is stored, in the sheet of that version; while it is being edited, that waits. */
  show(value, quoted, version) {
    if (this.isEditing) {
      this.#newest = [value, quoted, version];
      return;
    }
    this.#version = version;
    this.#fill(value, quoted);
  }

  #fill(value, quoted = []) {
    const same = JSON.stringify([value ?? null, quoted]) === JSON.stringify([this.#value, this.#quoted]);
    [this.#value, this.#quoted] = [value ?? null, quoted];
    if (same) return;
    const facts = value ? this.#category.fields.filter((field) => isSaid(value[field])) : [];
    this.#node.querySelector(".category-fields").replaceChildren(...facts.map((field) => this.#fact(field)));
  }

  /** How far it is: `{state, seconds, error}`. */
  tell({ state, seconds, error }) {
    this.#node.dataset.state = state;
    this.#node.ariaBusy = String(state === "running");
    const took = seconds == null ? "" : say("seconds", { value: number(seconds, 1) });
    const words = state === "done" ? took : [say(`characters.state.${TOLD[state]}`), took].join(" ");
    this.#node.querySelector(".category-told").textContent = words.trim();
    const why = state === "error" ? told(error ?? "internal") : "";
    this.#node.querySelector(".category-trouble").textContent = why;
  }

  focus() {
    this.#node.focus();
  }

  #button(name) {
    return this.#node.querySelector(`[data-do=${name}]`);
  }

  #fact(field) {
    const node = copyOf("field-template");
    const value = this.#value[field];
    node.querySelector("dt").textContent = field;
    if (this.#quoted.includes(field)) node.querySelector("dt").append(copyOf("quoted-template"));
    const told = node.querySelector("dd");
    if (!Array.isArray(value)) {
      told.textContent = value;
      return node;
    }
    const list = document.createElement("ul");
    for (const item of value) {
      const entry = document.createElement("li");
      entry.textContent = item;
      list.append(entry);
    }
    told.append(list);
    return node;
  }

  #edit() {
    const form = copyOf("edit-template");
    const place = form.querySelector(".edit-fields");
    for (const field of this.#category.fields) place.append(this.#input(field));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save(false);
    });
    form.querySelector("[data-do=cancel]").addEventListener("click", () => this.#end());
    form.querySelector("[data-do=mine]").addEventListener("click", () => this.#save(true));
    form.querySelector("[data-do=theirs]").addEventListener("click", () => this.#takeTheirs());
    this.#form = form;
    this.#node.dataset.editing = "";
    this.#node.append(form);
    form.querySelector("textarea").focus();
  }

  #end() {
    this.#form.remove();
    this.#form = null;
    delete this.#node.dataset.editing;
    if (this.#newest) this.show(...this.#newest);
    this.#newest = null;
    this.#button("edit").focus();
    // While it is being written, there is nothing to press.
    if (document.activeElement !== this.#button("edit")) this.focus();
  }

  #input(field) {
    const label = copyOf("edit-field-template");
    const isList = this.#category.lists.includes(field);
    const text = [this.#value?.[field] ?? ""].flat().join("\n");
    label.querySelector("span").textContent = isList ? say("characters.a_line_each", { field }) : field;
    const area = label.querySelector("textarea");
    area.name = field;
    area.value = text;
    const lines = text.split("\n").reduce((sum, line) => sum + 1 + Math.floor(line.length / LINES.long), 0);
    area.rows = Math.min(LINES.most, Math.max(isList ? 3 : 1, lines));
    return label;
  }

  #read(form) {
    const value = {};
    for (const field of this.#category.fields) {
      const text = form.elements[field].value.trim();
      const isList = this.#category.lists.includes(field);
      value[field] = isList ? text.split("\n").map((line) => line.trim()).filter(Boolean) : text;
    }
    return value;
  }

  #save(anyway) {
    const base = { value: this.#value, version: this.#version };
    return this.#ask(() => this.#actions.save(this.name, this.#read(this.#form), base, anyway));
  }

  /** The edit is given up only once there is something else to show. */
  #takeTheirs() {
    return this.#ask(() => this.#actions.reload());
  }

  /** Do something that ends the edit; what goes wrong is told in its form. */
  async #ask(act) {
    const form = this.#form;
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    const place = form.querySelector(".form-problem");
    const conflict = form.querySelector(".edit-conflict");
    place.textContent = "";
    conflict.hidden = true;
    try {
      await act();
      if (this.#form === form) this.#end();
    } catch (error) {
      if (error.code === "stale_version") {
        conflict.hidden = false;
        conflict.querySelector("button").focus();
      } else {
        place.textContent = problem(error, MEANINGS);
        form.querySelector("[type=submit]").focus();
      }
    } finally {
      form.ariaBusy = "false";
    }
  }
}

const isSaid = (value) => (Array.isArray(value) ? value.length > 0 : Boolean(value));
