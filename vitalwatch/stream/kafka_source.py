"""A member of a consumer group on Kafka, through kafka-python."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from kafka import ConsumerRebalanceListener, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState
from kafka.structs import TopicPartition as KafkaPartition

from vitalwatch.errors import BrokerError, Replaced
from vitalwatch.stream import kafka_batches
from vitalwatch.stream.broker import Membership, Poll, RecordBatch, TopicPartition
from vitalwatch.stream.diagnosis import explained, translated
from vitalwatch.stream.kafka_writers import CLOSE_SECONDS

SLICE_SECONDS: Final = 0.1
ANSWER_SECONDS: Final = 10.0
AWAY_SECONDS: Final = 10.0
"""So long a member does without its group's coordinator: its session is over then anyway."""

JOINING_SECONDS: Final = 1.0
"""So long a member who holds partitions waits at most for the outcome of a rebalance.

Commonly all others wait already, and it comes at once. Readings that are polled meanwhile could
not be committed: the group moves on to its next generation under the transaction. Where another
takes its time, because it is restoring state, this one goes on with what it has.
"""

MEMBER: Final[dict[str, Any]] = {
    # Only what moves is revoked, so the others' state stays where it is.
    "partition_assignment_strategy": (CooperativeStickyAssignor,),
    # So long a worker that vanished keeps its partitions from the others.
    "session_timeout_ms": 10_000,
    # A heartbeat is also how a member learns of a rebalance.
    "heartbeat_interval_ms": 500,
    # Restoring the state of many partitions may take minutes, in which nothing is polled. (Who
    # hangs is noticed by its own health check.)
    "max_poll_interval_ms": 30 * 60 * 1000,
    # So long nobody reads a partition that is added; by default five minutes.
    "metadata_max_age_ms": 10_000,
}


