"""What of a reading is a measurement: signal lost, implausible, unsettled, stale.

Monitors show 0, -1 or -32768 where they have no signal. A pressure line that is zeroed or
flushed shows -60 or 330 mmHg and swings for seconds before and after, so its values are believed
again only after a quiet time, and all pressures of a frame stand or fall together: they come
from one line. A temperature probe takes minutes to reach the body's temperature.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch import vitals
from vitalwatch.alarms.conditions import (
    COUNT,
    HIGH,
    IMPLAUSIBLE,
    LOW,
    MEDIUM,
    NO_BREATHING,
    NO_HEARTBEAT,
    NO_SIGNAL,
    SECOND,
    STALE,
)
from vitalwatch.alarms.machine import UNKNOWN
from vitalwatch.alarms.staleness import LOST_INTERVALS, SMOOTHING, Staleness
from vitalwatch.arrays import Bools, Bytes8, Floats, Ints
from vitalwatch.compiled import AHEAD, compiled, fetch
from vitalwatch.scoring.elementary import exp
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
"""A vital is lost when it stays away for longer than that and for LOST_INTERVALS."""

_ONE: Final = np.float32(1)
_RR: Final = vitals.INDEX["rr"]
_HR: Final = vitals.INDEX["hr"]
_SPO2: Final = vitals.INDEX["spo2"]
_SBP: Final = vitals.INDEX["sbp"]
_DBP: Final = vitals.INDEX["dbp"]
_MAP: Final = vitals.INDEX["map"]
_LEAPING: Final = tuple(vitals.INDEX[name] for name in LEAPS)  # the pressures come first
_IMPLAUSIBLE: Final = IMPLAUSIBLE.start
_NO_SIGNAL: Final = NO_SIGNAL.start

_NORM: Final = np.dtype(
    [
        ("lowest", np.float32),
        ("highest", np.float32),
        ("settling_ms", np.int64),
        ("rise", np.float32),
        ("fall", np.float32),
        ("leap_ms", np.int64),
        ("follow_ms", np.float32),
    ],
    align=True,
)


def _norms() -> npt.NDArray[Any]:
    """What is plausible of each vital, (V,)."""
    norms = np.zeros(vitals.COUNT, dtype=_NORM)
    norms["lowest"], norms["highest"] = vitals.bounds("plausible")
    for norm, name in zip(norms, vitals.NAMES, strict=True):
        norm["settling_ms"] = SETTLING.get(name, 0) * SECOND
        norm["rise"] = LEAPS.get(name, np.inf)
        norm["fall"] = LEAPS["temp"] if name == "temp" else np.inf
        norm["leap_ms"] = LEAP_SECONDS.get(name, 0) * SECOND
        norm["follow_ms"] = FOLLOW_SECONDS.get(name, 0) * SECOND
    return norms


class Assessment(NamedTuple):
    """What one reading of each of n patients is worth.

    ``raw`` (n, V) as received; ``clean`` (n, V) the same with NaN where a value is no
    measurement. ``artefact`` (n, V) bool: values that belong to an artefact, also before it shows.
    ``silence`` (n, V) ms watched without a usable value, NaN if there never was one. ``level`` and
    ``clear`` (n, C) of the technical conditions, see :meth:`Machine.step`; of the others they are
    UNKNOWN and False. ``stale`` (n,) bool: the signal was lost before this reading, at
    ``deadline`` (n,) ms.
    """

    raw: Floats
    clean: Floats
    artefact: Bools
    silence: Floats
    level: Bytes8
    clear: Bools
    stale: Bools
    deadline: Ints


class _Signals(NamedTuple):
    """Views of all rows (R, V), the last three (R, 4); see :class:`Watch`."""

    until: Ints
    silence: Floats
    interval: Floats
    level: Floats
    level_at: Ints
    seen_at: Ints


class Watch:
    """What is remembered of each patient's signals."""

    def __init__(self, table: Table, stale_ms: int) -> None:
        # until: not believed before then. silence: ms watched since the last usable value;
        # interval: what is usual of that. level, level_at: what leaps are measured from;
        # seen_at: last value that may leap.
        self._state = table
        self._norms = _norms()
        leaping = tuple(LEAPS)
        table.declare(
            {
                "until": Field(np.int64, vitals.COUNT, NEVER, vitals.NAMES),
                "silence": Field(np.float32, vitals.COUNT, np.nan, vitals.NAMES),
                "interval": Field(np.float32, vitals.COUNT, np.nan, vitals.NAMES),
                "level": Field(np.float32, len(LEAPS), np.nan, leaping),
                "level_at": Field(np.int64, len(LEAPS), NEVER, leaping),
                "seen_at": Field(np.int64, len(LEAPS), NEVER, leaping),
            }
        )
        self.staleness = Staleness(table, stale_ms)

    def assess(
        self, rows: Ints, times: Ints, values: Floats, stream: Ints, partition: Ints
    ) -> Assessment:
        """Judge one reading of each of n patients, and remember it; see :meth:`Alarms.assess`."""
        before, deadline, stale = self.staleness.note(rows, times, stream, partition)
        found = Assessment(
            raw=values,
            clean=np.empty(values.shape, dtype=np.float32),
            artefact=np.empty(values.shape, dtype=np.bool_),
            silence=np.empty(values.shape, dtype=np.float32),
            level=np.empty((len(rows), COUNT), dtype=np.int8),
            clear=np.empty((len(rows), COUNT), dtype=np.bool_),
            stale=stale,
            deadline=deadline,
        )
        state = self._state
        signals = _Signals(
            state["until"],
            state["silence"],
            state["interval"],
            state["level"],
            state["level_at"],
            state["seen_at"],
        )
        _assess(rows, times, before, signals, self._norms, found)
        return found


