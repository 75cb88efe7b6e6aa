"""The passes of a round of readings over patients' state, compiled.

A round goes through in chunks whose numbers stay in the processor's nearest caches. Of a chunk, all
that is done to each number alone runs along one array with a place for each vital of each patient,
V of them a patient; such a loop becomes vector instructions.
"""

from typing import Final

import numpy as np

from vitalwatch.arrays import Bytes8, Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.model.layout import CENTRAL_90, RISKS
from vitalwatch.scoring.cells import advance, bring
from vitalwatch.scoring.elementary import softplus
from vitalwatch.scoring.evidence import (
    RISK,
    Tables,
    danger,
    hazard,
    level,
    logarithm,
    paced,
    rarity,
)
from vitalwatch.scoring.features import (
    AGE,
    DEVIATION,
    LAST,
    MEAN,
    PARTS,
    WATCHED,
    remember,
)
from vitalwatch.scoring.features import (
    NEVER as UNSEEN,
)
from vitalwatch.scoring.forecast import decay, look_ahead, risk
from vitalwatch.scoring.foretold import Ring, ask, note
from vitalwatch.scoring.known import write_features
from vitalwatch.scoring.surprise import surprise
from vitalwatch.scoring.workspace import (
    CHUNK,
    HIGH_LIMIT,
    LEAST,
    LOCATION,
    LOW_LIMIT,
    MOST,
    SCALE,
    SPREAD,
    STEP,
    TYPICAL,
    Network,
    Workspace,
    gather,
    scatter,
)
from vitalwatch.state import NEVER

FADING_SECONDS: Final = np.float32(1200)
"""A vital's part in the evidence, but for its risk, fades over so long after it was last seen."""

USUAL_DEVIATIONS: Final = np.float32(2)

ANSWERS: Final = 7
SURPRISE, NEXT, EXPECTED, LOW, HIGH, LEVEL, DANGER = range(ANSWERS)
"""What is answered of each vital, in its order; NEXT is the surprise after the forecast of this
reading alone, SURPRISE the mean of it and of those after older forecasts."""

_CENTRAL_90: Final = np.float32(CENTRAL_90)
_RISKS: Final = len(RISKS)
_LEAST: Final = np.float32(1e-20)
_NAN: Final = np.float32(np.nan)
_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)


