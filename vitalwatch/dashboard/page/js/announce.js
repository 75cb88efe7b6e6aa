// What a screen reader is told: never more than one message in some seconds, however much happens.

import { byId } from "./dom.js";
import { STARS, place, words } from "./marks.js";
import * as store from "./store.js";

const EVERY_MS = 5000;

const waiting = new Map();
let last = 0;
let timer = null;

/** Say something that the viewer asked for, at once. */
export function announce(text) {
  byId("announcer").textContent = text;
}

function speak() {
  timer = null;
  last = Date.now();
  const all = [...waiting.values()].sort(store.urgency);
  waiting.clear();
  if (!all.length) return;
  const [first] = all;
  const rest = all.length > 1 ? ` And ${all.length - 1} more.` : "";
  announce(`${words(first).replaceAll("*", "").trim()}: ${place(first)}: ${first.sentence}.${rest}`);
}

export function startAnnouncing() {
  store.on("alert", ({ alert, fresh }) => {
    const news = fresh || alert.event === "escalated";
    if (!news || !store.isActive(alert) || !(alert.priority in STARS)) return;
    waiting.set(alert.alert_id, alert);
    timer ??= setTimeout(speak, Math.max(0, last + EVERY_MS - Date.now()));
  });
}
