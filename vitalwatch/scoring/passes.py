"""The passes of a round of readings over patients' state, compiled.

A round goes through in chunks whose numbers stay in the processor's first cache. Of a chunk, all
that is done to each number alone runs along one array with a place for each vital of each patient,
V of them a patient; such a loop becomes vector instructions.
"""

from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Bytes8, Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.model.shapes import CENTRAL_90, INPUTS
from vitalwatch.scoring import features
from vitalwatch.scoring.evidence import LIMITS, TERMS, Tables, danger, excess, level, rarity
from vitalwatch.scoring.features import (
    AGE,
    DEVIATION,
    LAST,
    MEAN,
    PARTS,
    WATCHED,
    remember,
    write_inputs,
)
from vitalwatch.scoring.prediction import (
    LOCATION,
    SCALE,
    Weights,
    aligned,
    predict,
    step,
    surprise,
)
from vitalwatch.state import NEVER

CHUNK: Final = 32
"""Patients of a chunk; an even number, as :func:`~vitalwatch.scoring.prediction.step` asks."""

FADING_SECONDS: Final = np.float32(1200)
"""A vital's part in the evidence fades over so long after it was last seen."""

USUAL_DEVIATIONS: Final = np.float32(2)

ANSWERS: Final = 6
SURPRISE, EXPECTED, LOW, HIGH, LEVEL, DANGER = range(ANSWERS)
"""What is answered of each vital, in its order."""

TYPICAL, SPREAD, STEP, LOW_LIMIT, HIGH_LIMIT, LEAST, MOST = range(7)
"""What each vital is measured by, in the order of :func:`scales`."""

_CENTRAL_90: Final = np.float32(CENTRAL_90)
_NAN: Final = np.float32(np.nan)
_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)


def scales() -> Floats:
    """What vitals are measured by ``(7, CHUNK V)``: STEP and limits standardised, LEAST and MOST
    the plausible range in the vitals' units."""
    rows = (features.TYPICAL, features.SPREAD, features.STEP, *LIMITS)
    return np.tile(np.stack((*rows, *vitals.bounds("plausible"))), (1, CHUNK))


class Workspace(NamedTuple):
    """Room for a chunk: c patients, H hidden units, V vitals.

    ``record`` (c, 2 H + 8 V) of the table; ``x`` (c, K) and ``hidden`` (c, L) multiply the
    weights, so they end with a 1 for the bias; ``gates`` (c, 4, H); ``heads`` (c, 4, V);
    ``cell`` (c, H); ``parts`` (6, c, V) of the memory; ``held``, ``outside`` and ``value``
    (c, V); ``elapsed`` (c,); ``prediction`` (3, c V); ``excess`` (3, c, V).
    """

    record: Floats
    x: Floats
    hidden: Floats
    gates: Floats
    heads: Floats
    cell: Floats
    parts: Floats
    held: Floats
    outside: Floats
    value: Floats
    elapsed: Floats
    prediction: Floats
    excess: Floats

    @classmethod
    def of(cls, weights: Weights) -> "Workspace":
        """For a network with such weights."""
        units, width = weights.cell.shape[1] // 4, vitals.COUNT
        made = cls(
            record=aligned(CHUNK, 2 * units + (PARTS + 2) * width),
            x=aligned(CHUNK, len(weights.cell)),
            hidden=aligned(CHUNK, len(weights.head)),
            gates=aligned(CHUNK, 4, units),
            heads=aligned(CHUNK, 4, width),
            cell=aligned(CHUNK, units),
            parts=aligned(PARTS, CHUNK, width),
            held=aligned(CHUNK, width),
            outside=aligned(CHUNK, width),
            value=aligned(CHUNK, width),
            elapsed=aligned(CHUNK),
            prediction=aligned(3, CHUNK * width),
            excess=aligned(len(TERMS), CHUNK, width),
        )
        made.x[:, INPUTS + units] = 1
        made.hidden[:, units] = 1
        return made


