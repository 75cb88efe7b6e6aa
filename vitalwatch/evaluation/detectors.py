"""Detectors under test: a person's readings in, one score per reading out.

Higher is rarer or worse; NaN where a reading says nothing. A score depends on the readings up to
its own, of its own record, alone. All go by the same clean values, and by the last value of a
vital while people would (:class:`~vitalwatch.evaluation.baselines.LastSeen`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.evaluation import baselines, own
from vitalwatch.evaluation.logic import Threshold
from vitalwatch.evaluation.streams import DataSet, Streams


class Detector(Protocol):
    """Something that scores readings; ``setting`` is the threshold that it comes with, if any."""

    name: str
    setting: Threshold | None

    def learn(self, people: DataSet) -> None:
        """Take what it can from people to train on, whom it will not be tested on."""

    def score(self, streams: Streams) -> Floats:
        """Scores (n,) of readings (n, V)."""


@dataclass
class Formula:
    """A detector that has nothing to learn."""

    name: str
    formula: Callable[[Streams], Floats]
    setting: Threshold | None = None

    def learn(self, people: DataSet) -> None:
        """Nothing."""

    def score(self, streams: Streams) -> Floats:
        """What the formula says."""
        return self.formula(streams)


Limits = dict[str, tuple[float | None, float | None]]

ONE_SIDED: Final[Limits] = {
    name: (low, high if name in ("hr", "rr") else None)
    for name, (low, high) in baselines.FACTORY_LIMITS.items()
}
"""The harmful sides of the factory limits: low pressures and saturation, low and high rates."""


def beyond_limits(values: Floats, limits: Limits) -> Floats:
    """How far towards its limit the worst vital is, (n,): 0 where it is typical, 1 at the limit.

    A threshold on it moves all limits in proportion. NaN where no such vital is known.
    """
    worst = np.full(len(values), -np.inf, dtype=np.float32)
    for name, ends in limits.items():
        v = vitals.INDEX[name]
        typical = vitals.VITALS[v].typical
        for limit in ends:
            if limit is not None:
                towards = (values[:, v] - np.float32(typical)) / np.float32(limit - typical)
                worst = np.fmax(worst, towards)
    return np.where(np.isinf(worst), np.float32(np.nan), worst)


_MEWS: Final[baselines.Bands] = {
    "sbp": ((70.5, 80.5, 100.5, 199.5), (3, 2, 1, 0, 2)),
    "hr": ((39.5, 50.5, 100.5, 110.5, 129.5), (2, 1, 0, 1, 2, 3)),
    "rr": ((8.5, 14.5, 20.5, 29.5), (2, 0, 1, 2, 3)),
    "temp": ((34.95, 38.45), (2, 0, 2)),
}
"""Upper edges of each band, and the bands' points (Subbe and others, QJM 2001)."""


def mews(values: Floats) -> Floats:
    """Modified early warning score (n,) of values (n, V), alert; a vital not known scores 0."""
    return baselines.points(values, _MEWS).astype(np.float32)


def shock_index(values: Floats) -> Floats:
    """Heart rate over systolic pressure (n,) of values (n, V), NaN where one is not known."""
    return np.asarray(values[:, vitals.INDEX["hr"]] / values[:, vitals.INDEX["sbp"]])


def _random(streams: Streams) -> Floats:
    return np.random.default_rng(0).random(len(streams.times), dtype=np.float32)


def _clock(streams: Streams) -> Floats:
    return (streams.since / 1000).astype(np.float32)


def _at(level: float) -> Threshold:
    """The setting of a yes-or-no rule: on at a level, off below it."""
    return Threshold(level, level)


_JUST_BEYOND: Final = float(np.nextafter(np.float32(1), np.float32(2)))

SAFETY: Final = Formula(
    "safety limits",
    lambda streams: beyond_limits(
        streams.held, {vital.name: vital.limit for vital in vitals.VITALS}
    ),
    _at(_JUST_BEYOND),
)
NEWS2: Final = Formula(
    "NEWS2",
    lambda streams: baselines.news2(streams.held).astype(np.float32),
    _at(baselines.NEWS2_EMERGENCY),
)

SIMPLE: Final = (
    Formula("random", _random),
    Formula("clock", _clock),
    SAFETY,
    Formula(
        "factory limits",
        lambda streams: beyond_limits(streams.held, baselines.FACTORY_LIMITS),
        _at(_JUST_BEYOND),
    ),
    Formula(
        "one-sided limits",
        lambda streams: beyond_limits(streams.held, ONE_SIDED),
        _at(_JUST_BEYOND),
    ),
    Formula("auto-limits", own.auto_limits, _at(_JUST_BEYOND)),
    NEWS2,
    Formula("MEWS", lambda streams: mews(streams.held), _at(5)),
    Formula("shock index", lambda streams: shock_index(streams.held)),
    Formula("max |z|", own.largest_deviation),
    Formula("Mahalanobis", own.mahalanobis),
)
"""What needs neither a network nor training."""
