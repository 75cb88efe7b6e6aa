"""Simulated courses that many tests look at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from simulator import Ward
from simulator.population import Population
from vitalwatch.arrays import Bools, Doubles, Floats
from vitalwatch.messages import Truth
from vitalwatch.vitals import INDEX

HOUR = 3600.0


@dataclass(frozen=True)
class Course:
    """Every patient of a ward in one scenario from hour 1 on; true levels ``(T, N, V)``.

    ``times (T, N)`` in s since the start; ``truth`` by patient; ``peak`` from when to when
    severity is full, ``(N,)`` each.
    """

    name: str
    times: Doubles
    levels: Floats
    people: Population
    truth: list[Truth]
    start_ms: int
    peak: tuple[Doubles, Doubles]

    def before(self, vital: str) -> Floats:
        """Median of the last half hour before onset, ``(N,)``."""
        during = (self.times > HOUR / 2) & (self.times < HOUR)
        return self._median(vital, during)

    def worst(self, vital: str) -> Floats:
        """Median of the time of full severity, ``(N,)``."""
        start, end = self.peak
        return self._median(vital, (self.times >= start) & (self.times <= end))

    def change(self, vital: str) -> float:
        """Median change from before onset to full severity."""
        return float(np.median(self.worst(vital) - self.before(vital)))

    def _median(self, vital: str, where: Bools) -> Floats:
        values = np.where(where, self.levels[:, :, INDEX[vital]], np.nan)
        return np.asarray(np.nanmedian(values, axis=0))


def frames(ward: Ward, count: int) -> Iterator[tuple[Doubles, Floats]]:
    """Times in s since the start, and true levels."""
    for times, _ in ward.frames(count):
        yield (times - ward.start_ms) / 1000, ward.levels.copy()


@pytest.fixture(scope="session")
def course() -> Callable[[str], Course]:
    """The course of a scenario, simulated once."""

    @cache
    def simulate(name: str) -> Course:
        interval = 20.0
        ward = Ward(80, 5, interval, scenarios=name, share=1.0, onset=(HOUR, HOUR))
        plan = ward._plan
        longest = float((plan.onset + plan.rise + plan.stay).max())
        drawn = list(frames(ward, int(longest / interval) + 2))
        return Course(
            name,
            np.stack([times for times, _ in drawn]),
            np.stack([levels for _, levels in drawn]),
            ward.population,
            [truth for truth in ward.truth if not truth.benign],
            ward.start_ms,
            (plan.onset + plan.rise, plan.onset + plan.rise + plan.stay),
        )

    return simulate
