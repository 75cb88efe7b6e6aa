"""A score block's lists as arrays."""

import numpy as np

from vitalwatch.arrays import Floats, Ints
from vitalwatch.messages import ScoreBlock
from vitalwatch.vitals import COUNT, INDEX


def score_columns(
    block: ScoreBlock,
) -> tuple[Ints, Floats, tuple[Floats, Floats, Floats, Floats]]:
    """A block's times and rarity (n,), and expected, low, high and surprise (n, V)."""
    count = len(block.times)
    return (
        np.array(block.times, dtype=np.int64),
        np.array(block.rarity, dtype=np.float32),
        (
            _table(block.expected, count),
            _table(block.low, count),
            _table(block.high, count),
            _table(block.surprise, count),
        ),
    )


def _table(columns: dict[str, list[float | None]], count: int) -> Floats:
    """A block's columns (n, V), NaN where there is none; unknown vitals are left out."""
    table: Floats = np.full((count, COUNT), np.nan, dtype=np.float32)
    for name, column in columns.items():
        if name in INDEX:
            table[:, INDEX[name]] = np.array(column, dtype=np.float32)
    return table