@compiled
def _assess(
    rows: Ints,
    times: Ints,
    before: Ints,
    signals: _Signals,
    norms: npt.NDArray[Any],
    found: Assessment,
) -> None:
    # What is called per row gets numbers only: an array is handed on at the cost of two atomic
    # operations.
    raw = found.raw
    coded = np.empty(len(norms), dtype=np.bool_)
    outside = np.empty(len(norms), dtype=np.bool_)
    usable = np.empty(len(norms), dtype=np.bool_)
    plausible = np.empty(len(norms), dtype=np.float32)
    for i in range(len(rows)):
        coming = rows[min(i + AHEAD, len(rows) - 1)]
        fetch(signals.until, coming)
        fetch(signals.silence, coming)
        fetch(signals.interval, coming)
        fetch(signals.level, coming)
        fetch(signals.level_at, coming)
        fetch(signals.seen_at, coming)
        row, now = rows[i], times[i]

        # What each value could be, on its own.
        for v in range(len(norms)):
            value = raw[i, v]
            coded[v] = value in CODES and not (value == ZEROED and _SBP <= v <= _MAP)
            absent = coded[v] or np.isnan(value)
            outside[v] = not absent and (value < norms[v].lowest or value > norms[v].highest)
            plausible[v] = np.float32(np.nan) if absent or outside[v] else value
        # Whether it has left its level faster than a body can; if not, the level follows it.
        for k in range(len(_LEAPING)):
            v = _LEAPING[k]
            value, norm = plausible[v], norms[v]
            if np.isnan(value):
                continue
            level, at = signals.level[row, k], signals.level_at[row, k]
            close = now - signals.seen_at[row, k] <= CLOSE_MS and now - at <= norm.leap_ms
            signals.seen_at[row, k] = now
            if close and (value - level > norm.rise or value - level < -norm.fall):  # not if NaN
                outside[v] = True
                continue
            signals.level_at[row, k] = now
            if np.isnan(level) or now - at > norm.leap_ms:
                signals.level[row, k] = value
            else:
                moved = _ONE - exp(-np.float32(now - at) / norm.follow_ms)
                signals.level[row, k] = level + (value - level) * moved
        if plausible[_SBP] - plausible[_DBP] <= PULSE_MMHG:
            outside[_SBP] = True
        line = False
        for v in range(_SBP, _MAP + 1):
            line = line or outside[v] or coded[v]

        # Whether it is believed.
        for v in range(len(norms)):
            artefact = line if _SBP <= v <= _MAP else outside[v]
            if artefact or coded[v]:
                signals.until[row, v] = now + norms[v].settling_ms
            absent = coded[v] or np.isnan(raw[i, v])
            usable[v] = not absent and not artefact and now >= signals.until[row, v]
            found.artefact[i, v] = artefact
            found.clean[i, v] = raw[i, v] if usable[v] else np.float32(np.nan)

        # A device that was away, or that reports seldom, has not left out a vital all that time.
        watched = np.float32(min(now - before[i], LOST_MS))
        for c in range(COUNT):
            found.level[i, c] = UNKNOWN
        for v in range(len(norms)):
            silence = signals.silence[row, v] + watched
            interval = signals.interval[row, v]
            lost = silence > LOST_MS and silence > LOST_INTERVALS * interval  # not if NaN
            found.silence[i, v] = silence
            if usable[v]:
                # A longer interval counts at once, cuffs being irregular; a shorter one bit by bit.
                usual = interval + SMOOTHING * (silence - interval)
                signals.interval[row, v] = usual if usual > silence else silence
                signals.silence[row, v] = 0
            else:
                signals.silence[row, v] = silence
            # It is back, or the other condition says so.
            lost = lost and not usable[v] and not outside[v]
            found.level[i, _IMPLAUSIBLE + v] = _level(outside[v], LOW, usable[v])
            found.level[i, _NO_SIGNAL + v] = _level(lost, LOW, usable[v])

        still = raw[i, _RR] == 0
        known = not np.isnan(found.silence[i, _RR])
        found.level[i, NO_BREATHING] = _level(still and known, MEDIUM, usable[_RR])
        # Where the oximeter finds a pulse the heart beats, and only the electrodes are off.
        known = not np.isnan(found.silence[i, _HR])
        beatless = raw[i, _HR] == 0 and known and not usable[_SPO2]
        asystole = HIGH if _flat(raw[i, _SBP]) or _flat(raw[i, _MAP]) else MEDIUM
        found.level[i, NO_HEARTBEAT] = _level(beatless, asystole, usable[_HR] or usable[_SPO2])
        # These two say more than that there is no signal.
        if still:
            found.level[i, _NO_SIGNAL + _RR] = UNKNOWN
        if beatless:
            found.level[i, _NO_SIGNAL + _HR] = UNKNOWN
        found.level[i, STALE] = 0
        for c in range(COUNT):
            found.clear[i, c] = found.level[i, c] == 0


@compiled
def _flat(pressure: np.float32) -> bool:
    """Whether an arterial line shows a pressure, but none that a beating heart makes."""
    return bool(0 < pressure < FLAT_MMHG)


@compiled
def _level(holds: bool, priority: int, usable: bool) -> int:
    """The condition's level: its priority, 0 where a usable value says no, else unknown."""
    if holds:
        return priority
    return 0 if usable else UNKNOWN
