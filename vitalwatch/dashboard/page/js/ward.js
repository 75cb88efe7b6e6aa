// The overview: all patients in stable order, as many as there are.

import { arrange, byId, element, onceAFrame, setText } from "./dom.js";
import { fullPlace } from "./marks.js";
import { post, Refused } from "./server.js";
import * as store from "./store.js";
import { onTheme } from "./theme.js";
import { hasNoData, Tile } from "./tile.js";

/** Least width and height of a tile, by how many patients there are at most, and what it shows. */
const DENSITIES = [
  { most: 24, width: 250, height: 118, name: "large" },
  { most: 100, width: 136, height: 62, name: "medium" },
  { most: Infinity, width: 92, height: 46, name: "small" },
];
const GAP = 5;
const TALLEST = 0.72;
/** Height of a tile by its width where the page scrolls. */
const RATIO = 0.42;
const SPARK_MS = 30 * 60_000;
const SPARK_POINTS = 60;
/** Ages go on although nothing comes. */
const TICK_MS = 1000;
const FORGET_MS = 60_000;

const tiles = new Map();
const filters = { priorities: new Set(), ward: "", search: "", byRarity: false };
let shown = [];
let active = "";
let open = false;

const grid = byId("grid");
const onScreen = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const tile = entry.target.tile;
      tile.visible = entry.isIntersecting;
      const patient = store.patients.get(tile.key);
      if (tile.visible && patient) {
        tile.update(patient, store.now());
        tile.drawSpark(patient);
      }
    }
  },
  { rootMargin: "100px" },
);

/** What a patient counts as among the filters: the kind of its worst alert, or that nothing comes. */
function standing(patient, now) {
  const worst = store.worst(patient);
  const found = [];
  if (worst && store.isActive(worst)) found.push(worst.kind === "technical" ? "technical" : worst.priority);
  if (worst && !store.isActive(worst)) found.push("high");
  if (hasNoData(patient, now)) found.push("no_data");
  return found;
}

function matches(patient, standings) {
  const { priorities, ward, search } = filters;
  if (priorities.size && !standings.some((name) => priorities.has(name))) return false;
  if (ward && patient.ward !== ward) return false;
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${fullPlace(patient)} ${patient.label}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Which patients stand where; and how many there are of each kind. */
function select() {
  const now = store.now();
  const counts = { high: 0, medium: 0, low: 0, technical: 0, no_data: 0 };
  const chosen = [];
  for (const patient of store.inOrder()) {
    const standings = standing(patient, now);
    for (const name of standings) counts[name] += 1;
    if (matches(patient, standings)) chosen.push(patient);
  }
  if (filters.byRarity) chosen.sort((a, b) => (b.rarity ?? -1) - (a.rarity ?? -1));
  for (const button of byId("ward-priorities").querySelectorAll("button")) {
    setText(button.querySelector(".n"), String(counts[button.dataset.filter]));
  }
  return chosen;
}

const render = onceAFrame(() => {
  const chosen = select();
  const nodes = chosen.map((patient) => {
    if (!tiles.has(patient.key)) {
      const tile = new Tile(patient);
      tiles.set(patient.key, tile);
      tile.update(patient, store.now());
      onScreen.observe(tile.node);
    }
    return tiles.get(patient.key).node;
  });
  for (const [key, tile] of tiles) {
    if (store.patients.has(key)) continue;
    onScreen.unobserve(tile.node);
    tiles.delete(key);
  }
  shown = chosen.map((patient) => patient.key);
  arrange(grid, nodes);
  rove();
  const all = store.patients.size;
  setText(byId("ward-shown"), shown.length === all ? `${all} patients` : `${shown.length} of ${all} patients`);
  byId("ward-empty").hidden = shown.length > 0;
  setText(byId("ward-empty"), all ? "No patient matches the filters." : "No patient has been seen yet.");
  fillWards();
  layout();
  updateAll();
});

function fillWards() {
  const select = byId("ward-select");
  const names = store.wards();
  if ([...select.options].slice(1).map((option) => option.value).join("\n") === names.join("\n")) return;
  select.replaceChildren(element("option", "", "all", { value: "" }), ...names.map((name) => element("option", "", name, { value: name })));
  select.value = names.includes(filters.ward) ? filters.ward : "";
  filters.ward = select.value;
}

/** As large as fits without scrolling; where not even the least size fits, the page scrolls. */
function layout() {
  if (!open) return;
  const count = Math.max(shown.length, 1);
  const density = DENSITIES.find(({ most }) => count <= most);
  const width = grid.clientWidth;
  const top = grid.getBoundingClientRect().top + window.scrollY;
  const foot = document.querySelector(".foot").offsetHeight + (byId("replay").hidden ? 0 : byId("replay").offsetHeight);
  const height = window.innerHeight - top - foot - 10;
  const most = Math.max(1, Math.floor((width + GAP) / (density.width + GAP)));
  const each = (width - GAP * (most - 1)) / most;
  let best = { columns: most, row: Math.max(density.height, each * RATIO) };
  for (let columns = 1; columns <= most; columns++) {
    const each = (width - GAP * (columns - 1)) / columns;
    const rows = Math.ceil(count / columns);
    const row = Math.min((height - GAP * (rows - 1)) / rows, each * TALLEST);
    if (row >= density.height && (best.area ?? 0) < each * row) best = { columns, row, area: each * row };
  }
  grid.style.setProperty("--columns", best.columns);
  grid.style.setProperty("--row", `${Math.floor(best.row)}px`);
  grid.dataset.density = density.name;
}

function updateAll() {
  const now = store.now();
  for (const key of shown) {
    const tile = tiles.get(key);
    if (tile?.visible) tile.update(store.patients.get(key), now);
  }
}

const updateChanged = onceAFrame(() => {
  const now = store.now();
  for (const key of shown) {
    const tile = tiles.get(key);
    const patient = store.patients.get(key);
    if (!patient?.changed || !tile.visible) continue;
    patient.changed = false;
    tile.update(patient, now);
  }
});

/** One tile takes part in the Tab order; arrows move among the others. */
function rove() {
  if (!shown.includes(active)) active = shown[0] ?? "";
  for (const key of shown) tiles.get(key).link.tabIndex = key === active ? 0 : -1;
}

function move(event) {
  const position = shown.indexOf(document.activeElement?.closest(".tile")?.dataset.key);
  if (position < 0) return;
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -position, End: shown.length - 1 - position };
  if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const next = Math.min(Math.max(position + steps[event.key], 0), shown.length - 1);
  focusPatient(shown[next]);
}

