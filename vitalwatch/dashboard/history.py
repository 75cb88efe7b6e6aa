"""What is older than the ward keeps, from the topics: one patient's readings of some time.

A patient's readings are among all of a partition, so only as much is read as takes a few seconds.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import numpy as np

from vitalwatch import config
from vitalwatch.dashboard.columns import score_columns
from vitalwatch.dashboard.rings import Rings
from vitalwatch.errors import BrokerError
from vitalwatch.messages import ScoreBlock
from vitalwatch.stream.broker import Broker, TopicPartition
from vitalwatch.stream.decode import Decoder
from vitalwatch.stream.partitioner import partition_of

MOST_RECORDS: Final = 200_000
"""Offsets of a partition's readings that are gone through for one request, at most."""

_SLACK_MS: Final = 60_000
"""Scores of a reading may stand in a block of other times, and records a little out of order."""

_NONE_OF_OURS: Final = (ValueError, RecursionError, IndexError, OverflowError)
"""What a block raises that is no message, or whose columns are of unlike lengths or too large."""


class History:
    """Reads on request, one request after the other."""

    def __init__(self, connect: Callable[[], Broker], topics: config.Topics) -> None:
        self._connect = connect
        self._topics = topics
        self._lock = threading.Lock()
        self._broker: Broker | None = None
        self._decoder = Decoder()

    def read(self, patient: str, begin: int, end: int) -> Rings | None:
        """A patient's series in row 0, from a time to another in ms; None if that is too much.

        Raises BrokerError where the topics cannot be read.
        """
        with self._lock:
            try:
                if self._broker is None:
                    self._broker = self._connect()
                return self._read(self._broker, patient, begin - _SLACK_MS, end + _SLACK_MS)
            except BrokerError:
                self._drop()  # the next one starts afresh
                raise

    def close(self) -> None:
        """Let go of the broker."""
        with self._lock:
            self._drop()

    def _read(self, broker: Broker, patient: str, begin: int, end: int) -> Rings | None:
        spec = broker.topics([self._topics.readings]).get(self._topics.readings)
        if spec is None:
            return None
        number = partition_of(patient.encode(), spec.partitions)
        readings = TopicPartition(self._topics.readings, number)
        first, last = broker.offset_at(readings, begin), broker.offset_at(readings, end)
        if last - first > MOST_RECORDS:
            return None
        rings = Rings(full=max(last - first, 1))
        rings.cover(1)
        for batch in broker.read(readings, first, last):
            found = self._decoder.decode(batch).readings
            name = patient.encode()
            mine = np.array([each == name for each in found.patients], dtype=np.bool_)
            rows = np.zeros(int(mine.sum()), dtype=np.int64)
            rings.readings(rows, found.times[mine], found.values[mine])
        self._scores(broker, number, patient, (begin, end), rings)
        return rings

    def _scores(
        self, broker: Broker, number: int, patient: str, span: tuple[int, int], rings: Rings
    ) -> None:
        """Scores stand on any partition of their topic, as their key is the readings' partition."""
        decoder = msgspec.json.Decoder(ScoreBlock)
        spec = broker.topics([self._topics.scores]).get(self._topics.scores)
        if spec is None:
            return
        source = TopicPartition(self._topics.scores, partition_of(b"%d" % number, spec.partitions))
        first, last = (broker.offset_at(source, each) for each in span)
        for batch in broker.read(source, first, last):
            for value in batch.values:
                with suppress(*_NONE_OF_OURS):
                    block = decoder.decode(value or b"")
                    mine = [place for place, each in enumerate(block.patients) if each == patient]
                    if mine and block.topic == self._topics.readings:
                        times, rarity, tables = score_columns(block)
                        rows = np.zeros(len(mine), dtype=np.int64)
                        expected, low, high, surprise = (table[mine] for table in tables)
                        rings.scores(
                            rows, times[mine], rarity[mine], (expected, low, high, surprise)
                        )

    def _drop(self) -> None:
        if self._broker is not None:
            with suppress(BrokerError):
                self._broker.close()
        self._broker = None
