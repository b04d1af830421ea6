// The calls of a turn: each unfolds to its arguments and to what came of it.

import { number, say, seconds } from "./texts.js";

const clone = () =>
  document.getElementById("call-template").content.firstElementChild.cloneNode(true);

/** The calls of a `TurnRecord` in their `list`. */
export class ToolCalls {
  #list;
  #shown = new Map();

  constructor(list) {
    this.#list = list;
  }

  /** Show how every call stands; nothing runs any more when the turn `isOver`. */
  show(calls, isOver) {
    for (const call of calls) {
      if (!this.#shown.has(call)) {
        this.#shown.set(call, clone());
        this.#list.append(this.#shown.get(call));
      }
      draw(this.#shown.get(call), call, isOver);
    }
    this.#list.hidden = calls.length === 0;
  }
}

function draw(node, call, isOver) {
  const find = (selector) => node.querySelector(selector);
  const isOpen = call.state !== "done" && call.state !== "failed";
  const state = isOpen && isOver ? "left" : call.state;
  if (node.dataset.state !== state) {
    node.dataset.state = state;
    find(".call-state").textContent = stateText(call, state);
  } else if (!isOpen) find(".call-state").textContent = stateText(call, state);
  find(".call-name").textContent = call.tool;
  fill(find(".call-input"), call.input && JSON.stringify(call.input, null, 2));
  fill(find(".call-output"), readable(call.output));
  fill(find(".call-error"), call.error);
  drawProgress(find(".call-progress"), state === "running" ? call.progress : null);
}

function stateText({ from, readyAt, to }, state) {
  if (state === "done" && to !== null) {
    return say("tools.call.done", { seconds: seconds(to - (from ?? readyAt ?? to)) });
  }
  return say(`tools.call.${state === "done" ? "running" : state}`);
}

function fill(place, content) {
  place.hidden = !content;
  const text = place.querySelector("code");
  if (content && text.textContent !== content) text.textContent = content;
}

/** JSON with its lines; other text as it is. */
function readable(output) {
  try {
    return JSON.stringify(JSON.parse(output), null, 2);
  } catch {
    return output;
  }
}

function drawProgress(place, progress) {
  place.hidden = !progress;
  if (!progress) return;
  const bar = place.querySelector("progress");
  const { fraction, message } = progress;
  if (fraction === null) bar.removeAttribute("value");
  else bar.value = fraction;
  const share = fraction === null ? "" : say("tools.call.share", { value: number(fraction * 100) });
  place.querySelector(".call-message").textContent = [share, message].filter(Boolean).join(" · ");
}
