"""How far a partition's alarms are from what the budget promises, and what is done about it.

Calibration promises a rate for patients like its own. Others alarm more, or less; so the rarity
of every reading is divided by a factor that follows the rate that is realised, slowly, as in
adaptive conformal inference (Gibbs and Candès 2021, arXiv:2106.00543): every alarm moves the
logarithm of the factor up by a fixed step, and every alarm that the budget allows for the time
watched moves it down by as much. Where few patients are watched it hardly moves, where many are it
takes days, and it never leaves a quarter to four.

- It counts all deterioration alarms, for nobody says which are false: true ones are within the
  budget too. Of a single patient no more than :func:`most` count in a quarter of a day, so that
  one who alarms without end does not make everybody else's alarms rarer by himself.
- It is a pure function of the partition's log: the stream's time is cut into quarters of a day
  (UTC), what happens in one is counted, and the factor changes with the first reading of another.
- It belongs to the partition's state, and so to its snapshots. Another model begins at 1.
- It remembers for weeks what other state forgets in hours: who runs a log again whose beginning
  is gone, as an audit may, has another factor. So it is for the user to ask for it.
"""

import math
from typing import Final, NamedTuple

import numpy as np

from vitalwatch.arrays import Ints
from vitalwatch.compiled import compiled
from vitalwatch.state import NEVER, Field, Table

STEP_MS: Final = 6 * 3_600_000
DAY_MS: Final = 86_400_000

LARGEST: Final = math.log10(4)
"""The logarithm of the factor keeps within this, up and down."""

PER_ALARM: Final = 0.01
"""At one alarm too many or too few: the factor then wanders by a tenth about where it should be,
and takes some forty alarms to get there."""

MOST_PER_STEP: Final = 0.03
"""At a rate that is twice the budget's: with many patients, it takes days as well."""

GAP_MS: Final = 6 * 3_600_000
"""A patient is watched between readings that are no further apart; of a longer gap so much."""

_FEWEST: Final = 4
_TIMES_BUDGET: Final = 4

FIELDS: Final = {"counted": Field(np.int64, 2, (NEVER, 0), ("step", "alarms"))}
"""Of a patient's state: the step of the last alarm that was counted, and so many in it."""


class Adjustment(NamedTuple):
    """A partition's: the ``step`` under way, and log10 of the factor.

    Of this step: patients' time ``watched``, in ms, and deterioration ``alarms`` counted.
    """

    step: int = NEVER // STEP_MS
    log_factor: float = 0.0
    watched: int = 0
    alarms: int = 0

    @property
    def factor(self) -> np.float32:
        """Rarity, as calibrated, is divided by this."""
        return np.float32(10.0**self.log_factor)

    def reached(self, step: int, budget: float) -> "Adjustment":
        """With the first reading of ``step``; ``budget`` is of alarms a patient-day."""
        if step == self.step:
            return self
        allowed = budget * self.watched / DAY_MS
        size = min(PER_ALARM, MOST_PER_STEP / max(allowed, 1e-9))
        moved = self.log_factor + size * (self.alarms - allowed)
        return Adjustment(step, min(max(moved, -LARGEST), LARGEST))

    def having(self, watched: int, alarms: int) -> "Adjustment":
        """After some more of the step."""
        return self._replace(watched=self.watched + watched, alarms=self.alarms + alarms)


def edges(stream: Ints) -> list[int]:
    """Where readings (n,) are to be cut so that each part is of one step, with 0 and n.

    ``stream`` (n,) is the stream's time at each, ms.
    """
    steps = stream // STEP_MS
    return [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(stream)]


def watch(rows: Ints, times: Ints, last: Ints, numbers: Ints, watched: Ints) -> None:
    """Add to ``watched`` (P,), ms by a partition's number, the time between readings.

    One reading each of distinct ``rows`` (n,) at ``times`` (n,) ms, of partitions ``numbers``
    (n,); ``last`` (R,) ms is each row's last reading before.
    """
    _watch(rows, times, last, numbers, watched)


def most(budget: float) -> int:
    """Alarms of one patient that count in a step: four, or four times the budget if that is more.

    As a patient's excess counts but so much where rarities are calibrated.
    """
    return max(_FEWEST, math.ceil(_TIMES_BUDGET * budget * STEP_MS / DAY_MS))


def count(table: Table, rows: Ints, times: Ints, budget: float) -> Ints:
    """Which (k,) of some alarms count, raised for distinct ``rows`` (n,) at ``times`` (n,) ms.

    It is noted in the patients' state.
    """
    counted, steps = table["counted"], times // STEP_MS
    before = np.where(counted[rows, 0] == steps, counted[rows, 1], 0)
    counting = np.flatnonzero(before < most(budget))
    counted[rows[counting], 0] = steps[counting]
    counted[rows[counting], 1] = before[counting] + 1
    return counting


@compiled
def _watch(rows: Ints, times: Ints, last: Ints, numbers: Ints, watched: Ints) -> None:
    for i in range(len(rows)):
        before = last[rows[i]]
        if before != NEVER:
            watched[numbers[i]] += min(times[i] - before, GAP_MS)
