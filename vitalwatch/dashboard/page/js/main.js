// The page's beginning: who is looking, which view is open, how the connection is.

import { acknowledge, startAcknowledging } from "./alert_card.js";
import { alertInFocus, alertsView, moveAmongCards, startAlerts } from "./alerts.js";
import { startAnnouncing } from "./announce.js";
import { byId, setText } from "./dom.js";
import { clock, zone, zoneName } from "./format.js";
import { bind, showHelp, startKeys } from "./keys.js";
import { patientView, plotKeys, startPatient } from "./patient.js";
import { replayKeys, startReplay } from "./replay.js";
import { follow, get, post, Refused } from "./server.js";
import { startSound, toggleSound } from "./sound.js";
import * as store from "./store.js";
import { nextTheme, startTheme } from "./theme.js";
import { neighbour, searchWard, startWard, toggleRarity, wardView } from "./ward.js";

const RETRY_MS = 2000;
const TROUBLE_MS = 10_000;
const VIEWS = { ward: wardView, alerts: alertsView, patient: patientView };
const SOURCES = {
  ok: "Live",
  connecting: "Connecting to the broker",
  lost: "Source lost",
  missing_topic: "A topic is missing",
  catching_up: "Catching up",
};

let view = null;
let left = null;
let connection = { state: "connecting", since: Date.now() };

/** The view that the address names: its part after #, which no server or proxy sees. */
function route() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const next = name in VIEWS ? name : "ward";
  if (view === "patient") left = patientView.key ?? left;
  if (view && view !== next) VIEWS[view].hide();
  const came = view;
  view = next;
  for (const other of Object.keys(VIEWS)) byId(`view-${other}`).hidden = other !== next;
  byId("view-signin").hidden = true;
  for (const other of ["ward", "alerts"]) {
    if (other === next) byId(`to-${other}`).setAttribute("aria-current", "page");
    else byId(`to-${other}`).removeAttribute("aria-current");
  }
  VIEWS[next].show(rest);
  if (next === "patient" && came !== null) byId("patient-heading").focus();
  if (next === "ward" && came === "patient") wardView.focus(left);
  if (came !== next) window.scrollTo(0, 0);
}

const go = (fragment) => () => {
  location.hash = fragment;
};

function turn(step) {
  const next = patientView.key && neighbour(patientView.key, step);
  if (next) location.hash = `patient/${next}`;
}

/** Within a view a key may mean its own: arrows and J, K move among alerts. */
function bindKeys() {
  bind("Everywhere", [
    ["w", "the ward", go("ward")],
    ["a", "alerts", go("alerts")],
    ["h", "past alerts", go("alerts/history")],
    ["/", "search", () => (location.hash = "ward", requestAnimationFrame(searchWard))],
    ["k", "acknowledge the alert in focus, or the most urgent", () => acknowledge(alertInFocus())],
    ["s", "sound on or off", toggleSound],
    ["t", "theme: automatic, dark, light", nextTheme],
    ["?", "these keys", showHelp],
    ["Escape", "back; close", () => view === "patient" ? go("ward")() : document.activeElement?.blur()],
  ]);
  bind("Ward", [
    ["←↑→↓", "from patient to patient"],
    ["Enter", "open the patient"],
    ["r", "sort by rarity, or as the beds stand", toggleRarity],
  ]);
  bind("Alerts", [
    ["j", "next alert", () => moveAmongCards(1)],
    ["i", "alert before", () => moveAmongCards(-1)],
  ]);
  bind("Patient", [
    ["← →", "move the cursor (charts in focus)"],
    ["Shift ← →", "earlier, later (charts in focus)"],
    ["+", "zoom in", () => view === "patient" && plotKeys.closer()],
    ["-", "zoom out", () => view === "patient" && plotKeys.wider()],
    ["l", "follow now", () => view === "patient" && plotKeys.live()],
    ["n", "next patient", () => turn(1)],
    ["p", "patient before", () => turn(-1)],
  ]);
  bind("Replay", [
    [" ", "pause, go on", replayKeys.toggle],
    [",", "back 5 min", replayKeys.back],
    [".", "ahead 5 min", replayKeys.forth],
  ]);
}

