"""Kafka behind the broker protocol, through kafka-python.

A group's member is in ``kafka_source``, how records are read in ``kafka_batches``; transactions and
publishing, with the guards that they need, are in ``kafka_writers``; why a broker cannot be used is
found out in ``diagnosis``.
"""

import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.structs import TopicPartition as KafkaPartition

from vitalwatch.config import Kafka as KafkaSettings
from vitalwatch.errors import BrokerError
from vitalwatch.stream.broker import CREATE_TOPICS, RecordBatch, TopicPartition, TopicSpec
from vitalwatch.stream.diagnosis import (
    explained,
    preflight,
    tls_context,
    translated,
)
from vitalwatch.stream.kafka_log import tell_of_outages_once
from vitalwatch.stream.kafka_records import read_any_header
from vitalwatch.stream.kafka_writers import KafkaPublisher, KafkaSink, opened

if TYPE_CHECKING:  # who only writes need not wait half a second for numba to be imported
    from vitalwatch.stream.kafka_source import KafkaSource

SLICE_SECONDS: Final = 0.1
REFRESH_SECONDS: Final = 5.0
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
    # So long a request without an answer keeps a partition waiting that came or was sought.
    "fetch_max_wait_ms": 100,
    "isolation_level": "read_committed",
    # A fetch brings many small records at once; a larger one still comes, alone. Larger fetches
    # cost more a record, because their memory comes afresh from the system each time.
    "fetch_max_bytes": 16 * 2**20,
    "max_partition_fetch_bytes": 2 * 2**20,
    "metrics_enabled": False,
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
        tell_of_outages_once()
        self._admin = opened(KafkaAdminClient, self._options)

    def source(
        self, topics: Sequence[str], group: str, *, instance: str | None = None
    ) -> "KafkaSource":
        """Join ``group``; start at the committed offset, else at the first retained record."""
        from vitalwatch.stream import kafka_batches
        from vitalwatch.stream.kafka_source import MEMBER, KafkaSource

        self._require(topics, "READ")
        member = {**MEMBER, "group_id": group, "group_instance_id": instance}
        consumer = opened(KafkaConsumer, {**self._options, **_CONSUMER, **member})
        kafka_batches.install(consumer)
        # Who has no stable name leaves, or is put out, and then all is dealt out anew anyway.
        stranded = functools.partial(self._stranded, topics, group) if instance else None
        return KafkaSource(consumer, topics, group, self._address, stranded)

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
        from vitalwatch.stream import kafka_batches

        end = self.bounds(source)[1] if end is None else end
        if start >= end:
            return
        partition = KafkaPartition(*source)
        consumer = opened(KafkaConsumer, {**self._options, **_CONSUMER})
        kafka_batches.install(consumer)
        try:
            consumer.assign([partition])
            consumer.seek(partition, int(start))
            waited = time.monotonic()
            while start < end:
                with translated(self._address):
                    polled = consumer.poll(SLICE_SECONDS * 1000, READ_AT_ONCE)
                    position = consumer.position(partition, timeout_ms=SLICE_SECONDS * 1000)
                for records in polled.values():
                    batch = kafka_batches.record_batch(source, records).below(end)
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
        topic, number = source
        if number >= len(self._describe([topic])[0]["partitions"]):
            raise BrokerError(
                f"Topic {topic} has no partition {number}: kafka-topics.sh --alter --topic {topic} "
                f"--partitions {number + 1}, or more."
            )
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

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """What the library's admin client answers to it; an error becomes BrokerError."""
        return self._ask(question, self._admin)

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

    def _stranded(self, topics: Sequence[str], group: str) -> bool:
        """Whether the group is at rest while some partition of the topics belongs to nobody."""
        described = self._ask(self._admin.describe_groups, [group])[group]
        if described["group_state"] != "Stable":
            return False
        dealt = {
            (topic["topic"], partition)
            for member in described["members"]
            for topic in member["member_assignment"]["assigned_partitions"]
            for partition in topic["partitions"]
        }
        present = {
            (topic["name"], partition["partition_index"])
            for topic in self._describe(topics)
            for partition in topic["partitions"]
        }
        return not present <= dealt

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


def _exists(topic: Mapping[str, Any]) -> bool:
    return bool(topic["error_code"] != errors.UnknownTopicOrPartitionError.errno)
