// One alert as a card: what, since when, who drives it, and what can be done with it.

import { byId, element, setText } from "./dom.js";
import { clock, onceIn, range, span, value } from "./format.js";
import { classes, colour, fullPlace, limitsOf, words } from "./marks.js";
import { download, Refused } from "./server.js";
import { load, save } from "./settings.js";
import * as store from "./store.js";

/** A card that `update(alert)` brings up to date without building it anew. */
export class AlertCard {
  constructor(alert) {
    this.id = alert.alert_id;
    this.mark = element("span", "mark");
    this.place = element("a", "card-place");
    this.since = element("span", "card-since");
    this.sentence = element("p", "card-sentence");
    this.drivers = element("table", "drivers");
    this.acks = element("ul", "acks", [], { role: "list" });
    this.acknowledge = element("button", "primary", "Acknowledge", { type: "button" });
    this.acknowledge.addEventListener("click", () => acknowledge(store.alerts.get(this.id) ?? this.alert));
    this.export = element("button", "", "Export", { type: "button" });
    this.export.addEventListener("click", () => exportAlert(this.id));
    this.open = element("a", "button", "Show in the stream");
    this.node = element("li", "card", [
      element("div", "card-head", [this.mark, this.place, this.since]),
      this.sentence,
      this.drivers,
      this.acks,
      element("div", "buttons", [this.acknowledge, this.open, this.export]),
    ]);
    this.node.dataset.alert = alert.alert_id;
    this.node.card = this;
    this.update(alert);
  }

  update(alert) {
    if (this.alert === alert) {
      this.tick();
      return;
    }
    const before = this.alert;
    this.alert = alert;
    this.node.dataset.kind = colour(alert);
    this.node.classList.toggle("ended", !store.isActive(alert));
    this.mark.className = classes(alert);
    setText(this.mark, words(alert));
    setText(this.place, fullPlace(alert));
    this.place.href = `#patient/${alert.key}`;
    this.open.href = `#patient/${alert.key}/${alert.time}`;
    setText(this.sentence, alert.sentence);
    if (!before || JSON.stringify(before.drivers) !== JSON.stringify(alert.drivers)) this.#drivers(alert);
    this.acks.replaceChildren(...alert.acks.map(told));
    const noted = alert.kind === "technical" && !store.isActive(alert);
    this.acknowledge.hidden = noted || store.me.role !== "acknowledge";
    setText(this.acknowledge, store.isAcknowledged(alert) ? "Acknowledge again" : "Acknowledge");
    const named = `${words(alert)} ${fullPlace(alert)}`;
    for (const [node, what] of [[this.acknowledge, "Acknowledge"], [this.export, "Export"], [this.open, "Show in the stream"]]) {
      node.setAttribute("aria-label", `${what}: ${named}`);
    }
    this.tick();
  }

  /** Since when, which goes on by itself. */
  tick() {
    const { alert } = this;
    const now = store.now();
    const since = alert.onset;
    const rare = onceIn(alert.rarity);
    const began = `since ${clock(since, now)}`;
    const text = store.isActive(alert)
      ? `${began} (${span(now - since)})`
      : `${began}, ended ${clock(store.endedAt(alert), now)}`;
    setText(this.since, rare ? `${text} · ${rare}` : text);
  }

  #drivers(alert) {
    const { drivers } = alert;
    this.drivers.hidden = drivers.length === 0;
    this.drivers.replaceChildren(
      element("caption", "unseen", "What drives it"),
      element("thead", "", element("tr", "", ["Vital", "Share", "Observed", "Expected"].map((name) => element("th", "", name, { scope: "col" })))),
      element("tbody", "", drivers.map((driver) => driverRow(driver, alert))),
    );
  }
}

function driverRow(driver, alert) {
  const vital = store.vitals.get(driver.vital);
  const decimals = vital?.decimals ?? 0;
  const unit = vital?.unit ?? "";
  const share = Math.round(driver.share * 100);
  const bar = element("meter", "", `${share} %`, { min: "0", max: "100", value: String(share), "aria-label": "share" });
  const expected = range(driver.low, driver.high, decimals);
  const limit = limitsOf(alert, vital).find((end) => end !== null);
  return element("tr", "", [
    element("th", driver.vital, vital?.label ?? driver.vital, { scope: "row" }),
    element("td", "share", [bar, element("span", "", `${share} %`)]),
    element("td", `observed ${driver.vital}`, driver.observed === null ? "–" : `${value(driver.observed, decimals)} ${unit}`),
    element("td", "", (expected || "–") + (limit === undefined ? "" : `, limit ${limit}`)),
  ]);
}

function told({ name, note, time_ms }) {
  const text = `✓ Acknowledged by ${name} at ${clock(time_ms, Date.now())}`;
  return element("li", "", note ? `${text}: ${note}` : text);
}

async function exportAlert(id) {
  try {
    await download("/api/alerts/export", { alert_id: id }, `alert-${id}.jsonl`);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    window.dispatchEvent(new CustomEvent("trouble", { detail: `Not exported: ${error.message}` }));
  }
}

let asked = null;
let before = null;

/** Ask for a name and a note, and post them. */
export function acknowledge(alert) {
  if (!alert || store.me.role !== "acknowledge") return;
  asked = alert;
  before = document.activeElement;
  const name = byId("acknowledge-name");
  name.value = store.me.name ?? load("name", "");
  name.readOnly = Boolean(store.me.name);
  byId("acknowledge-note").value = "";
  setText(byId("acknowledge-error"), "");
  setText(byId("acknowledge-what"), `${words(alert)} ${fullPlace(alert)}: ${alert.sentence}`);
  byId("acknowledge").showModal();
  (name.value ? byId("acknowledge-note") : name).focus();
}

export function startAcknowledging(post) {
  const dialog = byId("acknowledge");
  byId("acknowledge-cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    if (before?.isConnected) before.focus();
  });
  byId("acknowledge-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = byId("acknowledge-name").value.trim();
    const note = byId("acknowledge-note").value.trim();
    if (!name) {
      setText(byId("acknowledge-error"), "Say who acknowledges it.");
      return;
    }
    try {
      await post("/api/acks", note ? { alert_id: asked.alert_id, name, note } : { alert_id: asked.alert_id, name });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setText(byId("acknowledge-error"), `Not acknowledged: ${error.message}`);
      return;
    }
    if (!store.me.name) save("name", name);
    dialog.close();
  });
}
