"""The latest value, band and rarity of every patient, in columns."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.vitals import COUNT


class Latest(NamedTuple):
    """By row (R,), or by row and vital (R, V): times in ms, 0 for never."""

    last: Ints
    ask: Ints
    scored: Ints
    rarity: Floats
    times: Ints
    values: Floats
    bands: Floats
    changed: Bools

    @classmethod
    def of(cls, rows: int) -> "Latest":
        """Nothing known of so many."""
        return cls(
            np.zeros(rows, dtype=np.int64),
            np.zeros(rows, dtype=np.int64),
            np.zeros(rows, dtype=np.int64),
            np.full(rows, np.nan, dtype=np.float32),
            np.zeros((rows, COUNT), dtype=np.int64),
            np.full((rows, COUNT), np.nan, dtype=np.float32),
            np.full((rows, COUNT, 3), np.nan, dtype=np.float32),
            np.zeros(rows, dtype=np.bool_),
        )

    def put(self, rows: slice, other: "Latest") -> None:
        """What ``other`` says of its rows, for these."""
        pairs: Iterable[tuple[Any, Any]] = zip(self, other, strict=True)
        for mine, theirs in pairs:
            mine[rows] = theirs


@compiled
def newest(rows: Ints, at: Ints, values: Floats, times: Ints, latest: Floats, last: Ints) -> None:
    """Put in readings (n) of ``rows``, each vital's unless a later one is known."""
    for i in range(len(rows)):
        row = rows[i]
        if at[i] > last[row]:
            last[row] = at[i]
        for vital in range(values.shape[1]):
            if not np.isnan(values[i, vital]) and at[i] >= times[row, vital]:
                times[row, vital] = at[i]
                latest[row, vital] = values[i, vital]


@compiled
def newest_scores(
    rows: Ints,
    at: Ints,
    rarity: Floats,
    expected: Floats,
    low: Floats,
    high: Floats,
    scored: Ints,
    latest: Floats,
    bands: Floats,
) -> None:
    """Put in scores (n) of ``rows``, unless a later one is known."""
    for i in range(len(rows)):
        row = rows[i]
        if at[i] < scored[row]:
            continue
        scored[row] = at[i]
        latest[row] = rarity[i]
        for vital in range(expected.shape[1]):
            if not np.isnan(expected[i, vital]):
                bands[row, vital, 0] = expected[i, vital]
                bands[row, vital, 1] = low[i, vital]
                bands[row, vital, 2] = high[i, vital]
