"""Calibration: what quiet patients, not trained on, show, and how often they would alarm.

Two passes over the same simulated patients. The first tabulates the tails of surprise, level and
danger. The second counts, for a range of evidence, the episodes that the alarm machine raises,
delay, hysteresis and refractory time included, because what a ward bears is alarms and not
readings. (It leaves out the forgiveness of a single dip, and takes a share of the evidence for the
quarter of the rarity at which an alarm clears; `vitalwatch evaluate` shows what is realised.)
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from simulator import Ward
from vitalwatch import vitals
from vitalwatch.alarms import conditions, machine
from vitalwatch.alarms.technical import Watch
from vitalwatch.arrays import Doubles, Floats, Ints
from vitalwatch.model.network import Network
from vitalwatch.scoring.evidence import TAIL_LOGS, TERMS, Calibration
from vitalwatch.scoring.scorer import Scorer, Scores
from vitalwatch.state import Table
from vitalwatch.training.data import ward

Report = Callable[[float], None]

WARDS: Final = ((1.0, 48, 6), (5.0, 64, 24), (15.0, 96, 24), (60.0, 192, 24))
"""Interval in s, patients, hours: every rate has its say in the tables."""

PATIENTS: Final = sum(patients for _, patients, _ in WARDS)
PATIENT_DAYS: Final = sum(patients * hours / 24 for _, patients, hours in WARDS)

_LEVELS: Final = 40
_DAY_MS: Final = 86_400_000
_CLEARING: Final = 0.75  # of the evidence: about the quarter of the rarity at which alarms clear


def calibrate(network: Network, seed: int, report: Report) -> Calibration:
    """Tables for ``network``; ``report`` gets the share done, 0 to 1."""
    frames = sum(hours * 3600 / interval for interval, _, hours in WARDS)
    done = 0.0

    def advance(step: Scores) -> Scores:
        nonlocal done
        done += 1
        report(done / (2 * frames))
        return step

    samples = [_answers(map(advance, _run(network, w, None)), i) for i, w in _wards(seed)]
    tails = _tails(samples)
    flat = Calibration(tails, np.array([0.0, 1.0, 2.0, 3.0]), np.zeros(4))
    courses = [_evidence(map(advance, _run(network, w, flat)), w, i) for i, w in _wards(seed)]
    sums, log_days = _rarities(courses)
    return Calibration(tails, sums, log_days)


def _wards(seed: int) -> Iterator[tuple[float, Ward]]:
    for number, (interval, patients, _) in enumerate(WARDS):
        yield interval, ward("calibrate", seed * 10 + number, patients, interval, None)


def _hours(interval: float) -> int:
    return next(hours for every, _, hours in WARDS if every == interval)


def _run(network: Network, patients: Ward, calibration: Calibration | None) -> Iterator[Scores]:
    """Score a whole ward, frame by frame, through the same judgement of signals as the daemon."""
    rows = np.arange(len(patients))
    table = Table()
    scorer, watch = Scorer(table, network.weights()), Watch(table, stale_ms=300_000)
    table.grow(len(patients))
    partition = np.zeros(len(patients), dtype=np.int64)
    for times, values in patients.frames(int(_hours(patients.interval) * 3600 / patients.interval)):
        clean = watch.assess(rows, times, values, times, partition).clean
        yield scorer.step(rows, times, clean, calibration)


def _answers(steps: Iterator[Scores], interval: float) -> Floats:
    """Up to some 10,000 frames' answers ``(3, T N, V)``, thinned evenly."""
    thin = max(1, round(5 / interval))
    kept = []
    for number, step in enumerate(steps):
        if number % thin == 0 and number * interval > 1800:  # baselines are young before
            kept.append([getattr(step.answers, term) for term in TERMS])
    return np.concatenate([np.asarray(terms) for terms in kept], axis=1)


def _tails(samples: list[Floats]) -> Floats:
    """Values exceeded with each tabulated frequency, the rates weighing alike: (3, V, 17)."""
    tails = np.empty((len(TERMS), vitals.COUNT, len(TAIL_LOGS)), dtype=np.float64)
    for term in range(len(TERMS)):
        for vital in range(vitals.COUNT):
            parts = [sample[term, :, vital] for sample in samples]
            parts = [part[~np.isnan(part)] for part in parts]
            weights = np.concatenate([np.full(len(p), 1 / max(len(p), 1)) for p in parts])
            tails[term, vital] = _weighted_tail(np.concatenate(parts), weights)
    # np.interp needs ascending knots where a device's steps make many values equal.
    tails += np.arange(len(TAIL_LOGS)) * 1e-5
    return tails.astype(np.float32)


def _weighted_tail(values: Floats, weights: Doubles) -> Doubles:
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    wanted = 1 - 10.0**-TAIL_LOGS
    found = np.searchsorted(below, wanted * below[-1], side="left").clip(max=len(order) - 1)
    return np.asarray(values[order][found], dtype=np.float64)


def _evidence(steps: Iterator[Scores], patients: Ward, interval: float) -> tuple[Ints, Floats]:
    """A ward's evidence: times (T,) ms by the interval, evidence (T, N)."""
    evidence = np.array([step.evidence for step in steps])
    return np.arange(len(evidence)) * int(interval * 1000) + patients.start_ms, evidence


def _rarities(courses: list[tuple[Ints, Floats]]) -> tuple[Doubles, Doubles]:
    """Evidence levels and log10 of quiet patient-days per alarm episode at each."""
    highest = max(float(evidence.max()) for _, evidence in courses)
    sums = np.linspace(0.25, highest, _LEVELS)
    episodes = np.zeros(_LEVELS)
    days = 0.0
    for times, evidence in courses:
        episodes += _episodes(times, evidence, sums)
        days += evidence.size * float(times[1] - times[0]) / _DAY_MS
    # Half an episode where there was none; and never less rare with more evidence.
    log_days = np.log10(days / np.maximum(episodes, 0.5))
    keep = episodes >= 2  # beyond, the table is noise and the slope goes on
    sums, log_days = sums[keep], np.maximum.accumulate(log_days[keep])
    return np.concatenate(([0.0], sums)), np.concatenate(([log_days[0] - 0.5], log_days))


def _episodes(times: Ints, evidence: Floats, sums: Doubles) -> Doubles:
    """Alarms raised at each level ``(K,)``: every patient stands in the machine once a level."""
    levels, patients = len(sums), evidence.shape[1]
    table = Table()
    states = machine.Machine(table)
    table.grow(levels * patients)
    rows = np.arange(levels * patients)
    column = conditions.DETERIORATION
    level = np.full((len(rows), conditions.COUNT), machine.UNKNOWN, dtype=np.int8)
    clear = np.zeros(level.shape, dtype=bool)
    raised = np.zeros(levels)
    for time, evidences in zip(times, evidence, strict=True):
        beyond = evidences >= sums[:, None]  # (K, N)
        level[:, column] = np.where(beyond, conditions.MEDIUM, 0).ravel()
        clear[:, column] = (evidences < _CLEARING * sums[:, None]).ravel()
        happened = states.step(rows, np.full(len(rows), time), level, clear)
        new = happened.rows[happened.event == machine.RAISED]
        raised += np.bincount(new // patients, minlength=levels)
    return raised
