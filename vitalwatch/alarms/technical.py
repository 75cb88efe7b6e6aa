"""What of a reading is a measurement: signal lost, implausible, unsettled, stale.

Monitors show 0, -1 or -32768 where they have no signal. A pressure line that is zeroed or
flushed shows -60 or 330 mmHg and swings for seconds before and after, so its values are believed
again only after a quiet time, and all pressures of a frame stand or fall together: they come
from one line. A temperature probe takes minutes to reach the body's temperature.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.alarms.conditions import LOW, MEDIUM, SECOND
from vitalwatch.alarms.machine import UNKNOWN
from vitalwatch.alarms.state import NEVER, Columns, Field
from vitalwatch.arrays import Bools, Bytes8, Floats, Ints

CODES: Final = (0.0, -1.0, -32768.0)
"""What devices send where they have no value."""

SETTLING: Final = {"hr": 10, "spo2": 10, "sbp": 10, "dbp": 10, "map": 10, "temp": 300}
"""Seconds for which a vital is not believed after it was lost or implausible.

Not respiration: 0 and the first breaths after it may be an apnoea.
"""

JUMP_MMHG: Final = 40.0
JUMP_MS: Final = 10 * SECOND
"""A pressure that moves by more than this within so long is the line's doing."""

PULSE_MMHG: Final = 3.0
"""The smallest pulse pressure of a line that is open to the patient, and the tolerance within
which the mean lies between diastolic and systolic."""

LOST_MS: Final = 60 * SECOND
LOST_INTERVALS: Final = 5
"""A vital is lost when it stays away for longer than both."""

