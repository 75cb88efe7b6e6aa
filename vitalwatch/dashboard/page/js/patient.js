// One patient: all vitals on one time axis, filled from the topics and carried on by what comes.

import { AlertCard } from "./alert_card.js";
import { arrange, byId, element, onceAFrame, setText } from "./dom.js";
import { clock, moment, onceIn, span } from "./format.js";
import { classes, fullPlace, mark } from "./marks.js";
import { noColumns, Plot } from "./plot.js";
import { post, Refused } from "./server.js";
import * as store from "./store.js";
import { announce } from "./announce.js";
import { onTheme } from "./theme.js";

const MINUTE = 60_000;
const RANGES = [
  ["5 min", 5 * MINUTE],
  ["15 min", 15 * MINUTE],
  ["1 h", 60 * MINUTE],
  ["4 h", 240 * MINUTE],
  ["12 h", 720 * MINUTE],
  ["24 h", 1440 * MINUTE],
];
const LEAST_RANGE = MINUTE;
const MOST_RANGE = 24 * 60 * MINUTE;
/** Room to the right of now. */
const AHEAD = 0.02;
const REDRAW_MS = 500;
/** What comes live has no surprise yet and is not thinned: it is asked for again so often. */
const RELOAD_LEAST_MS = 10_000;
const RELOAD_MOST_MS = 120_000;
const READOUT_WIDTH = 172;
/** Of a vital's two charts together, in pixels; and what stands beneath all of them. */
const LEAST_HEIGHT = 116;
const MOST_HEIGHT = 190;
const AROUND = 60;

const view = { key: null, from: 0, to: 0, range: 15 * MINUTE, live: true, cursor: null };
let open = false;
let plots = new Map();
let cards = new Map();
let past = [];
let asked = 0;
let loaded = 0;
let dirty = false;

const host = byId("plots");

function points() {
  return Math.round(Math.max(host.clientWidth - READOUT_WIDTH, 200));
}

function follow() {
  const now = store.now();
  view.to = now + view.range * AHEAD;
  view.from = view.to - view.range;
}

/** Show this stretch; following now ends unless it says so. */
function look(from, to, live = false) {
  view.range = Math.min(Math.max(to - from, LEAST_RANGE), MOST_RANGE);
  view.live = live;
  if (live) follow();
  else {
    view.from = from;
    view.to = from + view.range;
  }
  showRange();
  dirty = true;
  redraw();
  reload();
}

function showRange() {
  byId("go-live").setAttribute("aria-pressed", String(view.live));
  for (const button of byId("ranges").children) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.ms) === view.range));
  }
}

const reload = later(150, async () => {
  if (!open) return;
  const number = ++asked;
  const { key, from, to } = view;
  loaded = Date.now();
  let answer;
  try {
    answer = await post("/api/history", { key, from_ms: Math.floor(from), to_ms: Math.ceil(to), points: points() });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (number === asked) fail(error);
    return;
  }
  if (number !== asked || key !== view.key || !open) return;
  take(answer);
});

function fail(error) {
  byId("patient-empty").hidden = false;
  setText(byId("patient-empty"), `The past cannot be shown: ${error.message}`);
}

function take(answer) {
  past = answer.alerts ?? [];
  const names = [...store.vitals.keys()].filter((name) => answer.vitals[name]?.t.length || plots.has(name));
  for (const name of names) {
    const plot = plotOf(name);
    plot.fill(answer.vitals[name] ?? noColumns(), answer.gaps);
  }
  byId("patient-empty").hidden = plots.size > 0;
  setText(byId("patient-empty"), "Nothing was measured in this time.");
  dirty = true;
  redraw();
  showAlerts();
}

function plotOf(name) {
  if (!plots.has(name)) {
    const plot = new Plot(store.vitals.get(name), view, marks, { cursor: moved, select: selected });
    plots.set(name, plot);
    rebuild();
  }
  return plots.get(name);
}

/** All charts anew, for a new vital, width or theme, in the order of the table of vitals. */
const rebuild = onceAFrame(() => {
  const shown = [...store.vitals.keys()].filter((name) => plots.has(name)).map((name) => plots.get(name));
  arrange(host, shown.map((plot) => plot.node));
  const room = window.innerHeight - host.getBoundingClientRect().top - window.scrollY - AROUND;
  const height = Math.min(Math.max(room / shown.length, LEAST_HEIGHT), MOST_HEIGHT);
  shown.forEach((plot, i) => plot.build(plot.room.clientWidth || points(), height, i === shown.length - 1));
  readNow();
});

