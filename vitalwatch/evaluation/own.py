"""Scores against the patient's own past: auto-limits, deviations, and features for trees.

Compiled loops over one record after the other; what a reading is measured against never holds the
reading itself.
"""

from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.evaluation.streams import Streams

_HOURS: Final = np.float32(8)
"""Memory of the own baseline: time constants of 3 to 48 h do alike on ICU data."""

_PRIOR: Final = np.float32(10)
"""Readings for which the population's spread counts against the patient's own."""

_START_MS: Final = 30 * 60_000  # in which auto-limits learn a vital's baseline

_TYPICAL: Final = vitals.column("typical")
_SPREAD: Final = vitals.column("spread")
_STEP: Final = vitals.column("resolution")


# Adaptive limits as bedside monitors make them from the first half hour (Mindray BeneVision):
# low and high limit are each factor x baseline + constant, but no further out than the bound.
def _rule(*values: float) -> list[float]:
    return list(values)


_NONE: Final = (np.nan, np.nan, np.nan)
_RULES: Final = {
    "hr": _rule(0.8, 0, 40, 1.25, 0, 240),
    "spo2": _rule(0, 90, 90, *_NONE),
    "rr": _rule(0.5, 0, 6, 1.5, 0, 30),
    "sbp": _rule(0.68, 10, 0, 0.86, 38, 290),
    "dbp": _rule(0.68, 6, 0, 0.86, 32, 200),
    "map": _rule(0.68, 8, 0, 0.86, 35, 200),
    "temp": _rule(1, -0.5, 0, 1, 0.5, 45),
    "etco2": _rule(*_NONE, *_NONE),
}
_AUTO: Final = np.array([_RULES[name] for name in vitals.NAMES], dtype=np.float32)


def auto_limits(streams: Streams) -> Floats:
    """How far towards its own limit the worst vital is, (n,): 0 at baseline, 1 at the limit.

    NaN until a vital has been known for half an hour.
    """
    scores = np.empty(len(streams.times), dtype=np.float32)
    _auto(streams.edges, streams.times, streams.clean, streams.held, _AUTO, _STEP, scores)
    return scores


@compiled
def _auto(
    edges: Ints, times: Ints, clean: Floats, held: Floats, rules: Floats, step: Floats, out: Floats
) -> None:
    width = clean.shape[1]
    first = np.empty(width, dtype=np.int64)
    total, count = np.empty(width, dtype=np.float32), np.empty(width, dtype=np.float32)
    for record in range(len(edges) - 1):
        first[:] = -1
        total[:] = 0
        count[:] = 0
        for i in range(edges[record], edges[record + 1]):
            worst = np.float32(np.nan)
            for v in range(width):
                now = clean[i, v]
                if not np.isnan(now):
                    if first[v] < 0:
                        first[v] = times[i]
                    if times[i] - first[v] <= _START_MS:
                        total[v] += now
                        count[v] += 1
                if first[v] < 0 or times[i] - first[v] <= _START_MS or np.isnan(held[i, v]):
                    continue
                base, rule = total[v] / count[v], rules[v]
                low = max(rule[0] * base + rule[1], rule[2])
                high = min(rule[3] * base + rule[4], rule[5])
                if not np.isnan(rule[0]):
                    towards = (base - held[i, v]) / max(base - low, step[v])
                    worst = towards if not worst >= towards else worst
                if not np.isnan(rule[3]):
                    towards = (held[i, v] - base) / max(high - base, step[v])
                    worst = towards if not worst >= towards else worst
            out[i] = worst


def largest_deviation(streams: Streams) -> Floats:
    """The largest deviation of a vital from its own mean, in own deviations, (n,)."""
    return np.asarray(_deviations(streams)[0])


def mahalanobis(streams: Streams) -> Floats:
    """Squared distance from the own mean by the own covariance, (n,).

    Standardised by how many vitals are known, which is what it would be on average.
    """
    return np.asarray(_deviations(streams)[1])


def _deviations(streams: Streams) -> Floats:
    values = ((streams.held - _TYPICAL) / _SPREAD).astype(np.float32)
    out = np.empty((2, len(values)), dtype=np.float32)
    _deviate(streams.edges, streams.times, values, out)
    return out


