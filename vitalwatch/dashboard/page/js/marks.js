// Priorities and reasons as people see them: stars, words and limits beside the colour.

import { element } from "./dom.js";
import { value } from "./format.js";
import * as store from "./store.js";

export const STARS = { high: "***", medium: "**", low: "*" };
const WORDS = { high: "HIGH", medium: "MED", low: "LOW" };

/** The class that colours an alert: its priority, or that it is technical. */
export function colour(alert) {
  if (alert.kind === "technical") return "technical";
  return alert.priority;
}

/** The style sheet's colour in which an alert is drawn in a chart. */
export const lineColour = (kind, priority) => (kind === "technical" ? "--tech" : `--${priority}-line`);

/** What an alert is marked with: "*** HIGH", "TECH". */
export function words(alert) {
  const technical = alert.priority === "low" ? "TECH" : `TECH ${WORDS[alert.priority]}`;
  const text = alert.kind === "technical" ? technical : `${STARS[alert.priority]} ${WORDS[alert.priority]}`;
  return store.isActive(alert) ? text : `${text} ended`;
}

/** Classes of a mark: only what is active and not acknowledged flashes; colour stays. */
export function classes(alert) {
  const names = ["mark", colour(alert)];
  if (!store.isActive(alert)) names.push("over");
  if (store.isAcknowledged(alert)) names.push("acknowledged");
  else if (store.isActive(alert) && alert.kind === "physiological" && alert.priority !== "low") {
    names.push(`flash-${alert.priority}`);
  }
  return names.join(" ");
}

export function mark(alert) {
  const node = element("span", classes(alert), words(alert));
  if (store.isAcknowledged(alert)) node.title = "acknowledged";
  return node;
}

/** The text of a monitor's alarm line: "**SpO2 94<96", with the value of now where it still holds. */
export function limitText(alert, patient) {
  const stars = alert.kind === "physiological" ? STARS[alert.priority] : "";
  const driver = alert.drivers[0];
  if (!driver) return stars + alert.sentence;
  const vital = store.vitals.get(driver.vital);
  const label = vital?.label ?? driver.vital;
  const decimals = vital?.decimals ?? 0;
  if (alert.kind === "technical") return `${label}: ${alert.condition.replace(`${driver.vital}_`, "").replaceAll("_", " ")}`;
  const [low, high] = bounds(alert, driver, vital);
  const current = patient?.vitals[driver.vital]?.v ?? driver.observed;
  for (const seen of [current, driver.observed]) {
    if (seen === null || seen === undefined) continue;
    if (low !== null && seen < low) return `${stars}${label} ${value(seen, decimals)}<${value(low, decimals)}`;
    if (high !== null && seen > high) return `${stars}${label} ${value(seen, decimals)}>${value(high, decimals)}`;
  }
  // Still as expected of this patient, but changing: which way.
  const way = { "-1": "↓", 1: "↑" }[Math.sign((driver.observed ?? 0) - (driver.expected ?? driver.observed ?? 0))] ?? "";
  return `${stars}${label} ${value(current, decimals)}${way}`;
}

/** The limit that an alert is about, low and high, or [null, null]. */
export function limitsOf(alert, vital) {
  // One of high priority is about the critical limit.
  const [low, high] = (alert.priority === "high" ? vital?.critical : vital?.limits) ?? [null, null];
  if (alert.condition === `${vital?.name}_low`) return [low, null];
  if (alert.condition === `${vital?.name}_high`) return [null, high];
  return [null, null];
}

function bounds(alert, driver, vital) {
  const [low, high] = limitsOf(alert, vital);
  return low === null && high === null ? [driver.low ?? null, driver.high ?? null] : [low, high];
}

/** Where a patient lies: "Bed 3", or the pseudonym where no bed is known. */
export const place = (patient) => (patient.bed ? `Bed ${patient.bed}` : patient.label);

/** Bed, ward and pseudonym, for where there is room. */
export function fullPlace(patient) {
  const parts = [place(patient), patient.ward];
  if (patient.bed) parts.push(patient.label);
  return parts.filter(Boolean).join(" · ");
}
