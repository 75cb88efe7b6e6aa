"""What is shown to a network in training, made worse than it was measured."""

from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.scoring import features

_LOWEST, _HIGHEST = (features.standardise(bound) for bound in vitals.bounds("plausible"))
# So that a network learns what people have in common, and not who they are:
_SPARED: Final = 1 / 3  # of people with several vitals, who show some of them alone
_HIDDEN: Final = 0.4  # of the vitals of those
_DROPPED: Final = 0.1  # of all values
_SHIFTED: Final = 0.2  # spreads, by which the levels of a person are off


def corrupted(value: Floats, random: np.random.Generator) -> Floats:
    """Standardised readings ``(F, N, V)`` as a worse ward would show them.

    A third of the patients lack some vitals altogether, some all but one; one reading in 300
    begins a short run of values that are off by some spreads.
    """
    shape = value.shape
    kind = random.random((shape[1], 1))
    missing = (kind < 1 / 3) & (random.random(shape[1:]) < 0.4)
    # Some are watched by one vital alone, as by an oximeter or a pressure line.
    alone = random.integers(0, shape[2], (shape[1], 1)) != np.arange(shape[2])
    missing |= (kind > 0.92) & alone
    value = np.where(missing, np.float32(np.nan), value)
    starts = np.flatnonzero(random.random(shape[0] * shape[1]) < 1 / 300)
    frames, rows = np.divmod(starts, shape[1])
    column = random.integers(0, shape[2], len(starts))
    length = random.geometric(1 / 3, len(starts))
    size = random.normal(0, 4, len(starts)).astype(np.float32)
    for frame, row, vital, run, off in zip(frames, rows, column, length, size, strict=True):
        part = value[frame : frame + run, row, vital]
        part[:] = np.clip(part + off, _LOWEST[vital], _HIGHEST[vital])
    return np.asarray(value, dtype=np.float32)


def disguised(value: Floats, random: np.random.Generator) -> Floats:
    """Readings ``(n, V)`` as somebody like this person could have shown."""
    hidden = random.random(value.shape) < _DROPPED
    if (~np.isnan(value)).any(axis=0).sum() > 1 and random.random() < _SPARED:
        hidden |= random.random(value.shape[1]) < _HIDDEN
    shift = np.asarray(random.normal(0, _SHIFTED, value.shape[1]), dtype=np.float32)
    return np.where(hidden, np.float32(np.nan), value + shift)
