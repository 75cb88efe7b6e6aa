"""What is remembered of a patient after a reading.

The same code feeds training, calibration and the daemon (the last two drop plausible artefacts
before, training only implausible values). Per patient and vital it keeps the value last seen, how
long ago, and a slow robust baseline of level and spread: the patient's own normal. All arithmetic
is float32, each number on its own, so a patient's state does not depend on who shares the batch.
"""

from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.compiled import compiled
from vitalwatch.scoring.elementary import log1p

TYPICAL: Final = vitals.column("typical")
SPREAD: Final = vitals.column("spread")
STEP: Final = vitals.column("resolution") / SPREAD

NEVER: Final = np.float32(1e7)
"""Seconds since a vital was seen that never was (four months; stays finite under addition)."""

BASELINE_SECONDS: Final = np.float32(8 * 3600)
"""Memory of the baseline. Time constants of 3 to 48 h do alike on ICU data; 1 h does worse."""

_PRIOR_SECONDS: Final = np.float32(900)  # how long the population's spread counts against own
_PRIOR_DEVIATION: Final = np.float32(0.5)  # within-patient spread, in population spreads
_LONGEST_HOLD: Final = np.float32(300)  # a value speaks for at most so long after it was seen
_CLIP: Final = np.float32(3)  # Huber: an outlier moves the baseline as 3 deviations do
_MEAN_TO_DEVIATION: Final = np.float32(1.2533141)  # sqrt(pi / 2): normal sd from mean |x|
_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)

PARTS: Final = 6
LAST, MASK, AGE, MEAN, DEVIATION, WATCHED = range(PARTS)
"""The parts of :class:`Memory`, in their order."""


class Memory:
    """What is remembered of n patients: ``parts`` (6, n, V) float32, and each part by its name.

    ``last`` standardised value last seen (0 if never); ``mask`` 1 where the last frame held it;
    ``age`` seconds since seen, as of the last frame; ``mean`` and ``deviation`` of the baseline,
    standardised; ``watched`` seconds that the baseline has learnt from.
    """

    def __init__(self, parts: Floats) -> None:
        self.parts = parts
        self.last, self.mask, self.age, self.mean, self.deviation, self.watched = parts

    @classmethod
    def blank(cls, count: int) -> "Memory":
        """That of patients of whom nothing is known."""
        memory = cls(np.zeros((PARTS, count, vitals.COUNT), dtype=np.float32))
        memory.age[:] = NEVER
        memory.deviation[:] = _PRIOR_DEVIATION
        return memory


def standardise(values: Floats) -> Floats:
    """Values ``(n, V)`` in their units -> population standard deviations from typical."""
    return np.asarray((values - TYPICAL) / SPREAD, dtype=np.float32)


def restore(standardised: Floats) -> Floats:
    """The inverse of :func:`standardise`."""
    return np.asarray(standardised * SPREAD + TYPICAL, dtype=np.float32)


@compiled
def squash(seconds: np.float32) -> np.float32:
    """Seconds on a scale from 0 (now) over 0.5 (a minute or so) to 2 (days)."""
    return log1p(seconds / np.float32(5)) / np.float32(6)


@compiled
def remember(parts: Floats, value: Floats, step: Floats) -> None:
    """Take a frame into memory: standardised ``value`` (n, V), NaN where not measured.

    Of the first n patients of ``parts``; ``step`` (V,) are the least deviations. The baseline is an
    exponentially weighted mean, and mean absolute deviation, over time rather than over readings:
    each value counts for the time since the one before it. Early on it is a plain running mean, its
    spread shrunk to the population's.

    Without branches, here and elsewhere: what is missing follows no pattern that a processor
    could foresee.
    """
    for k in range(len(value)):
        for v in range(len(step)):
            now, mean, deviation = value[k, v], parts[MEAN, k, v], parts[DEVIATION, k, v]
            age, watched = parts[AGE, k, v], parts[WATCHED, k, v]
            seen, first = not np.isnan(now), watched == _ZERO
            held = _ONE if first else min(age, _LONGEST_HOLD)
            longer = watched + held
            clip = _CLIP * deviation
            gap = min(max(now - mean, -clip), clip)
            moved = mean + held / min(longer, BASELINE_SECONDS) * gap
            weight = held / min(longer + _PRIOR_SECONDS, BASELINE_SECONDS)
            spread = max(deviation + weight * (_MEAN_TO_DEVIATION * abs(gap) - deviation), step[v])
            parts[LAST, k, v] = now if seen else parts[LAST, k, v]
            parts[MASK, k, v] = _ONE if seen else _ZERO
            parts[AGE, k, v] = _ZERO if seen else age
            parts[MEAN, k, v] = (now if first else moved) if seen else mean
            parts[DEVIATION, k, v] = spread if seen and not first else deviation
            parts[WATCHED, k, v] = min(longer, BASELINE_SECONDS) if seen else watched
