"""Products of matrices for a few patients at a time, compiled.

Every number is the same sum in the same order, whichever batch it is in and whichever processor
computes it, so that a patient's score has the same bits everywhere.
"""

from typing import Final

import numpy as np

from vitalwatch.arrays import Floats
from vitalwatch.compiled import compiled

TOGETHER: Final = 4
"""So many products go into a sum each time that it is loaded and stored."""

_CACHE_LINE: Final = 64
_ZERO: Final = np.float32(0)


def aligned(*shape: int) -> Floats:
    """Zeros that begin with a cache line: vectors across two of them load at half the speed."""
    size = 4 * int(np.prod(shape))
    block = np.zeros(size + _CACHE_LINE, dtype=np.uint8)
    start = -block.ctypes.data % _CACHE_LINE
    return block[start : start + size].view(np.float32).reshape(shape)


def packed(*parts: Floats, width: int = 0) -> Floats:
    """Rows one after the other, filled up with zeros to so many columns (or none), and to as many
    rows as :func:`products` takes at a time.
    """
    rows = np.concatenate(parts)
    out = aligned(-(-len(rows) // TOGETHER) * TOGETHER, width or rows.shape[1])
    out[: len(rows), : rows.shape[1]] = rows
    return out


@compiled
def products(x: Floats, weights: Floats, out: Floats, count: int) -> None:
    """Matrix product of ``count`` rows of ``x`` (n, K) and ``weights`` (K, m), to ``out`` (n, m).

    Two rows at a time, which share the weights that are loaded: of an odd ``count`` the row after
    it comes along, whatever that holds.
    """
    for i in range(0, count, 2):
        for j in range(weights.shape[1]):
            out[i, j] = _ZERO
            out[i + 1, j] = _ZERO
    for k in range(0, len(weights), TOGETHER):
        for i in range(0, count, 2):
            a0, a1, a2, a3 = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
            b0, b1, b2, b3 = x[i + 1, k], x[i + 1, k + 1], x[i + 1, k + 2], x[i + 1, k + 3]
            for j in range(weights.shape[1]):
                w0, w1 = weights[k, j], weights[k + 1, j]
                w2, w3 = weights[k + 2, j], weights[k + 3, j]
                out[i, j] = out[i, j] + a0 * w0 + a1 * w1 + a2 * w2 + a3 * w3
                out[i + 1, j] = out[i + 1, j] + b0 * w0 + b1 * w1 + b2 * w2 + b3 * w3