@compiled
def score(
    words: Floats,
    stride: np.uint64,
    start: np.uint64,
    last_times: Ints,
    causes: Bytes8,
    rows: Ints,
    times: Ints,
    values: Floats,
    scales: Floats,
    weights: Weights,
    calibrated: bool,
    tables: Tables,
    work: Workspace,
    answers: Floats,
    usual: Floats,
    totals: Floats,
) -> None:
    """A round of distinct ``rows`` (n,) with ``times`` (n,) ms and ``values`` (n, V).

    The state is ``words``, the table's numbers, ``stride`` a row, of which the scorer's begin at
    ``start``; ``last_times`` (R,) and ``causes`` (R, V) are fields apart. Fills ``answers``
    (6, n, V), ``usual`` (2, n, V), mean and deviation before the reading, and ``totals`` (2, n):
    evidence and rarity.
    """
    width = values.shape[1]
    location, scale = work.prediction[LOCATION], work.prediction[SCALE]
    finest, low, high = scales[STEP], scales[LOW_LIMIT], scales[HIGH_LIMIT]
    parts = work.parts.reshape((PARTS, CHUNK * width))
    raw, found = values.reshape(values.size), answers.reshape((ANSWERS, values.size))
    for begin in range(0, len(rows), CHUNK):
        end = min(begin + CHUNK, len(rows))
        count, at, to = end - begin, begin * width, end * width
        mine, elapsed = rows[begin:end], work.elapsed[:count]
        _gather(words, stride, start, mine, work)
        _pass_time(last_times, mine, times[begin:end], elapsed)

        write_inputs(work.parts, elapsed, work.x)
        step(work.x, weights, work.gates, work.cell, work.hidden, work.heads, count)
        predict(work.heads, parts[LAST], parts[MEAN], finest, work.prediction, count)

        flat = work.value[:count].reshape(to - at)
        _standardise(raw[at:to], scales, flat)
        surprise(flat, location, scale, finest, found[SURPRISE, at:to])
        _restore(location, scales, found[EXPECTED, at:to])
        _bound(location, scale, -_CENTRAL_90, scales, found[LOW, at:to])
        _bound(location, scale, _CENTRAL_90, scales, found[HIGH, at:to])
        level(flat, parts[MEAN], parts[DEVIATION], low, high, found[LEVEL, at:to])
        danger(flat, low, high, found[DANGER, at:to])
        for answer in range(ANSWERS):
            _blank(flat, found[answer, at:to])

        value = work.value[:count]
        if calibrated:
            for term, answer in enumerate((SURPRISE, LEVEL, DANGER)):
                tails, beyond = tables.tails[term], tables.tails_beyond[term]
                excess(answers[answer, begin:end], tails, beyond, work.excess[term])
            _weigh(value, work.excess, mine, work.held, causes)
        _time_outside(work.parts, value, work.outside)
        _note_usual(work.parts, usual, begin, end)
        remember(work.parts, value, finest[:width])
        _add_up(work.parts, work.held, totals[0, begin:end])
        _scatter(words, stride, start, mine, work)
    if calibrated:
        rarity(totals[0], tables.sums, tables.log_days, tables.days_beyond, totals[1])


# Between the table and the workspace numbers are counted without a sign: an index that may be
# below 0 is first tested for meaning one from the end, and the loop does not become vectors.


@compiled
def _gather(
    words: Floats, stride: np.uint64, start: np.uint64, rows: Ints, work: Workspace
) -> None:
    """Bring the records of ``rows`` (n,) in.

    First by as few instructions as can be, so that the processor waits for many records, each
    somewhere else in memory, at the same time; only then is each put in its places.
    """
    record, x, cell = work.record, work.x, work.cell
    parts, held, outside = work.parts, work.held, work.outside
    units, width = np.uint64(cell.shape[1]), np.uint64(held.shape[1])
    for k in range(len(rows)):
        at = np.uint64(rows[k]) * stride + start
        for j in range(np.uint64(record.shape[1])):
            record[k, j] = words[at + j]
    for k in range(len(rows)):
        at = np.uint64(0)
        for j in range(units):
            x[k, np.uint64(INPUTS) + j] = record[k, j]
        at += units
        for j in range(units):
            cell[k, j] = record[k, at + j]
        at += units
        for part in range(PARTS):
            for v in range(width):
                parts[part, k, v] = record[k, at + v]
            at += width
        for v in range(width):
            held[k, v] = record[k, at + v]
        at += width
        for v in range(width):
            outside[k, v] = record[k, at + v]


@compiled
def _scatter(
    words: Floats, stride: np.uint64, start: np.uint64, rows: Ints, work: Workspace
) -> None:
    """Put the records of ``rows`` (n,) back."""
    hidden, cell = work.hidden, work.cell
    parts, held, outside = work.parts, work.held, work.outside
    units, width = np.uint64(cell.shape[1]), np.uint64(held.shape[1])
    for k in range(len(rows)):
        at = np.uint64(rows[k]) * stride + start
        for j in range(units):
            words[at + j] = hidden[k, j]
        at += units
        for j in range(units):
            words[at + j] = cell[k, j]
        at += units
        for part in range(PARTS):
            for v in range(width):
                words[at + v] = parts[part, k, v]
            at += width
        for v in range(width):
            words[at + v] = held[k, v]
        at += width
        for v in range(width):
            words[at + v] = outside[k, v]


@compiled
def _pass_time(last_times: Ints, rows: Ints, times: Ints, elapsed: Floats) -> None:
    """Seconds since each patient's last reading, 0 at the first, to ``elapsed`` (n,)."""
    for k in range(len(rows)):
        before = last_times[rows[k]]
        elapsed[k] = _ZERO if before == NEVER else np.float32((times[k] - before) / 1000)
        last_times[rows[k]] = times[k]


