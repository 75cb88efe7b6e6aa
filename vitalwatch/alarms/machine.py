"""The one state machine of all alarm conditions.

::

    idle --level--> pending --delay--> active --clear--> clearing --hold--> idle
                      |                  ^ |                 |
                      +--level 0--> idle | +--- not clear ---+
                                         +- escalated: at the top level for its delay
                                         +- updated: still at its level a renewal later

All times are event times, so what comes out depends on the readings alone. Only conditions
that are not idle, or that a reading puts at a level, are touched: of a patient whose conditions
are all idle and stay so, the phases are read and nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch.alarms.conditions import CONDITIONS, COUNT, INDEX, PHYSIOLOGICAL
from vitalwatch.arrays import Bools, Bytes8, Ints
from vitalwatch.compiled import AHEAD, compiled, fetch
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
UPDATED: Final = 3


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

    @classmethod
    def of(cls, events: npt.NDArray[Any]) -> "Transitions":
        """From records with a field for each column."""
        return cls(*(events[field.name].copy() for field in fields(cls)))

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


_EVENT: Final = np.dtype(
    [
        ("reading", np.int64),
        ("rows", np.int64),
        ("condition", np.int64),
        ("event", np.int8),
        ("priority", np.int8),
        ("time", np.int64),
        ("onset", np.int64),
        ("raised", np.int64),
    ],
    align=True,
)
NOTHING: Final = Transitions.of(np.empty(0, dtype=_EVENT))

_PHYSIOLOGICAL: Final = PHYSIOLOGICAL.stop
_RULE: Final = (
    "priority", "delay", "top", "top_delay", "hold", "refractory", "top_refractory", "renewal",
)  # fmt: skip
_RULES: Final = np.array(
    [tuple(getattr(condition, name) for name in _RULE) for condition in CONDITIONS],
    dtype=[(name, np.int64) for name in _RULE],
)


class _States(NamedTuple):
    """Views of all rows (R, C); see :class:`Machine`."""

    phase: Bytes8
    priority: Bytes8
    onset: Ints
    turn: Ints
    changed: Ints
    told: Ints


class Machine:
    """State of every condition of every patient, and the one way to advance it."""

    def __init__(self, table: Table) -> None:
        # phase: see above. priority: of the alarm, or after it of the last one.
        # onset: since when the level holds (pending), or held when it was raised (active).
        # turn: since when the next change has been coming: clear (clearing), else at the top
        # level, NEVER if not. changed: when last raised (active) or cleared (else). told: when
        # the one condition with a renewal was last raised, escalated or updated.
        self._state = table
        self._in_alarm = 0
        self._events: npt.NDArray[Any] = np.empty(0, dtype=_EVENT)
        names = tuple(INDEX)
        table.declare(
            {
                "phase": Field(np.int8, COUNT, IDLE, names),
                "priority": Field(np.int8, COUNT, 0, names),
                "onset": Field(np.int64, COUNT, NEVER, names),
                "turn": Field(np.int64, COUNT, NEVER, names),
                "changed": Field(np.int64, COUNT, NEVER, names),
                "told": Field(np.int64, 0, NEVER),
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
        events = self._room(len(rows) * COUNT)
        count, more = _step(rows, times, level, clear, self._states(), _RULES, events)
        self._in_alarm += more
        return Transitions.of(events[:count]) if count else NOTHING

    def hold(self, rows: Ints, times: Ints, condition: int) -> Transitions:
        """Advance one technical condition, which holds for these patients at these times (n,)."""
        events = self._room(len(rows))
        count = _hold(rows, times, condition, self._states(), _RULES, events)
        return Transitions.of(events[:count]) if count else NOTHING

    def _count(self, rows: Ints) -> int:
        active = self._state["phase"][rows, PHYSIOLOGICAL] >= ACTIVE
        return int(np.count_nonzero(active.any(axis=1)))

    def _states(self) -> _States:
        state = self._state
        return _States(
            state["phase"], state["priority"], state["onset"], state["turn"], state["changed"],
            state["told"],
        )  # fmt: skip

    def _room(self, count: int) -> npt.NDArray[Any]:
        """Records for at least so many events, to be filled."""
        if len(self._events) < count:
            self._events = np.empty(count, dtype=_EVENT)
        return self._events


@compiled
def _step(
    rows: Ints,
    times: Ints,
    level: Bytes8,
    clear: Bools,
    states: _States,
    rules: npt.NDArray[Any],
    events: npt.NDArray[Any],
) -> tuple[int, int]:
    """Fill ``events``: how many there are, and how many more patients are in alarm."""
    count = more = 0
    for i in range(len(rows)):
        fetch(states.phase, rows[min(i + AHEAD, len(rows) - 1)])
        row = rows[i]
        for c in range(len(rules)):
            if level[i, c] > 0 or (states.phase[row, c] != IDLE and level[i, c] >= 0):
                before = _in_alarm(row, states.phase)
                event = events[count]
                event.reading = i
                if _advance(row, c, times[i], level[i, c], clear[i, c], states, rules[c], event):
                    more += _in_alarm(row, states.phase) - before
                    count += 1
    return count, more


@compiled
def _hold(
    rows: Ints,
    times: Ints,
    c: int,
    states: _States,
    rules: npt.NDArray[Any],
    events: npt.NDArray[Any],
) -> int:
    """Fill ``events``: how many there are."""
    count = 0
    rule = rules[c]
    for i in range(len(rows)):
        event = events[count]
        event.reading = i
        if _advance(rows[i], c, times[i], rule.priority, False, states, rule, event):
            count += 1
    return count


@compiled
def _in_alarm(row: int, phase: Bytes8) -> int:
    """1 if a physiological condition of a patient is in alarm, else 0."""
    for c in range(_PHYSIOLOGICAL):
        if phase[row, c] >= ACTIVE:
            return 1
    return 0


@compiled
def _advance(
    row: int, c: int, now: int, level: int, clear: bool, states: _States, rule: Any, event: Any
) -> bool:
    """Advance one condition of one patient; whether there is an event, which is then filled in."""
    phase, priority = states.phase[row, c], states.priority[row, c]
    onset, turn, changed = states.onset[row, c], states.turn[row, c], states.changed[row, c]
    happened = -1

    if phase == IDLE:
        phase, onset, turn = PENDING, now, NEVER
    elif phase == PENDING and level == 0:
        phase = IDLE
    elif phase == CLEARING and not clear:
        phase, turn = ACTIVE, NEVER

    if phase in (PENDING, ACTIVE):
        if rule.top == 0 or level < rule.top:
            turn = NEVER
        elif turn == NEVER:
            turn = now
        topped = turn != NEVER and now - turn >= rule.top_delay
        wanted, rest = 0, 0
        if topped:
            wanted, rest = rule.top, rule.top_refractory
        elif now - onset >= rule.delay:
            wanted, rest = rule.priority, rule.refractory
        if phase == ACTIVE:
            if topped and priority < rule.top:
                priority, happened = wanted, ESCALATED
            elif rule.renewal and level > 0 and now - states.told[row] >= rule.renewal:
                happened = UPDATED
        elif wanted > priority or (wanted > 0 and now - changed >= rest):
            phase, priority, changed, happened = ACTIVE, wanted, now, RAISED

    if rule.renewal and happened >= 0:
        states.told[row] = now
    raised = changed
    if phase == ACTIVE and clear:
        phase, turn = CLEARING, now
    if phase == CLEARING and now - turn >= rule.hold:
        phase, changed, happened = IDLE, now, CLEARED

    states.phase[row, c], states.priority[row, c] = phase, priority
    states.onset[row, c], states.turn[row, c], states.changed[row, c] = onset, turn, changed
    if happened < 0:
        return False
    event.rows, event.condition = row, c
    event.event, event.priority = happened, priority
    # A patient whose clock lags behind the stream may come back before the stale deadline.
    event.time = max(now, raised)
    event.onset, event.raised = onset, raised
    return True
