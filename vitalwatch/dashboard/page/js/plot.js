// One vital of one patient on uPlot: the values inside their expected band with gaps, artefacts,
// limits and alerts drawn as such, and the surprise beneath on the same time axis.

import { element, setText } from "./dom.js";
import { clock, minute, range, value } from "./format.js";
import { lineColour, STARS } from "./marks.js";
import { colour, colours } from "./theme.js";

const STRIP_HEIGHT = 34;
const AXIS_HEIGHT = 30;
const AXIS_WIDTH = 46;
/** Of a value further from the cursor than this part of the axis nothing is told. */
const NEAR = 0.02;
const FONT = "12px system-ui, sans-serif";
/** The scale of the surprise reaches at least so far, in nats, or noise would fill it. */
const LEAST_SURPRISE = 8;

/** An axis covers at least so much, or a steady patient's noise would look like a change. */
const LEAST_SPANS = { hr: 24, spo2: 8, rr: 12, sbp: 40, dbp: 30, map: 30, temp: 1.6, etco2: 14 };

/** A vital's columns without anything in them. */
export const noColumns = () => ({ t: [], v: [], min: [], max: [], lo: [], hi: [], surprise: [], artefacts: [] });

export class Plot {
  /** `view` has `from` and `to` in ms; `marks()` the alerts to show; `hooks` hear of the mouse. */
  constructor(vital, view, marks, hooks) {
    this.vital = vital;
    this.view = view;
    this.marks = marks;
    this.hooks = hooks;
    this.columns = noColumns();
    this.gaps = [];
    this.value = element("span", "readout-value");
    this.detail = element("span", "readout-detail");
    this.readout = element("div", `readout ${vital.name}`, [
      element("span", "readout-name", `${vital.label} ${vital.unit}`),
      this.value,
      this.detail,
    ]);
    this.room = element("div", "plot-room");
    this.node = element("div", "plot", [this.readout, this.room]);
  }

