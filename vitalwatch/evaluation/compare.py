"""All detectors under test on one data set: thresholds from some people, figures from others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from vitalwatch.arrays import Doubles, Floats
from vitalwatch.evaluation import metrics
from vitalwatch.evaluation.detectors import NEWS2, SAFETY, Detector
from vitalwatch.evaluation.logic import Raised, Threshold, alarms
from vitalwatch.evaluation.metrics import Counts
from vitalwatch.evaluation.streams import DataSet
from vitalwatch.evaluation.thresholds import Quiet

RATES: Final = (0.25, 0.5, 1.0, 2.0, 5.0)
"""False alarms a patient-day to which thresholds are set on people to calibrate with."""

NEWS2_OF_7: Final = "NEWS2 of 7"
LIMIT_ALARM: Final = "the limit alarm"
PER_HUNDRED: Final = "false alarms per 100 "

_CURVE: Final = 24  # points


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its 95 % interval by bootstrap over people; NaN where there is none."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True, slots=True)
class Operation:
    """A detector at one threshold: that for the ``rate``, or (None) the one that it comes with."""

    rate: float | None
    threshold: Threshold
    counts: Counts
    figures: dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Result:
    """One detector's figures; ``curve`` (3, K): false alarms a patient-day, caught, early."""

    name: str
    operations: list[Operation]
    precision: float
    auroc: Figure | None
    curve: Doubles
    drawn: dict[tuple[float | None, str], Doubles] = field(default_factory=dict)

    def at(self, rate: float | None) -> Operation | None:
        """What it does at that rate."""
        return next((each for each in self.operations if each.rate == rate), None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found on the people of one data set who were kept apart for the test."""

    name: str
    title: str
    people: int
    days: float
    events: int
    eventful: int
    kinds: dict[str, int]
    prevalence: float
    calibrated_on: str
    results: list[Result]
    left_out: list[str]
    test: DataSet


def compare(
    detectors: Sequence[Detector],
    train: DataSet,
    calibrate: DataSet,
    test: DataSet,
    report: Callable[[str], None],
) -> Comparison:
    """Judge ``detectors`` on ``test``; ``report`` is told the name of each as it begins."""
    weights = metrics.draws(len(test.names))
    references = {
        NEWS2_OF_7: _first(test, NEWS2),
        LIMIT_ALARM: _first(test, SAFETY),
    }
    kept = test.quiet | test.due
    results, left_out = [], []
    for detector in detectors:
        report(detector.name)
        detector.learn(train)
        scores = detector.score(calibrate.streams)
        quiet = Quiet(calibrate, scores)
        if not quiet.tells:
            left_out.append(detector.name)
            continue
        tested = detector.score(test.streams)
        settings: list[tuple[float | None, Threshold]] = list(
            zip(RATES, quiet.frozen(RATES), strict=True)
        )
        if detector.setting is not None:
            settings.append((None, detector.setting))
        drawn: dict[tuple[float | None, str], Doubles] = {}
        operations = []
        for rate, threshold in settings:
            raised = alarms(test.streams, tested, threshold)
            counts = metrics.judge(test, raised)
            figures, samples = _figures(counts, weights, rate)
            figures |= {
                f"{PER_HUNDRED}{kind}": Figure(value)
                for kind, value in metrics.per_hundred(test, raised).items()
            }
            figures |= _chances(test, raised) | _leads(test, counts, references)
            drawn |= {(rate, name): sample for name, sample in samples.items()}
            operations.append(Operation(rate, threshold, counts, figures))
        auroc = None
        if test.matched is not None:
            found = metrics.matched(test, tested)
            samples = {"auroc": found.auroc(weights)}
            drawn[None, "auroc"] = samples["auroc"]
            auroc = Figure(float(found.auroc()[0]), *metrics.interval(samples["auroc"]))
        results.append(
            Result(
                detector.name,
                operations,
                metrics.average_precision(test.due[kept], tested[kept]),
                auroc,
                _curve(test, quiet, tested),
                drawn,
            )
        )
    counted = [event for event in test.events if event.counted]
    kinds = {event.kind: 0 for event in sorted(counted, key=lambda event: event.kind)}
    for event in counted:
        kinds[event.kind] += 1
    return Comparison(
        test.name,
        test.title,
        len(test.names),
        float(test.duration.sum()),
        len(counted),
        len({int(test.person[event.record]) for event in counted}),
        kinds,
        float(test.due[kept].mean()) if kept.any() else float("nan"),
        f"{len(calibrate.names)} people of {calibrate.name}, "
        f"{calibrate.duration[calibrate.quiet].sum():.0f} quiet patient-days",
        results,
        left_out,
        test,
    )


def difference(ours: Result, other: Result, rate: float | None, name: str) -> Figure | None:
    """Ours less the other's in a figure, with its paired interval; None if one has not got it."""
    one, two = ours.drawn.get((rate, name)), other.drawn.get((rate, name))
    if one is None or two is None:
        return None
    if name == "auroc":
        if ours.auroc is None or other.auroc is None:
            return None
        value = ours.auroc.value - other.auroc.value
    else:
        at, there = ours.at(rate), other.at(rate)
        if at is None or there is None:
            return None
        value = at.figures[name].value - there.figures[name].value
    return Figure(value, *metrics.interval(one - two))


def of_group(counts: Counts, members: Sequence[bool], weights: Doubles) -> dict[str, Figure]:
    """Caught, early and false alarms of some of the people only."""
    part = np.array(members, dtype=np.float64)
    return {
        "caught": _ratio(counts.caught * part, counts.events * part, weights)[0],
        "early": _ratio(counts.early * part, counts.room * part, weights)[0],
        "false": _ratio(counts.false * part, counts.quiet * part, weights)[0],
        "events": Figure(float((counts.events * part).sum())),
    }


def _ratio(top: Doubles, bottom: Doubles, weights: Doubles) -> tuple[Figure, Doubles]:
    samples = metrics.ratio(top, bottom, weights)
    value = float(top.sum() / bottom.sum()) if bottom.sum() else float("nan")
    return Figure(value, *metrics.interval(samples)), samples


def _figures(
    counts: Counts, weights: Doubles, rate: float | None
) -> tuple[dict[str, Figure], dict[str, Doubles]]:
    pairs = {
        "caught": (counts.caught, counts.events),
        "early": (counts.early, counts.room),
        "sudden": (counts.answered, counts.sudden),
        "false": (counts.false, counts.quiet),
        "alarms": (counts.alarms, counts.days),
        "precision": (counts.true, counts.true + counts.false),
        "in alarm": (counts.in_alarm, counts.days),
    }
    figures, samples = {}, {}
    for name, (top, bottom) in pairs.items():
        figures[name], samples[name] = _ratio(top, bottom, weights)
    if rate is not None:
        figure = figures["false"]
        figures["realised"] = Figure(figure.value / rate, figure.low / rate, figure.high / rate)
    figures["worst tenth"] = Figure(metrics.worst_share(counts.alarms))
    return figures, {name: samples[name] for name in ("caught", "early", "false")}


def _chances(test: DataSet, raised: Raised) -> dict[str, Figure]:
    return {
        "chance caught": Figure(metrics.chance(test, raised, early=False)),
        "chance early": Figure(metrics.chance(test, raised, early=True)),
    }


def _leads(test: DataSet, counts: Counts, references: dict[str, Doubles]) -> dict[str, Figure]:
    """Median and quartiles, min: an interval here is where the middle half lies."""
    events = [event for event in test.events if event.counted]
    latest = np.array([event.late for event in events], dtype=np.float64)
    begins = np.array([event.begin for event in events], dtype=np.float64)

    def spread(values: Doubles, missed: float | None = None) -> Figure:
        first, middle, third = metrics.quartiles(values, missed)
        return Figure(middle, first, third)

    found = {"delay": spread(counts.delay, np.inf), "lead": spread(counts.lead)}
    for name, first in references.items():
        # Where the reference is silent, it would have been later than the last that counts.
        ahead = np.where(np.isnan(first), latest, first) - (begins + counts.delay)
        found[f"before {name}"] = spread(ahead)
    return found


def _first(test: DataSet, reference: Detector) -> Doubles:
    assert reference.setting is not None  # noqa: S101 - both have one
    scores = reference.score(test.streams)
    return metrics.first_alarms(test, alarms(test.streams, scores, reference.setting))


def _curve(test: DataSet, quiet: Quiet, scores: Floats) -> Doubles:
    points = []
    for level in quiet.levels(_CURVE):
        counts = metrics.judge(test, alarms(test.streams, scores, quiet.threshold(level)))
        if counts.false.sum() > 2 * max(RATES) * counts.quiet.sum():
            break
        with np.errstate(invalid="ignore", divide="ignore"):
            points.append(
                (
                    counts.false.sum() / counts.quiet.sum(),
                    counts.caught.sum() / counts.events.sum(),
                    counts.early.sum() / counts.room.sum(),
                )
            )
    return np.array(points, dtype=np.float64).reshape(-1, 3).T
