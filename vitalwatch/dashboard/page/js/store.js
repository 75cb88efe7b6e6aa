// All that the page knows, and who wants to hear of changes. It is bounded: a patient has one
// record with its latest values and a sparkline, and of the alerts that are over only the latest
// are kept, so that a page that stays open does not grow.

import { collator } from "./format.js";

const ENDED_KEPT = 200;
const GONE_MS = 24 * 60 * 60_000;
const SPARK_MS = 30 * 60_000;
const SPARK_STEP_MS = 30_000;
const RANK = { low: 1, medium: 2, high: 3 };
/** How long a high alert that ended unacknowledged still marks its patient. */
const LATCHED_MS = 60 * 60_000;

export const me = { role: "view", name: null, mode: "live", title: "", version: "" };
export const patients = new Map();
export const alerts = new Map();
export const vitals = new Map();
export const state = { banner: null, source: null, replay: null, timeline: null };

/** A server that was started anew may have other keys for the same patients: by the old one. */
export const renamed = new Map();
let keys = new Map();

let alertsOf = new Map();
let ordered = null;
let names = null;
let ahead = 0;
let latest = 0;

const listeners = { ward: [], numbers: [], alert: [], source: [], replay: [], clock: [], unknown: [] };

/** Call `listener` on every event of that name. */
export function on(name, listener) {
  listeners[name].push(listener);
}

function tell(name, detail) {
  for (const listener of listeners[name]) listener(detail);
}

/** Now in the stream's time: the server's clock, or where a replay is. */
export function now() {
  return me.mode === "live" ? Date.now() + ahead : latest || Date.now();
}

function at(ms) {
  if (typeof ms !== "number") return;
  ahead = ms - Date.now();
  latest = ms;
}

export function setVitals(list) {
  vitals.clear();
  for (const vital of list) vitals.set(vital.name, vital);
}

/** The whole state anew: at the start, after a long break, after a seek. */
export function ward(message) {
  at(message.now_ms);
  me.mode = message.mode ?? me.mode;
  state.banner = message.banner || null;
  state.source = message.source ?? state.source;
  patients.clear();
  ordered = names = null;
  for (const patient of message.patients) {
    patients.set(patient.key, record(patient));
    const before = keys.get(patient.label);
    if (before && before !== patient.key) renamed.set(before, patient.key);
  }
  // A server that has just started knows nobody yet: what was known is kept until it does.
  if (patients.size) keys = new Map([...patients.values()].map(({ key, label }) => [label, key]));
  alerts.clear();
  alertsOf = new Map();
  for (const alert of message.alerts) keep(alert);
  if (message.replay) replay(message.replay);
  tell("ward");
  tell("source");
}

function record(patient) {
  return { ...patient, vitals: patient.vitals ?? {}, spark: patient.spark ?? null, changed: true };
}

/** One patient is new or has moved. */
export function patient(message) {
  const known = patients.has(message.key);
  patients.set(message.key, record(message));
  ordered = names = null;
  if (known) tell("numbers", [message.key]);
  tell("ward");
}

/** Take a sparkline of another vital. */
export function spark(key, line) {
  const patient = patients.get(key);
  if (!patient) return;
  patient.spark = line;
  patient.changed = true;
}

/** A patient is no longer on the stream. */
export function gone({ key }) {
  patients.delete(key);
  ordered = names = null;
  tell("ward");
}

/** Forget who has sent nothing for so long that the server has forgotten them, too. */
export function forgetGone() {
  const before = now() - GONE_MS;
  for (const { key, last_ms } of patients.values()) if (last_ms && last_ms < before) gone({ key });
}

/** New values of some patients. */
export function numbers(message) {
  at(message.now_ms);
  const changed = [];
  for (const [key, time, values, rarity, expected] of message.p) {
    const patient = patients.get(key);
    if (!patient) {
      tell("unknown");
      continue;
    }
    patient.last_ms = Math.max(patient.last_ms ?? 0, time);
    if (rarity !== null && rarity !== undefined) patient.rarity = rarity;
    for (const [name, v] of Object.entries(values)) {
      const band = expected?.[name];
      const known = patient.vitals[name];
      // An expectation comes with its score, which may be a moment after the reading.
      patient.vitals[name] = {
        v,
        at_ms: time,
        expected: band ? band[0] : known?.expected,
        lo: band ? band[1] : known?.lo,
        hi: band ? band[2] : known?.hi,
      };
    }
    extend(patient, time);
    patient.changed = true;
    changed.push(key);
  }
  tell("numbers", changed);
  tell("clock");
}

