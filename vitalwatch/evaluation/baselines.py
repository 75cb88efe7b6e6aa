"""What wards have today, on the same stream and under the same alarm logic, to compare with.

Each baseline turns a reading into "alarm or not"; persistence of 60 s, hysteresis in time and 30
min of refractory time are the alarm machine's, the same as for the network's own condition.
"""

from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.alarms import conditions, machine
from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.state import Table

_HOUR: Final = 3600.0

FACTORY_LIMITS: Final[dict[str, tuple[float | None, float | None]]] = {
    "hr": (50, 120),
    "spo2": (90, None),
    "rr": (8, 30),
    "sbp": (90, 160),
    "dbp": (50, 90),
    "map": (60, 110),
}
"""Limits that bedside monitors ship with (Mindray TM80 and TMS60 manuals)."""

_NEWS2: Final[dict[str, tuple[tuple[float, ...], tuple[int, ...]]]] = {
    "rr": ((8.5, 11.5, 20.5, 24.5), (3, 1, 0, 2, 3)),
    "spo2": ((91.5, 93.5, 95.5), (3, 2, 1, 0)),
    "sbp": ((90.5, 100.5, 110.5, 219.5), (3, 2, 1, 0, 3)),
    "hr": ((40.5, 50.5, 90.5, 110.5, 130.5), (3, 1, 0, 1, 2, 3)),
    "temp": ((35.05, 36.05, 38.05, 39.05), (3, 1, 0, 1, 2)),
}
"""Upper edges of each band, and the bands' points (Royal College of Physicians 2017, scale 1)."""

NEWS2_EMERGENCY: Final = 7


class LastSeen:
    """The last value of each vital of each patient, for so long as people would go by it."""

    MAX_AGE: Final = 4 * _HOUR

    def __init__(self, patients: int) -> None:
        self._value = np.full((patients, vitals.COUNT), np.nan, dtype=np.float32)
        self._time = np.zeros((patients, vitals.COUNT), dtype=np.int64)

    def see(self, rows: Ints, times: Ints, values: Floats) -> Floats:
        """Take in readings (n, V), NaN where not measured; the last values (n, V)."""
        seen = ~np.isnan(values)
        value = np.where(seen, values, self._value[rows])
        time = np.where(seen, times[:, None], self._time[rows])
        self._value[rows], self._time[rows] = value, time
        return np.where(times[:, None] - time <= self.MAX_AGE * 1000, value, np.float32(np.nan))


Bands = dict[str, tuple[tuple[float, ...], tuple[int, ...]]]
"""By vital: the upper edges of all bands but the last, and the bands' points."""


def points(values: Floats, bands: Bands) -> Ints:
    """Points (n,) of last values (n, V), of all vitals together; one not known scores 0."""
    total = np.zeros(len(values), dtype=np.int64)
    for name, (edges, given) in bands.items():
        value = values[:, vitals.INDEX[name]]
        total += np.where(np.isnan(value), 0, np.array(given)[np.searchsorted(edges, value)])
    return total


def news2(values: Floats) -> Ints:
    """NEWS2 (n,) of last values (n, V), on air and alert; a vital not known scores 0."""
    return points(values, _NEWS2)


def beyond_factory_limits(values: Floats) -> Bools:
    """Whether any vital of a reading (n, V) is beyond a monitor's factory limits (n,)."""
    beyond = np.zeros(len(values), dtype=np.bool_)
    for name, (low, high) in FACTORY_LIMITS.items():
        value = values[:, vitals.INDEX[name]]
        if low is not None:
            beyond |= value < low
        if high is not None:
            beyond |= value > high
    return beyond


class Persistent:
    """A yes-or-no detector under the alarm machine's logic for the network's condition."""

    def __init__(self, patients: int) -> None:
        table = Table()
        self._machine = machine.Machine(table)
        table.grow(patients)

    def raised(self, rows: Ints, times: Ints, beyond: Bools) -> tuple[Ints, Ints]:
        """Rows and times (ms) of the alarms that these readings raise."""
        level = np.full((len(rows), conditions.COUNT), machine.UNKNOWN, dtype=np.int8)
        level[:, conditions.DETERIORATION] = np.where(beyond, conditions.MEDIUM, 0)
        clear = np.zeros(level.shape, dtype=np.bool_)
        clear[:, conditions.DETERIORATION] = ~beyond
        happened = self._machine.step(rows, times, level, clear)
        new = np.isin(happened.event, (machine.RAISED, machine.UPDATED))
        return happened.rows[new], happened.time[new]