@compiled
def _standardise(values: Floats, scales: Floats, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = (values[i] - scales[TYPICAL, i]) / scales[SPREAD, i]


@compiled
def _restore(standardised: Floats, scales: Floats, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = standardised[i] * scales[SPREAD, i] + scales[TYPICAL, i]


@compiled
def _bound(middle: Floats, scale: Floats, by: np.float32, scales: Floats, out: Floats) -> None:
    """``middle`` plus ``by`` times ``scale`` in the vitals' units.

    But no further out than a living patient's monitor can show.
    """
    for i in range(len(out)):
        bound = (middle[i] + by * scale[i]) * scales[SPREAD, i] + scales[TYPICAL, i]
        out[i] = min(max(bound, scales[LEAST, i]), scales[MOST, i])


@compiled
def _blank(value: Floats, answer: Floats) -> None:
    """Nothing is answered of what was not measured."""
    for i in range(len(value)):
        answer[i] = _NAN if np.isnan(value[i]) else answer[i]


@compiled
def _weigh(value: Floats, terms: Floats, rows: Ints, held: Floats, causes: Bytes8) -> None:
    """Each vital's part in the evidence, and which of the terms gave most of it."""
    for k in range(len(value)):
        row = rows[k]
        for v in range(value.shape[1]):
            first, second, third = terms[0, k, v], terms[1, k, v], terms[2, k, v]
            most = 2 if third > max(first, second) else 1 if second > first else 0
            unseen = np.isnan(value[k, v])
            held[k, v] = held[k, v] if unseen else first + second + third
            causes[row, v] = causes[row, v] if unseen else most


@compiled
def _time_outside(parts: Floats, value: Floats, outside: Floats) -> None:
    """Advance ``outside``: signed seconds since a vital left its usual band, 0 inside.

    The first value outside counts from now, so it starts at one second.
    """
    for k in range(len(value)):
        for v in range(value.shape[1]):
            now, mean, before = value[k, v], parts[MEAN, k, v], outside[k, v]
            band, age = USUAL_DEVIATIONS * parts[DEVIATION, k, v], parts[AGE, k, v]
            below = before - age if before < _ZERO else -_ONE
            above = before + age if before > _ZERO else _ONE
            found = below if now < mean - band else above if now > mean + band else _ZERO
            unchanged = np.isnan(now) or parts[WATCHED, k, v] == _ZERO
            outside[k, v] = before if unchanged else found


@compiled
def _note_usual(parts: Floats, usual: Floats, begin: int, end: int) -> None:
    """The patient's own normal as it is now; NaN where there is none."""
    for k in range(end - begin):
        for v in range(parts.shape[2]):
            known = parts[WATCHED, k, v] > _ZERO
            usual[0, begin + k, v] = parts[MEAN, k, v] if known else _NAN
            usual[1, begin + k, v] = parts[DEVIATION, k, v]


@compiled
def _fresh(age: np.float32) -> np.float32:
    """How much a vital's part in the evidence counts so many seconds after it was seen."""
    return max(_ZERO, _ONE - age / FADING_SECONDS)


@compiled
def _add_up(parts: Floats, held: Floats, evidence: Floats) -> None:
    """The evidence (n,): what is held of each vital, faded with its age."""
    for k in range(len(evidence)):
        total = _ZERO
        for v in range(held.shape[1]):
            total += held[k, v] * _fresh(parts[AGE, k, v])
        evidence[k] = total


@compiled
def explain(
    readings: Ints,
    rows: Ints,
    evidence: Floats,
    usual: Floats,
    memory: Floats,
    held: Floats,
    outside: Floats,
    scales: Floats,
    reasons: Floats,
) -> None:
    """Fill ``reasons`` (6, n, V) for ``readings`` (k,) of a round: what Reasons holds but cause.

    ``rows`` and ``evidence`` (n,) and ``usual`` (2, n, V) are the round's; ``memory`` (R, 6 V),
    ``held`` and ``outside`` (R, V) the state after it.
    """
    width = usual.shape[2]
    for reading in readings:
        row = rows[reading]
        for v in range(width):
            part = held[row, v] * _fresh(memory[row, AGE * width + v])
            total = evidence[reading]
            reasons[0, reading, v] = part / total if total > _ZERO else _ZERO
            known = memory[row, WATCHED * width + v] > _ZERO
            spread, typical = scales[SPREAD, v], scales[TYPICAL, v]
            last = memory[row, LAST * width + v] * spread + typical
            reasons[1, reading, v] = last if known else _NAN
            mean = usual[0, reading, v]
            band = USUAL_DEVIATIONS * usual[1, reading, v]
            least, most = scales[LEAST, v], scales[MOST, v]
            reasons[2, reading, v] = mean * spread + typical
            if np.isnan(mean):
                reasons[3, reading, v] = reasons[4, reading, v] = _NAN
            else:
                low, high = (mean - band) * spread + typical, (mean + band) * spread + typical
                reasons[3, reading, v] = min(max(low, least), most)
                reasons[4, reading, v] = min(max(high, least), most)
            reasons[5, reading, v] = outside[row, v]