_LOWEST, _HIGHEST = vitals.bounds("plausible")
_SETTLING_MS: Final = np.array([SETTLING.get(name, 0) * SECOND for name in vitals.NAMES])
_RR: Final = vitals.INDEX["rr"]
_PRESSURES: Final = slice(vitals.INDEX["sbp"], vitals.INDEX["map"] + 1)  # sbp, dbp, map
_SMOOTHING: Final = np.float32(0.25)
_FOREVER: Final = -NEVER


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one reading of each of n patients is worth.

    ``raw`` (n, V) as received; ``clean`` (n, V) the same with NaN where a value is no
    measurement. Levels of technical conditions (-1 unknown, 0 no, else the priority):
    ``implausible`` and ``no_signal`` (n, V), ``no_breathing`` (n,). ``artefact`` (n, V) bool:
    values that belong to an artefact, also before it shows. ``silence`` (n, V) ms since the last
    usable value. ``stale`` (n,) bool: the signal was lost before this reading, at ``deadline``
    (n,) ms.
    """

    raw: Floats
    clean: Floats
    implausible: Bytes8
    no_signal: Bytes8
    no_breathing: Bytes8
    artefact: Bools
    silence: Ints
    stale: Bools
    deadline: Ints


class Watch:
    """What is remembered of each patient's signals."""

    def __init__(self, stale_ms: int) -> None:
        self._stale_ms = stale_ms
        self._earliest: dict[int, int] = {}  # by partition: no deadline lies before it
        # until: not believed before then. usable: last usable value. interval: the usual ms
        # between usable values. pressure, pressure_at: last plausible pressures. read: last
        # reading. resumed: first reading after the signal was lost.
        self._state = Columns(
            {
                "until": Field(np.int64, vitals.COUNT, NEVER),
                "usable": Field(np.int64, vitals.COUNT, NEVER),
                "interval": Field(np.float32, vitals.COUNT, np.nan),
                "pressure": Field(np.float32, 3, np.nan),
                "pressure_at": Field(np.int64, 3, NEVER),
                "read": Field(np.int64, 0, NEVER),
                "resumed": Field(np.int64, 0, NEVER),
                "partition": Field(np.int32, 0, -1),
            }
        )

    @property
    def row_bytes(self) -> int:
        """What one patient takes."""
        return self._state.row_bytes

    def grow(self, capacity: int) -> None:
        """Have at least ``capacity`` rows."""
        self._state.grow(capacity)

    def clear(self, rows: Ints) -> None:
        """Forget these patients."""
        self._state.clear(rows)

    def assess(
        self, rows: Ints, times: Ints, values: Floats, stream: Ints, partition: Ints
    ) -> Assessment:
        """Judge one reading of each of n patients, and remember it; see :meth:`Alarms.assess`."""
        coded = np.isin(values, CODES)
        absent = coded | np.isnan(values)
        outside = ~absent & ((values < _LOWEST) | (values > _HIGHEST))
        pulseless, jump = self._line(rows, times, np.where(absent | outside, np.nan, values))
        outside[:, _PRESSURES.start] |= pulseless
        artefact = outside.copy()
        line = artefact[:, _PRESSURES] | coded[:, _PRESSURES] | jump
        artefact[:, _PRESSURES] = line.any(axis=1, keepdims=True)

        until = np.where(
            artefact | coded, times[:, None] + _SETTLING_MS, self._state["until"][rows]
        )
        self._state["until"][rows] = until
        usable: Bools = ~(absent | artefact) & (times[:, None] >= until)

        stale, deadline = self._follow(rows, times, stream, partition)
        known = self._state["usable"][rows] != NEVER
        silence, lost = self._presence(rows, times, usable)
        still = values[:, _RR] == 0
        lost &= ~outside  # said by that condition
        lost[:, _RR] &= ~still
        return Assessment(
            raw=values,
            clean=np.where(usable, values, np.float32(np.nan)),
            implausible=_level(outside, LOW, usable),
            no_signal=_level(lost, LOW, usable),
            no_breathing=_level(still & known[:, _RR], MEDIUM, usable[:, _RR]),
            artefact=artefact,
            silence=silence,
            stale=stale,
            deadline=deadline,
        )

    def due(self, partition: int, stream: int) -> tuple[Ints, Ints]:
        """Rows of a partition whose signal is lost at its stream time, and their deadlines.

        Looks at the patients only when the earliest deadline is reached.
        """
        if stream < self._earliest.get(partition, stream + 1):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        rows = np.flatnonzero(self._state["partition"] == partition)
        deadlines = self._state["read"][rows] + self._stale_ms
        late = deadlines <= stream
        self._earliest[partition] = int(deadlines[~late].min(initial=_FOREVER))
        return rows[late], deadlines[late]

    def _line(self, rows: Ints, times: Ints, values: Floats) -> tuple[Bools, Bools]:
        """Frames without a pulse in the pressures (n,), and pressures that jump (n, 3)."""
        now, pressures = times[:, None], values[:, _PRESSURES]
        before, at = self._state["pressure"][rows], self._state["pressure_at"][rows]
        jump = (np.abs(pressures - before) > JUMP_MMHG) & (now - at <= JUMP_MS)
        there = ~np.isnan(pressures)
        self._state["pressure"][rows] = np.where(there, pressures, before)
        self._state["pressure_at"][rows] = np.where(there, now, at)
        return pressures[:, 0] - pressures[:, 1] <= PULSE_MMHG, jump

    def _follow(self, rows: Ints, times: Ints, stream: Ints, partition: Ints) -> tuple[Bools, Ints]:
        """Whether the patient's signal was lost before this reading, and the deadline for it."""
        state = self._state
        read = state["read"][rows]
        deadline = read + self._stale_ms
        stale = (read != NEVER) & (stream >= deadline)
        state["resumed"][rows] = np.where(stale | (read == NEVER), times, state["resumed"][rows])
        state["read"][rows] = times
        state["partition"][rows] = partition
        for group in np.unique(partition).tolist():
            earliest = int(times[partition == group].min()) + self._stale_ms
            self._earliest[group] = min(self._earliest.get(group, _FOREVER), earliest)
        return stale, deadline

    def _presence(self, rows: Ints, times: Ints, usable: Bools) -> tuple[Ints, Bools]:
        """Each vital's ms without a usable value (n, V), and whether that is too long."""
        state, now = self._state, times[:, None]
        last, interval = state["usable"][rows], state["interval"][rows]
        silence = now - np.maximum(last, state["resumed"][rows][:, None])
        lost = (silence > LOST_MS) & (silence > LOST_INTERVALS * interval)  # False for NaN
        gap = np.where(last == NEVER, np.nan, now - last).astype(np.float32)
        usual = np.where(np.isnan(interval), gap, interval + _SMOOTHING * (gap - interval))
        state["interval"][rows] = np.where(usable, usual, interval)
        state["usable"][rows] = np.where(usable, now, last)
        return silence, lost


def _level(holds: Bools, priority: int, usable: Bools) -> Bytes8:
    """The condition's level: its priority, 0 where a usable value says no, else unknown."""
    return np.where(holds, priority, np.where(usable, 0, UNKNOWN)).astype(np.int8)
