"""How well the model fits what comes in, told from scores alone: nobody labels a live stream.

Two figures drift when patients, devices or units differ from those that a model was trained and
calibrated on. Of all measured values a steady share lies within the range that the network
expected, and a steady share of readings is as rare as so many patient-days. Where either moves
away from what it was, the budget of false alarms is no longer kept, long before the alarms
themselves, few as they are, can show it.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from vitalwatch import vitals
from vitalwatch.arrays import Doubles, Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.readings import Detection

DAY_SECONDS: Final = 86_400

RARITY_DAYS: Final = (1 / 24, 1 / 8, 1 / 4, 1 / 2, 1, 2, 5, 10, 30, 100)
"""Bounds of the histogram, in patient-days: a budget is from one false alarm an hour to one in
three months, and a deterioration alarm is raised where rarity is about one over it."""

_BOUNDS: Final = np.array(RARITY_DAYS, dtype=np.float32)  # as rarities are


class Fit:
    """Counts of some readings.

    ``rarities`` (B + 1,) by bound of :data:`RARITY_DAYS`, those beyond the last at the end;
    ``rarity_days`` their sum; by vital (V,) values ``measured``, those ``inside`` the expected
    range, and the sum of their surprise in ``nats``.
    """

    __slots__ = ("inside", "measured", "nats", "rarities", "rarity_days")

    def __init__(self) -> None:
        self.rarities = np.zeros(len(_BOUNDS) + 1, dtype=np.int64)
        self.rarity_days = 0.0
        self.measured = np.zeros(vitals.COUNT, dtype=np.int64)
        self.inside = np.zeros(vitals.COUNT, dtype=np.int64)
        self.nats = np.zeros(vitals.COUNT, dtype=np.float64)

    def add(self, values: Floats, found: Detection) -> None:
        """Count some readings, whose vitals have these ``values`` (n, V)."""
        self.rarity_days += _count(
            values, found.surprise, found.low, found.high, found.rarity, _BOUNDS,
            self.rarities, self.measured, self.inside, self.nats,
        )  # fmt: skip


@compiled
def _count(
    values: Floats,
    surprise: Floats,
    low: Floats,
    high: Floats,
    rarity: Floats,
    bounds: Floats,
    rarities: Ints,
    measured: Ints,
    inside: Ints,
    nats: Doubles,
) -> float:
    """Add to the counts; the sum of rarities. A late reading has none."""
    days = 0.0
    for i in range(len(rarity)):
        if np.isnan(rarity[i]):
            continue
        days += rarity[i]
        bucket = 0
        while bucket < len(bounds) and rarity[i] > bounds[bucket]:
            bucket += 1
        rarities[bucket] += 1
        for vital in range(values.shape[1]):
            if not np.isnan(surprise[i, vital]):
                measured[vital] += 1
                nats[vital] += surprise[i, vital]
                inside[vital] += low[i, vital] <= values[i, vital] <= high[i, vital]
    return days


class RarityHistogram(Collector):
    """A histogram that takes many observations at once, which prometheus_client's does not."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._counts = np.zeros(len(_BOUNDS) + 1, dtype=np.int64)
        self._days = 0.0

    def add(self, fit: Fit) -> None:
        """Count the rarities of some readings."""
        self._counts += fit.rarities
        self._days += fit.rarity_days

    def collect(self) -> Iterable[Metric]:
        """The histogram as of now; the unit of the page is the second."""
        counts = np.cumsum(self._counts).tolist()
        bounds = [
            floatToGoString(days * DAY_SECONDS)  # type: ignore[no-untyped-call]
            for days in RARITY_DAYS
        ]
        buckets = list(zip([*bounds, "+Inf"], counts, strict=True))
        yield HistogramMetricFamily(
            self._name, self._documentation, buckets=buckets, sum_value=self._days * DAY_SECONDS
        )
