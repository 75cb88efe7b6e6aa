"""A log in this process, with the semantics of Kafka as far as the broker protocol goes.

It is for demonstrations and tests, and Python alone suffices for it. It is not for running a
hospital: nothing is written to disk, nothing survives the process, nothing is ever compacted,
and one lock serves all. Threads may share a broker.

Like Kafka it gives each committed transaction one more offset in every partition that it wrote
(Kafka's commit marker), so that readers who count on gapless offsets fail here already.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import NamedTuple

from vitalwatch.errors import BrokerError, Replaced
from vitalwatch.stream.broker import (
    Headers,
    Membership,
    Poll,
    RecordBatch,
    TopicPartition,
    TopicSpec,
)
from vitalwatch.stream.memory_group import Group, Member
from vitalwatch.stream.memory_writers import MemoryPublisher, MemorySink
from vitalwatch.stream.partitioner import partition_of

_READ_AT_ONCE = 10_000


class Record(NamedTuple):
    """What is in a log; the timestamp in ms."""

    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class _Log:
    """One partition; ``offsets`` ascend, ``start`` is the first retained, ``end`` the next."""

    offsets: list[int] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    start: int = 0
    end: int = 0

    def append(self, record: Record) -> None:
        self.offsets.append(self.end)
        self.records.append(record)
        self.end += 1

    def read(self, source: TopicPartition, start: int, end: int, limit: int) -> RecordBatch:
        """Up to ``limit`` records with offsets in [start, end); perhaps none."""
        first = bisect_left(self.offsets, start)
        last = min(bisect_left(self.offsets, end), first + limit)
        records = self.records[first:last]
        return RecordBatch.of(
            source,
            self.offsets[first:last],
            [record.timestamp for record in records],
            [record.key for record in records],
            [record.value for record in records],
            [record.headers for record in records],
            next_offset=self.offsets[last] if last < len(self.offsets) else self.end,
        )


@dataclass(slots=True)
class _Topic:
    spec: TopicSpec
    logs: list[_Log]
    keyless: int = 0  # records without a key so far: they take the partitions in turn


class MemoryBroker:
    """The :class:`~vitalwatch.stream.broker.Broker` in one process.

    ``clock`` gives seconds since 1970, for records without a timestamp.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._changed = Condition()  # guards everything below, and wakes the pollers
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[str, Group] = {}
        self._epochs: dict[str, int] = {}
        self._last_member = 0

    def create(self, topics: Sequence[TopicSpec]) -> list[str]:
        """Create those that do not exist; their names."""
        with self._changed:
            missing = [spec for spec in topics if spec.name not in self._topics]
            for spec in missing:
                logs = [_Log() for _ in range(spec.partitions)]
                self._topics[spec.name] = _Topic(replace(spec, replication=1), logs)
            return [spec.name for spec in missing]

    def topics(self, names: Collection[str]) -> dict[str, TopicSpec]:
        """Those of the named topics that exist, with the settings given when created."""
        with self._changed:
            return {name: self._topics[name].spec for name in names if name in self._topics}

    def bounds(self, source: TopicPartition) -> tuple[int, int]:
        """First retained offset, and the offset that the next record will get."""
        with self._changed:
            log = self._log(source)
            return log.start, log.end

    def offset_at(self, source: TopicPartition, timestamp: int) -> int:
        """The first retained offset with this timestamp (ms) or a later one, else the end."""
        with self._changed:
            log = self._log(source)
            later = (
                offset
                for offset, record in zip(log.offsets, log.records, strict=True)
                if record.timestamp >= timestamp
            )
            return next(later, log.end)

    def read(
        self, source: TopicPartition, start: int, end: int | None = None
    ) -> Iterator[RecordBatch]:
        """Committed records with offsets from ``start`` to below ``end``, without a group."""
        with self._changed:
            log = self._log(source)
        stop = log.end if end is None else end
        while start < stop:
            with self._changed:
                batch = log.read(source, start, stop, _READ_AT_ONCE)
            if not len(batch):
                return
            yield batch
            start = batch.next_offset

    def source(
        self, topics: Sequence[str], group: str, *, instance: str | None = None
    ) -> "MemorySource":
        """Join ``group``; start at the committed offset, else at the first retained record."""
        with self._changed:
            for topic in topics:
                self._topic(topic)
            return MemorySource(self, group, frozenset(topics), instance)

    def sink(self, identity: str) -> MemorySink:
        """Open the writer with this transactional identity; fences an older one."""
        with self._changed:
            epoch = self._epochs.get(identity, 0) + 1
            self._epochs[identity] = epoch
            return MemorySink(self, identity, epoch)

    def publisher(self) -> MemoryPublisher:
        """Open a plain writer."""
        return MemoryPublisher(self)

    def close(self) -> None:
        """Nothing to let go of; what was written stays readable."""

    def expire(self, source: "MemorySource") -> None:
        """Put a member out of its group, as a broker does whose member has died."""
        with self._changed:
            self._leave(source.group, source.member)

    def trim(self, source: TopicPartition, offset: int) -> None:
        """Forget the records below ``offset``, as retention does."""
        with self._changed:
            log = self._log(source)
            log.start = max(log.start, min(offset, log.end))
            kept = bisect_left(log.offsets, log.start)
            del log.offsets[:kept], log.records[:kept]

    def _topic(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            raise BrokerError(f"There is no topic {name!r}: create it first.")
        return topic

    def _log(self, source: TopicPartition) -> _Log:
        logs = self._topic(source.topic).logs
        if not 0 <= source.partition < len(logs):
            raise BrokerError(f"Topic {source.topic!r} has no partition {source.partition}.")
        return logs[source.partition]

    def _route(self, topic: str, key: bytes | None, partition: int | None) -> TopicPartition:
        target = self._topic(topic)
        if partition is None:
            if key is None:
                target.keyless += 1
                partition = target.keyless % len(target.logs)
            else:
                partition = partition_of(key, len(target.logs))
        self._log(TopicPartition(topic, partition))
        return TopicPartition(topic, partition)

    def _record(
        self, key: bytes | None, value: bytes | None, timestamp: int | None, headers: Headers
    ) -> Record:
        if key is None and value is None:
            raise ValueError("a record needs a key or a value")
        now = round(self._clock() * 1000) if timestamp is None else timestamp
        return Record(now, key, value, tuple(headers))

    def _join(self, name: str, topics: frozenset[str], instance: str | None) -> int:
        group = self._groups.setdefault(name, Group())
        self._last_member += 1
        member = Member(self._last_member, topics, instance)
        group.add(member)
        self._rebalance(group)
        return member.id

    def _leave(self, name: str, member: int) -> None:
        group = self._groups[name]
        if member in group.members:
            group.remove(member)
            self._rebalance(group)

    def _rebalance(self, group: Group) -> None:
        topics = sorted(frozenset().union(*(m.topics for m in group.members.values())))
        group.rebalance(
            [
                TopicPartition(topic, partition)
                for topic in topics
                for partition in range(len(self._topics[topic].logs))
            ]
        )
        self._changed.notify_all()


class MemorySource:
    """The :class:`~vitalwatch.stream.broker.Source` of the in-process log."""

    def __init__(
        self, broker: MemoryBroker, group: str, topics: frozenset[str], instance: str | None
    ) -> None:
        self.group = group
        self.member = broker._join(group, topics, instance)
        self._broker = broker
        self._topics = topics
        self._instance = instance
        self._positions: dict[TopicPartition, int] = {}
        self._turn = 0

    def poll(self, timeout: float, max_records: int) -> Poll:
        """Wait up to ``timeout`` seconds for records; at most ``max_records`` in all."""
        latest: list[Poll] = []

        def ready() -> bool:
            assigned, revoked = self._rejoin()
            batches = self._fetch(max_records, assigned)
            token = self._broker._groups[self.group].tokens[self.member]
            membership = Membership(self.group, token)
            latest[:] = [Poll(batches, membership, assigned, revoked)]
            return bool(batches or assigned or revoked)

        with self._broker._changed:
            self._broker._changed.wait_for(ready, timeout)
        return latest[0]

    def more(self, timeout: float, max_records: int) -> list[RecordBatch]:
        """Further records as in :meth:`poll`, for a transaction that goes on."""
        batches: list[RecordBatch] = []

        def ready() -> bool:
            if self._rebalance_due():
                return True
            batches[:] = self._fetch(max_records, frozenset())
            return bool(batches)

        with self._broker._changed:
            self._broker._changed.wait_for(ready, timeout)
        return batches

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this member reads now."""
        return frozenset(self._positions)

    def seek(self, source: TopicPartition, offset: int) -> None:
        """Read an assigned partition from ``offset`` on with what is read next."""
        if source not in self._positions:
            raise ValueError(f"{source} is not assigned to this member")
        self._positions[source] = offset

    def committed(self, source: TopicPartition) -> int | None:
        """The group's committed offset: the next to read; None if there is none."""
        with self._broker._changed:
            return self._broker._groups[self.group].committed.get(source)

    def lag(self) -> dict[TopicPartition, int]:
        """How far each assigned partition's end is ahead of this member, in offsets."""
        with self._broker._changed:
            return {
                source: max(self._broker._log(source).end - position, 0)
                for source, position in self._positions.items()
            }

    def close(self) -> None:
        """Leave the group, unless named: then :meth:`MemoryBroker.expire` puts it out."""
        with self._broker._changed:
            if self._instance is None:
                self._broker._leave(self.group, self.member)

    def _rebalance_due(self) -> bool:
        """Whether the next poll would take part in a change of the group."""
        group = self._broker._groups[self.group]
        return group.tokens.get(self.member) != (self.member, group.generation)

    def _rejoin(self) -> tuple[frozenset[TopicPartition], frozenset[TopicPartition]]:
        """Take part in what changed in the group; partitions that came, and that went."""
        group = self._broker._groups[self.group]
        held = frozenset(self._positions)
        if self.member not in group.members:
            if group.named(self._instance) is not None:
                raise Replaced(f"Another worker named {self._instance!r} has taken over.")
            self.member = self._broker._join(self.group, self._topics, self._instance)
            revoked = held
        else:
            revoked = frozenset(p for p in held if group.target.get(p) != self.member)
        for partition in revoked:
            del self._positions[partition]
            if group.owner.get(partition) == self.member:
                del group.owner[partition]
        assigned = frozenset(
            partition
            for partition, member in group.target.items()
            if member == self.member and partition not in group.owner
        )
        for partition in assigned:
            group.owner[partition] = self.member
            self._positions[partition] = group.committed.get(partition, 0)
        group.tokens[self.member] = (self.member, group.generation)
        if revoked:
            self._broker._changed.notify_all()
        return assigned, revoked

    def _fetch(self, limit: int, fresh: frozenset[TopicPartition]) -> list[RecordBatch]:
        """At most ``limit`` records; another partition comes first each time."""
        ready = sorted(set(self._positions) - fresh)
        self._turn += 1
        start = self._turn % max(len(ready), 1)
        batches = []
        for source in ready[start:] + ready[:start]:
            log = self._broker._log(source)
            position = max(self._positions[source], log.start)
            batch = log.read(source, position, log.end, limit)
            self._positions[source] = max(batch.next_offset, position)
            limit -= len(batch)
            if len(batch):
                batches.append(batch)
        return batches
