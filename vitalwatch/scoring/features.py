"""What the network is told before a reading, and what is remembered after it.

The same code feeds training, calibration and the daemon (the last two drop plausible artefacts
before, training only implausible values). Per patient and vital it keeps the value last seen, how
long ago, and a slow robust baseline of level and spread: the patient's own normal. All arithmetic
is float32 on ``(n, V)`` arrays, each row on its own, so a patient's state does not depend on who
shares the batch.
"""

from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Bools, Floats
from vitalwatch.model.network import INPUTS

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
_MEMORY: Final = 6


class Memory:
    """Views by name into ``(n, 6 V)`` float32 rows of a patient's remembered features.

    ``last`` standardised value last seen (0 if never); ``mask`` 1 where the last frame held it;
    ``age`` seconds since seen, as of the last frame; ``mean`` and ``deviation`` of the baseline,
    standardised; ``watched`` seconds that the baseline has learnt from.
    """

    WIDTH: Final = _MEMORY * vitals.COUNT

    def __init__(self, rows: Floats) -> None:
        parts = np.split(rows, _MEMORY, axis=1)
        self.last, self.mask, self.age, self.mean, self.deviation, self.watched = parts

    @staticmethod
    def blank(count: int) -> Floats:
        """Rows ``(count, 6 V)`` of patients of whom nothing is known."""
        rows = np.zeros((count, Memory.WIDTH), dtype=np.float32)
        memory = Memory(rows)
        memory.age[:] = NEVER
        memory.deviation[:] = _PRIOR_DEVIATION
        return rows


def standardise(values: Floats) -> Floats:
    """Values ``(n, V)`` in their units -> population standard deviations from typical."""
    return np.asarray((values - TYPICAL) / SPREAD, dtype=np.float32)


def restore(standardised: Floats) -> Floats:
    """The inverse of :func:`standardise`."""
    return np.asarray(standardised * SPREAD + TYPICAL, dtype=np.float32)


def _squash(seconds: Floats) -> Floats:
    """Seconds on a scale from 0 (now) over 0.5 (a minute or so) to 2 (days)."""
    return np.asarray(np.log1p(seconds / np.float32(5)) / np.float32(6), dtype=np.float32)


def inputs(memory: Memory, elapsed: Floats, out: Floats) -> None:
    """What is known just before a reading, ``elapsed`` (n,) seconds after the patient's last.

    Ages ``memory`` by that time and writes the network's inputs to ``out`` (n, INPUTS).
    """
    count = vitals.COUNT
    memory.age += elapsed[:, None]
    np.minimum(memory.age, NEVER, out=memory.age)
    out[:, :count] = memory.last
    out[:, count : 2 * count] = memory.mask
    out[:, 2 * count : 3 * count] = _squash(memory.age)
    out[:, 3 * count : 4 * count] = memory.mean
    out[:, INPUTS - 1] = _squash(elapsed)


def observe(memory: Memory, value: Floats, seen: Bools) -> None:
    """Take a frame into memory: standardised ``value`` (n, V) where ``seen`` (n, V).

    The baseline is an exponentially weighted mean, and mean absolute deviation, over time rather
    than over readings: each value counts for the time since the one before it. Early on it is a
    plain running mean, its spread shrunk to the population's.
    """
    unseen = memory.watched == 0
    held = np.where(unseen, 1, np.minimum(memory.age, _LONGEST_HOLD))
    first = seen & unseen
    watched = memory.watched + held
    gap = np.where(first, 0, value - memory.mean)
    clip = _CLIP * memory.deviation
    clipped = np.clip(gap, -clip, clip)
    weight = held / np.minimum(watched, BASELINE_SECONDS)
    mean = np.where(first, value, memory.mean + weight * clipped)
    weight = held / np.minimum(watched + _PRIOR_SECONDS, BASELINE_SECONDS)
    deviation = memory.deviation + weight * (
        _MEAN_TO_DEVIATION * np.abs(clipped) - memory.deviation
    )
    np.copyto(memory.mean, mean, where=seen)
    np.copyto(memory.deviation, np.maximum(deviation, STEP), where=seen & ~first)
    np.copyto(memory.watched, np.minimum(watched, BASELINE_SECONDS), where=seen)
    np.copyto(memory.last, value, where=seen)
    np.copyto(memory.age, 0, where=seen)
    memory.mask[:] = seen