function extend(patient, time) {
  const spark = patient.spark;
  const latest = spark && patient.vitals[spark.vital];
  if (!latest || latest.at_ms !== time) return;
  const last = spark.t.length - 1;
  if (last >= 1 && time - spark.t[last - 1] < SPARK_STEP_MS) {
    spark.t[last] = time;
    spark.v[last] = latest.v;
    spark.lo[last] = latest.lo ?? null;
    spark.hi[last] = latest.hi ?? null;
    return;
  }
  spark.t.push(time);
  spark.v.push(latest.v);
  spark.lo.push(latest.lo ?? null);
  spark.hi.push(latest.hi ?? null);
  while (spark.t[0] < time - SPARK_MS) {
    for (const column of [spark.t, spark.v, spark.lo, spark.hi]) column.shift();
  }
}

function keep(alert) {
  const known = alerts.get(alert.alert_id);
  const acks = alert.acks?.length ? alert.acks : (known?.acks ?? []);
  alerts.set(alert.alert_id, { ...known, ...alert, acks });
  if (!alertsOf.has(alert.key)) alertsOf.set(alert.key, new Set());
  alertsOf.get(alert.key).add(alert.alert_id);
}

function forget() {
  const ended = [...alerts.values()].filter((alert) => alert.state === "over");
  if (ended.length <= ENDED_KEPT) return;
  ended.sort((a, b) => endedAt(a) - endedAt(b));
  for (const alert of ended.slice(0, ended.length - ENDED_KEPT)) {
    alerts.delete(alert.alert_id);
    const ids = alertsOf.get(alert.key);
    ids?.delete(alert.alert_id);
    if (ids?.size === 0) alertsOf.delete(alert.key);
  }
}

/** An alert was raised, escalated, updated or cleared. */
export function alert(message) {
  const fresh = !alerts.has(message.alert_id);
  keep(message);
  forget();
  const patient = patients.get(message.key);
  if (patient) patient.changed = true;
  tell("alert", { alert: alerts.get(message.alert_id), fresh });
}

/** Somebody acknowledged an alert, here or on another page. */
export function ack({ alert_id, name, note, time_ms }) {
  const known = alerts.get(alert_id);
  if (!known) return;
  if (known.acks.some((other) => other.time_ms === time_ms && other.name === name)) return;
  const now = { ...known, acks: [...known.acks, { name, note, time_ms }] };
  alerts.set(alert_id, now);
  const patient = patients.get(known.key);
  if (patient) patient.changed = true;
  tell("alert", { alert: now, fresh: false });
}

export function source(message) {
  state.source = message;
  tell("source");
}

export function replay(message) {
  state.timeline = message.timeline ?? state.timeline;
  state.replay = message;
  at(message.at_ms);
  tell("replay");
  tell("clock");
}

/** Whether an alert still asks to be looked at: active, or high and ended without anyone knowing. */
export const isActive = (alert) => alert.state !== "over";
export const isAcknowledged = (alert) => alert.acks.length > 0;
/** When the last event of an alert was. */
export const endedAt = (alert) => alert.over_ms ?? alert.time;
export const isLatched = (alert) =>
  !isActive(alert) &&
  !isAcknowledged(alert) &&
  alert.kind === "physiological" &&
  alert.priority === "high" &&
  now() - endedAt(alert) < LATCHED_MS;

/** The most urgent first: by kind, priority, then the newest. */
export function urgency(a, b) {
  const weight = (alert) => (isActive(alert) ? 10 : 0) + RANK[alert.priority];
  return weight(b) - weight(a) || b.time - a.time;
}

/** What marks a patient: the alert that matters most, or null. */
export function worst(patient) {
  let found = null;
  const weight = (alert) =>
    (isActive(alert) ? 100 : 0) + (alert.kind === "physiological" ? 10 : 0) + RANK[alert.priority] + (isAcknowledged(alert) ? 0 : 0.5);
  for (const id of alertsOf.get(patient.key) ?? []) {
    const alert = alerts.get(id);
    if (!isActive(alert) && !isLatched(alert)) continue;
    if (!found || weight(alert) > weight(found)) found = alert;
  }
  return found;
}

/** All alerts of a patient that the page still holds. */
export const ofPatient = (key) => [...(alertsOf.get(key) ?? [])].map((id) => alerts.get(id));

/** Patients as they stand in the ward: by ward, bed and label, whatever their values are. */
export function inOrder() {
  ordered ??= [...patients.values()].sort(
    (a, b) =>
      collator.compare(a.ward ?? "", b.ward ?? "") ||
      collator.compare(a.bed ?? "\uffff", b.bed ?? "\uffff") ||
      collator.compare(a.label, b.label),
  );
  return ordered;
}

/** Wards by name. */
export function wards() {
  names ??= [...new Set([...patients.values()].map((one) => one.ward).filter(Boolean))].sort(collator.compare);
  return names;
}
