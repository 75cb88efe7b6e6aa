"""Where in a partition the last so many minutes before an offset begin."""

from collections.abc import Iterator
from typing import Final, Protocol

import numpy as np

from vitalwatch.stream.broker import RecordBatch, TopicPartition

_MARKERS: Final = 1000
"""Among so many offsets there is a record, as a rule: the rest are markers of transactions."""

_LAST: Final = 15
"""Of so many records' timestamps the middle one says when it is: one producer's clock is wrong."""


class Log(Protocol):
    """A broker, or a recording of one."""

    def bounds(self, source: TopicPartition) -> tuple[int, int]:
        """First retained offset, and the offset that the next record will get."""

    def offset_at(self, source: TopicPartition, timestamp: int) -> int:
        """The first retained offset with this timestamp (ms) or a later one, else the end."""

    def read(
        self, source: TopicPartition, start: int, end: int | None = None
    ) -> Iterator[RecordBatch]:
        """Committed records with offsets from ``start`` to below ``end``."""


def begins(log: Log, source: TopicPartition, end: int, minutes: float) -> int:
    """The first offset of the last ``minutes`` before ``end``, by the records' own times.

    The first that is retained, where no record is near before ``end``.
    """
    first, _ = log.bounds(source)
    before = [batch.timestamps for batch in log.read(source, max(first, end - _MARKERS), end)]
    if not before:
        return first
    now = int(np.median(np.concatenate(before)[-_LAST:]))
    return log.offset_at(source, now - round(minutes * 60_000))
