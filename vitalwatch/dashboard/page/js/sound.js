// A tone for alerts that nobody has acknowledged, only after the viewer turned it on.

import { byId, setText } from "./dom.js";
import { needsLook } from "./alerts.js";
import * as store from "./store.js";

/** Pulses of a burst and how often it is repeated, by priority, after IEC 60601-1-8. */
const BURSTS = { high: { pulses: 5, every: 10_000 }, medium: { pulses: 3, every: 20_000 } };
const PULSE = 0.15;
const PAUSE = 0.12;
const TICK_MS = 1000;

let context = null;
const played = new Map();

function burst(pulses) {
  for (let i = 0; i < pulses; i++) {
    const at = context.currentTime + i * (PULSE + PAUSE);
    const tone = context.createOscillator();
    const gain = context.createGain();
    tone.frequency.value = 880;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.25, at + 0.02);
    gain.gain.linearRampToValueAtTime(0, at + PULSE);
    tone.connect(gain).connect(context.destination);
    tone.start(at);
    tone.stop(at + PULSE);
  }
}

function tick() {
  if (!context) return;
  const loud = [...store.alerts.values()].filter((alert) => needsLook(alert) && store.isActive(alert));
  for (const priority of Object.keys(BURSTS)) {
    if (!loud.some((alert) => alert.priority === priority)) {
      played.delete(priority);
      continue;
    }
    const { pulses, every } = BURSTS[priority];
    if (Date.now() - (played.get(priority) ?? 0) < every) continue;
    played.set(priority, Date.now());
    burst(pulses);
    return;
  }
}

/** Sound on or off; a browser allows it only after the viewer did something. */
export function toggleSound() {
  if (context) {
    context.close();
    context = null;
    played.clear();
  } else {
    context = new AudioContext();
    burst(1);
  }
  const on = context !== null;
  setText(byId("sound"), on ? "Sound on" : "Sound off");
  byId("sound").setAttribute("aria-pressed", String(on));
}

export function startSound() {
  byId("sound").addEventListener("click", toggleSound);
  setInterval(tick, TICK_MS);
}
