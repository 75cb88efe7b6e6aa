"""Calibration: what quiet patients, not trained on, show, and how often they would alarm.

Two passes over the same simulated patients, half of whom deteriorate at some time: what they show
before and after is quiet too, and nobody would call an alarm then a true one. The first pass
tabulates the tails of surprise, level and danger. The second counts, for a range of evidence, the
episodes that the alarm machine raises, delay, hysteresis and refractory time included, because
what a ward bears is alarms and not readings; :mod:`vitalwatch.calibration.conformal` says what the
table then promises.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from simulator import Ward
from vitalwatch import vitals
from vitalwatch.alarms.technical import Watch
from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.calibration import table
from vitalwatch.calibration.table import Watched
from vitalwatch.calibration.tails import weighted_tail
from vitalwatch.evaluation.streams import Streams
from vitalwatch.model.checkpoint import Model
from vitalwatch.scoring.evidence import PACES, TAIL_LOGS, TERMS, WEIGHTS, Calibration
from vitalwatch.scoring.scorer import Scorer, Scores
from vitalwatch.state import Table
from vitalwatch.training.data import ward

Report = Callable[[float], None]

STYLE: Final = "swinging"
"""The ward with the most that looks like danger and is none: elsewhere alarms are rarer."""

WARDS: Final = tuple(zip(PACES, (48, 64, 96, 192, 192), (6, 24, 24, 24, 24), strict=True))
"""Interval in s, patients, hours: every pace has its say in the tables."""

_MIDDLE: Final = 2
"""To the evidence at this one of PACES nothing is added."""

PATIENTS: Final = sum(patients for _, patients, _ in WARDS)
PATIENT_DAYS: Final = sum(patients * hours / 24 for _, patients, hours in WARDS)

_DAY_MS: Final = 86_400_000


class _Course(NamedTuple):
    """A ward's ``evidence (T, N)`` at ``times (T,)`` ms, and where it is ``quiet (T, N)``."""

    times: Ints
    evidence: Floats
    quiet: Bools


def calibrate(model: Model, seed: int, report: Report) -> Calibration:
    """Tables for ``model``, whose own are not asked; ``report`` gets the share done, 0 to 1."""
    frames = sum(hours * 3600 / interval for interval, _, hours in WARDS)
    done = 0.0

    def advance(step: Scores) -> Scores:
        nonlocal done
        done += 1
        report(done / (2 * frames))
        return step

    samples = [_answers(map(advance, _run(model, w, None)), w, i) for i, w in _wards(seed)]
    weights = np.repeat(WEIGHTS[:, None], vitals.COUNT, axis=1).astype(np.float32)
    start = Calibration(
        _tails(samples),
        weights,
        np.zeros(len(PACES), dtype=np.float32),
        np.linspace(-3, 3, 4),
        np.linspace(-2, 3, 4),
    )
    courses = [_course(map(advance, _run(model, w, start)), w, i) for i, w in _wards(seed)]
    pace = _pace(start, courses)
    paced = [c._replace(evidence=c.evidence + by) for c, by in zip(courses, pace, strict=True)]
    start = replace(start, pace=pace)
    return table.made(start, _watched(paced), prior_days=0)[0]


def _pace(start: Calibration, courses: "list[_Course]") -> Floats:
    """What makes alarms as seldom at every pace, (P,): one a patient-day at the same evidence."""
    levels = [
        table.evidence(table.made(start, _watched([course]), prior_days=0)[0], np.zeros(1))[0]
        for course in courses
    ]
    return np.array(levels[_MIDDLE] - np.array(levels), dtype=np.float32)


def _wards(seed: int) -> Iterator[tuple[float, Ward]]:
    for number, (interval, patients, _) in enumerate(WARDS):
        people = ward("calibrate", seed * 10 + number, patients, interval, "mixed", style=STYLE)
        yield interval, people


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


def _answers(steps: Iterator[Scores], patients: Ward, interval: float) -> Floats:
    """Up to some 10,000 frames' answers ``(3, T N, V)`` in quiet, thinned evenly."""
    thin = max(1, round(5 / interval))
    kept, places = [], []
    for number, step in enumerate(steps):
        if number % thin == 0 and number * interval > 1800:  # baselines are young before
            kept.append([getattr(step.answers, term) for term in TERMS])
            places.append(number)
    quiet = _quiet(patients, _times(patients, np.array(places), interval))
    answers = np.stack([np.asarray(terms) for terms in kept], axis=1)  # (3, T, N, V)
    return np.asarray(answers[:, quiet])


def _times(patients: Ward, frames: Ints, interval: float) -> Ints:
    return patients.start_ms + frames * int(interval * 1000)


def _quiet(patients: Ward, times: Ints) -> Bools:
    """Where ``(T, N)`` a ward's patients do not deteriorate at ``times (T,)`` ms, after its run."""
    quiet = np.ones((len(times), len(patients)), dtype=np.bool_)
    place = {name: number for number, name in enumerate(patients.patients)}
    for truth in patients.truth:
        if not truth.benign:
            during = (times >= truth.onset) & (times <= truth.end)
            quiet[during, place[truth.patient]] = False
    return quiet


def _tails(samples: list[Floats]) -> Floats:
    """Values exceeded with each tabulated frequency, the rates weighing alike: (3, V, 17)."""
    tails = np.empty((len(TERMS), vitals.COUNT, len(TAIL_LOGS)), dtype=np.float64)
    for term in range(len(TERMS)):
        for vital in range(vitals.COUNT):
            parts = [sample[term, :, vital] for sample in samples]
            parts = [part[~np.isnan(part)] for part in parts]
            weights = np.concatenate([np.full(len(p), 1 / max(len(p), 1)) for p in parts])
            tails[term, vital] = weighted_tail(np.concatenate(parts), weights)
    # np.interp needs ascending knots where a device's steps make many values equal.
    tails += np.arange(len(TAIL_LOGS)) * 1e-5
    return tails.astype(np.float32)


def _course(steps: Iterator[Scores], patients: Ward, interval: float) -> _Course:
    """A ward's evidence, by the interval."""
    evidence = np.array([step.evidence for step in steps])
    times = _times(patients, np.arange(len(evidence)), interval)
    return _Course(times, evidence, _quiet(patients, times))


def _watched(courses: list[_Course]) -> Watched:
    """Everybody of some wards, in one row."""
    lengths = [len(each.times) for each in courses for _ in range(each.evidence.shape[1])]
    times = np.concatenate([np.tile(each.times, each.evidence.shape[1]) for each in courses])
    scored = np.concatenate([each.evidence.T.ravel() for each in courses])
    edges = np.concatenate(([0], np.cumsum(lengths)))
    days = [each.quiet.sum(axis=0) * (each.times[1] - each.times[0]) / _DAY_MS for each in courses]
    return Watched(
        Streams(edges, times, np.empty((len(times), 0), dtype=np.float32)),
        np.arange(len(lengths)),
        scored,
        np.concatenate([each.quiet.T.ravel() for each in courses]),
        np.concatenate(days),
    )