  /** Build the two charts, for this width and these colours; the last one carries the time axis. */
  build(width, height, last) {
    this.destroy();
    const lines = colours(this.vital.name);
    const shared = { width, ms: 1, legend: { show: false }, cursor: this.#cursor() };
    const x = { time: true, range: () => [this.view.from, this.view.to] };
    this.main = new uPlot(
      {
        ...shared,
        height: height - STRIP_HEIGHT,
        padding: [6, 8, 2, 0],
        scales: { x, y: { range: (_, low, high) => this.#extent(low, high) } },
        axes: [this.#timeAxis(false), this.#valueAxis(34)],
        series: [
          {},
          { stroke: "transparent", points: { show: false } },
          { stroke: "transparent", points: { show: false } },
          { stroke: "transparent", points: { show: false } },
          { stroke: "transparent", points: { show: false } },
          { stroke: lines.line, width: 2, spanGaps: false, points: { show: sparse, size: 5, fill: lines.line } },
        ],
        bands: [
          { series: [2, 1], fill: lines.band },
          { series: [4, 3], fill: `${lines.line}66` },
        ],
        hooks: {
          drawClear: [(plot) => this.#drawGaps(plot)],
          draw: [(plot) => this.#drawMarks(plot, true)],
          setCursor: [(plot) => this.hooks.cursor(plot)],
          setSelect: [(plot) => this.hooks.select(plot)],
        },
      },
      this.#mainData(),
      this.room,
    );
    this.strip = new uPlot(
      {
        ...shared,
        height: STRIP_HEIGHT + (last ? AXIS_HEIGHT : 0),
        padding: [2, 8, 2, 0],
        scales: { x, y: { range: (_, __, high) => [0, Math.max(high ?? 0, LEAST_SURPRISE)] } },
        axes: [this.#timeAxis(last), this.#valueAxis(18)],
        series: [{}, { stroke: colour("--soft"), fill: colour("--band"), width: 1, spanGaps: false, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
        hooks: { draw: [(plot) => this.#drawMarks(plot, false)], setSelect: [(plot) => this.hooks.select(plot)] },
      },
      this.#stripData(),
      this.room,
    );
  }

  destroy() {
    this.main?.destroy();
    this.strip?.destroy();
    this.main = this.strip = null;
  }

  /** Take a history: what no living patient has is an artefact and no value. */
  fill(history, gaps) {
    const [low, high] = this.vital.plausible ?? [-Infinity, Infinity];
    const plausible = (column) => column.map((one) => (one === null || one < low || one > high ? null : one));
    this.columns = {
      ...history,
      v: plausible(history.v),
      min: plausible(history.min),
      max: plausible(history.max),
    };
    this.gaps = gaps ?? [];
  }

  /** Take a value that has just come, and forget what is before `oldest`. */
  append(latest, oldest) {
    const { columns } = this;
    const last = columns.t.length - 1;
    if (last >= 0 && latest.at_ms <= columns.t[last]) return;
    const [low, high] = this.vital.plausible ?? [-Infinity, Infinity];
    const artefact = latest.v < low || latest.v > high;
    if (artefact) columns.artefacts.push(latest.at_ms);
    const shown = artefact ? null : latest.v;
    const row = { t: latest.at_ms, v: shown, min: shown, max: shown, lo: latest.lo ?? null, hi: latest.hi ?? null, surprise: null };
    for (const [name, one] of Object.entries(row)) columns[name].push(one);
    while (columns.t[0] < oldest) for (const name of Object.keys(row)) columns[name].shift();
    while (columns.artefacts[0] < oldest) columns.artefacts.shift();
  }

  /** Show what is in `columns` at the time of the view. */
  redraw() {
    this.main?.setData(this.#mainData());
    this.strip?.setData(this.#stripData());
  }

  /** Say what was measured at a time, and what was expected. */
  read(ms) {
    const { t, v, lo, hi, surprise } = this.columns;
    const i = nearest(t, ms);
    const far = i < 0 || Math.abs(t[i] - ms) > Math.max((this.view.to - this.view.from) * NEAR, 1500);
    const decimals = this.vital.decimals;
    if (far || v[i] === null) {
      const artefact = this.columns.artefacts.some((at) => Math.abs(at - ms) < (this.view.to - this.view.from) * NEAR);
      setText(this.value, "–");
      setText(this.detail, artefact ? "artefact" : "no value");
      return `${this.vital.label} ${artefact ? "artefact" : "no value"}`;
    }
    const expected = range(lo[i], hi[i], decimals);
    const rare = surprise?.[i];
    setText(this.value, value(v[i], decimals));
    setText(
      this.detail,
      [expected && `expected ${expected}`, rare !== null && rare !== undefined && `surprise ${rare.toFixed(1)}`].filter(Boolean).join(" · "),
    );
    return `${this.vital.label} ${value(v[i], decimals)}${expected ? `, expected ${expected}` : ""}`;
  }

  /** Put the cursor of both charts at a time. */
  point(ms) {
    for (const plot of [this.main, this.strip]) {
      plot?.setCursor({ left: ms === null ? -10 : plot.valToPos(ms, "x"), top: ms === null ? -10 : 4 }, false);
    }
  }

  #mainData() {
    const { t, v, min, max, lo, hi } = this.columns;
    return [t, lo, hi, min, max, v];
  }

  #stripData() {
    return [this.columns.t, this.columns.surprise ?? []];
  }

  #cursor() {
    return {
      y: false,
      points: { show: false },
      drag: { x: true, y: false, setScale: false },
      sync: { key: "patient", scales: ["x", null], setSeries: false },
      bind: { dblclick: () => null },
    };
  }

  #timeAxis(shown) {
    return {
      size: shown ? AXIS_HEIGHT : 0,
      stroke: colour("--text"),
      font: FONT,
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { show: shown, stroke: colour("--grid") },
      values: (plot, splits) => (shown ? splits.map((at) => (this.view.to - this.view.from < 600_000 ? clock(at) : minute(at))) : splits.map(() => "")),
      space: 80,
    };
  }

  #valueAxis(space) {
    return {
      size: AXIS_WIDTH,
      stroke: colour("--text"),
      font: FONT,
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { show: false },
      space,
    };
  }

  #extent(low, high) {
    if (low === null || high === null) return [0, 1];
    const span = Math.max((high - low) * 1.2, LEAST_SPANS[this.vital.name] ?? 10);
    const middle = (low + high) / 2;
    return [middle - span / 2, middle + span / 2];
  }

  /** Stretches without a signal are hatched, so that they never look like a steady value. */
  #drawGaps(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const [from, to] of this.gaps) {
      const left = plot.valToPos(Math.max(from, this.view.from), "x", true);
      const right = plot.valToPos(Math.min(to ?? this.view.to, this.view.to), "x", true);
      if (right - left < 1) continue;
      hatch(ctx, left, bbox.top, right - left, bbox.height);
      if (right - left > 90 * devicePixelRatio) label(ctx, "no signal", (left + right) / 2, bbox.top + bbox.height / 2, colour("--soft"));
    }
    ctx.restore();
    this.#drawLimits(plot);
  }

  #drawLimits(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour("--soft");
    ctx.setLineDash([4 * devicePixelRatio, 6 * devicePixelRatio]);
    for (const limit of this.vital.limits ?? []) {
      if (limit === null || limit < plot.scales.y.min || limit > plot.scales.y.max) continue;
      const y = plot.valToPos(limit, "y", true);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.setLineDash([]);
      const above = y - bbox.top > 16 * devicePixelRatio ? -8 : 9;
      label(ctx, `limit ${limit}`, bbox.left + 34 * devicePixelRatio, y + above * devicePixelRatio, colour("--soft"));
      ctx.setLineDash([4 * devicePixelRatio, 6 * devicePixelRatio]);
    }
    ctx.restore();
  }

  #drawMarks(plot, named) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const alert of this.marks()) {
      const about = alert.drivers.some((driver) => driver.vital === this.vital.name);
      if (alert.kind === "technical" && !about) continue;
      const x = plot.valToPos(alert.since_ms, "x", true);
      ctx.strokeStyle = ctx.fillStyle = colour(lineColour(alert.kind, alert.priority));
      ctx.lineWidth = (about ? 3 : 1.5) * devicePixelRatio;
      ctx.setLineDash(alert.kind === "technical" ? [3 * devicePixelRatio, 3 * devicePixelRatio] : []);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (named && about) flag(ctx, alert, x, bbox.top);
    }
    if (named) this.#drawArtefacts(plot);
    ctx.restore();
  }

  /** Artefacts are crosses at the lower edge: their value means nothing. */
  #drawArtefacts(plot) {
    const { ctx, bbox } = plot;
    const size = 4 * devicePixelRatio;
    const y = bbox.top + bbox.height - 2 * size;
    ctx.setLineDash([]);
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.strokeStyle = colour("--soft");
    ctx.beginPath();
    for (const at of this.columns.artefacts) {
      const x = plot.valToPos(at, "x", true);
      ctx.moveTo(x - size, y - size);
      ctx.lineTo(x + size, y + size);
      ctx.moveTo(x + size, y - size);
      ctx.lineTo(x - size, y + size);
    }
    ctx.stroke();
  }
}

/** Points are drawn where a line would hide how few there are. */
function sparse(plot, series, from, to) {
  return to - from < plot.width / 8;
}

function hatch(ctx, left, top, width, height) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.strokeStyle = colour("--hatch");
  ctx.lineWidth = 2 * devicePixelRatio;
  const step = 9 * devicePixelRatio;
  ctx.beginPath();
  for (let x = left - height; x < left + width; x += step) {
    ctx.moveTo(x, top + height);
    ctx.lineTo(x + height, top);
  }
  ctx.stroke();
  ctx.restore();
}

