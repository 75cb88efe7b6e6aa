"""The one alarm logic of all detectors under test.

It is the alarm machine's condition for the network's rarity: raised after its delay, not
interrupted by a single reading below, cleared after its hold below a second threshold, silent for
its refractory time, told anew every eight hours while it lasts, which counts as another alarm. That
second threshold is the score that quiet people reach four times as often, as an alarm of the
network clears at a quarter of the rarity.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch.alarms import conditions, machine
from vitalwatch.arrays import Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.evaluation.streams import Streams
from vitalwatch.state import NEVER

# The machine's own step for one condition of one patient: what it becomes, this becomes.
_advance = machine._advance
_RULES: Final = machine._RULES
_STATES: Final = machine._States
_EVENT: Final = machine._EVENT
_IDLE: Final = machine.IDLE
_UNKNOWN: Final = machine.UNKNOWN
_RAISED: Final = machine.RAISED
_UPDATED: Final = machine.UPDATED
_MEDIUM: Final = conditions.MEDIUM
_DETERIORATION: Final = conditions.DETERIORATION


class Threshold(NamedTuple):
    """An alarm is raised at scores of ``level`` and more, and cleared below ``clear``."""

    level: float
    clear: float


class Raised(NamedTuple):
    """Alarms (k,), by record and time: their records, and the places of the readings that raised
    them and, with that reading not counted any more, ended them (or told them anew, or that ended
    the record)."""

    record: Ints
    begin: Ints
    end: Ints


def alarms(streams: Streams, scores: Floats, threshold: Threshold) -> Raised:
    """What ``scores`` (n,) raise; a reading with NaN changes nothing."""
    # Each reading may tell one anew: where they are days apart, each does.
    found = np.empty((3, len(scores)), dtype=np.int64)
    count = _run(
        streams.edges,
        streams.times,
        scores,
        np.float32(threshold.level),
        np.float32(threshold.clear),
        _STATES(
            np.zeros((1, 1), np.int8),
            np.zeros((1, 1), np.int8),
            np.zeros((1, 1), np.int64),
            np.zeros((1, 1), np.int64),
            np.zeros((1, 1), np.int64),
            np.zeros(1, np.int64),
        ),
        _RULES,
        np.empty(1, dtype=_EVENT),
        found,
    )
    return Raised(*found[:, :count].copy())


@compiled
def _run(
    edges: Ints,
    times: Ints,
    scores: Floats,
    level: np.float32,
    clear: np.float32,
    states: Any,
    rules: npt.NDArray[Any],
    events: npt.NDArray[Any],
    found: Ints,
) -> int:
    """Fill ``found`` (3, m): how many alarms there are."""
    count = 0
    rule, event = rules[_DETERIORATION], events[0]
    for record in range(len(edges) - 1):
        states.phase[0, 0], states.priority[0, 0] = _IDLE, 0
        states.onset[0, 0] = states.turn[0, 0] = states.changed[0, 0] = NEVER
        dipped, active = False, False
        for i in range(edges[record], edges[record + 1]):
            score = scores[i]
            if np.isnan(score):
                continue
            beyond = score >= level
            # One reading below interrupts nothing; see :func:`vitalwatch.alarms.limits.judge`.
            height = _MEDIUM if beyond else 0 if dipped else _UNKNOWN
            dipped = not beyond
            if height <= 0 and (states.phase[0, 0] == _IDLE or height < 0):
                continue
            if _advance(0, 0, times[i], height, score < clear, states, rule, event):
                if active:
                    found[2, count - 1] = i
                active = event.event in (_RAISED, _UPDATED)
                if active:
                    found[0, count], found[1, count] = record, i
                    count += 1
        if active:
            found[2, count - 1] = edges[record + 1]
    return count
