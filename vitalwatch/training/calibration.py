"""Calibration: what quiet patients, not trained on, show, and how often they would alarm.

Two passes over the same simulated patients. The first tabulates the tails of surprise, level and
danger. The second counts, for a range of evidence, the episodes that the alarm machine raises,
delay, hysteresis and refractory time included, because what a ward bears is alarms and not
readings; :mod:`vitalwatch.calibration.conformal` says what the table then promises.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from simulator import Ward
from vitalwatch import vitals
from vitalwatch.alarms.technical import Watch
from vitalwatch.arrays import Doubles, Floats, Ints
from vitalwatch.calibration import table
from vitalwatch.calibration.table import Watched
from vitalwatch.evaluation.streams import Streams
from vitalwatch.model.checkpoint import Model
from vitalwatch.scoring.evidence import TAIL_LOGS, TERMS, WEIGHTS, Calibration
from vitalwatch.scoring.scorer import Scorer, Scores
from vitalwatch.state import Table
from vitalwatch.training.data import ward

Report = Callable[[float], None]

STYLE: Final = "swinging"
"""The ward with the most that looks like danger and is none: elsewhere alarms are rarer."""

WARDS: Final = ((1.0, 48, 6), (5.0, 64, 24), (15.0, 96, 24), (60.0, 192, 24))
"""Interval in s, patients, hours: every rate has its say in the tables."""

PATIENTS: Final = sum(patients for _, patients, _ in WARDS)
PATIENT_DAYS: Final = sum(patients * hours / 24 for _, patients, hours in WARDS)

_DAY_MS: Final = 86_400_000


def calibrate(model: Model, seed: int, report: Report) -> Calibration:
    """Tables for ``model``, whose own are not asked; ``report`` gets the share done, 0 to 1."""
    frames = sum(hours * 3600 / interval for interval, _, hours in WARDS)
    done = 0.0

    def advance(step: Scores) -> Scores:
        nonlocal done
        done += 1
        report(done / (2 * frames))
        return step

    samples = [_answers(map(advance, _run(model, w, None)), i) for i, w in _wards(seed)]
    weights = np.repeat(WEIGHTS[:, None], vitals.COUNT, axis=1).astype(np.float32)
    start = Calibration(_tails(samples), weights, np.linspace(-3, 3, 4), np.linspace(-2, 3, 4))
    courses = [_course(map(advance, _run(model, w, start)), w, i) for i, w in _wards(seed)]
    return table.made(start, _watched(courses), prior_days=0)[0]


def _wards(seed: int) -> Iterator[tuple[float, Ward]]:
    for number, (interval, patients, _) in enumerate(WARDS):
        yield interval, ward("calibrate", seed * 10 + number, patients, interval, None, style=STYLE)


def _hours(interval: float) -> int:
    return next(hours for every, _, hours in WARDS if every == interval)


def _run(model: Model, patients: Ward, calibration: Calibration | None) -> Iterator[Scores]:
    """Score a whole ward, frame by frame, through the same judgement of signals as the daemon."""
    rows = np.arange(len(patients))
    state = Table()
    scorer, watch = Scorer(state, model), Watch(state, stale_ms=300_000)
    state.grow(len(patients))
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


def _course(steps: Iterator[Scores], patients: Ward, interval: float) -> tuple[Ints, Floats]:
    """A ward's evidence: times (T,) ms by the interval, evidence (T, N)."""
    evidence = np.array([step.evidence for step in steps])
    return np.arange(len(evidence)) * int(interval * 1000) + patients.start_ms, evidence


def _watched(courses: list[tuple[Ints, Floats]]) -> Watched:
    """Everybody of some wards, in one row."""
    lengths = [len(times) for times, evidence in courses for _ in range(evidence.shape[1])]
    times = np.concatenate([np.tile(times, evidence.shape[1]) for times, evidence in courses])
    scored = np.concatenate([evidence.T.ravel() for _, evidence in courses])
    edges = np.concatenate(([0], np.cumsum(lengths)))
    steps = [(times[1] - times[0]) * evidence.size for times, evidence in courses]
    people = [evidence.shape[1] for _, evidence in courses]
    return Watched(
        Streams(edges, times, np.empty((len(times), 0), dtype=np.float32)),
        np.arange(len(lengths)),
        scored,
        np.ones(len(scored), dtype=np.bool_),
        np.repeat(np.array(steps) / np.array(people) / _DAY_MS, people),
    )
