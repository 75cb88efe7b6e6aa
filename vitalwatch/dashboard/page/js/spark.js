// Sparklines on canvas: the last half hour of one vital inside its expected band.

const WIDTH_MS = 30 * 60_000;
/** A longer pause is a gap: the line breaks. */
const GAP_MS = 3 * 60_000;
const MS_PER_FRAME = 4;

const queue = new Map();
let asked = false;

/** Draw before long; drawing never takes more than a few milliseconds of a frame. */
export function draw(canvas, spark, colours) {
  queue.set(canvas, [spark, colours]);
  if (!asked) {
    asked = true;
    requestAnimationFrame(work);
  }
}

function work() {
  const end = performance.now() + MS_PER_FRAME;
  for (const [canvas, [spark, colours]] of queue) {
    queue.delete(canvas);
    if (canvas.isConnected) paint(canvas, spark, colours);
    if (performance.now() > end) break;
  }
  asked = queue.size > 0;
  if (asked) requestAnimationFrame(work);
}

function paint(canvas, spark, colours) {
  const scale = Math.min(window.devicePixelRatio || 1, 2);
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  const { t, v, lo, hi } = spark;
  if (!t.length) return;
  const [least, most] = extent(spark);
  const end = t[t.length - 1];
  const x = (ms) => width - 2 * scale - ((end - ms) / WIDTH_MS) * (width - 4 * scale);
  const y = (value) => height - 2 * scale - ((value - least) / (most - least)) * (height - 4 * scale);

  context.fillStyle = colours.band;
  for (const [from, to] of runs(t, (i) => lo[i] !== null && hi[i] !== null)) {
    context.beginPath();
    for (let i = from; i <= to; i++) context.lineTo(x(t[i]), y(hi[i]));
    for (let i = to; i >= from; i--) context.lineTo(x(t[i]), y(lo[i]));
    context.fill();
  }
  context.strokeStyle = context.fillStyle = colours.line;
  context.lineWidth = 1.8 * scale;
  context.lineJoin = "round";
  if (isSparse(t)) dots(context, t, v, x, y, scale);
  for (const [from, to] of runs(t, (i) => v[i] !== null)) {
    context.beginPath();
    for (let i = from; i <= to; i++) context.lineTo(x(t[i]), y(v[i]));
    if (from === to) context.arc(x(t[from]), y(v[from]), 1.5 * scale, 0, 7);
    context.stroke();
  }
  const last = v[v.length - 1];
  if (last !== null) {
    context.beginPath();
    context.arc(x(end) - scale, y(last), 2.6 * scale, 0, 7);
    context.fill();
  }
}

/** A vital that is measured now and then, as by a cuff: it has no line, for nothing is known between. */
const isSparse = (t) => t.length > 1 && (t[t.length - 1] - t[0]) / (t.length - 1) > GAP_MS / 3;

function dots(context, t, v, x, y, scale) {
  context.save();
  context.setLineDash([2 * scale, 4 * scale]);
  context.lineWidth = scale;
  context.beginPath();
  for (let i = 0; i < t.length; i++) if (v[i] !== null) context.lineTo(x(t[i]), y(v[i]));
  context.stroke();
  context.restore();
  for (let i = 0; i < t.length; i++) {
    if (v[i] === null) continue;
    context.beginPath();
    context.arc(x(t[i]), y(v[i]), 3 * scale, 0, 7);
    context.fill();
  }
}

/** First and last index of every stretch without a gap. */
function* runs(t, has) {
  let from = -1;
  for (let i = 0; i <= t.length; i++) {
    const goes = i < t.length && has(i) && (from < 0 || t[i] - t[i - 1] < GAP_MS);
    if (goes && from < 0) from = i;
    if (!goes && from >= 0) {
      yield [from, i - 1];
      from = i < t.length && has(i) ? i : -1;
    }
  }
}

function extent({ v, lo, hi }) {
  let least = Infinity;
  let most = -Infinity;
  for (const column of [v, lo, hi]) {
    for (const value of column) {
      if (value === null) continue;
      if (value < least) least = value;
      if (value > most) most = value;
    }
  }
  const half = Math.max((most - least) * 0.58, 3);
  const middle = (least + most) / 2;
  return [middle - half, middle + half];
}
