"""Small streams and data sets, made by hand."""

from collections.abc import Sequence

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints
from vitalwatch.evaluation.streams import HOUR, MINUTE, DataSet, Event, Streams

START = 1_767_254_400_000


def record(minutes: Sequence[float] | Ints, **values: Sequence[float]) -> tuple[Ints, Floats]:
    """A record with readings at these minutes."""
    table = np.full((len(minutes), vitals.COUNT), np.nan, dtype=np.float32)
    for name, column in values.items():
        table[:, vitals.INDEX[name]] = column
    return START + (np.asarray(minutes) * MINUTE).astype(np.int64), table


def minutely(count: int) -> tuple[Ints, Floats]:
    """A record with a heart rate each minute."""
    return record(np.arange(count), hr=[80.0] * count)


def data_set(
    records: list[tuple[Ints, Floats]], events: list[Event], longest: int = HOUR
) -> DataSet:
    """Each record of a person of its own, to be tested on."""
    count = len(records)
    return DataSet(
        "made",
        "made by hand",
        Streams.joined(records),
        np.arange(count),
        [f"p{k}" for k in range(count)],
        ["test"] * count,
        events,
        longest,
        (60 * MINUTE, 10 * MINUTE),
        {"sex": ["women" if k % 2 else "men" for k in range(count)]},
    )


def event(record: int, onset: float, *, before: float = 60, counted: bool = True) -> Event:
    """An event at a minute: early until 10 minutes before, caught until 10 minutes after."""
    at = round(START + onset * MINUTE)
    return Event(
        record,
        "trouble",
        round(at - before * MINUTE),
        at - 10 * MINUTE,
        at,
        at + 10 * MINUTE,
        at + 60 * MINUTE,
        counted,
    )
