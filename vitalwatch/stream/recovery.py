"""How the state of a partition outlives its worker: snapshots, and the muted re-run.

While a worker has a partition, every so often a snapshot of its patients goes to the state topic,
a part with each transaction. Whoever takes the partition over loads the newest snapshot, runs the
input again from there up to what the group has committed, and says nothing meanwhile. Detection
is a pure function of the log, so this is exactly the state that the last owner had.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from vitalwatch import config
from vitalwatch.stream import history, snapshots
from vitalwatch.stream.broker import Broker, Sink, TopicPartition
from vitalwatch.stream.decode import Decoder
from vitalwatch.stream.detection import StreamDetector

OVERDUE: Final = 3
"""A snapshot so many intervals late is written with an urgent transaction, too."""

log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818 - asked for, no error
    """Whoever waits for the state no longer wants it."""


class Restored(NamedTuple):
    """Where a partition's state came from, and how many readings were gone through again."""

    origin: str
    readings: int


@dataclass(slots=True)
class _Kept:
    """A partition's snapshots: when the last was begun (s), up to which offset, whose turn is."""

    begun: float
    offset: int
    turn: snapshots.Turn = snapshots.FIRST


class Recovery:
    """Loads, and keeps, the state of partitions; ``model`` is the fingerprint at work."""

    def __init__(
        self,
        broker: Broker,
        detector: StreamDetector,
        settings: config.Settings,
        model: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._detector = detector
        self._settings = settings
        self._model = model
        self._clock = clock
        self._decoder = Decoder()
        self._kept: dict[TopicPartition, _Kept] = {}
        self._blank: dict[TopicPartition, list[snapshots.Record]] = {}
        # Whose snapshot is under way, its next record, and those after it.
        self._partition: TopicPartition | None = None
        self._upcoming: snapshots.Record | None = None
        self._records: Iterator[snapshots.Record] = iter(())

    @property
    def writing(self) -> bool:
        """Whether a snapshot is under way."""
        return self._partition is not None

    def waiting(self, positions: Mapping[TopicPartition, int]) -> bool:
        """Whether there is a part of a snapshot to write now, with readings or without."""
        return self.writing or bool(self._blank) or self._due(positions) is not None

    def start(self, partition: TopicPartition, committed: int | None) -> int:
        """The offset from which a partition that was just taken over is read."""
        first, end = self._broker.bounds(partition)
        if committed is None or committed > end:
            return first
        if committed < first:
            log.error(
                "readings were deleted before they were scored: retention is too short",
                extra={"topic": partition.topic, "partition": partition.partition}
                | {"first_retained": first, "needed": committed},
            )
        return max(first, committed)

    def restore(
        self, partition: TopicPartition, committed: int | None, going_on: Callable[[], None]
    ) -> Restored:
        """Have the state of a partition as it was at the offset ``committed``.

        ``going_on`` is called now and then; what it raises ends this.
        """
        first, end = self._broker.bounds(partition)
        kept = self._kept[partition] = _Kept(self._clock(), committed or 0)
        if committed is not None and committed > end:
            log.warning(
                "the committed offset lies behind the end of the readings: another topic of this "
                "name is there now, and what is known of its patients is not used",
                extra={"topic": partition.topic, "partition": partition.partition},
            )
            committed = None
        state = TopicPartition(self._settings.topics.state, partition.partition)
        prefix = snapshots.prefix(self._settings.daemon.group, partition)
        layout = self._detector.layout
        search = snapshots.find(self._broker, state, prefix, committed or 0, layout, going_on)
        kept.turn, found = search.turn, search.found
        if committed is None or (found is None and committed == first):
            if kept.turn != snapshots.FIRST:
                # They may be of another topic of this name. A blank one goes with the very next
                # transaction, to be the newest, or a successor would take one of them as soon as
                # its offset fits.
                blank = self._detector.snapshot(*partition)
                writing = snapshots.Writing(prefix, blank, first, kept.turn)
                self._blank[partition] = list(writing)
                kept.offset, kept.turn = first, writing.next_turn
            return Restored("nothing before", 0)
        for reason in search.passed:
            log.warning("a snapshot cannot be used: %s", reason)
        if found is None:
            return Restored("readings", self._warm_up(partition, committed, going_on))
        kept.offset = found.offset
        origin, readings = "snapshot", 0
        if found.snapshot.model == self._model:
            self._detector.restore(*partition, found.snapshot)
        else:
            origin = "snapshot of another model"
            readings = self._warm_up(partition, found.offset, going_on)
            self._detector.overlay(*partition, found.snapshot)
        readings += self._again(partition, found.offset, committed, going_on)
        return Restored(origin, readings)

    def append(
        self, sink: Sink, positions: Mapping[TopicPartition, int], *, urgent: bool
    ) -> list[TopicPartition]:
        """Add a part of a snapshot to a transaction, if one is due; the partitions that it is of.

        ``positions`` are the offsets up to which the detector has gone; ``urgent`` transactions
        are not held up. All blank snapshots go at once.
        """
        for blank, records in self._blank.items():
            for record in records:
                self._write(sink, blank, record)
        written = list(self._blank)
        partition = self._partition or self._due(positions)
        if partition is None or (urgent and not self._overdue(partition)):
            return written
        if self._partition is None:
            self._cut(partition, positions[partition])
        if self._upcoming is None:
            return written
        self._write(sink, partition, self._upcoming)
        self._upcoming = next(self._records, None)
        return [*written, partition]

    def committed(self) -> list[TopicPartition]:
        """The transaction is committed; the partitions whose snapshot is complete with it."""
        complete = list(self._blank)
        self._blank.clear()
        if self._partition is not None and self._upcoming is None:
            complete.append(self._partition)
            self._let_go()
        return complete

    def forget(self, partition: TopicPartition) -> None:
        """A partition is another worker's now."""
        self._kept.pop(partition, None)
        self._blank.pop(partition, None)
        if partition == self._partition:
            self._let_go()

    def _due(self, positions: Mapping[TopicPartition, int]) -> TopicPartition | None:
        """The partition whose snapshot is the oldest, if it is old and something came since."""
        before = self._clock() - self._settings.daemon.snapshot_seconds
        waiting = [
            (kept.begun, partition)
            for partition, kept in self._kept.items()
            if kept.begun <= before and positions[partition] > kept.offset
        ]
        return min(waiting)[1] if waiting else None

    def _overdue(self, partition: TopicPartition) -> bool:
        since = self._clock() - self._kept[partition].begun
        return since > OVERDUE * self._settings.daemon.snapshot_seconds

    def _cut(self, partition: TopicPartition, offset: int) -> None:
        kept = self._kept[partition]
        prefix = snapshots.prefix(self._settings.daemon.group, partition)
        snapshot = self._detector.snapshot(*partition)
        writing = snapshots.Writing(prefix, snapshot, offset, kept.turn)
        self._partition, self._records = partition, writing
        self._upcoming = next(writing, None)
        kept.begun, kept.offset, kept.turn = self._clock(), offset, writing.next_turn

    def _write(self, sink: Sink, partition: TopicPartition, record: snapshots.Record) -> None:
        key, value = record
        sink.append(self._settings.topics.state, key, value, partition=partition.partition)

    def _let_go(self) -> None:
        """Free the memory of the snapshot too: it may be as large as the partition's state."""
        self._partition, self._upcoming, self._records = None, None, iter(())

    def _warm_up(self, partition: TopicPartition, end: int, going_on: Callable[[], None]) -> int:
        """Go through the last ``warmup_minutes`` of readings before the offset ``end``."""
        start = history.begins(self._broker, partition, end, self._settings.daemon.warmup_minutes)
        return self._again(partition, start, end, going_on)

    def _again(
        self, partition: TopicPartition, start: int, end: int, going_on: Callable[[], None]
    ) -> int:
        """Go through the input from ``start`` to ``end`` without a word; how many readings."""
        first, _ = self._broker.bounds(partition)
        if first > start:
            log.warning(
                "readings are missing that the state of a partition needs: retention is too short",
                extra={"topic": partition.topic, "partition": partition.partition}
                | {"first_retained": first, "needed": start},
            )
        readings = 0
        for batch in self._broker.read(partition, max(first, start), end):
            going_on()
            decoded = self._decoder.decode(batch)
            self._detector.process([decoded.readings])
            readings += len(decoded.readings.times)
        return readings