/** How the connection is and, if it stands, how the server's own source is. */
function showConnection() {
  const { state, since } = connection;
  const source = store.state.source;
  let shown = state;
  let text = { live: SOURCES.ok, connecting: "Connecting", lost: "Reconnecting" }[state];
  let trouble = "";
  if (state === "lost") {
    trouble = `No connection to the server since ${clock(since)}. What is shown is from then, and not current.`;
  } else if (state === "live" && source && source.state !== "ok") {
    shown = ["connecting", "catching_up"].includes(source.state) ? "connecting" : "lost";
    text = SOURCES[source.state] ?? source.sentence ?? source.state;
    if (shown === "lost") trouble = `${source.sentence ?? text} What is shown is not current.`;
  } else if (state === "live" && store.me.mode !== "live") {
    text = "Connected";
  }
  byId("connection").dataset.state = shown;
  setText(byId("connection-text"), text);
  document.body.classList.toggle("not-current", shown === "lost");
  const more = source && (source.malformed || source.foreign)
    ? `${source.malformed} malformed and ${source.foreign} foreign records were left out.`
    : "";
  byId("connection").title = more;
  if (!trouble && source?.turned_away) {
    trouble = "More patients are on the stream than this page can show: some are missing here.";
  }
  showTrouble(trouble);
}

let passing = null;

function showTrouble(lasting) {
  const text = lasting || passing || "";
  byId("trouble").hidden = !text;
  setText(byId("trouble"), text);
}

function onTrouble(event) {
  passing = event.detail;
  showConnection();
  setTimeout(() => {
    passing = null;
    showConnection();
  }, TROUBLE_MS);
}

function showClock() {
  const now = store.now();
  setText(byId("clock"), `${clock(now, Date.now())} ${zoneName(now)}`);
}

function showBanner() {
  const { mode } = store.me;
  const text = store.state.banner ?? { simulated: "SIMULATED PATIENTS", replay: "REPLAY" }[mode] ?? "";
  byId("banner").hidden = !text;
  setText(byId("banner"), text);
}

function askForToken() {
  for (const name of Object.keys(VIEWS)) byId(`view-${name}`).hidden = true;
  byId("view-signin").hidden = false;
  byId("signin-token").focus();
}

async function signIn(event) {
  event.preventDefault();
  try {
    await post("/api/session", { token: byId("signin-token").value });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    setText(byId("signin-error"), error.message);
    return;
  }
  location.reload();
}

/** Ask until the server answers: a page that was opened too early begins by itself. */
async function begin() {
  try {
    Object.assign(store.me, await get("/api/me"));
    store.setVitals(await get("/api/vitals"));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) {
      askForToken();
      return;
    }
    connection = { state: "lost", since: connection.since };
    showConnection();
    setTimeout(begin, RETRY_MS);
    return;
  }
  setText(byId("title"), store.me.title === "VitalWatch" ? "" : store.me.title);
  setText(byId("version"), store.me.version ? `Version ${store.me.version}` : "");
  showBanner();
  window.addEventListener("hashchange", route);
  route();
  follow((state, since) => {
    connection = { state, since };
    showConnection();
  }, askForToken);
}

startTheme();
startWard();
startAlerts();
startAcknowledging(post);
startPatient();
startReplay();
startSound();
startAnnouncing();
startKeys();
bindKeys();
setText(byId("zone"), `Times in ${zone()}.`);
byId("skip").addEventListener("click", () => byId("main").focus());
byId("signin-form").addEventListener("submit", signIn);
window.addEventListener("trouble", onTrouble);
store.on("source", showConnection);
store.on("ward", showBanner);
store.on("clock", showClock);
setInterval(() => {
  showClock();
  showConnection();
}, 1000);
begin();
