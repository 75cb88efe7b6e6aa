"""Writing to the in-process log: transactions, and plain publishing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vitalwatch.errors import Fenced, Replaced
from vitalwatch.stream.broker import Headers, Membership, TopicPartition

if TYPE_CHECKING:
    from vitalwatch.stream.memory import MemoryBroker, Record


class MemorySink:
    """The :class:`~vitalwatch.stream.broker.Sink` of the in-process log."""

    def __init__(self, broker: "MemoryBroker", identity: str, epoch: int) -> None:
        self._broker = broker
        self._identity = identity
        self._epoch = epoch
        self._pending: list[tuple[TopicPartition, Record]] | None = None
        self._finished = False

    def begin(self) -> None:
        """Start a transaction."""
        if self._finished or self._pending is not None:
            raise RuntimeError("this sink is finished, or in a transaction")
        self._pending = []

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
        pending = self._open()
        record = self._broker._record(key, value, timestamp, headers)
        with self._broker._changed:
            pending.append((self._broker._route(topic, key, partition), record))

    def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> None:
        """Make the records and the group's ``offsets`` visible together."""
        pending = self._open()
        if offsets and membership is None:
            raise ValueError("offsets need the membership of the poll that they come from")
        self.abort()  # whatever raises below, the sink is finished
        with self._broker._changed:
            if self._broker._epochs[self._identity] != self._epoch:
                raise Replaced(f"Another writer named {self._identity!r} has taken over.")
            if offsets and membership is not None:
                self._commit_offsets(offsets, membership)
            for source, record in pending:
                self._broker._log(source).append(record)
            for source in {source for source, _ in pending}:
                self._broker._log(source).end += 1
            self._broker._changed.notify_all()
        self._finished = False

    def abort(self) -> None:
        """Drop the transaction; nothing of it becomes visible."""
        self._pending = None
        self._finished = True

    def close(self) -> None:
        """Give up the writer; an open transaction is aborted."""
        self.abort()

    def _open(self) -> "list[tuple[TopicPartition, Record]]":
        if self._pending is None:
            raise RuntimeError("this sink is not in a transaction")
        return self._pending

    def _commit_offsets(
        self, offsets: Mapping[TopicPartition, int], membership: Membership
    ) -> None:
        group = self._broker._groups[membership.group]
        if membership.token not in group.tokens.values():
            raise Fenced(f"Group {membership.group!r} has moved on to a newer generation.")
        group.committed.update(offsets)


class MemoryPublisher:
    """The :class:`~vitalwatch.stream.broker.Publisher` of the in-process log."""

    def __init__(self, broker: "MemoryBroker") -> None:
        self._broker = broker

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> None:
        """Append a record; it is visible at once."""
        record = self._broker._record(key, value, timestamp, headers)
        with self._broker._changed:
            target = self._broker._route(topic, key, None)
            self._broker._log(target).append(record)
            self._broker._changed.notify_all()

    def flush(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing to give up."""
