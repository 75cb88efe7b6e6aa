"""Products of matrices for a few patients at a time, compiled.

Every number is the same sum in the same order, each product added to it with one rounding,
whichever batch it is in and whichever processor computes it, so that a patient's score has the same
bits everywhere.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from vitalwatch.arrays import Floats
from vitalwatch.compiled import compiled
from vitalwatch.vectors import COLUMNS, ROWS, multiply

MOST_ROWS: Final = 8
"""No processor takes more rows at a time; they always divide this."""

_CACHE_LINE: Final = 64


def aligned(*shape: int) -> Floats:
    """Zeros that begin with a cache line: vectors across two of them load at half the speed."""
    size = 4 * int(np.prod(shape))
    block = np.zeros(size + _CACHE_LINE, dtype=np.uint8)
    start = -block.ctypes.data % _CACHE_LINE
    return block[start : start + size].view(np.float32).reshape(shape)


def room(count: int, width: int) -> Floats:
    """Zeros for ``count`` rows of ``width`` numbers, and for as many more of both as
    :func:`products` fills at a time."""
    return aligned(-(-count // MOST_ROWS) * MOST_ROWS, -(-width // COLUMNS) * COLUMNS)


def packed(*parts: Floats) -> Floats:
    """Rows ``(K, m)`` one after the other as :func:`products` takes them, ``(P, K, COLUMNS)``.

    Panels of some columns each, the last filled up with zeros, so that the weights which are used
    one after the other lie so.
    """
    rows = np.concatenate(parts)
    panels = -(-rows.shape[1] // COLUMNS)
    out = aligned(panels, len(rows), COLUMNS)
    for panel in range(panels):
        part = rows[:, panel * COLUMNS : (panel + 1) * COLUMNS]
        out[panel, :, : part.shape[1]] = part
    return out


def stacked(parts: Sequence[Floats]) -> Floats:
    """Packed weights of one shape, one after the other."""
    out = aligned(len(parts), *parts[0].shape)
    for place, part in zip(out, parts, strict=True):
        place[:] = part
    return out


@compiled
def products(x: Floats, weights: Floats, out: Floats, count: int) -> None:
    """Matrix product of ``count`` rows of ``x`` and packed ``weights`` (P, K, COLUMNS), to ``out``.

    Of ``x`` (n, K or more) the first K columns; ``out`` (n, P COLUMNS). Some rows at a time, which
    share the weights that are loaded: the rows after ``count`` until then come along, whatever
    they hold.
    """
    for panel in range(len(weights)):
        for i in range(0, count, ROWS):
            multiply(x, i, weights, panel, out)
