// The timeline of a turn with tools, in SVG: a lane for each that speaks or runs, on an axis of
// seconds. What is waited for is a thin line, what is said or run a bar; who says or runs it is
// told by its lane's name and by a pattern, and a cut is a line through everything.

import { ticks } from "./scale.js";
import { number, say, seconds } from "./texts.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const LANE = 36;
const BAR = { top: 19, height: 11 };
const MARGIN = { top: 20, right: 8, bottom: 34, left: 8 };
const LONGEST_NAME = 22;
const TICK_WIDTH = 52;
const CUT_LABEL_WIDTH = 44;

let patterns = 0;

/** The drawing in its `place`. */
export class Timeline {
  #place;
  #record;
  #mode;
  #stripes = `stripes-${(patterns += 1)}`; // an id is the whole page's
  #last = null;
  #resized;

  constructor(place, record, mode) {
    this.#place = place;
    this.#record = record;
    this.#mode = mode;
    this.#resized = new ResizeObserver(() => this.#last && this.draw(...this.#last));
    this.#resized.observe(place);
  }

  /** Draw what is known at `now`; what is under way reaches up to there. */
  draw(now, axisMs) {
    this.#last = [now, axisMs];
    const width = this.#place.clientWidth;
    if (!width) return;
    const lanes = lanesOf(this.#record, this.#mode);
    const base = MARGIN.top + lanes.length * LANE;
    const x = (ms) => MARGIN.left + ((width - MARGIN.left - MARGIN.right) * ms) / axisMs;
    const scale = { x, width, base, axisMs, now };
    const svg = element("svg", {
      viewBox: `0 0 ${width} ${base + MARGIN.bottom}`,
      height: base + MARGIN.bottom,
      role: "img",
      "aria-label": this.summary,
    });
    svg.append(this.#pattern(), ...axis(scale));
    lanes.forEach((lane, row) => svg.append(...this.#drawLane(lane, row, scale)));
    svg.append(...drawCuts(this.#record.cuts, scale));
    lanes.forEach((lane, row) => svg.append(...nameLane(lane, row, scale))); // above every line
    this.#place.replaceChildren(svg);
  }

  /** The drawing in words. */
  get summary() {
    const lanes = lanesOf(this.#record, this.#mode)
      .filter((lane) => lane.bars.length)
      .map((lane) => say("tools.lane_summary", { name: lane.name, spans: spans(lane.bars) }));
    const cuts = this.#record.cuts.map((cut) => say("tools.cut_summary", { at: seconds(cut.at) }));
    return [say("tools.timeline"), ...lanes, ...cuts].join(" ");
  }

  close() {
    this.#resized.disconnect();
  }

  #pattern() {
    const pattern = element("pattern", {
      id: this.#stripes,
      width: 7,
      height: 7,
      patternUnits: "userSpaceOnUse",
      patternTransform: "rotate(45)",
    });
    pattern.append(
      element("rect", { width: 7, height: 7, class: "stripe-ground" }),
      element("rect", { width: 3, height: 7, class: "stripe" }),
    );
    const defs = element("defs");
    defs.append(pattern);
    return defs;
  }

  #drawLane(lane, row, scale) {
    const y = MARGIN.top + row * LANE + BAR.top;
    const width = scale.width - MARGIN.right - MARGIN.left;
    const track = { x: MARGIN.left, y, width, height: BAR.height, rx: 3, class: "lane-track" };
    const bars = lane.bars.flatMap((bar) => this.#drawBar(bar, lane.kind, y, scale));
    return [element("rect", track), ...bars];
  }

  #drawBar(bar, kind, y, { x, now }) {
    const to = bar.to ?? Math.max(now, bar.from);
    const begins = bar.begins ?? to;
    const nodes = [];
    if (begins > bar.from) {
      const middle = y + BAR.height / 2;
      const line = { x1: x(bar.from), x2: x(begins), y1: middle, y2: middle };
      nodes.push(element("line", { ...line, class: "lane-wait" }));
    }
    if (bar.begins !== null) {
      const width = Math.max(2, x(to) - x(begins));
      const box = { x: x(begins), y, width, height: BAR.height, rx: Math.min(3, width / 2) };
      const look = { class: `lane-bar ${kind}`, "data-state": bar.state ?? "said" };
      if (kind === "bridge") look.fill = `url(#${this.#stripes})`;
      nodes.push(element("rect", { ...box, ...look }));
    }
    return nodes;
  }
}

function nameLane(lane, row, { width }) {
  const y = MARGIN.top + row * LANE + 13;
  const times = { x: width - MARGIN.right, y, class: "lane-times" };
  return [
    text(lane.name, { x: MARGIN.left, y, class: "lane-name" }),
    text(lane.note || spans(lane.bars), times),
  ];
}

/** The lanes from top to bottom: `{name, kind, note, bars: [{from, begins, to, state}]}`. */
function lanesOf(record, mode) {
  const [first, ...later] = record.steps;
  const steps = (kind) => later.filter((step) => step.kind === kind).map(bar);
  const begin = first ? [bar(first)] : [];
  const lanes = [{ name: say("tools.lane.first"), kind: "model", bars: begin }];
  // Also where nothing is said: so the lanes of two modes stand in line.
  const note = mode === "sync" ? say("tools.lane.silent") : "";
  lanes.push({ name: say("tools.lane.bridge"), kind: "bridge", bars: steps("bridge"), note });
  for (const call of record.calls) {
    const name = say("tools.lane.tool", { tool: shortened(call.tool) });
    const from = call.readyAt ?? call.from;
    const bars = from === null ? [] : [{ from, begins: call.from, to: call.to, state: call.state }];
    lanes.push({ name, kind: "tool", bars });
  }
  lanes.push({ name: say("tools.lane.answer"), kind: "model", bars: steps("answer") });
  return lanes;
}

function bar({ from, firstAt, to }) {
  return { from, begins: firstAt, to };
}

function shortened(name) {
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name;
}

/** When the bars began and ended, in seconds. */
function spans(bars) {
  return bars
    .map(({ from, begins, to }) => {
      const fields = { from: seconds(begins ?? from), to: to === null ? "" : seconds(to) };
      return say(to === null ? "tools.since" : "tools.span", fields);
    })
    .join(say("tools.and"));
}

function axis({ x, base, axisMs, width }) {
  const most = Math.max(2, Math.floor(width / TICK_WIDTH));
  const { values, digits } = ticks(axisMs / 1000, most);
  const marks = values.flatMap((value, index) => {
    const at = x(value * 1000);
    const kind = index ? "tick" : "tick first";
    const line = { x1: at, x2: at, y1: MARGIN.top, y2: base + 4, class: index ? "grid" : "base" };
    const label = { x: at, y: base + 16, class: kind };
    return [element("line", line), text(number(value, digits), label)];
  });
  const bottom = { x1: x(0), x2: x(axisMs), y1: base, y2: base, class: "base" };
  const unit = { x: width - MARGIN.right, y: base + 31, class: "unit" };
  return [...marks, element("line", bottom), text(say("tools.axis"), unit)];
}

function drawCuts(cuts, { x, base, width }) {
  return cuts.flatMap(({ at }) => {
    const left = x(at);
    const line = element("line", { x1: left, x2: left, y1: 6, y2: base, class: "cut-line" });
    const mark = element("path", { d: `M${left - 5} 3h10l-5 8z`, class: "cut-mark" });
    const isLate = left > width - CUT_LABEL_WIDTH;
    const label = { x: left + (isLate ? -9 : 9), y: 12 };
    const kind = isLate ? "cut-label late" : "cut-label";
    return [line, mark, text(say("tools.cut"), { ...label, class: kind })];
  });
}

function text(content, attributes) {
  const node = element("text", attributes);
  node.textContent = content;
  return node;
}

function element(name, attributes = {}) {
  const node = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
