// What a turn took, measured beside computed.

import { number, say, seconds } from "./texts.js";
import { compute } from "./timing_model.js";

const ROWS = [
  ["firstText", "ttft"],
  ["firstGrounded", "firstGrounded"],
  ["total", "total"],
  ["wastedTokens", "wastedTokens"],
];

/** Write the figures of a turn that has come to its end into its card. */
export function showFigures(card, record, { mode, awaiting }) {
  const speeds = record.speeds;
  const computed = speeds && compute(mode, awaiting, speeds);
  const isWhole = computed !== null && record.isSimple;
  for (const [name, measuredName] of ROWS) {
    const measured = record.timing[measuredName];
    // What a later round of calls takes is not in the model; what came before it is.
    const known = isWhole || (computed && name === "firstText") ? computed[name] : null;
    writeRow(card.querySelector(`[data-row=${name}]`), name, measured, known);
  }
  card.querySelector(".explained").textContent = explained(record, speeds, isWhole, mode, awaiting);
}

function writeRow(row, name, measured, computed) {
  const duration = (value) => say("seconds", { value: seconds(value) });
  const write = name === "wastedTokens" ? (value) => number(value) : duration;
  const cell = (key, content) => (row.querySelector(`[data-cell=${key}]`).textContent = content);
  cell("measured", measured === null ? "–" : write(measured));
  cell("computed", computed === null ? "–" : write(computed));
  const difference = measured === null || computed === null ? null : measured - computed;
  cell("difference", difference === null ? "–" : signed(difference, name));
}

function signed(difference, name) {
  const whole = Math.round(difference);
  const sign = whole > 0 ? "+" : whole < 0 ? "−" : "±";
  const value = `${sign}${number(Math.abs(whole))}`;
  return name === "wastedTokens" ? value : say("milliseconds", { value });
}

function explained(record, speeds, isWhole, mode, awaiting) {
  if (!record.calls.length) return say("tools.explained.no_calls");
  if (!speeds || !isWhole) return say("tools.explained.rounds");
  const figures = {
    first: number(speeds.F),
    pace: Number.isFinite(speeds.r) ? number(speeds.r * 1000) : "∞",
    ready: speeds.calls.map((call) => number(call.a)).join(", "),
    lasts: speeds.calls.map((call) => number(call.L)).join(", "),
    tail: number(speeds.T),
    bridge: number(speeds.B),
    answer: number(speeds.G),
  };
  const rule = say(`tools.explained.${mode}`, {
    results: say(`tools.explained.results_${awaiting}`),
  });
  return `${rule} ${say("tools.explained.speeds", figures)}`;
}
