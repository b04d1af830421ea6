// The system page: asks for the figures every few seconds, while somebody looks.

import { Chart } from "./chart.js";
import { asAnswerError, ask } from "./server.js";
import { duration, explain, number, say, short } from "./texts.js";
import { trouble } from "./trouble.js";

const EVERY_MS = 2_000;

const byId = (id) => document.getElementById(id);
const page = byId("main");
const share = (value) => say("system.share", { value: short(100 * value) });
const rate = (value) => say("system.per_second", { value: short(value) });
const label = (name) => say(`system.series.${name}`);

const CHARTS = {
  first_token: {
    lines: [
      { key: "first_token_p50_s", label: label("p50") },
      { key: "first_token_p95_s", label: label("p95") },
    ],
    format: duration,
    atLeast: 0.1,
  },
  total: {
    lines: [
      { key: "total_p50_s", label: label("p50") },
      { key: "total_p95_s", label: label("p95") },
    ],
    format: duration,
    atLeast: 0.1,
  },
  places: {
    lines: [
      { key: "in_flight", label: label("in_flight") },
      { key: "waiting", label: label("waiting") },
    ],
    format: short,
    atLeast: 3,
  },
  rate: {
    lines: [
      { key: "requests_per_s", label: label("requests") },
      { key: "calls_per_s", label: label("calls") },
    ],
    format: rate,
    atLeast: 1,
  },
  lag: { lines: [{ key: "loop_lag_s", label: label("lag") }], format: duration, atLeast: 0.01 },
  busy: { lines: [{ key: "busy_share", label: label("busy") }], format: share, atLeast: 0.2 },
};

const charts = new Map(
  [...document.querySelectorAll(".chart")].map((figure) => [
    figure.dataset.chart,
    new Chart(figure, CHARTS[figure.dataset.chart]),
  ]),
);

let paused = false;
let timer = 0;
let asking = false;

async function look() {
  clearTimeout(timer);
  if (asking || paused || document.hidden) return;
  asking = true;
  try {
    const response = await ask("/api/llm/status");
    show(await response.json());
    byId("trouble").replaceChildren();
    pulse(paused ? "paused" : "live");
    timer = setTimeout(look, EVERY_MS);
  } catch (error) {
    fail(asAnswerError(error, "unreachable"));
  } finally {
    asking = false;
  }
}

/** A lost connection is tried again by itself; with anything else the reader has to decide. */
function fail(error) {
  const isPassing = error.code === "unreachable";
  pulse("lost");
  if (isPassing) timer = setTimeout(look, EVERY_MS);
  if (isPassing && page.dataset.state === "shown") return; // the last figures stand
  if (byId("trouble").dataset.code !== error.code || !byId("trouble").hasChildNodes()) {
    byId("trouble").dataset.code = error.code;
    byId("trouble").replaceChildren(trouble(error, look));
  }
}

function pulse(state) {
  if (byId("pulse").dataset.state === state) return; // said once, not every two seconds
  byId("pulse").dataset.state = state;
  byId("pulse-text").textContent = say(`system.${state}`);
}

function show(status) {
  showTiles(status);
  for (const chart of charts.values()) chart.show(status.history);
  showCauses(status.recent.failures);
  showWorkers(status.workers);
  page.dataset.state = "shown";
  page.setAttribute("aria-busy", "false");
}

function showTiles({ now, limits, recent, history, workers }) {
  const failed = Object.values(recent.failures).reduce((sum, each) => sum + each, 0);
  const places = limits.in_flight * workers.length;
  const queue = limits.waiting * workers.length;
  tile("in_flight", number(now.in_flight), say("system.of_places", { value: number(places) }));
  const refused = now.refused && say("system.refused", { value: number(now.refused) });
  tile("waiting", number(now.waiting), refused || say("system.of_queue", { value: number(queue) }));
  const threads = say("system.threads", { value: number(now.threads_busy) });
  tile("requests", rate(recent.requests_per_s), threads);
  const worst = duration(Math.max(now.loop_lag_s, ...history.loop_lag_s));
  tile("lag", duration(now.loop_lag_s), say("system.worst", { value: worst }));
  percentiles("first_token", recent.first_token_s, "no_streams");
  percentiles("total", recent.total_s, "no_calls");
  tile("failures", number(failed), say("system.of_calls", { value: number(recent.calls) }));
  tile("busy", share(now.busy_share), say("system.busy_of"));
}

function percentiles(name, figures, nothing) {
  if (!figures.count) tile(name, "–", say(`system.${nothing}`));
  else tile(name, duration(figures.p50), say("system.p95", { value: duration(figures.p95) }));
}

function tile(name, value, more) {
  const place = document.querySelector(`[data-tile=${name}]`);
  const shown = place.querySelector(".tile-value");
  shown.classList.remove("skeleton");
  shown.textContent = value;
  place.querySelector(".tile-more").textContent = more;
}

function showCauses(failures) {
  const rows = Object.entries(failures).sort(([, a], [, b]) => b - a);
  byId("no-causes").hidden = rows.length > 0;
  const most = rows[0]?.[1] ?? 1;
  byId("causes").replaceChildren(
    ...rows.map(([code, times]) => {
      const row = clone("cause");
      row.querySelector(".cause-name").textContent = explain(code).title;
      row.querySelector(".cause-code").textContent = code;
      row.querySelector(".cause-count").textContent = number(times);
      fill(row, times / most);
      return row;
    }),
  );
}

function showWorkers(workers) {
  byId("workers").replaceChildren(
    ...workers.map((worker) => {
      const row = clone("worker");
      row.querySelector(".worker-pid").textContent = say("system.worker", { pid: worker.pid });
      const busy = number(100 * worker.busy_share);
      row.querySelector(".worker-share").textContent = say("system.busy", { value: busy });
      row.querySelector(".worker-more").textContent = say("system.worker_more", {
        in_flight: number(worker.in_flight),
        waiting: number(worker.waiting),
        threads: number(worker.threads_busy),
        lag: duration(worker.loop_lag_s),
        uptime: duration(worker.uptime_s),
      });
      fill(row, worker.busy_share);
      return row;
    }),
  );
}

function clone(name) {
  return byId(`${name}-template`).content.firstElementChild.cloneNode(true);
}

function fill(row, part) {
  row.querySelector(".meter-bar").style.transform = `scaleX(${Math.min(part, 1)})`;
}

byId("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.currentTarget.setAttribute("aria-pressed", String(paused));
  if (paused) pulse("paused");
  else look();
});

document.addEventListener("visibilitychange", look);
addEventListener("online", look);
look();
