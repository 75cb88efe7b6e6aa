// Dark or light, as the system has it or as the viewer chose, and the colours for canvases.

import { byId, setText } from "./dom.js";
import { load, save } from "./settings.js";

const CHOICES = ["auto", "dark", "light"];
const light = matchMedia("(prefers-color-scheme: light)");
const listeners = [];
let choice = load("theme", "auto");
let cache = new Map();

const VARIABLES = { hr: "--hr", spo2: "--spo2", rr: "--rr", sbp: "--bp", dbp: "--bp", map: "--bp", temp: "--temp", etco2: "--co2" };

/** Call when the colours change. */
export const onTheme = (listener) => listeners.push(listener);

/** A colour of the style sheet. */
export function colour(variable) {
  if (!cache.has(variable)) {
    cache.set(variable, getComputedStyle(document.documentElement).getPropertyValue(variable).trim());
  }
  return cache.get(variable);
}

/** The colours in which a vital is drawn. */
export const colours = (vital) => ({ line: colour(VARIABLES[vital] ?? "--text"), band: colour("--band") });

function apply() {
  const theme = choice === "auto" ? (light.matches ? "light" : "dark") : choice;
  document.documentElement.dataset.theme = theme;
  setText(byId("theme"), `Theme: ${choice}`);
  cache = new Map();
  for (const listener of listeners) listener();
}

/** The next of automatic, dark and light. */
export function nextTheme() {
  choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
  save("theme", choice);
  apply();
}

export function startTheme() {
  light.addEventListener("change", apply);
  byId("theme").addEventListener("click", nextTheme);
  apply();
}
