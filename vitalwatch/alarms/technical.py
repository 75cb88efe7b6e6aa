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
from vitalwatch.alarms.conditions import HIGH, LOW, MEDIUM, SECOND
from vitalwatch.alarms.machine import UNKNOWN
from vitalwatch.arrays import Bools, Bytes8, Floats, Ints
from vitalwatch.state import NEVER, Field, Table

CODES: Final = (0.0, -1.0, -32768.0)
"""What devices send where they have no value."""

ZEROED: Final = -1.0
"""A line that is open to air reads so too: of a pressure it is a value, and implausible."""

FLAT_MMHG: Final = 30.0
"""A systolic or mean pressure below this goes with a heart that does not pump."""

SETTLING: Final = {"hr": 10, "spo2": 10, "sbp": 10, "dbp": 10, "map": 10, "temp": 300}
"""Seconds for which a vital is not believed after it was lost or implausible.

Not respiration: 0 and the first breaths after it may be an apnoea.
"""

LEAPS: Final = {"sbp": 40.0, "dbp": 40.0, "map": 40.0, "temp": 1.0}
LEAP_SECONDS: Final = {"sbp": 120.0, "dbp": 120.0, "map": 120.0, "temp": 600.0}
FOLLOW_SECONDS: Final = {"sbp": 15.0, "dbp": 15.0, "map": 15.0, "temp": 60.0}
"""A rise of a pressure by so many mmHg above its level (which follows with that time constant) is
a line being flushed until it is over or has lasted so long; so is a temperature that moves either
way by a probe being moved. A pressure's fall is believed at once: it may be a circulation failing.
"""

CLOSE_MS: Final = 10 * SECOND
"""Leaps are told from values that follow each other so closely; in minutes a body can do much."""

PULSE_MMHG: Final = 3.0
"""The smallest pulse pressure of a line that is open to the patient."""

LOST_MS: Final = 60 * SECOND
LOST_INTERVALS: Final = 5
"""A vital is lost when it stays away for longer than both."""

