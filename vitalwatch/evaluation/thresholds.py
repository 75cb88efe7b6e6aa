"""Thresholds that are set on people apart, to a rate of false alarms."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from vitalwatch.alarms import limits
from vitalwatch.arrays import Floats
from vitalwatch.evaluation import metrics
from vitalwatch.evaluation.logic import Threshold, alarms
from vitalwatch.evaluation.streams import DataSet

_FINEST: Final = 1e-6
_COARSEST: Final = 0.5
_CANDIDATES: Final = 48
_REFINEMENTS: Final = 7

_WORTH: Final = 0.9
"""A threshold nearer to the rate is taken if it catches so much of what another one would."""


class _Tried(NamedTuple):
    """A level, the false alarms a patient-day at it, and events caught plus those caught early."""

    level: float
    rate: float
    caught: float


class Quiet:
    """Scores of people to set thresholds by, where an alarm would be false."""

    def __init__(self, data: DataSet, scores: Floats) -> None:
        self._data, self._scores = data, scores
        quiet = scores[data.quiet & ~np.isnan(scores)]
        self._sorted = np.sort(quiet)

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
        """Whether one reading's score differs from another's at all, in quiet or not."""
        known = self._scores[~np.isnan(self._scores)]
        return bool(len(self._sorted)) and bool(known.min() < known.max())

    def levels(self, count: int) -> list[float]:
        """Up to ``count`` levels, from the highest score down to the median."""
        shares = np.geomspace(_FINEST, _COARSEST, count)
        places = len(self._sorted) - 1 - np.floor(shares * len(self._sorted)).astype(np.int64)
        levels: list[float] = np.unique(self._sorted[places.clip(0)])[::-1].tolist()
        return levels

    def rate(self, level: float) -> float:
        """False alarms a patient-day."""
        return self._try(level).rate

    def frozen(self, targets: Sequence[float]) -> list[Threshold]:
        """For each rate the level that comes nearest to it from below.

        Of the levels above which no other exceeds the rate. Far down, alarms that never end would
        be few as well, and catch nothing: where another level catches more of these people's
        events by more than a tenth, nobody would set it so.
        """
        if not len(self._sorted):
            return [Threshold(np.inf, np.inf) for _ in targets]
        never = np.nextafter(self._sorted[-1], np.float32(np.inf))
        tried = [self._try(float(never))]
        for level in self.levels(_CANDIDATES):
            tried.append(self._try(level))
            if tried[-1].rate > 2 * max(targets):
                break
        return [self.threshold(self._nearest(tried, target)) for target in targets]

    def _nearest(self, tried: list[_Tried], target: float) -> float:
        over = next((k for k, each in enumerate(tried) if each.rate > target), len(tried))
        within = tried[:over]
        if 0 < over < len(tried):
            low = int(np.searchsorted(self._sorted, np.float32(tried[over].level), side="right"))
            high = int(np.searchsorted(self._sorted, np.float32(tried[over - 1].level)))
            for _ in range(_REFINEMENTS):
                if low >= high:
                    break
                middle = (low + high) // 2
                found = self._try(float(self._sorted[middle]))
                if found.rate > target:
                    low = middle + 1
                else:
                    within.append(found)
                    high = middle
        most = max((each.caught for each in within), default=0.0)
        worth = [each for each in within if each.caught >= _WORTH * most]
        if not worth:
            return float("inf")
        return max(worth, key=lambda each: (each.rate, -each.level)).level

    def _try(self, level: float) -> _Tried:
        raised = alarms(self._data.streams, self._scores, self.threshold(level))
        counts = metrics.judge(self._data, raised)
        days = max(float(counts.quiet.sum()), 1e-9)
        return _Tried(
            level, float(counts.false.sum()) / days, float((counts.caught + counts.early).sum())
        )
