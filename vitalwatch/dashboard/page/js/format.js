// Times, values and durations as people read them, in the viewer's time zone.

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const zoned = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });

/** The zone in short at that time: "CET". */
export function zoneName(ms) {
  return zoned.formatToParts(ms).find((part) => part.type === "timeZoneName")?.value ?? "";
}

/** The zone's full name: "Europe/Berlin". */
export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Time of day to the second; with the day if it is another than that of `now`. */
export function clock(ms, now = ms) {
  const text = time.format(ms);
  return day.format(ms) === day.format(now) ? text : `${day.format(ms)} ${text}`;
}

/** Time of day to the minute. */
export const minute = (ms) => timeOfDay.format(ms);

/** Day and time with its zone, for where a moment stands alone. */
export const moment = (ms) => `${day.format(ms)} ${time.format(ms)} ${zoneName(ms)}`;

/** A duration, short: "12 s", "5 min", "3 h", "2 d". */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`;
}

/** How seldom: "once in 8 d" for a rarity in patient-days. */
export function onceIn(rarity) {
  if (rarity === null || rarity === undefined) return "";
  return `once in ${span(Math.min(rarity, 9999) * 86_400_000)}`;
}

/** A vital's value with its decimals; a dash for what was not measured, which is never 0. */
export function value(number, decimals = 0) {
  return number === null || number === undefined ? "–" : number.toFixed(decimals);
}

/** Lowest to highest expected value. */
export function range(low, high, decimals = 0) {
  return low === null || low === undefined ? "" : `${value(low, decimals)} to ${value(high, decimals)}`;
}

export const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
