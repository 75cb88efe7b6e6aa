"""What a forecaster is told after each reading: the features of its layout, compiled.

The same code feeds training and the daemon. The memory is that of
:mod:`vitalwatch.scoring.features`; here it is read after the reading has gone in, so that a
forecast starts from what is known now and not from what was known a reading ago.
"""

from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.compiled import compiled
from vitalwatch.model.layout import ELAPSED, FEATURES
from vitalwatch.scoring.features import (
    AGE,
    DEVIATION,
    LAST,
    MASK,
    MEAN,
    NEVER,
    remember,
    squash,
)

_V: Final = vitals.COUNT


@compiled
def write_features(
    parts: Floats, elapsed: Floats, context: Floats, out: Floats, begin: int
) -> None:
    """Features to ``out (n, ...)``, from column ``begin`` on, of a memory's ``parts``.

    Of its first n patients, ``elapsed (n,)`` seconds since the reading before the one that the
    memory has just taken in; ``context (n, C)`` as in
    :data:`vitalwatch.model.layout.CONTEXT_NAMES`.
    """
    count = len(elapsed)
    ages = np.empty((count, _V), dtype=np.float32)
    flat, seen = ages.reshape(ages.size), parts[AGE].reshape(parts[AGE].size)
    for i in range(len(flat)):
        flat[i] = squash(seen[i])
    for k in range(count):
        told = out[k, begin:]
        for v in range(_V):
            told[v] = parts[LAST, k, v]
            told[_V + v] = parts[MASK, k, v]
            told[2 * _V + v] = ages[k, v]
            told[3 * _V + v] = parts[MEAN, k, v]
            told[4 * _V + v] = parts[DEVIATION, k, v]
        told[ELAPSED] = squash(elapsed[k])
        for c in range(ELAPSED + 1, FEATURES):
            told[c] = context[k, c - ELAPSED - 1]


@compiled
def follow(
    parts: Floats, elapsed: Floats, value: Floats, context: Floats, step: Floats, out: Floats
) -> None:
    """T readings of n patients into ``parts``, and the features after each to ``out (T, n, F)``.

    ``elapsed (T, n)``; standardised ``value (T, n, V)``, NaN where not measured; ``context (n,
    C)``; ``step (V,)`` least deviations.
    """
    for t in range(len(elapsed)):
        for k in range(elapsed.shape[1]):
            for v in range(len(step)):
                parts[AGE, k, v] = min(parts[AGE, k, v] + elapsed[t, k], NEVER)
        remember(parts, value[t], step)
        write_features(parts, elapsed[t], context, out[t], 0)