function label(ctx, text, x, y, ink) {
  ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillStyle = ink;
  ctx.fillText(text, x, y);
}

function flag(ctx, alert, x, top) {
  const text = alert.kind === "technical" ? "TECH" : STARS[alert.priority];
  ctx.font = `bold ${12 * devicePixelRatio}px system-ui, sans-serif`;
  const width = ctx.measureText(text).width + 8 * devicePixelRatio;
  const height = 16 * devicePixelRatio;
  if (alert.kind === "technical") {
    ctx.fillStyle = colour("--panel");
    ctx.fillRect(x, top, width, height);
    ctx.strokeRect(x, top, width, height);
    ctx.fillStyle = colour("--tech");
  } else {
    ctx.fillStyle = colour(`--${alert.priority}`);
    ctx.fillRect(x, top, width, height);
    ctx.fillStyle = colour(alert.priority === "high" ? "--high-text" : "--medium-text");
  }
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.fillText(text, x + 4 * devicePixelRatio, top + height / 2);
}

/** Index of the time nearest to `ms`, or -1. */
function nearest(t, ms) {
  let low = 0;
  let high = t.length - 1;
  if (high < 0) return -1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (t[middle] < ms) low = middle + 1;
    else high = middle;
  }
  return low > 0 && ms - t[low - 1] < t[low] - ms ? low - 1 : low;
}