/** Put the keyboard's focus on a patient's tile. */
export function focusPatient(key) {
  const tile = tiles.get(key);
  if (!tile) return;
  active = key;
  rove();
  tile.link.focus();
}

/** The patient before or after one, as they stand. */
export function neighbour(key, step) {
  const order = shown.length ? shown : store.inOrder().map((patient) => patient.key);
  const position = order.indexOf(key);
  return order[(position + step + order.length) % order.length] ?? key;
}

/** The sparkline becomes that of the vital which drives a new alert. */
async function showDriver({ alert, fresh }) {
  const name = alert.drivers[0]?.vital;
  const patient = store.patients.get(alert.key);
  if (!fresh || alert.kind === "technical" || !name || !patient || patient.spark?.vital === name) return;
  const to = store.now();
  let answer;
  try {
    answer = await post("/api/history", { key: alert.key, from_ms: Math.round(to - SPARK_MS), to_ms: Math.round(to), points: SPARK_POINTS });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return; // the sparkline stays what it was
  }
  const found = answer.vitals[name];
  if (found) store.spark(alert.key, { vital: name, t: found.t, v: found.v, lo: found.lo, hi: found.hi });
}

export function toggleRarity() {
  filters.byRarity = !filters.byRarity;
  byId("ward-sort").setAttribute("aria-pressed", String(filters.byRarity));
  render();
}

export function searchWard() {
  byId("ward-search").focus();
}

export const wardView = {
  show() {
    open = true;
    render();
  },
  hide() {
    open = false;
  },
  /** Where the focus comes back to from a patient's view. */
  focus: (key) => requestAnimationFrame(() => focusPatient(key || active)),
};

export function startWard() {
  byId("ward-filters").addEventListener("submit", (event) => event.preventDefault());
  byId("ward-priorities").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const name = button.dataset.filter;
    if (!filters.priorities.delete(name)) filters.priorities.add(name);
    button.setAttribute("aria-pressed", String(filters.priorities.has(name)));
    render();
  });
  byId("ward-select").addEventListener("change", (event) => {
    filters.ward = event.target.value;
    render();
  });
  byId("ward-search").addEventListener("input", (event) => {
    filters.search = event.target.value;
    render();
  });
  byId("ward-sort").addEventListener("click", toggleRarity);
  grid.addEventListener("keydown", move);
  grid.addEventListener("focusin", (event) => {
    active = event.target.closest(".tile")?.dataset.key ?? active;
    rove();
  });
  const guarded = (work) => () => open && work();
  store.on("ward", render);
  store.on("alert", render);
  store.on("alert", showDriver);
  store.on("numbers", guarded(updateChanged));
  setInterval(store.forgetGone, FORGET_MS);
  window.addEventListener("resize", onceAFrame(layout));
  onTheme(() => {
    for (const tile of tiles.values()) {
      const patient = store.patients.get(tile.key);
      if (tile.visible && patient) tile.drawSpark(patient);
    }
  });
  setInterval(
    guarded(() => {
      // Who has no data, and who is rarest, changes with time alone.
      if (filters.byRarity || filters.priorities.size) render();
      else {
        select();
        updateAll();
      }
    }),
    TICK_MS,
  );
}
