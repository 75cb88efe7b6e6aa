"""The one alarm logic of all detectors under test, and the thresholds that are set on it.

It is the alarm machine's condition for the network's rarity: raised after its delay, not
interrupted by a single reading below, cleared after its hold below a second threshold, silent for
its refractory time. That second threshold is the score that quiet people reach four times as
often, as an alarm of the network clears at a quarter of the rarity.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch.alarms import conditions, limits, machine
from vitalwatch.arrays import Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.evaluation.streams import DataSet, Streams
from vitalwatch.state import NEVER

# The machine's own step for one condition of one patient: what it becomes, this becomes.
_advance = machine._advance
_RULES: Final = machine._RULES
_STATES: Final = machine._States
_EVENT: Final = machine._EVENT
_IDLE: Final = machine.IDLE
_UNKNOWN: Final = machine.UNKNOWN
_RAISED: Final = machine.RAISED
_MEDIUM: Final = conditions.MEDIUM
_DETERIORATION: Final = conditions.DETERIORATION

_FINEST: Final = 1e-6
_COARSEST: Final = 0.5
_CANDIDATES: Final = 48
_REFINEMENTS: Final = 7


class Threshold(NamedTuple):
    """An alarm is raised at scores of ``level`` and more, and cleared below ``clear``."""

    level: float
    clear: float


class Raised(NamedTuple):
    """Alarms (k,), by record and time: their records, and the places of the readings that raised
    them and, with that reading not counted any more, ended them (or that ended the record)."""

    record: Ints
    begin: Ints
    end: Ints


def alarms(streams: Streams, scores: Floats, threshold: Threshold) -> Raised:
    """What ``scores`` (n,) raise; a reading with NaN changes nothing."""
    room = len(scores) // 2 + len(streams) + 1
    found = np.empty((3, room), dtype=np.int64)
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
                active = event.event == _RAISED
                if active:
                    found[0, count], found[1, count] = record, i
                    count += 1
                else:
                    found[2, count - 1] = i
        if active:
            found[2, count - 1] = edges[record + 1]
    return count


class Quiet:
    """Scores of people to set thresholds by, where an alarm would be false."""

    def __init__(self, data: DataSet, scores: Floats) -> None:
        self._data, self._scores = data, scores
        quiet = scores[data.quiet & ~np.isnan(scores)]
        self._sorted = np.sort(quiet)
        self._days = float(data.duration[data.quiet].sum())

    def threshold(self, level: float) -> Threshold:
        """With the score at which an alarm of this level clears."""
        count = len(self._sorted)
        beyond = count - int(np.searchsorted(self._sorted, np.float32(level)))
        share = min(limits.HYSTERESIS * max(beyond, 1), count // 2)
        if not count:
            return Threshold(level, level)
        return Threshold(level, min(level, float(self._sorted[count - max(share, 1)])))

    @property
    def tells(self) -> bool:
        """Whether one reading's score differs from another's at all."""
        return bool(len(self._sorted)) and bool(self._sorted[0] < self._sorted[-1])

    def levels(self, count: int) -> list[float]:
        """Up to ``count`` levels, from the highest score down to the median."""
        shares = np.geomspace(_FINEST, _COARSEST, count)
        places = len(self._sorted) - 1 - np.floor(shares * len(self._sorted)).astype(np.int64)
        levels: list[float] = np.unique(self._sorted[places.clip(0)])[::-1].tolist()
        return levels

    def rate(self, level: float) -> float:
        """False alarms a patient-day."""
        found = alarms(self._data.streams, self._scores, self.threshold(level))
        return float(self._data.quiet[found.begin].sum()) / max(self._days, 1e-9)

    def frozen(self, targets: Sequence[float]) -> list[Threshold]:
        """For each rate the level that comes nearest to it from below.

        Of the levels above which no other exceeds the rate: far below, alarms that never end
        would be few as well.
        """
        if not len(self._sorted):
            return [Threshold(np.inf, np.inf) for _ in targets]
        never = np.nextafter(self._sorted[-1], np.float32(np.inf))
        tried: list[tuple[float, float]] = [(float(never), 0.0)]
        for level in self.levels(_CANDIDATES):
            tried.append((level, self.rate(level)))
            if tried[-1][1] > 2 * max(targets):
                break
        return [self.threshold(self._nearest(tried, target)) for target in targets]

    def _nearest(self, tried: list[tuple[float, float]], target: float) -> float:
        over = next((k for k, (_, rate) in enumerate(tried) if rate > target), len(tried))
        within = tried[:over]
        if over < len(tried):
            low = int(np.searchsorted(self._sorted, np.float32(tried[over][0]), side="right"))
            high = int(np.searchsorted(self._sorted, np.float32(tried[over - 1][0])))
            for _ in range(_REFINEMENTS):
                if high - low < 1:
                    break
                middle = (low + high) // 2
                level = float(self._sorted[middle])
                rate = self.rate(level)
                if rate > target:
                    low = middle + 1
                else:
                    within.append((level, rate))
                    high = middle
        return max(within, key=lambda pair: (pair[1], -pair[0]))[0]