@compiled
def score(
    words: Floats,
    stride: np.uint64,
    start: np.uint64,
    last_times: Ints,
    causes: Bytes8,
    ring: Ring,
    rows: Ints,
    times: Ints,
    values: Floats,
    scales: Floats,
    network: Network,
    calibrated: bool,
    tables: Tables,
    work: Workspace,
    answers: Floats,
    usual: Floats,
    totals: Floats,
    top: Ints,
) -> None:
    """A round of distinct ``rows`` (n,) with ``times`` (n,) ms and ``values`` (n, V).

    The state is ``words``, the table's numbers, ``stride`` a row, of which the scorer's begin at
    ``start``; ``last_times`` (R,), ``causes`` (R, V) and ``ring`` are fields apart. Fills
    ``answers`` (7, n, V), ``usual`` (2, n, V), mean and deviation before the reading, ``totals``
    (2, n), evidence and rarity, and ``top`` (n,), the vital with most of the evidence.
    """
    width = values.shape[1]
    finest, low, high = scales[STEP], scales[LOW_LIMIT], scales[HIGH_LIMIT]
    step = finest[:width]
    parts = work.parts.reshape((PARTS, CHUNK * width))
    location, scale = work.foretold[LOCATION], work.foretold[SCALE]
    middle, wide = location.reshape(location.size), scale.reshape(scale.size)
    raw, found = values.reshape(values.size), answers.reshape((ANSWERS, values.size))
    for begin in range(0, len(rows), CHUNK):
        end = min(begin + CHUNK, len(rows))
        count, at, to = end - begin, begin * width, end * width
        mine, now, elapsed = rows[begin:end], times[begin:end], work.elapsed[:count]
        gather(words, stride, start, mine, work)
        _pass_time(last_times, mine, now, elapsed)

        bring(work.net, 0, network.units, work.row, count)
        look_ahead(work.row, network.head, elapsed, work.parts, finest, work.ahead, location, scale)
        _age(work.parts, elapsed)
        value = work.value[:count]
        flat = value.reshape(to - at)
        _standardise(raw[at:to], scales, flat)
        surprise(flat, middle, wide, finest, found[NEXT, at:to])
        _begin_mean(value, work.parts, answers[NEXT, begin:end], work.nats, work.asked)
        ask(ring, mine, now, value, work.past, work.known, finest, work.nats, work.asked)
        _end_mean(work.nats, work.asked, answers[SURPRISE, begin:end])
        _restore(middle, scales, found[EXPECTED, at:to])
        _bound(middle, wide, -_CENTRAL_90, scales, found[LOW, at:to])
        _bound(middle, wide, _CENTRAL_90, scales, found[HIGH, at:to])
        level(flat, parts[MEAN], parts[DEVIATION], low, high, found[LEVEL, at:to])
        danger(flat, low, high, found[DANGER, at:to])
        for answer in range(ANSWERS):
            _blank(flat, found[answer, at:to])
        for answer in range(DANGER):
            _blank_new(parts[WATCHED], found[answer, at:to])

        if calibrated:
            for term, answer in enumerate((SURPRISE, LEVEL, DANGER)):
                tails, beyond = tables.tails[term], tables.tails_beyond[term]
                factor = tables.factors[term]
                hazard(answers[answer, begin:end], tails, beyond, factor, work.hazards[term])
            _weigh(value, work.hazards, mine, work.held, causes)
        _time_outside(work.parts, value, work.outside)
        _note_usual(work.parts, usual, begin, end)
        remember(work.parts, value, step)

        write_features(work.parts, elapsed, work.context, work.row, 1 + network.units)
        decay(network.head, work.row, network.units, count)
        advance(network.kind, work.row, work.net, network.cell, work.room, count)
        bring(work.net, 0, network.units, work.row, count)
        risk(work.row, network.head, work.logits, count)
        if calibrated:
            _to_hazards(work.logits[:count])
            _add_risks(work.logits, work.parts, tables.factors, work.risks, count)
            _add_up(work.parts, work.held, work.risks, totals[0, begin:end], top[begin:end])
            for k in range(count):
                totals[0, begin + k] += paced(elapsed[k], tables.pace)
        note(ring, mine, now, work.row, network.head, work.parts, finest, work.ahead, work.past)
        scatter(words, stride, start, mine, work)
    if calibrated:
        rarity(totals[0], tables.sums, tables.log_days, tables.days_beyond, totals[1])


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
def _age(parts: Floats, elapsed: Floats) -> None:
    """Time passes for what is remembered."""
    for k in range(len(elapsed)):
        for v in range(parts.shape[2]):
            parts[AGE, k, v] = min(parts[AGE, k, v] + elapsed[k], UNSEEN)


@compiled
def _begin_mean(value: Floats, parts: Floats, nats: Floats, sums: Floats, count: Floats) -> None:
    """Sums of surprises begin with that of the next reading, of vitals that were seen before."""
    for k in range(len(value)):
        for v in range(value.shape[1]):
            counts = not np.isnan(value[k, v]) and parts[WATCHED, k, v] > _ZERO
            sums[k, v] = nats[k, v] if counts else _ZERO
            count[k, v] = _ONE if counts else _ZERO


@compiled
def _end_mean(sums: Floats, count: Floats, out: Floats) -> None:
    for k in range(len(out)):
        for v in range(out.shape[1]):
            out[k, v] = sums[k, v] / max(count[k, v], _ONE)


@compiled
def _blank(value: Floats, answer: Floats) -> None:
    """Nothing is answered of what was not measured."""
    for i in range(len(value)):
        answer[i] = _NAN if np.isnan(value[i]) else answer[i]


@compiled
def _blank_new(watched: Floats, answer: Floats) -> None:
    """Of a vital's first value is only asked how dangerous it is: nothing was to be expected."""
    for i in range(len(answer)):
        answer[i] = _NAN if watched[i] == _ZERO else answer[i]


