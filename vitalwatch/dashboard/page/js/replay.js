// A recorded stream: pause, speed, seek, and a timeline of alerts and of what truly happened.

import { byId, element, onceAFrame, setText } from "./dom.js";
import { clock, moment } from "./format.js";
import { lineColour, place } from "./marks.js";
import { post, Refused } from "./server.js";
import * as store from "./store.js";
import { colour, onTheme } from "./theme.js";

const SPEEDS = [1, 2, 5, 10, 30, 60, 120, 300];
const SKIP_MS = 5 * 60_000;
const EVENTS_SHOWN = 200;

let dragging = false;
let listed = null;

async function control(body) {
  try {
    const answer = await post("/api/replay", body);
    if (answer?.at_ms !== undefined) store.replay(answer);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    window.dispatchEvent(new CustomEvent("trouble", { detail: `The replay did not do that: ${error.message}` }));
  }
}

const seek = (ms) => {
  const { from_ms, to_ms } = store.state.replay;
  return control({ action: "seek", to_ms: Math.round(Math.min(Math.max(ms, from_ms), to_ms)) });
};

/** Keys of the replay; nothing happens where there is none. */
export const replayKeys = {
  toggle: () => store.state.replay && control({ action: store.state.replay.playing ? "pause" : "play" }),
  back: () => store.state.replay && seek(store.state.replay.at_ms - SKIP_MS),
  forth: () => store.state.replay && seek(store.state.replay.at_ms + SKIP_MS),
};

const render = onceAFrame(() => {
  const { replay, timeline } = store.state;
  byId("replay").hidden = !replay;
  if (!replay) return;
  setText(byId("replay-play"), replay.playing ? "Pause" : replay.ended ? "Ended" : "Play");
  const select = byId("replay-speed");
  if (document.activeElement !== select) {
    if (![...select.options].some((option) => Number(option.value) === replay.speed)) {
      select.append(element("option", "", `${replay.speed}×`, { value: String(replay.speed) }));
    }
    select.value = String(replay.speed);
  }
  const slider = byId("replay-seek");
  slider.min = String(replay.from_ms);
  slider.max = String(replay.to_ms);
  if (!dragging) slider.value = String(replay.at_ms);
  slider.setAttribute("aria-valuetext", moment(Number(slider.value)));
  setText(byId("replay-at"), `${clock(Number(slider.value))} of ${clock(replay.to_ms)}`);
  paint(replay, timeline);
  if (listed !== timeline) list(timeline);
});

/** Alerts above as ticks, true events beneath as bars with a stroke where they become critical. */
function paint(replay, timeline) {
  const canvas = byId("replay-canvas");
  const scale = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  const context = canvas.getContext("2d");
  const inset = 8 * scale; // the slider's thumb does not reach the edge either
  const x = (ms) => inset + ((ms - replay.from_ms) / (replay.to_ms - replay.from_ms || 1)) * (canvas.width - 2 * inset);
  const half = canvas.height / 2;
  for (const { benign, from_ms, to_ms, critical_ms } of timeline?.events ?? []) {
    context.fillStyle = colour(benign ? "--band" : "--soft");
    const height = benign ? 3 * scale : half - 6 * scale;
    context.fillRect(x(from_ms), 2 * half - height - scale, Math.max(x(to_ms) - x(from_ms), 2 * scale), height);
    if (critical_ms) {
      context.fillStyle = colour("--text");
      context.fillRect(x(critical_ms) - scale, half, 3 * scale, half);
    }
  }
  for (const { time_ms, priority, kind } of timeline?.alerts ?? []) {
    context.fillStyle = colour(lineColour(kind, priority));
    const tall = kind === "technical" ? 0.4 : { high: 1, medium: 0.8, low: 0.6 }[priority];
    context.fillRect(x(time_ms) - scale, half * (1 - tall), 3 * scale, half * tall);
  }
  context.fillStyle = colour("--text");
  context.fillRect(x(replay.at_ms) - scale / 2, 0, 2 * scale, canvas.height);
}

/** The same as a list, for keyboard and screen reader: choosing one seeks to just before it. */
function list(timeline) {
  listed = timeline;
  const events = [
    ...(timeline?.alerts ?? [])
      .filter(({ kind }) => kind !== "technical")
      .map((alert) => [alert.time_ms, `${alert.priority} alert, ${named(alert)}`]),
    ...(timeline?.events ?? []).map((event) => [
      event.from_ms,
      `true event: ${event.event.replaceAll("_", " ")}${event.benign ? " (benign)" : ""}, ${named(event)}`,
    ]),
  ].sort((a, b) => a[0] - b[0]);
  byId("replay-events").replaceChildren(
    ...events.slice(0, EVENTS_SHOWN).map(([time, text]) => {
      const button = element("button", "", `${clock(time)} ${text}`, { type: "button" });
      button.addEventListener("click", () => seek(time - 60_000));
      return element("li", "", button);
    }),
  );
}

const named = ({ key, label }) => place(store.patients.get(key) ?? { label });

export function startReplay() {
  byId("replay-speed").append(...SPEEDS.map((speed) => element("option", "", `${speed}×`, { value: String(speed) })));
  byId("replay-play").addEventListener("click", replayKeys.toggle);
  byId("replay-speed").addEventListener("change", (event) => control({ action: "speed", speed: Number(event.target.value) }));
  const slider = byId("replay-seek");
  slider.addEventListener("input", () => {
    dragging = true;
    render();
  });
  slider.addEventListener("change", async () => {
    await seek(Number(slider.value));
    dragging = false;
  });
  store.on("replay", render);
  onTheme(render);
  window.addEventListener("resize", render);
}
