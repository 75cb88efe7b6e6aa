// Alerts: those of now, the most urgent and newest first, technical ones apart; and the history.

import { AlertCard } from "./alert_card.js";
import { arrange, byId, element, onceAFrame, setText } from "./dom.js";
import { clock } from "./format.js";
import { download, post, Refused } from "./server.js";
import * as store from "./store.js";

const KINDS = ["physiological", "technical"];
const PAGE = 50;
/** So many that are over stay among those of now. */
const ENDED_SHOWN = { physiological: 10, technical: 4 };
const TICK_MS = 5000;

const cards = new Map();
let open = false;
let history = [];
let historyCards = [];

/** The card of an alert; it is kept, so that focus and reading place stay. */
function card(alert) {
  let known = cards.get(alert.alert_id);
  if (!known) {
    known = new AlertCard(alert);
    cards.set(alert.alert_id, known);
  }
  known.update(alert);
  return known.node;
}

const render = onceAFrame(() => {
  const waiting = [...store.alerts.values()].filter((a) => needsLook(a)).length;
  byId("unacknowledged").hidden = waiting === 0;
  setText(byId("unacknowledged"), `${waiting} new`);
  document.title = waiting ? `(${waiting}) VitalWatch` : "VitalWatch";
  for (const id of cards.keys()) if (!store.alerts.has(id)) cards.delete(id);
  if (!open) return;
  for (const kind of KINDS) {
    const all = [...store.alerts.values()].filter((alert) => alert.kind === kind).sort(store.urgency);
    const active = all.filter((alert) => store.isActive(alert) || store.isLatched(alert));
    const ended = all.filter((alert) => !active.includes(alert)).slice(0, ENDED_SHOWN[kind]);
    const list = byId(kind);
    arrange(list, [...active, ...ended].map(card));
    setText(byId(`${kind}-heading`).querySelector(".n"), String(active.length));
    list.nextElementSibling.hidden = list.children.length > 0;
  }
});

/** Whether nobody has acknowledged a physiological alert that is active or latched. */
export const needsLook = (alert) =>
  alert.kind === "physiological" && !store.isAcknowledged(alert) && (store.isActive(alert) || store.isLatched(alert));

function filters() {
  const form = new FormData(byId("history-form"));
  const chosen = {};
  const ms = (name) => (form.get(name) ? new Date(form.get(name)).getTime() : null);
  if (form.get("kind")) chosen.kinds = [form.get("kind")];
  if (form.get("priority")) chosen.priorities = [form.get("priority")];
  if (form.get("acknowledged")) chosen.acknowledged = form.get("acknowledged") === "yes";
  if (form.get("ward")) chosen.ward = form.get("ward");
  if (form.get("search").trim()) chosen.search = form.get("search").trim();
  if (ms("from") !== null) chosen.from_ms = ms("from");
  if (ms("to") !== null) chosen.to_ms = ms("to");
  return chosen;
}

/** Ask for the newest of the history, or for what comes before what is shown. */
async function loadHistory(more = false) {
  const body = { ...filters(), limit: PAGE };
  if (more && history.length) body.before = store.endedAt(history[history.length - 1]);
  let answer;
  try {
    answer = await post("/api/alerts", body);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    setText(byId("history-shown"), error.message);
    return;
  }
  if (!more) history = [];
  const known = new Set(history.map((alert) => alert.alert_id));
  history.push(...answer.alerts.filter((alert) => !known.has(alert.alert_id)));
  historyCards = history.map((alert) => new AlertCard({ ...alert, acks: alert.acks ?? [] }));
  byId("history").replaceChildren(...historyCards.map((one) => one.node));
  byId("history-more").hidden = !answer.more;
  setText(
    byId("history-shown"),
    history.length
      ? `${history.length} alerts, back to ${clock(store.endedAt(history[history.length - 1]), store.now())}`
      : "No alert matches.",
  );
}

async function exportHistory() {
  try {
    await download("/api/alerts/export", filters(), "alerts.jsonl");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    setText(byId("history-shown"), `Not exported: ${error.message}`);
  }
}

/** The alert whose card has the focus, or the most urgent that nobody acknowledged. */
export function alertInFocus() {
  const focused = document.activeElement?.closest?.(".card");
  if (focused) return store.alerts.get(focused.dataset.alert) ?? focused.card.alert;
  return [...store.alerts.values()].filter(needsLook).sort(store.urgency)[0] ?? null;
}

/** Move the focus from card to card; false where there is none to move from. */
export function moveAmongCards(step) {
  const all = [...document.querySelectorAll("main section:not([hidden]) .card")].filter((node) => node.offsetParent);
  if (!all.length) return false;
  const position = all.indexOf(document.activeElement?.closest?.(".card"));
  const next = all[Math.min(Math.max(position + step, 0), all.length - 1)];
  next.querySelector("a").focus();
  next.scrollIntoView({ block: "nearest" });
  return true;
}

export const alertsView = {
  show(rest) {
    open = true;
    const past = rest[0] === "history";
    byId("alerts-active").hidden = past;
    byId("alerts-history").hidden = !past;
    for (const [id, current] of [["tab-active", !past], ["tab-history", past]]) {
      if (current) byId(id).setAttribute("aria-current", "page");
      else byId(id).removeAttribute("aria-current");
    }
    setText(byId("alerts-role"), store.me.role === "acknowledge" ? "" : "Read only: you may not acknowledge.");
    const select = byId("history-form").elements.ward;
    const chosen = select.value;
    select.replaceChildren(element("option", "", "all", { value: "" }), ...store.wards().map((name) => element("option", "", name, { value: name })));
    select.value = chosen;
    if (past) loadHistory();
    render();
  },
  hide() {
    open = false;
    history = [];
    historyCards = [];
    byId("history").replaceChildren();
  },
};

export function startAlerts() {
  byId("history-form").addEventListener("submit", (event) => {
    event.preventDefault();
    loadHistory();
  });
  byId("history-more").addEventListener("click", () => loadHistory(true));
  byId("history-export").addEventListener("click", exportHistory);
  store.on("ward", () => {
    render();
    if (open && !byId("alerts-history").hidden) loadHistory();
  });
  store.on("alert", ({ alert }) => {
    for (const one of historyCards) if (one.id === alert.alert_id) one.update(alert);
    render();
  });
  setInterval(() => {
    if (!open) return;
    for (const one of [...cards.values(), ...historyCards]) one.tick();
  }, TICK_MS);
}