@compiled
def _weigh(value: Floats, terms: Floats, rows: Ints, held: Floats, causes: Bytes8) -> None:
    """Each vital's hazard but for its risk, and which of the terms gave most of it."""
    for k in range(len(value)):
        row = rows[k]
        for v in range(value.shape[1]):
            first, second, third = terms[0, k, v], terms[1, k, v], terms[2, k, v]
            most = 2 if third > max(first, second) else 1 if second > first else 0
            unseen = np.isnan(value[k, v])
            held[k, v] = held[k, v] if unseen else first + second + third
            causes[row, v] = causes[row, v] if unseen else most


@compiled
def _to_hazards(logits: Floats) -> None:
    """Logits to hazards, in their place; what fills rows up too, so that it is one long loop."""
    flat = logits.reshape(logits.size)
    for i in range(len(flat)):
        flat[i] = softplus(flat[i])


@compiled
def _add_risks(hazards: Floats, parts: Floats, factors: Floats, risks: Floats, count: int) -> None:
    """Each vital's hazard by its risks; none of what was never seen.

    Only the first of the risks says which vital it is (who becomes critical within a quarter of an
    hour); the others' hazards, of all vitals together, are divided among vitals as that is.
    """
    width = risks.shape[1]
    for k in range(count):
        first, all_of_it = _ZERO, _ZERO
        for v in range(width):
            seen = _ONE if parts[WATCHED, k, v] > _ZERO else _ZERO
            risks[k, v] = seen * factors[RISK, v] * hazards[k, v]
            first += risks[k, v]
            all_of_it += risks[k, v]
            for r in range(1, _RISKS):
                all_of_it += seen * factors[RISK + r, v] * hazards[k, r * width + v]
        grown = all_of_it / max(first, _LEAST)
        for v in range(width):
            risks[k, v] = risks[k, v] * grown


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
def _add_up(parts: Floats, held: Floats, risks: Floats, evidence: Floats, top: Ints) -> None:
    """The evidence (n,): the risks and what is held of each vital, faded with its age.

    And which of the vitals has most of it, ``top`` (n,).
    """
    for k in range(len(evidence)):
        total, most = _ZERO, -_ONE
        for v in range(held.shape[1]):
            part = risks[k, v] + held[k, v] * _fresh(parts[AGE, k, v])
            total += part
            if part > most:
                most, top[k] = part, v
        evidence[k] = logarithm(total)


@compiled
def explain(
    readings: Ints,
    rows: Ints,
    usual: Floats,
    memory: Floats,
    held: Floats,
    risks: Floats,
    causes: Bytes8,
    outside: Floats,
    scales: Floats,
    reasons: Floats,
) -> None:
    """Fill ``reasons`` (7, n, V) for ``readings`` (k,) of a round: what Reasons holds, cause last.

    ``rows`` (n,) and ``usual`` (2, n, V) are the round's; ``memory`` (R, 6 V), ``held``, ``risks``,
    ``causes`` and ``outside`` (R, V) the state after it. Of the sum of the vitals' risks each is
    given a part by its own and by how far it is from the patient's usual, in the widths of that.
    """
    width = usual.shape[2]
    for reading in readings:
        row = rows[reading]
        total = risk = parted = _ZERO
        for v in range(width):
            away = abs(memory[row, LAST * width + v] - usual[0, reading, v])
            away /= USUAL_DEVIATIONS * usual[1, reading, v]
            part = risks[row, v] * (_ONE if np.isnan(away) else _ONE + away)
            reasons[0, reading, v] = part
            risk, parted = risk + risks[row, v], parted + part
        for v in range(width):
            mine = reasons[0, reading, v] * (risk / parted) if parted > _ZERO else _ZERO
            rest = held[row, v] * _fresh(memory[row, AGE * width + v])
            reasons[0, reading, v] = mine + rest
            reasons[6, reading, v] = RISK if mine >= rest else causes[row, v]
            total += mine + rest
        for v in range(width):
            part = reasons[0, reading, v]
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
