"""Cutting a batch into rounds: round k holds each patient's k-th reading of the batch.

Rows of one round are distinct, so a round is one matrix step; a patient's readings stay in
order across rounds.
"""

from collections.abc import Iterator

import numpy as np

from vitalwatch.arrays import Ints


def rounds(rows: Ints) -> Iterator[Ints]:
    """Positions of each round, in log order within it; ``rows`` (n,) are patients' slab rows."""
    if not rows.size:
        return
    by_row = np.argsort(rows, kind="stable")
    ordered = rows[by_row]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    lengths = np.diff(np.append(starts, rows.size))
    turn = np.empty(rows.size, dtype=np.int64)
    turn[by_row] = np.arange(rows.size) - np.repeat(starts, lengths)
    by_turn = np.argsort(turn, kind="stable")
    yield from np.split(by_turn, np.cumsum(np.bincount(turn))[:-1])