@compiled
def _deviate(edges: Ints, times: Ints, values: Floats, out: Floats) -> None:
    """Standardised held ``values`` (n, V) -> ``out`` (2, n): largest |z|, and Mahalanobis."""
    width = values.shape[1]
    mean, weight = np.empty(width, dtype=np.float32), np.empty(width, dtype=np.float32)
    spread = np.empty((width, width), dtype=np.float32)
    off = np.empty(width, dtype=np.float32)
    known = np.empty(width, dtype=np.int64)
    root = np.empty((width, width), dtype=np.float32)
    solved = np.empty(width, dtype=np.float32)
    prior = np.float32(0.25) * _PRIOR  # half a spread of the population, squared
    for record in range(len(edges) - 1):
        mean[:] = 0
        weight[:] = 0
        spread[:] = 0
        for i in range(edges[record], edges[record + 1]):
            if i > edges[record]:
                gone = np.float32(times[i] - times[i - 1]) / np.float32(3_600_000)
                keep = np.exp(-gone / _HOURS)
                weight *= keep
                spread *= keep
            count = 0
            largest = np.float32(0)
            for v in range(width):
                off[v] = 0
                if not np.isnan(values[i, v]) and weight[v] > 0:
                    off[v] = values[i, v] - mean[v]
                    known[count] = v
                    count += 1
                    variance = (spread[v, v] + prior) / (weight[v] + _PRIOR)
                    largest = max(largest, abs(off[v]) / np.sqrt(variance))
            # Cholesky of the known part: correlations as found, shrunk towards none.
            distance = np.float32(0)
            for a in range(count):
                va = known[a]
                for b in range(a + 1):
                    vb = known[b]
                    found = spread[va, vb] + (prior if a == b else np.float32(0))
                    norm = np.sqrt((weight[va] + _PRIOR) * (weight[vb] + _PRIOR))
                    rest = found / norm
                    for k in range(b):
                        rest -= root[a, k] * root[b, k]
                    if a == b:
                        root[a, a] = np.sqrt(max(rest, np.float32(1e-6)))
                    else:
                        root[a, b] = rest / root[b, b]
                rest = off[va]
                for k in range(a):
                    rest -= root[a, k] * solved[k]
                solved[a] = rest / root[a, a]
                distance += solved[a] * solved[a]
            out[0, i] = largest
            out[1, i] = (distance - count) / np.sqrt(np.float32(2 * max(count, 1)))
            # Take the reading in. Vitals unknown here leave their part as it is.
            for v in range(width):
                if np.isnan(values[i, v]):
                    off[v] = 0
                    continue
                weight[v] += 1
                off[v] = values[i, v] - mean[v]
                mean[v] += off[v] / weight[v]
            for a in range(width):
                share = np.float32(1) - np.float32(1) / max(weight[a], np.float32(1))
                for b in range(width):
                    other = np.float32(1) - np.float32(1) / max(weight[b], np.float32(1))
                    spread[a, b] += off[a] * off[b] * np.sqrt(max(share * other, np.float32(0)))


FEATURES: Final = 8
"""Of each vital, see :func:`features`."""

_MEMORIES_H: Final = np.array([0.25, 2, 12], dtype=np.float32)
_UNSEEN_S: Final = np.float32(86_400)


def features(streams: Streams) -> Floats:
    """What trees are told of each reading, (n, 8 V): of each vital, standardised,

    the last value; hours since it was measured; the difference from its mean with a memory of 15
    min, 2 h and 12 h; its deviation over 2 h; and its least and most of about the last hour.
    NaN where not known. Not the time since the start: that would be a clock.
    """
    values = ((streams.held - _TYPICAL) / _SPREAD).astype(np.float32)
    out = np.empty((len(values), FEATURES * vitals.COUNT), dtype=np.float32)
    _describe(streams.edges, streams.times, values, streams.age, out)
    return out


@compiled
def _describe(edges: Ints, times: Ints, values: Floats, age: Floats, out: Floats) -> None:
    width = values.shape[1]
    memories = len(_MEMORIES_H)
    mean = np.empty((memories, width), dtype=np.float32)
    square, least, most = np.empty(width), np.empty(width), np.empty(width)
    seen = np.empty(width, dtype=np.bool_)
    for record in range(len(edges) - 1):
        seen[:] = False
        for i in range(edges[record], edges[record + 1]):
            gone = np.float32(0)
            if i > edges[record]:
                gone = np.float32(times[i] - times[i - 1]) / np.float32(3_600_000)
            fade = np.float32(1) - np.exp(-gone / np.float32(1))
            for v in range(width):
                at, value = v * FEATURES, values[i, v]
                if np.isnan(value):
                    out[i, at : at + FEATURES] = np.nan
                    out[i, at + 1] = min(age[i, v], _UNSEEN_S) / np.float32(3600)
                    continue
                if not seen[v]:
                    seen[v] = True
                    mean[:, v] = value
                    square[v], least[v], most[v] = 0, value, value
                out[i, at] = value
                out[i, at + 1] = age[i, v] / np.float32(3600)
                for m in range(memories):
                    out[i, at + 2 + m] = value - mean[m, v]
                    mean[m, v] += (value - mean[m, v]) * (1 - np.exp(-gone / _MEMORIES_H[m]))
                out[i, at + 5] = np.sqrt(square[v])
                away = (value - mean[1, v]) ** 2
                square[v] += (away - square[v]) * (1 - np.exp(-gone / _MEMORIES_H[1]))
                # Extremes that move back towards the value with an hour's time constant.
                least[v] = min(value, least[v] + (value - least[v]) * fade)
                most[v] = max(value, most[v] + (value - most[v]) * fade)
                out[i, at + 6], out[i, at + 7] = least[v], most[v]
