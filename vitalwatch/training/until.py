"""How long it is until a vital sign is beyond a range, for as long as a chance asks for."""

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.model import layout


def outside(levels: Floats, chance: layout.Chance) -> Bools:
    """Where ``levels (..., V)`` are beyond the range that a chance is of."""
    low, high = vitals.bounds(chance.range)
    return np.asarray((levels < low) | (levels > high))


def seconds_until(beyond: Bools, times: Ints, stays: float) -> Floats:
    """Seconds ``(F, N, V)`` until it is next ``beyond (F, N, V)`` for ``stays`` s or more, or inf.

    ``times (F, N)`` ms. What is so at one time is so until the next, and from the last for ever.
    """
    until = np.full(beyond.shape, np.inf, dtype=np.float32)
    passed = np.asarray(np.diff(times, axis=0) / 1000, dtype=np.float32)
    _until(beyond, passed, np.float32(stays), until)
    return until


@compiled
def _until(beyond: Bools, passed: Floats, stays: np.float32, until: Floats) -> None:
    frames, people, width = beyond.shape
    for n in range(people):
        for v in range(width):
            # Back through time: how long it still goes on; then forth: a stretch counts as a whole.
            left = np.float32(np.inf)
            for f in range(frames - 1, -1, -1):
                if f < frames - 1:
                    left = passed[f, n] + (left if beyond[f + 1, n, v] else np.float32(0))
                if beyond[f, n, v] and left >= stays:
                    until[f, n, v] = 0
            for f in range(1, frames):
                if beyond[f, n, v] and until[f - 1, n, v] == 0:
                    until[f, n, v] = 0
            for f in range(frames - 2, -1, -1):
                until[f, n, v] = min(until[f, n, v], until[f + 1, n, v] + passed[f, n])