/** Alerts to mark: those of the time shown and those that have come since. */
function marks() {
  const known = new Map(past.map((alert) => [alert.alert_id, alert]));
  for (const alert of store.ofPatient(view.key)) known.set(alert.alert_id, { ...known.get(alert.alert_id), ...alert });
  return [...known.values()].filter((alert) => (store.isActive(alert) || store.endedAt(alert) >= view.from) && alert.onset <= view.to);
}

function showAlerts() {
  const found = marks().sort((a, b) => b.time - a.time);
  const kept = new Map();
  const nodes = found.map((alert) => {
    const card = cards.get(alert.alert_id) ?? new AlertCard({ ...alert, acks: alert.acks ?? [] });
    card.update(store.alerts.get(alert.alert_id) ?? card.alert);
    kept.set(alert.alert_id, card);
    return card.node;
  });
  cards = kept;
  arrange(byId("patient-alerts"), nodes);
}

function redraw() {
  if (!open || !dirty) return;
  dirty = false;
  for (const plot of plots.values()) plot.redraw();
  readNow();
}

// The cursor: uPlot moves it with the mouse, the keys move it here.

const readNow = onceAFrame(() => {
  const ms = view.cursor ?? Math.min(store.now(), view.to);
  setText(byId("readout-time"), view.cursor === null ? "Latest values" : `At ${moment(ms)}`);
  for (const plot of plots.values()) plot.read(view.cursor ?? latestOf(plot, ms));
});

const latestOf = (plot, ms) => {
  const { t } = plot.columns;
  const last = t[t.length - 1] ?? ms;
  return Math.min(last, ms);
};

function moved(chart) {
  const { left } = chart.cursor;
  if (!Number.isFinite(left)) return;
  view.cursor = left < 0 ? null : chart.posToVal(left, "x");
  readNow();
}

function selected(chart) {
  const { left, width } = chart.select;
  if (width < 4) return;
  const from = chart.posToVal(left, "x");
  const to = chart.posToVal(left + width, "x");
  for (const plot of plots.values()) {
    for (const one of [plot.main, plot.strip]) one.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }
  look(from, to);
}

function step(part) {
  const at = view.cursor ?? Math.min(store.now(), view.to);
  view.cursor = Math.min(Math.max(at + view.range * part, view.from), view.to);
  for (const plot of plots.values()) plot.point(view.cursor);
  readNow();
  sayReading();
}

const sayReading = later(500, () => {
  announce([clock(view.cursor), ...[...plots.values()].map((plot) => plot.read(view.cursor))].join("; "));
});

const pan = (part) => look(view.from + view.range * part, view.to + view.range * part);

function zoom(factor) {
  const range = Math.min(Math.max(view.range * factor, LEAST_RANGE), MOST_RANGE);
  if (view.live) {
    look(view.to - range, view.to, true);
    return;
  }
  const middle = view.cursor ?? (view.from + view.to) / 2;
  const part = (middle - view.from) / view.range;
  look(middle - range * part, middle + range * (1 - part));
}

/** Keys of the charts, by what they do; main.js binds them and shows them in the help. */
export const plotKeys = {
  back: () => step(-0.01),
  forth: () => step(0.01),
  earlier: () => pan(-0.25),
  later: () => pan(0.25),
  closer: () => zoom(0.5),
  wider: () => zoom(2),
  live: () => look(0, view.range, true),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const name = { ArrowLeft: event.shiftKey ? "earlier" : "back", ArrowRight: event.shiftKey ? "later" : "forth" }[event.key];
  if (!name) return;
  event.preventDefault();
  plotKeys[name]();
}

