"""The broker protocol: what the daemon needs of a log, and nothing more.

Two backends implement it with the same semantics and pass the same contract tests:
:mod:`vitalwatch.stream.kafka` and, in one process, :mod:`vitalwatch.stream.memory`. Records come
in columnar batches, because one object a record is what makes Python slow. Outputs and the
offsets of the inputs they came from are committed together or not at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes]]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive committed records of one partition, columnar; all lists have the same length.

    ``offsets`` ascend but may have holes (compaction, transaction markers); ``timestamps`` are
    ms since 1970. ``next_offset`` is where to go on reading, and what to commit after these.
    """

    source: TopicPartition
    offsets: list[int]
    timestamps: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    next_offset: int


class Membership(NamedTuple):
    """Proof of one group generation, taken together with a poll; opaque to the caller."""

    group: str
    token: object


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll brought: batches (at most one a partition), and changes of assignment.

    ``revoked`` partitions are gone already, ``assigned`` ones start with the next poll's batches.
    """

    batches: list[RecordBatch]
    membership: Membership
    assigned: frozenset[TopicPartition] = field(default_factory=frozenset)
    revoked: frozenset[TopicPartition] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be; ``settings`` are Kafka's topic settings by name."""

    name: str
    partitions: int
    settings: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """One member of a consumer group; sees committed records only."""

    def poll(self, timeout: float, max_records: int) -> Poll:
        """Wait up to ``timeout`` seconds for records; at most ``max_records`` in all."""

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this member reads now."""

    def seek(self, source: TopicPartition, offset: int) -> None:
        """Read an assigned partition from ``offset`` on."""

    def committed(self, source: TopicPartition) -> int | None:
        """The group's committed offset: the next to read; None if there is none."""

    def lag(self) -> dict[TopicPartition, int]:
        """Records of each assigned partition that this member has not read yet."""

    def close(self) -> None:
        """Leave the group. Commits nothing."""


class Sink(Protocol):
    """A transactional writer. A sink that raised is finished: close it and open another."""

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
        """Add a record to the transaction; without ``partition`` the key decides."""

    def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> None:
        """Make the records and the group's ``offsets`` visible together, durably.

        Raises :class:`~vitalwatch.errors.Fenced` if another worker or generation took over;
        nothing of the transaction is visible then.
        """

    def abort(self) -> None:
        """Drop the transaction; nothing of it becomes visible."""

    def close(self) -> None:
        """Give up the writer; an open transaction is aborted."""


class Broker(Protocol):
    """A log with topics, groups and transactions. Raises BrokerError with the true cause."""

    def source(self, topics: Sequence[str], group: str, *, instance: str | None = None) -> Source:
        """Join ``group``; start at the committed offset, else at the beginning."""

    def sink(self, identity: str) -> Sink:
        """Open the writer with this transactional identity; fences an older one."""

    def read(
        self, source: TopicPartition, start: int, end: int | None = None
    ) -> Iterator[RecordBatch]:
        """Committed records from ``start`` up to ``end`` (default: the end as of now), no group."""

    def bounds(self, source: TopicPartition) -> tuple[int, int]:
        """First retained offset, and the offset that the next record will get."""

    def topics(self) -> dict[str, TopicSpec]:
        """Every topic, with the settings that differ from the broker's defaults."""

    def create(self, topics: Sequence[TopicSpec]) -> list[str]:
        """Create those that do not exist; their names."""

    def close(self) -> None:
        """Let go of connections."""
