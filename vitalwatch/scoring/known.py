"""What a forecaster is told after each reading: the features of its layout, compiled.

The same code feeds training and the daemon. The memory is that of
:mod:`vitalwatch.scoring.features`; here it is read after the reading has gone in, so that a
forecast starts from what is known now and not from what was known a reading ago.
"""

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


@compiled
def write_features(parts: Floats, elapsed: Floats, context: Floats, out: Floats) -> None:
    """Features ``(n, FEATURES)`` to ``out`` of the first n patients of a memory's ``parts``.

    ``elapsed (n,)`` seconds since the reading before the one that the memory has just taken in;
    ``context (n, C)`` as in :data:`vitalwatch.model.layout.CONTEXT_NAMES`.
    """
    width = parts.shape[2]
    for k in range(len(elapsed)):
        for v in range(width):
            out[k, v] = parts[LAST, k, v]
            out[k, width + v] = parts[MASK, k, v]
            out[k, 2 * width + v] = squash(parts[AGE, k, v])
            out[k, 3 * width + v] = parts[MEAN, k, v]
            out[k, 4 * width + v] = parts[DEVIATION, k, v]
        out[k, ELAPSED] = squash(elapsed[k])
        for c in range(ELAPSED + 1, FEATURES):
            out[k, c] = context[k, c - ELAPSED - 1]


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
        write_features(parts, elapsed[t], context, out[t])
