"""The one state machine of all alarm conditions.

::

    idle --level--> pending --delay--> active --clear--> clearing --hold--> idle
                      |                  ^ |                 |
                      +--level 0--> idle | +--- not clear ---+
                                         +- escalated: at the top level for its delay

All times are event times, so what comes out depends on the readings alone. Only conditions
that are not idle, or that a reading puts at a level, are touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple

import numpy as np

from vitalwatch.alarms.conditions import CONDITIONS, COUNT, PHYSIOLOGICAL
from vitalwatch.arrays import Bools, Bytes8, Ints
from vitalwatch.state import NEVER, Field, Table

IDLE: Final = 0
PENDING: Final = 1
ACTIVE: Final = 2
CLEARING: Final = 3

UNKNOWN: Final = -1
"""A level: the reading says nothing of this condition, whose state stays as it is."""

RAISED: Final = 0
ESCALATED: Final = 1
CLEARED: Final = 2


class Event(NamedTuple):
    """One transition; see :class:`Transitions`."""

    reading: int
    row: int
    condition: int
    event: int
    priority: int
    time: int
    onset: int
    raised: int


@dataclass(frozen=True, slots=True)
class Transitions:
    """What happened, columnar, in order of reading and, within one, of condition.

    ``reading`` (k,) position of the reading in the call, -1 for an event of the stream's time
    alone; ``rows`` (k,) the patient's row; ``condition``, ``event`` and ``priority`` (k,) as in
    this room; ``time`` (k,) ms when it happened, ``onset`` (k,) ms since when the condition
    held, ``raised`` (k,) ms when its alarm was raised.
    """

    reading: Ints
    rows: Ints
    condition: Ints
    event: Bytes8
    priority: Bytes8
    time: Ints
    onset: Ints
    raised: Ints

    def __len__(self) -> int:
        return len(self.reading)

    def events(self) -> Iterator[Event]:
        """One by one."""
        columns = (getattr(self, field.name).tolist() for field in fields(self))
        return map(Event._make, zip(*columns, strict=True))

    def pointing(self, readings: Ints) -> "Transitions":
        """The same, where the call's positions stand for those in ``readings``."""
        return replace(self, reading=readings[self.reading])

    def joined(self, later: "Transitions") -> "Transitions":
        """Both, in order of reading; ``later`` ones come later within a reading."""
        order = np.argsort(np.concatenate((self.reading, later.reading)), kind="stable")
        columns = (
            np.concatenate((getattr(self, field.name), getattr(later, field.name)))[order]
            for field in fields(self)
        )
        return Transitions(*columns)


_NO_INTS: Final = np.empty(0, dtype=np.int64)
_NO_BYTES: Final = np.empty(0, dtype=np.int8)
NOTHING: Final = Transitions(
    _NO_INTS, _NO_INTS, _NO_INTS, _NO_BYTES, _NO_BYTES, _NO_INTS, _NO_INTS, _NO_INTS
)

_BASE: Final = np.array([c.priority for c in CONDITIONS], dtype=np.int8)
_DELAY: Final = np.array([c.delay for c in CONDITIONS])
_TOP: Final = np.array([c.top for c in CONDITIONS], dtype=np.int8)
_TOP_DELAY: Final = np.array([c.top_delay for c in CONDITIONS])
_HOLD: Final = np.array([c.hold for c in CONDITIONS])
_REFRACTORY: Final = np.array([c.refractory for c in CONDITIONS])
_TOP_REFRACTORY: Final = np.array([c.top_refractory for c in CONDITIONS])


