"""The whole detector on a simulated ward, never trained on, beside what wards have today.

An event counts as caught if an alarm is raised between its onset and the time at which a vital
sign truly becomes critical; the lead is the time between the first such alarm and that moment.
What becomes critical within a minute leaves no time to warn and is not counted. A false alarm is
one raised outside of every deterioration, benign events and artefacts included.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from simulator import Ward
from vitalwatch import config
from vitalwatch.alarms.technical import Watch
from vitalwatch.arrays import Doubles, Floats, Ints, Spans
from vitalwatch.detector import Detector
from vitalwatch.evaluation import HEADLINE, baselines
from vitalwatch.evaluation.simulated import SUDDEN
from vitalwatch.messages import Alert, Truth
from vitalwatch.model.checkpoint import Model
from vitalwatch.readings import Readings
from vitalwatch.state import Table
from vitalwatch.training.data import ward

OURS: Final = "VitalWatch"
NETWORK: Final = "VitalWatch, network alone"
LIMITS: Final = "safety limits with delays"
FACTORY: Final = "monitor's factory limits"
NEWS: Final = "NEWS2 of 7 or more"
METHODS: Final = (OURS, NETWORK, LIMITS, FACTORY, NEWS)

_BATCH: Final = 16  # frames
_DAY_MS: Final = 86_400_000
_MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Result:
    """One method's figures. ``leads`` in minutes, of the caught events; intervals are 95 %.

    ``by_event``: caught and all critical events of each kind.
    """

    method: str
    caught: int
    critical: int
    caught_interval: tuple[float, float]
    leads: Doubles
    false_per_day: float
    false_interval: tuple[float, float]
    alarms_per_day: float
    by_event: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results in the order of METHODS, and what they were measured on."""

    patients: int
    patient_days: float
    interval: float
    results: list[Result]


def evaluate(
    model: Model,
    settings: config.Alarms,
    *,
    patients: int,
    hours: float,
    interval: float,
    seed: int,
    report: Callable[[float], None],
    style: str = HEADLINE,
) -> Evaluation:
    """Run all methods over one ward in a ``style``, half of whose patients deteriorate."""
    people = ward("evaluate", seed, patients, interval, "mixed", style=style)
    alarms = _run(model, settings, people, int(hours * 3600 / interval), report)
    truths = [truth for truth in people.truth if not truth.benign]
    days = patients * hours / 24
    names = people.patients
    results = [_judge(method, alarms[method], truths, names, days) for method in METHODS]
    return Evaluation(patients, days, interval, results)


_Alarms = list[tuple[str, int]]  # patient, time in ms


def _run(
    model: Model,
    settings: config.Alarms,
    people: Ward,
    frames: int,
    report: Callable[[float], None],
) -> dict[str, _Alarms]:
    # What is measured is the level as it was calibrated.
    detector = Detector(model, msgspec.structs.replace(settings, adjust=False))
    rows = np.arange(len(people))
    table = Table()
    watch, last = Watch(table, stale_ms=_DAY_MS), baselines.LastSeen(len(people))
    table.grow(len(people))
    partition = np.zeros(len(people), dtype=np.int64)
    news, factory = (baselines.Persistent(len(people)) for _ in range(2))
    alarms: dict[str, _Alarms] = {method: [] for method in METHODS}
    pending: list[tuple[Ints, Floats]] = []
    for number, (times, values) in enumerate(people.frames(frames), start=1):
        pending.append((times, values))
        if len(pending) == _BATCH or number == frames:
            for alert in detector.process([_readings(people, pending)])[0].alerts:
                for method in _credited(alert):
                    alarms[method].append((alert.patient, alert.time))
            pending.clear()
            report(number / frames)
        clean = watch.assess(rows, times, values, times, partition).clean
        points = baselines.news2(last.see(rows, times, clean))
        for method, machine, beyond in (
            (NEWS, news, points >= baselines.NEWS2_EMERGENCY),
            (FACTORY, factory, baselines.beyond_factory_limits(clean)),
        ):
            raised = machine.raised(rows, times, beyond)
            alarms[method] += [
                (people.patients[row], time)
                for row, time in zip(*(column.tolist() for column in raised), strict=True)
            ]
    return alarms


def _readings(people: Ward, frames: list[tuple[Ints, Floats]]) -> Readings:
    """Frames as one partition's log; a frame in which nothing was measured was never sent."""
    times = np.concatenate([times for times, _ in frames])
    values = np.concatenate([values for _, values in frames])
    sent = np.flatnonzero(~np.isnan(values).all(axis=1))
    order = sent[np.argsort(times[sent], kind="stable")]
    names = people.patients
    return Readings(
        "simulated",
        0,
        Spans.of(names[place % len(names)] for place in order.tolist()),
        times[order],
        values[order],
        np.arange(len(order)),
    )


def _credited(alert: Alert) -> Iterable[str]:
    if alert.kind != "physiological" or alert.event not in ("raised", "updated"):
        return ()
    return (OURS, NETWORK if alert.condition == "deterioration" else LIMITS)


def _judge(
    method: str, alarms: _Alarms, truths: list[Truth], names: list[str], days: float
) -> Result:
    by_patient: dict[str, list[int]] = {name: [] for name in names}
    for name, time in alarms:
        by_patient[name].append(time)
    spells: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    for truth in truths:
        spells[truth.patient].append((truth.onset, truth.end))
    false = {
        name: sum(not any(begin <= time <= end for begin, end in spells[name]) for time in times)
        for name, times in by_patient.items()
    }
    leads: list[float] = []
    caught: list[bool] = []
    by_event: dict[str, tuple[int, int]] = {}
    for truth in truths:
        if truth.critical is None or truth.critical - truth.onset <= SUDDEN:
            continue
        within = [t for t in by_patient[truth.patient] if truth.onset <= t <= truth.critical]
        caught.append(bool(within))
        if within:
            leads.append((truth.critical - min(within)) / _MINUTE_MS)
        hits, count = by_event.get(truth.event, (0, 0))
        by_event[truth.event] = (hits + bool(within), count + 1)
    per_patient = np.array(list(false.values()), dtype=np.float64)
    return Result(
        method=method,
        caught=sum(caught),
        critical=len(caught),
        caught_interval=_interval(np.array(caught, dtype=np.float64)),
        leads=np.array(leads),
        false_per_day=float(per_patient.sum()) / days,
        false_interval=_interval(per_patient * (len(names) / days)),
        alarms_per_day=len(alarms) / days,
        by_event=dict(sorted(by_event.items())),
    )


def _interval(values: Doubles) -> tuple[float, float]:
    """Bootstrap 95 % interval of the mean, over patients (a patient has one event at most)."""
    if not len(values):
        return (float("nan"), float("nan"))
    draws = np.random.default_rng(0).choice(values, size=(2000, len(values))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
