"""The broker protocol: what the daemon needs of a log, and nothing more.

Two backends implement it with the same semantics and pass the same contract tests:
:mod:`vitalwatch.stream.kafka` and, in one process, :mod:`vitalwatch.stream.memory`. Records come
in columnar batches, because one object a record is what makes Python slow. Outputs and the
offsets of the inputs they came from are committed together or not at all.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np

from vitalwatch.arrays import Ints, Spans

Headers = Sequence[tuple[str, bytes]]

CREATE_TOPICS: Final = "create it with: vitalwatch topics create, and the same --topics-prefix"
"""What to do about a topic that is not there."""


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive committed records of one partition, columnar, all columns (n,).

    ``offsets`` ascend but may have holes (compaction, transaction markers); ``timestamps`` are
    ms since 1970. A value of None is a tombstone. ``next_offset`` is where to go on reading, and
    what to commit after these.
    """

    source: TopicPartition
    offsets: Ints
    timestamps: Ints
    keys: Spans
    values: Spans
    headers: Sequence[Headers]
    next_offset: int

    @classmethod
    def of(
        cls,
        source: TopicPartition,
        offsets: Sequence[int],
        timestamps: Sequence[int],
        keys: Iterable[bytes | None],
        values: Iterable[bytes | None],
        headers: Sequence[Headers],
        next_offset: int,
    ) -> "RecordBatch":
        """From single ones."""
        return cls(
            source,
            np.array(offsets, dtype=np.int64),
            np.array(timestamps, dtype=np.int64),
            Spans.of(keys),
            Spans.of(values),
            headers,
            next_offset,
        )

    def __len__(self) -> int:
        return len(self.offsets)

    def below(self, end: int) -> "RecordBatch":
        """Those with offsets below ``end``, perhaps none."""
        count = int(np.searchsorted(self.offsets, end))
        if count == len(self):
            return self
        return RecordBatch(
            self.source,
            self.offsets[:count],
            self.timestamps[:count],
            self.keys[:count],
            self.values[:count],
            self.headers[:count],
            next_offset=end,
        )


class Membership(NamedTuple):
    """Proof of one group generation, taken together with a poll; opaque to the caller."""

    group: str
    token: object


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll brought: batches (at most one a partition), and changes of assignment.

    ``revoked`` partitions are gone already: this poll has none of their records, and what was
    read of them and not committed is for their next owner. ``assigned`` ones start with what is
    read next, so that their owner can load state and seek first. A partition in both was
    lost and came back: what is held for it is void.
    """

    batches: list[RecordBatch]
    membership: Membership
    assigned: frozenset[TopicPartition] = field(default_factory=frozenset)
    revoked: frozenset[TopicPartition] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be, or is; ``settings`` are Kafka's topic settings by name.

    ``replication`` is the number of copies; None leaves it to the broker's default.
    """

    name: str
    partitions: int
    settings: Mapping[str, str] = field(default_factory=dict)
    replication: int | None = None


class Source(Protocol):
    """One member of a consumer group; sees committed records only. For one thread at a time."""

    def poll(self, timeout: float, max_records: int) -> Poll:
        """Wait up to ``timeout`` seconds for records; at most ``max_records`` in all.

        Partitions come and go only inside a poll. A member that does not poll holds up the
        others' rebalance, and is put out of the group after a while.
        """

    def more(self, timeout: float, max_records: int) -> list[RecordBatch]:
        """Further records as in :meth:`poll`, for a transaction that goes on.

        Partitions neither come nor go, and the membership stays that of the last poll. Returns
        nothing further, and at once, when a rebalance is due: commit, and poll.
        """

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this member reads now."""

    def seek(self, source: TopicPartition, offset: int) -> None:
        """Read an assigned partition from ``offset`` on with what is read next."""

    def committed(self, source: TopicPartition) -> int | None:
        """The group's committed offset: the next to read; None if there is none."""

    def lag(self) -> dict[TopicPartition, int]:
        """How far each assigned partition's end is ahead of this member, in offsets.

        Zero when all is read; as offsets have holes, at least the number of records to come.
        """

    def close(self) -> None:
        """Leave the group. Commits nothing."""


class Sink(Protocol):
    """A transactional writer. A sink that raised is finished: close it and open another.

    For one thread at a time. Finish a transaction before the next poll of the source whose
    offsets it commits, because a poll may give partitions away.
    """

    def begin(self) -> None:
        """Start a transaction."""

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> None:
        """Add a record to the transaction; without ``partition`` the key decides.

        Equal keys share a partition, by Kafka's default partitioner (murmur2); without a key
        the record goes to any. ``timestamp`` is ms since 1970, by default now. Raises ValueError
        for a record with neither key nor value, BrokerError for an unknown topic.
        """

    def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> None:
        """Make the records and the group's ``offsets`` visible together, durably.

        ``membership`` is that of the poll which brought the records up to ``offsets``; None
        only where ``offsets`` is empty. Raises :class:`~vitalwatch.errors.Fenced` if another
        worker or generation took over: nothing of the transaction is visible then. After any
        other error the outcome is unknown: start again from what the group has committed.
        """

    def abort(self) -> None:
        """Drop the transaction; nothing of it becomes visible."""

    def close(self) -> None:
        """Give up the writer; an open transaction is aborted."""


class Publisher(Protocol):
    """A plain writer for much data, for devices, simulators and replays: nothing is lost or
    written twice by a retry, but records become visible one by one. For one thread at a time.

    An error in the background surfaces as BrokerError with the next call of any method.
    """

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> None:
        """Hand over a record; the key decides the partition as in :meth:`Sink.append`."""

    def flush(self) -> None:
        """Return when everything sent is durable; raise if any of it is not."""

    def close(self) -> None:
        """Flush, and give up the writer."""


class Broker(Protocol):
    """A log with topics, groups and transactions; may be shared by threads.

    Raises :class:`~vitalwatch.errors.BrokerError` with the true cause where the broker cannot be
    reached, refuses the credentials, or lacks a topic.
    """

    def source(self, topics: Sequence[str], group: str, *, instance: str | None = None) -> Source:
        """Join ``group``; start at the committed offset, else at the first retained record.

        ``instance`` is a stable name of this worker (static membership): a worker that died and
        comes back under its name gets its partitions without a rebalance, and fences the old one,
        which learns of it with its next commit at the latest.
        Raises BrokerError for topics that do not exist.
        """

    def sink(self, identity: str) -> Sink:
        """Open the writer with this transactional identity; fences an older one."""

    def publisher(self) -> Publisher:
        """Open a plain writer."""

    def read(
        self, source: TopicPartition, start: int, end: int | None = None
    ) -> Iterator[RecordBatch]:
        """Committed records with offsets from ``start`` to below ``end``, without a group.

        ``end`` is by default the partition's end as of now, as in :meth:`bounds`. Waits for the
        transactions that are open below it, so that what was committed before is never missed.
        """

    def bounds(self, source: TopicPartition) -> tuple[int, int]:
        """First retained offset, and the offset that the next record will get."""

    def offset_at(self, source: TopicPartition, timestamp: int) -> int:
        """The first retained offset with this timestamp (ms) or a later one, else the end."""

    def topics(self, names: Collection[str]) -> dict[str, TopicSpec]:
        """Those of the named topics that exist, with all their settings in effect."""

    def create(self, topics: Sequence[TopicSpec]) -> list[str]:
        """Create those that do not exist; their names."""

    def close(self) -> None:
        """Let go of connections."""