class Machine:
    """State of every condition of every patient, and the one way to advance it."""

    def __init__(self, table: Table) -> None:
        # phase: see above. priority: of the alarm, or after it of the last one.
        # onset: since when the level holds (pending), or held when it was raised (active).
        # turn: since when the next change has been coming: clear (clearing), else at the top
        # level, NEVER if not. changed: when last raised (active) or cleared (else).
        self._state = table
        self._in_alarm = 0
        table.declare(
            {
                "phase": Field(np.int8, COUNT, IDLE),
                "priority": Field(np.int8, COUNT, 0),
                "onset": Field(np.int64, COUNT, NEVER),
                "turn": Field(np.int64, COUNT, NEVER),
                "changed": Field(np.int64, COUNT, NEVER),
            }
        )

    def active(self, rows: Ints, condition: int) -> Bools:
        """Which of these patients (n,) have this condition in alarm (n,)."""
        active: Bools = self._state["phase"][rows, condition] >= ACTIVE
        return active

    def in_alarm(self) -> int:
        """Number of patients with a physiological condition in alarm."""
        return self._in_alarm

    def adopt(self, rows: Ints) -> None:
        """Count in these patients (n,), whose blank rows were just overwritten."""
        self._in_alarm += self._count(rows)

    def forget(self, rows: Ints) -> None:
        """Leave these patients (n,) out of the count: their rows are about to be made blank."""
        self._in_alarm -= self._count(rows)

    def _count(self, rows: Ints) -> int:
        active = self._state["phase"][rows, PHYSIOLOGICAL] >= ACTIVE
        return int(np.count_nonzero(active.any(axis=1)))

    def end(self, rows: Ints, times: Ints) -> Transitions:
        """Clear every alarm of these patients (n,) at these times (n,) ms: they are gone."""
        self.forget(rows)
        position, condition = np.nonzero(self._state["phase"][rows] >= ACTIVE)
        row, time = rows[position], times[position]
        state = self._state
        transitions = Transitions(
            np.full(len(row), -1),
            row,
            condition,
            np.full(len(row), CLEARED, dtype=np.int8),
            state["priority"][row, condition],
            time,
            state["onset"][row, condition],
            state["changed"][row, condition],
        )
        state["phase"][row, condition] = IDLE
        state["changed"][row, condition] = time
        return transitions

    def step(self, rows: Ints, times: Ints, level: Bytes8, clear: Bools) -> Transitions:
        """Advance by one reading of each patient.

        ``rows`` (n,) distinct; ``times`` (n,) ms, after the patient's last; ``level`` (n, C) a
        condition's priority at this reading, 0 for none, UNKNOWN if it cannot be told;
        ``clear`` (n, C) whether it is over, beyond hysteresis (never with a level above 0).
        """
        phases = self._state["phase"][rows]
        concerned = (level > 0) | ((phases != IDLE) & (level >= 0))
        index, c = np.nonzero(concerned)
        if not index.size:
            return NOTHING
        place = rows[index], c
        phase, last = phases[index, c], self._state["priority"][place]
        onset, turn, changed = (self._state[name][place] for name in ("onset", "turn", "changed"))
        now, level, clear = times[index], level[index, c], clear[index, c]
        base, top = _BASE[c], _TOP[c]

        # The way in: the level holds, and within it perhaps the top level.
        phase[(phase == PENDING) & (level == 0)] = IDLE
        starts = (phase == IDLE) & (level > 0)
        phase[starts] = PENDING
        onset[starts] = now[starts]
        returns = (phase == CLEARING) & ~clear
        phase[returns] = ACTIVE
        turn[starts | returns] = NEVER
        at_top = (top > 0) & (level >= top)
        rising = (phase != CLEARING) & (phase != IDLE)
        begins = rising & at_top & (turn == NEVER)
        turn[begins] = now[begins]
        turn[rising & ~at_top] = NEVER
        topped = rising & at_top & (now - turn >= _TOP_DELAY[c])

        # Raise, unless the last alarm of this kind and priority is too recent.
        held = (level > 0) & (now - onset >= _DELAY[c])
        wanted = np.where(topped, top, np.where(held, base, 0)).astype(np.int8)
        rest = np.where(topped, _TOP_REFRACTORY[c], _REFRACTORY[c])
        free = (wanted > last) | (now - changed >= rest)
        raised = (phase == PENDING) & (wanted > 0) & free
        escalated = (phase == ACTIVE) & topped & (last < top)
        phase[raised] = ACTIVE
        changed[raised] = now[raised]
        last = np.where(raised | escalated, wanted, last)

        # The way out.
        calms = (phase == ACTIVE) & clear
        phase[calms] = CLEARING
        turn[calms] = now[calms]
        cleared = (phase == CLEARING) & (now - turn >= _HOLD[c])
        since = changed.copy()
        phase[cleared] = IDLE
        changed[cleared] = now[cleared]

        changing = np.unique(rows[index[raised | cleared]])
        self._in_alarm -= self._count(changing)
        self._state["phase"][place] = phase
        self._in_alarm += self._count(changing)
        self._state["priority"][place] = last
        self._state["onset"][place] = onset
        self._state["turn"][place] = turn
        self._state["changed"][place] = changed

        event = np.where(raised, RAISED, np.where(escalated, ESCALATED, CLEARED)).astype(np.int8)
        k = np.flatnonzero(raised | escalated | cleared)
        index = index[k]
        # A patient whose clock lags behind the stream may come back before the stale deadline.
        time = np.maximum(now[k], since[k])
        return Transitions(index, rows[index], c[k], event[k], last[k], time, onset[k], since[k])