_LOWEST, _HIGHEST = vitals.bounds("plausible")
_SETTLING_MS: Final = np.array([SETTLING.get(name, 0) * SECOND for name in vitals.NAMES])
_RR: Final = vitals.INDEX["rr"]
_HR: Final = vitals.INDEX["hr"]
_SPO2: Final = vitals.INDEX["spo2"]
_SBP: Final = vitals.INDEX["sbp"]
_MAP: Final = vitals.INDEX["map"]
_DBP: Final = vitals.INDEX["dbp"]
_PRESSURES: Final = slice(vitals.INDEX["sbp"], vitals.INDEX["map"] + 1)  # sbp, dbp, map
_LEAPING: Final = slice(vitals.INDEX["sbp"], vitals.INDEX["temp"] + 1)  # the same and temp
_RISE: Final = np.array(list(LEAPS.values()), dtype=np.float32)
_FALL: Final = np.array([np.inf, np.inf, np.inf, LEAPS["temp"]], dtype=np.float32)
_LEAP_MS: Final = np.array([s * SECOND for s in LEAP_SECONDS.values()], dtype=np.int64)
_FOLLOW_MS: Final = np.array([s * SECOND for s in FOLLOW_SECONDS.values()], dtype=np.float32)
_SMOOTHING: Final = np.float32(0.25)
_FOREVER: Final = -NEVER


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one reading of each of n patients is worth.

    ``raw`` (n, V) as received; ``clean`` (n, V) the same with NaN where a value is no
    measurement. Levels of technical conditions (-1 unknown, 0 no, else the priority):
    ``implausible`` and ``no_signal`` (n, V), ``no_breathing`` and ``no_heartbeat`` (n,).
    ``artefact`` (n, V) bool: values that belong to an artefact, also before it shows.
    ``silence`` (n, V) ms watched without a usable value, NaN if there never was one. ``stale``
    (n,) bool: the signal was lost before this reading, at ``deadline`` (n,) ms.
    """

    raw: Floats
    clean: Floats
    implausible: Bytes8
    no_signal: Bytes8
    no_breathing: Bytes8
    no_heartbeat: Bytes8
    artefact: Bools
    silence: Floats
    stale: Bools
    deadline: Ints


class Watch:
    """What is remembered of each patient's signals."""

    def __init__(self, table: Table, stale_ms: int) -> None:
        self._stale_ms = stale_ms
        self._earliest: dict[int, int] = {}  # by partition: no deadline lies before it
        # until: not believed before then. silence: ms watched since the last usable value;
        # interval: what is usual of that. level, level_at: what leaps are measured from;
        # seen_at: last value that may leap. read: the last reading; pace: usual ms between.
        self._state = table
        table.declare(
            {
                "until": Field(np.int64, vitals.COUNT, NEVER),
                "silence": Field(np.float32, vitals.COUNT, np.nan),
                "interval": Field(np.float32, vitals.COUNT, np.nan),
                "level": Field(np.float32, len(_RISE), np.nan),
                "level_at": Field(np.int64, len(_RISE), NEVER),
                "seen_at": Field(np.int64, len(_RISE), NEVER),
                "read": Field(np.int64, 0, NEVER),
                "pace": Field(np.float32, 0, np.nan),
                "partition": Field(np.int32, 0, -1),
            }
        )

    def assess(
        self, rows: Ints, times: Ints, values: Floats, stream: Ints, partition: Ints
    ) -> Assessment:
        """Judge one reading of each of n patients, and remember it; see :meth:`Alarms.assess`."""
        coded = np.isin(values, CODES)
        coded[:, _PRESSURES] &= values[:, _PRESSURES] != ZEROED
        absent = coded | np.isnan(values)
        outside = ~absent & ((values < _LOWEST) | (values > _HIGHEST))
        plausible = np.where(absent | outside, np.float32(np.nan), values)
        outside[:, _LEAPING] |= self._leaps(rows, times, plausible[:, _LEAPING])
        outside[:, _SBP] |= plausible[:, _SBP] - plausible[:, _DBP] <= PULSE_MMHG
        artefact = outside.copy()
        line = (outside | coded)[:, _PRESSURES].any(axis=1, keepdims=True)
        artefact[:, _PRESSURES] = line

        until = np.where(
            artefact | coded, times[:, None] + _SETTLING_MS, self._state["until"][rows]
        )
        self._state["until"][rows] = until
        usable: Bools = ~(absent | artefact) & (times[:, None] >= until)

        before, deadline = self._state["read"][rows], self.deadlines(rows)
        known = ~np.isnan(self._state["silence"][rows])
        silence, lost = self._presence(rows, np.minimum(times - before, LOST_MS), usable)
        still = values[:, _RR] == 0
        self._follow(rows, times, before)
        self._state["partition"][rows] = partition
        self._expect(times, partition)
        lost &= ~usable & ~outside  # back, or said by that condition
        lost[:, _RR] &= ~still
        # Where the oximeter finds a pulse the heart beats, and only the electrodes are off.
        beatless = (values[:, _HR] == 0) & known[:, _HR] & ~usable[:, _SPO2]
        lost[:, _HR] &= ~beatless
        asystole = np.where(_flat(values), HIGH, MEDIUM)
        return Assessment(
            raw=values,
            clean=np.where(usable, values, np.float32(np.nan)),
            implausible=_level(outside, LOW, usable),
            no_signal=_level(lost, LOW, usable),
            no_breathing=_level(still & known[:, _RR], MEDIUM, usable[:, _RR]),
            no_heartbeat=_level(beatless, asystole, usable[:, _HR] | usable[:, _SPO2]),
            artefact=artefact,
            silence=silence,
            stale=stream >= deadline,
            deadline=deadline,
        )

    def deadlines(self, rows: Ints) -> Ints:
        """When the signals of these patients (n,) count as lost, (n,) ms.

        A patient who is charted once an hour has not lost his signal after five minutes.
        """
        read = self._state["read"][rows]
        unusual = np.fmax(self._stale_ms, LOST_INTERVALS * self._state["pace"][rows])
        return np.where(read == NEVER, _FOREVER, read + unusual.astype(np.int64))

    def due(self, partition: int, stream: int) -> tuple[Ints, Ints]:
        """Rows of a partition whose signal is lost at its stream time, and their deadlines.

        Looks at the patients only when the earliest deadline is reached.
        """
        if stream < self._earliest.get(partition, stream + 1):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        rows = np.flatnonzero(self._state["partition"] == partition)
        deadlines = self.deadlines(rows)
        late = deadlines <= stream
        self._earliest[partition] = int(deadlines[~late].min(initial=_FOREVER))
        return rows[late], deadlines[late]

    def adopt(self, rows: Ints, partition: int) -> None:
        """Expect readings of these patients (n,), remembered elsewhere, in this partition."""
        self._state["partition"][rows] = partition
        deadline = int(self.deadlines(rows).min(initial=_FOREVER))
        self._earliest[partition] = min(self._earliest.get(partition, _FOREVER), deadline)

    def _leaps(self, rows: Ints, times: Ints, values: Floats) -> Bools:
        """Where pressures and temperature (n, 4) have left their level faster than a body can."""
        now = times[:, None]
        level, at = self._state["level"][rows], self._state["level_at"][rows]
        away = values - level
        close = (now - self._state["seen_at"][rows] <= CLOSE_MS) & (now - at <= _LEAP_MS)
        leaps: Bools = ((away > _RISE) | (away < -_FALL)) & close
        believed = ~(leaps | np.isnan(values))
        elapsed = np.minimum(now - at, 10 * _LEAP_MS).astype(np.float32)
        followed = level - away * np.expm1(-elapsed / _FOLLOW_MS)
        followed = np.where(np.isnan(level) | (now - at > _LEAP_MS), values, followed)
        self._state["level"][rows] = np.where(believed, followed, level)
        self._state["level_at"][rows] = np.where(believed, now, at)
        seen_at = self._state["seen_at"][rows]
        self._state["seen_at"][rows] = np.where(np.isnan(values), seen_at, now)
        return leaps

    def _follow(self, rows: Ints, times: Ints, before: Ints) -> None:
        """Note a reading of each of n patients, whose last was at ``before`` (n,) ms."""
        gap = np.where(before == NEVER, np.nan, times - before).astype(np.float32)
        pace = self._state["pace"][rows]
        # One long gap is an absence, not a new pace.
        usual = pace + _SMOOTHING * (np.minimum(gap, 2 * pace) - pace)
        self._state["pace"][rows] = np.where(np.isnan(pace), gap, usual)
        self._state["read"][rows] = times

    def _expect(self, times: Ints, partition: Ints) -> None:
        """Keep the earliest deadline of each partition a lower bound."""
        for group in np.unique(partition).tolist():
            deadline = int(times[partition == group].min()) + self._stale_ms
            self._earliest[group] = min(self._earliest.get(group, _FOREVER), deadline)

    def _presence(self, rows: Ints, watched: Ints, usable: Bools) -> tuple[Floats, Bools]:
        """Each vital's ms without a usable value (n, V), NaN if there never was one; if too long.

        ``watched`` (n,) ms that count since the last reading: a device that was away, or that
        reports seldom, has not left out a vital for all that time.
        """
        interval = self._state["interval"][rows]
        silence = self._state["silence"][rows] + watched[:, None].astype(np.float32)
        lost: Bools = (silence > LOST_MS) & (silence > LOST_INTERVALS * interval)  # not if NaN
        # A longer interval counts at once, for cuffs are irregular; a shorter one step by step.
        usual = np.fmax(silence, interval + _SMOOTHING * (silence - interval))
        self._state["interval"][rows] = np.where(usable, usual, interval)
        self._state["silence"][rows] = np.where(usable, np.float32(0), silence)
        return silence, lost


def _flat(values: Floats) -> Bools:
    """Where an arterial line (n, V) shows a pressure, but none that a beating heart makes (n,)."""
    systolic, mean = values[:, _SBP], values[:, _MAP]
    flat: Bools = ((systolic > 0) & (systolic < FLAT_MMHG)) | ((mean > 0) & (mean < FLAT_MMHG))
    return flat


def _level(holds: Bools, priority: int | Ints, usable: Bools) -> Bytes8:
    """The condition's level: its priority, 0 where a usable value says no, else unknown."""
    return np.where(holds, priority, np.where(usable, 0, UNKNOWN)).astype(np.int8)