class _Losses(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Keeps what was lost; runs on the library's network thread, so it does nothing else."""

    def __init__(self) -> None:
        self.lost: set[TopicPartition] = set()

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self.lost.update(TopicPartition(*partition) for partition in revoked)

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        self.on_partitions_revoked(lost)

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Nothing: the poll that is under way compares assignments."""


class _Joining:
    """A task of joining the group that is taken for unfinished until its outcome is used.

    Without it the library, asked again after a join came to its end between two polls, drops
    the outcome and joins anew, which upsets the whole group again, and so on.
    """

    is_done = False

    def __init__(self, task: Any) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)


class KafkaSource:
    """The :class:`~vitalwatch.stream.broker.Source` on Kafka."""

    def __init__(
        self,
        consumer: Any,
        topics: Sequence[str],
        group: str,
        address: str,
        stranded: Callable[[], bool] | None = None,
    ) -> None:
        """``stranded`` says whether the group is at rest with a partition that nobody has.

        A member that gives a partition up joins again at once, so that another gets it. One with
        a stable name that dies before that comes back as if nothing had happened: the broker
        gives it what it had, starts no rebalance, and the partition stays with nobody. So such a
        member looks for itself, once in each generation, and joins again.
        """
        self._consumer = consumer
        self._stranded = stranded
        self._group = group
        self._address = address
        self._losses = _Losses()
        self._held: frozenset[TopicPartition] = frozenset()
        self._membership = Membership(group, None)
        self._away_since: float | None = None
        self._joining_since: float | None = None
        # Where what is to be read next is gone, the library goes on with the oldest that is left,
        # without a word.
        self._gone: set[TopicPartition] = set()
        subscriptions = consumer._fetcher._subscriptions
        self._reset = subscriptions.request_offset_reset
        subscriptions.request_offset_reset = self._jump
        consumer.subscribe(list(topics), listener=self._losses)
        for topic in topics:  # or the library joins, deals out nothing, and joins again
            consumer.partitions_for_topic(topic)
        # A topic made anew under the old name may have as many records already: then what is to
        # be read next is there, and is not what comes next.
        self._cluster = consumer._fetcher._manager.cluster
        self._numbers = {topic: self._cluster.topic_id(topic) for topic in topics}

    def poll(self, timeout: float, max_records: int) -> Poll:
        """Wait up to ``timeout`` seconds for records; at most ``max_records`` in all."""
        end = time.monotonic() + timeout
        while True:
            # In slices, because the library goes on waiting for records after a rebalance.
            left = max(end - time.monotonic(), 0)
            polled = self._poll(min(left, SLICE_SECONDS), max_records)
            self._settle()
            assigned, revoked = self._rebalanced()
            if polled or assigned or revoked or left <= SLICE_SECONDS:
                break
        batches = []
        for batch in _batches(polled):
            if batch.source in assigned:
                self.seek(batch.source, int(batch.offsets[0]))  # for what is read next
            elif batch.source in self._held:
                batches.append(batch)
        return Poll(batches, self._membership, assigned, revoked)

    def more(self, timeout: float, max_records: int) -> list[RecordBatch]:
        """Further records as in :meth:`poll`, for a transaction that goes on.

        The library's poll would take part in a rebalance; only its fetcher is asked here.
        """
        end = time.monotonic() + timeout
        while True:
            left = max(end - time.monotonic(), 0)
            further: tuple[dict[Any, list[Any]], bool] | None = {}, True
            with self._errors():
                further = kafka_batches.further(
                    self._consumer, min(left, SLICE_SECONDS), max_records
                )
            if further is None:
                return []
            fetched, idle = further
            if fetched or left <= SLICE_SECONDS:
                return _batches(fetched)
            if idle:
                time.sleep(SLICE_SECONDS)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this member reads now."""
        return self._held

    def seek(self, source: TopicPartition, offset: int) -> None:
        """Read an assigned partition from ``offset`` on with what is read next."""
        self._consumer.seek(KafkaPartition(*source), offset)

    def committed(self, source: TopicPartition) -> int | None:
        """The group's committed offset: the next to read; None if there is none."""
        with translated(self._address):
            offset: int | None = self._consumer.committed(
                KafkaPartition(*source), timeout_ms=ANSWER_SECONDS * 1000
            )
        return offset

    def lag(self) -> dict[TopicPartition, int]:
        """How far the partitions' ends are ahead of this member; unknown before the first read."""
        lag = {}
        for source in self._held:
            partition = KafkaPartition(*source)
            end = self._consumer.highwater(partition)
            if end is not None:
                with translated(self._address):
                    position = self._consumer.position(partition, timeout_ms=0)
                if position is not None:
                    lag[source] = max(end - position, 0)
        return lag

    def close(self) -> None:
        """Leave the group; a named member stays one until its session ends."""
        self._consumer.close(autocommit=False, timeout_ms=CLOSE_SECONDS * 1000)

    def _settle(self) -> None:
        """Let a rebalance that has begun come to its end, second round and all."""
        coordinator = self._consumer._coordinator
        while self._held and coordinator.need_rejoin():
            now = time.monotonic()
            if self._joining_since is None:
                self._joining_since = now
            left = self._joining_since + JOINING_SECONDS - now
            if left <= 0:
                return
            with self._errors(), self._joining():
                coordinator.poll(timeout_ms=left * 1000)
        self._joining_since = None

    def _poll(self, timeout: float, max_records: int) -> dict[Any, list[Any]]:
        polled: dict[Any, list[Any]] = {}
        with self._errors(), self._joining():
            polled = self._consumer.poll(timeout * 1000, max_records)
        coordinator = self._consumer._coordinator
        # The library waits for a broker without a word, which looks like a stream at rest.
        if not coordinator.coordinator_unknown():
            self._away_since = None
        elif self._away_since is None:
            self._away_since = time.monotonic()
        elif time.monotonic() - self._away_since > AWAY_SECONDS:
            raise BrokerError(f"The broker at {self._address} has been away for a while.")
        return polled

    @contextmanager
    def _joining(self) -> Iterator[None]:
        """Keep the outcome of a join that comes between two calls of the library."""
        try:
            yield
        finally:
            coordinator = self._consumer._coordinator
            task = coordinator._join_task
            if task is not None and not isinstance(task, _Joining):
                coordinator._join_task = _Joining(task)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate the library's errors; those that pass by themselves are nothing."""
        try:
            yield
        except errors.FencedInstanceIdError as error:
            raise Replaced("Another worker with this worker's instance name took over.") from error
        except errors.KafkaError as error:
            if not error.retriable:
                raise explained(error, self._address) from error
        made_anew = any(
            None not in (number, now := self._cluster.topic_id(topic)) and now != number
            for topic, number in self._numbers.items()
        )
        if self._gone or made_anew:
            raise BrokerError(
                "The next reading of a partition is gone: deleted before it was read, or the "
                "topic was made anew."
            )

    def _jump(self, partition: Any, *rest: Any) -> None:
        """The library goes elsewhere; not noted for what is sought anyway, having just come."""
        if TopicPartition(*partition) in self._held:
            self._gone.add(TopicPartition(*partition))
        self._reset(partition, *rest)

    def _rebalanced(self) -> tuple[frozenset[TopicPartition], frozenset[TopicPartition]]:
        """Partitions that came and went with the last poll; takes the membership with it."""
        held = frozenset(TopicPartition(*p) for p in self._consumer.assignment())
        lost = self._held & frozenset(self._losses.lost)
        self._losses.lost.clear()
        revoked = (self._held - held) | lost
        assigned = held - (self._held - revoked)
        self._held = held
        # While a rebalance is under way the library may know its generation already and not yet
        # its outcome: a commit with that would not be fenced for partitions that are lost.
        metadata = self._consumer.group_metadata()
        if metadata.state == MemberState.STABLE and self._membership.token != metadata:
            self._membership = Membership(self._group, metadata)
            if self._stranded is not None and self._stranded():
                self._consumer._coordinator.request_rejoin()
        return assigned, revoked


def _batches(polled: Mapping[Any, Sequence[Any]]) -> list[RecordBatch]:
    return [
        kafka_batches.record_batch(TopicPartition(*partition), taken)
        for partition, taken in polled.items()
    ]
