// Small line charts in SVG: a time axis of the last minutes, round values, one or two lines that
// differ in more than their colour.

import { tickStep } from "./scale.js";
import { clock, say } from "./texts.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const HEIGHT = 148;
const MARGIN = { top: 10, right: 10, bottom: 24, left: 64 };
const Y_TICKS = 3;

/**
 * One chart in its `figure`.
 *
 * @param {HTMLElement} figure with a caption, a legend and a place for the plot
 * @param {{lines: {key: string, label: string}[], format: (value: number) => string,
 *   atLeast: number}} options `atLeast` is how far the value axis reaches when little happens
 */
export class Chart {
  #plot;
  #legend;
  #title;
  #options;
  #history = null;
  #pointed = null;

  constructor(figure, options) {
    this.#plot = figure.querySelector(".plot");
    this.#title = figure.querySelector("h2").textContent;
    this.#options = options;
    this.#legend = options.lines.map((line, index) => {
      const entry = document.createElement("li");
      const value = document.createElement("b");
      entry.append(sample(index), `${line.label} `, value);
      figure.querySelector(".legend").append(entry);
      return value;
    });
    new ResizeObserver(() => this.#draw()).observe(this.#plot);
    this.#plot.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    this.#plot.addEventListener("pointerleave", () => this.#point(null));
  }

  /** Show these columns; see `GET /api/llm/status`, history. */
  show(history) {
    this.#history = history;
    this.#plot.classList.remove("skeleton");
    this.#draw();
  }

  #draw() {
    const width = this.#plot.clientWidth;
    if (!this.#history || !width) return;
    const { lines, atLeast } = this.#options;
    const columns = lines.map((line) => this.#history[line.key]);
    const highest = Math.max(atLeast, ...columns.flat().filter((value) => value !== null));
    const scale = this.#scale(width, highest);
    const svg = element("svg", {
      viewBox: `0 0 ${width} ${HEIGHT}`,
      role: "img",
      "aria-label": this.#summary(columns),
    });
    svg.append(...this.#yAxis(scale, width), ...this.#xAxis(scale));
    // The first line is the main one: it lies above the other.
    const drawn = columns.map((column, index) => drawLine(column, index, scale));
    svg.append(...drawn.reverse().flat());
    if (this.#pointed !== null) {
      const x = scale.x(this.#pointed);
      const guide = { x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, class: "guide" };
      svg.append(element("line", guide));
    }
    this.#plot.replaceChildren(svg);
    this.#writeLegend(columns);
  }

  #scale(width, highest) {
    const step = tickStep(highest, Y_TICKS);
    const count = Math.ceil(highest / step - 1e-9);
    const top = count * step;
    const steps = this.#history.at.length - 1;
    const inner = { width: width - MARGIN.left - MARGIN.right };
    inner.height = HEIGHT - MARGIN.top - MARGIN.bottom;
    return {
      steps,
      ticks: Array.from({ length: count + 1 }, (_, n) => n * step),
      x: (index) => MARGIN.left + (inner.width * index) / steps,
      y: (value) => HEIGHT - MARGIN.bottom - (inner.height * value) / top,
      index: (x) => Math.round(((x - MARGIN.left) / inner.width) * steps),
    };
  }

  #yAxis(scale, width) {
    return scale.ticks.flatMap((value) => {
      const y = scale.y(value);
      const line = { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y };
      const text = element("text", { x: MARGIN.left - 8, y: y + 4, class: "tick-y" });
      text.textContent = value ? this.#options.format(value) : "0";
      return [element("line", { ...line, class: value ? "grid" : "base" }), text];
    });
  }

  #xAxis(scale) {
    const minutes = Math.round((scale.steps * this.#history.step_s) / 60);
    return Array.from({ length: minutes + 1 }, (_, ago) => {
      const index = scale.steps - (ago * 60) / this.#history.step_s;
      if (index < -0.5) return null;
      // The oldest minute begins one step before the first value.
      const x = scale.x(Math.max(0, index));
      const kind = ago === 0 ? "tick-x last" : "tick-x";
      const text = element("text", { x, y: HEIGHT - 6, class: kind });
      text.textContent = ago === 0 ? say("system.now") : say("system.ago", { minutes: ago });
      // On a narrow plot every other label would run into its neighbour.
      if (ago % 2 === 1 && scale.x(60 / this.#history.step_s) - MARGIN.left < 60) return null;
      return text;
    }).filter(Boolean);
  }

  #writeLegend(columns) {
    const { format } = this.#options;
    columns.forEach((column, index) => {
      const value = this.#pointed === null ? latest(column) : column[this.#pointed];
      this.#legend[index].textContent = value === null ? "–" : format(value);
    });
    const time = this.#pointed === null ? "" : clock(this.#history.at[this.#pointed]);
    this.#plot.parentElement.querySelector(".legend").dataset.time = time;
  }

  #point(x) {
    if (!this.#history) return;
    const scale = this.#scale(this.#plot.clientWidth, 1);
    this.#pointed = x === null ? null : Math.min(Math.max(scale.index(x), 0), scale.steps);
    this.#draw();
  }

  #summary(columns) {
    const { lines, format } = this.#options;
    const series = columns.map((column, index) => {
      const values = column.filter((value) => value !== null);
      const { label } = lines[index];
      if (!values.length) return say("system.summary_none", { label });
      const fields = { label, now: format(latest(column)), highest: format(Math.max(...values)) };
      return say("system.summary_series", fields);
    });
    return say("system.summary", { title: this.#title, series: series.join(" ") });
  }
}

/** The newest value that was measured; null without one. */
function latest(column) {
  return column.findLast((value) => value !== null) ?? null;
}

function drawLine(column, index, scale) {
  const parts = [];
  let path = "";
  column.forEach((value, step) => {
    if (value === null) return;
    const [x, y] = [scale.x(step), scale.y(value)];
    const joins = step > 0 && column[step - 1] !== null;
    path += `${joins ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    // A value without a neighbour would be a line of no length.
    const isAlone = !joins && (column[step + 1] ?? null) === null;
    if (isAlone || step === column.length - 1) parts.push(mark(index, x, y));
  });
  return [element("path", { d: path || "M0 0", class: `line line-${index}` }), ...parts];
}

function mark(index, x, y) {
  const shape = { class: `mark mark-${index}` };
  if (index === 0) return element("circle", { ...shape, cx: x, cy: y, r: 3 });
  return element("rect", { ...shape, x: x - 3, y: y - 3, width: 6, height: 6 });
}

function sample(index) {
  const svg = element("svg", { viewBox: "0 0 26 10", class: "sample", "aria-hidden": "true" });
  svg.append(element("path", { d: "M1 5H25", class: `line line-${index}` }), mark(index, 13, 5));
  return svg;
}

function element(name, attributes) {
  const node = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