/** Shift and the mouse, or a finger, move the time; Ctrl and the wheel zoom. */
function bindPointer() {
  let start = null;
  host.addEventListener(
    "pointerdown",
    (event) => {
      if (!event.shiftKey && event.pointerType !== "touch") return;
      start = { x: event.clientX, from: view.from, to: view.to };
    },
    true,
  );
  host.addEventListener(
    "mousedown",
    (event) => {
      if (event.shiftKey) event.stopPropagation();
    },
    true,
  );
  window.addEventListener("pointermove", (event) => {
    if (!start) return;
    const ms = ((start.x - event.clientX) / points()) * view.range;
    if (Math.abs(start.x - event.clientX) > 5) look(start.from + ms, start.to + ms);
  });
  for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, () => (start = null));
  host.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      if (event.ctrlKey) zoom(event.deltaY > 0 ? 1.25 : 0.8);
      else pan(Math.sign(event.deltaY || event.deltaX) * 0.1);
    },
    { passive: false },
  );
  host.addEventListener("dblclick", plotKeys.live);
}

function append(patient) {
  for (const [name, latest] of Object.entries(patient.vitals)) {
    if (!store.vitals.has(name) || latest.at_ms < view.from) continue;
    plotOf(name).append(latest, view.from - view.range);
  }
  dirty = true;
}

function showHead() {
  const patient = store.patients.get(view.key);
  if (!patient) {
    setText(byId("patient-heading"), "This patient is not on the stream");
    setText(byId("patient-state"), "");
    byId("patient-marks").replaceChildren();
    delete byId("patient-marks").dataset.marked;
    return;
  }
  setText(byId("patient-heading"), fullPlace(patient));
  const age = patient.last_ms ? `last reading ${span(store.now() - patient.last_ms)} ago` : "no reading yet";
  const rare = onceIn(patient.rarity);
  setText(byId("patient-state"), rare ? `${age} · a stable patient shows as much ${rare}` : age);
  const active = store.ofPatient(view.key).filter((alert) => store.isActive(alert) || store.isLatched(alert)).sort(store.urgency);
  // Made anew only when they differ, or they would never come to flash.
  const marked = active.map((alert) => `${alert.alert_id} ${classes(alert)}`).join();
  if (byId("patient-marks").dataset.marked === marked) return;
  byId("patient-marks").dataset.marked = marked;
  byId("patient-marks").replaceChildren(...active.map(mark));
}

/** Work that is done once, so long after it was last asked for. */
function later(ms, work) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, ms);
  };
}

function forget() {
  for (const plot of plots.values()) plot.destroy();
  plots = new Map();
  cards = new Map();
  past = [];
  host.replaceChildren();
  byId("patient-alerts").replaceChildren();
}

export const patientView = {
  show([key, time]) {
    open = true;
    if (key !== view.key) forget();
    view.key = key;
    view.cursor = null;
    const at = Number(time);
    showHead();
    if (at) look(at - view.range * 0.7, at + view.range * 0.3);
    else look(0, view.range, true);
  },
  hide() {
    open = false;
    forget();
    view.key = null;
  },
  get key() {
    return view.key;
  },
};

export function startPatient() {
  byId("ranges").append(
    ...RANGES.map(([text, ms]) => {
      const button = element("button", "", text, { type: "button", "data-ms": String(ms), "aria-pressed": "false" });
      button.addEventListener("click", () => {
        const end = view.live ? view.to : (view.from + view.to) / 2 + ms / 2;
        look(end - ms, end, view.live);
      });
      return button;
    }),
  );
  byId("go-live").addEventListener("click", plotKeys.live);
  host.addEventListener("keydown", onKey);
  bindPointer();
  store.on("numbers", (keys) => {
    if (open && keys.includes(view.key)) append(store.patients.get(view.key));
  });
  store.on("alert", ({ alert }) => {
    if (!open || alert.key !== view.key) return;
    showHead();
    showAlerts();
    dirty = true;
  });
  store.on("ward", () => {
    if (!open) return;
    if (store.renamed.has(view.key)) {
      location.replace(`#patient/${store.renamed.get(view.key)}`);
      return;
    }
    showHead();
    if (view.live) follow();
    reload();
  });
  setInterval(() => {
    if (!open) return;
    if (view.live) {
      follow();
      dirty = true;
      if (Date.now() - loaded > Math.min(Math.max(view.range / 60, RELOAD_LEAST_MS), RELOAD_MOST_MS)) reload();
    }
    showHead();
    redraw();
  }, REDRAW_MS);
  window.addEventListener("resize", onceAFrame(() => open && rebuild()));
  onTheme(() => open && rebuild());
}
