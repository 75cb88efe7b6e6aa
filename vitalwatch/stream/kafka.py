"""Kafka behind the broker protocol, through kafka-python.

Transactions and publishing, with the guards that they need, are in ``kafka_writers``; why a
broker cannot be used is found out in ``diagnosis``.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState
from kafka.structs import TopicPartition as KafkaPartition

from vitalwatch.config import Kafka as KafkaSettings
from vitalwatch.errors import BrokerError, Replaced
from vitalwatch.stream.broker import (
    Membership,
    Poll,
    RecordBatch,
    TopicPartition,
    TopicSpec,
)
from vitalwatch.stream.diagnosis import (
    CREATE_TOPICS,
    explained,
    preflight,
    tls_context,
    translated,
)
from vitalwatch.stream.kafka_records import read_any_header
from vitalwatch.stream.kafka_writers import CLOSE_SECONDS, KafkaPublisher, KafkaSink, opened

SLICE_SECONDS: Final = 0.1
ANSWER_SECONDS: Final = 10.0
REFRESH_SECONDS: Final = 5.0
AWAY_SECONDS: Final = 10.0
"""So long a member does without its group's coordinator: its session is over then anyway."""

STALL_SECONDS: Final = 90.0
READ_AT_ONCE: Final = 10_000

_CONNECTION: Final[dict[str, Any]] = {
    "bootstrap_timeout_ms": 5000,
    "reconnect_backoff_max_ms": 1000,
    "retry_backoff_ms": 20,
}
_CONSUMER: Final[dict[str, Any]] = {
    "allow_auto_create_topics": False,
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "isolation_level": "read_committed",
    # A fetch of many small records at once; a larger one still comes, alone.
    "max_partition_fetch_bytes": 4 * 2**20,
    "metrics_enabled": False,
}
_MEMBER: Final[dict[str, Any]] = {
    # Only what moves is revoked, so the others' state stays where it is.
    "partition_assignment_strategy": (CooperativeStickyAssignor,),
    # So long a worker that vanished keeps its partitions from the others.
    "session_timeout_ms": 10_000,
    # A heartbeat is also how a member learns of a rebalance.
    "heartbeat_interval_ms": 500,
}


def connect(settings: KafkaSettings) -> "KafkaBroker":
    """The broker of these settings; raises BrokerError with the true cause within 5 s."""
    preflight(settings)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap.split(","),
        "security_protocol": settings.security_protocol,
        "ssl_context": tls_context(settings),
    }
    if settings.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.username,
            "sasl_plain_password": settings.password,
        }
    return KafkaBroker(options)


class KafkaBroker:
    """The :class:`~vitalwatch.stream.broker.Broker` on Kafka; see :func:`connect`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """``options`` are the library's for reaching the broker."""
        self._options = {**options, **_CONNECTION}
        self._address = ", ".join(options["bootstrap_servers"])
        read_any_header()
        self._admin = opened(KafkaAdminClient, self._options)

    def source(
        self, topics: Sequence[str], group: str, *, instance: str | None = None
    ) -> "KafkaSource":
        """Join ``group``; start at the committed offset, else at the first retained record."""
        self._require(topics, "READ")
        member = {**_MEMBER, "group_id": group, "group_instance_id": instance}
        consumer = opened(KafkaConsumer, {**self._options, **_CONSUMER, **member})
        return KafkaSource(consumer, topics, group, self._address)

    def sink(self, identity: str) -> KafkaSink:
        """Open the writer with this transactional identity; fences an older one."""
        return KafkaSink(identity, self._address, self._options, self._require_writable)

    def publisher(self) -> KafkaPublisher:
        """Open a plain writer."""
        return KafkaPublisher(self._address, self._options, self._require_writable)

    def read(
        self, source: TopicPartition, start: int, end: int | None = None
    ) -> Iterator[RecordBatch]:
        """Committed records with offsets from ``start`` to below ``end``, without a group."""
        end = self.bounds(source)[1] if end is None else end
        if start >= end:
            return
        partition = KafkaPartition(*source)
        consumer = opened(KafkaConsumer, {**self._options, **_CONSUMER})
        try:
            consumer.assign([partition])
            consumer.seek(partition, int(start))
            waited = time.monotonic()
            while start < end:
                with translated(self._address):
                    polled = consumer.poll(SLICE_SECONDS * 1000, READ_AT_ONCE)
                    position = consumer.position(partition, timeout_ms=SLICE_SECONDS * 1000)
                for records in polled.values():
                    batch = _batch(source, [record for record in records if record.offset < end])
                    if len(batch):
                        yield batch
                if position is not None and position > start:
                    start, waited = position, time.monotonic()
                elif time.monotonic() - waited > STALL_SECONDS:
                    raise BrokerError(
                        f"Reading {source.topic} does not get past offset {start}: a transaction "
                        f"is open there, or the broker at {self._address} is away."
                    )
        finally:
            consumer.close()

    def bounds(self, source: TopicPartition) -> tuple[int, int]:
        """First retained offset, and the offset that the next record will get."""
        self._require([source.topic], "READ")
        partition = KafkaPartition(*source)
        first, end = (
            self._ask(self._admin.list_partition_offsets, {partition: spec})[partition].offset
            for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
        )
        return first, end

    def offset_at(self, source: TopicPartition, timestamp: int) -> int:
        """The first retained offset with this timestamp (ms) or a later one, else the end."""
        partition = KafkaPartition(*source)
        _, end = self.bounds(source)
        # Below 0 are not times but Kafka's words for the ends.
        found = self._ask(self._admin.list_partition_offsets, {partition: max(timestamp, 0)})
        offset: int = found[partition].offset
        return end if offset < 0 else offset

    def topics(self, names: Collection[str]) -> dict[str, TopicSpec]:
        """Those of the named topics that exist, with all their settings in effect."""
        found = {t["name"]: t for t in self._describe(names) if t["error_code"] == 0}
        if not found:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in found]
        described = self._ask(self._admin.describe_configs, resources, config_filter="all")["topic"]
        return {
            name: TopicSpec(
                name,
                len(topic["partitions"]),
                {key: entry["value"] for key, entry in described[name].items()},
                min(len(partition["replica_nodes"]) for partition in topic["partitions"]),
            )
            for name, topic in found.items()
        }

    def create(self, topics: Sequence[TopicSpec]) -> list[str]:
        """Create those that do not exist; their names."""
        present = {t["name"] for t in self._describe([s.name for s in topics]) if _exists(t)}
        created = []
        for spec in topics:
            if spec.name in present:
                continue
            wanted = {
                "num_partitions": spec.partitions,
                "replication_factor": -1 if spec.replication is None else spec.replication,
                "configs": dict(spec.settings),
            }
            try:
                self._admin.create_topics({spec.name: wanted}, wait_for_metadata=True)
            except errors.TopicAlreadyExistsError:
                continue  # another process was quicker
            except errors.KafkaError as error:
                cause = explained(error, self._address)
                raise BrokerError(f"Topic {spec.name} cannot be created. {cause}") from error
            created.append(spec.name)
        return created

    def close(self) -> None:
        """Let go of connections."""
        self._admin.close()

    def _describe(self, names: Collection[str]) -> list[dict[str, Any]]:
        topics: list[dict[str, Any]] = self._ask(self._admin.describe_topics, list(names))
        return topics

    def _ask(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call the library's admin client; an error becomes BrokerError.

        After an outage it knows of no node for a while, and gives up where waiting would do.
        """
        deadline = time.monotonic() + REFRESH_SECONDS
        with translated(self._address):
            while True:
                try:
                    return call(*arguments, **named)
                except errors.NodeNotReadyError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(SLICE_SECONDS)

    def _require_writable(self, topic: str) -> None:
        self._require([topic], "WRITE")

    def _require(self, names: Collection[str], operation: str) -> None:
        """Raise BrokerError unless the topics exist and this user may ``operation`` them.

        The library would not: its consumer waits for ever for such topics to come.
        """
        described = self._describe(names)
        missing = [t["name"] for t in described if not _exists(t)]
        if missing:
            raise BrokerError(f"There is no topic {', '.join(missing)}: {CREATE_TOPICS}.")
        refused = [
            t["name"]
            for t in described
            if t["error_code"] == errors.TopicAuthorizationFailedError.errno
            or operation not in t.get("authorized_operations", [operation])
        ]
        if refused:
            raise BrokerError(
                f"The broker does not let this user use topic {', '.join(refused)}: allow "
                f"{operation} and DESCRIBE on it."
            )


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

    def __init__(self, consumer: Any, topics: Sequence[str], group: str, address: str) -> None:
        self._consumer = consumer
        self._group = group
        self._address = address
        self._losses = _Losses()
        self._held: frozenset[TopicPartition] = frozenset()
        self._membership = Membership(group, None)
        self._away_since: float | None = None
        consumer.subscribe(list(topics), listener=self._losses)
        for topic in topics:  # or the library joins, deals out nothing, and joins again
            consumer.partitions_for_topic(topic)

    def poll(self, timeout: float, max_records: int) -> Poll:
        """Wait up to ``timeout`` seconds for records; at most ``max_records`` in all."""
        end = time.monotonic() + timeout
        while True:
            # In slices, because the library goes on waiting for records after a rebalance.
            left = max(end - time.monotonic(), 0)
            polled = self._poll(min(left, SLICE_SECONDS), max_records)
            assigned, revoked = self._rebalanced()
            if polled or assigned or revoked or left <= SLICE_SECONDS:
                break
        batches = []
        for partition, records in polled.items():
            batch = _batch(TopicPartition(*partition), records)
            if batch.source in assigned:
                self._consumer.seek(partition, int(batch.offsets[0]))  # for what is read next
            else:
                batches.append(batch)
        return Poll(batches, self._membership, assigned, revoked)

    def more(self, timeout: float, max_records: int) -> list[RecordBatch]:
        """Further records as in :meth:`poll`, for a transaction that goes on.

        The library's poll would take part in a rebalance; only its fetcher is asked here.
        """
        end = time.monotonic() + timeout
        while not self._rebalance_due():
            left, idle = max(end - time.monotonic(), 0), True
            with self._errors():
                fetched, idle = self._consumer._fetcher.fetch_records(
                    max_records, timeout_ms=min(left, SLICE_SECONDS) * 1000
                )
                if fetched:
                    return [_batch(TopicPartition(*p), records) for p, records in fetched.items()]
            if left <= SLICE_SECONDS:
                break
            if idle:
                time.sleep(SLICE_SECONDS)
        return []

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

    def _poll(self, timeout: float, max_records: int) -> dict[Any, list[Any]]:
        polled: dict[Any, list[Any]] = {}
        try:
            with self._errors():
                polled = self._consumer.poll(timeout * 1000, max_records)
        finally:
            coordinator = self._consumer._coordinator
            task = coordinator._join_task
            if task is not None and not isinstance(task, _Joining):
                coordinator._join_task = _Joining(task)
        # The library waits for a broker without a word, which looks like a stream at rest.
        if not coordinator.coordinator_unknown():
            self._away_since = None
        elif self._away_since is None:
            self._away_since = time.monotonic()
        elif time.monotonic() - self._away_since > AWAY_SECONDS:
            raise BrokerError(f"The broker at {self._address} has been away for a while.")
        return polled

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

    def _rebalance_due(self) -> bool:
        """Whether the library's next poll would take part in a rebalance."""
        coordinator = self._consumer._coordinator
        return bool(coordinator.need_rejoin() or not coordinator.stable())

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
        if metadata.state == MemberState.STABLE:
            self._membership = Membership(self._group, metadata)
        return assigned, revoked


def _batch(source: TopicPartition, records: Sequence[Any]) -> RecordBatch:
    return RecordBatch.of(
        source,
        [record.offset for record in records],
        [record.timestamp for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [record.headers for record in records],
        next_offset=records[-1].offset + 1 if records else 0,
    )


def _exists(topic: Mapping[str, Any]) -> bool:
    return bool(topic["error_code"] != errors.UnknownTopicOrPartitionError.errno)
