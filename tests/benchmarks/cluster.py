"""A real Kafka node, and what the benchmarks ask of it beside the programs that they measure."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from kafka import KafkaAdminClient, errors
from kafka.admin import OffsetSpec
from kafka.structs import TopicPartition

from tests.benchmarks.load import Send, ward, wire, writing
from vitalwatch import config
from vitalwatch.stream import local_kafka, topics
from vitalwatch.stream.kafka import KafkaBroker, connect

PARTITIONS = 8
Offsets = dict[int, int]
"""By partition."""


@dataclass
class Progress:
    """How far a group had committed, and when: seconds of the monotonic clock."""

    samples: list[tuple[float, Offsets]] = field(default_factory=list)

    def readings(self) -> list[tuple[float, int]]:
        """The sum over partitions."""
        return [(when, sum(offsets.values())) for when, offsets in self.samples]

    def first(self) -> float:
        """When anything was first seen to be committed."""
        return next(when for when, total in self.readings() if total)

    def begun(self, beyond: Mapping[int, int] | None = None) -> int:
        """The first sample in which anything was committed, or all partitions were so far."""
        return next(
            index
            for index, (_, offsets) in enumerate(self.samples)
            if (any(offsets.values()) if beyond is None else reached(offsets, beyond))
        )

    def done(self, beyond: Mapping[int, int] | None = None) -> tuple[int, float]:
        """How many readings were committed since then, and in how many seconds."""
        (start, before), (end, after) = self.readings()[self.begun(beyond)], self.readings()[-1]
        return after - before, end - start

    def rate(self, beyond: Mapping[int, int] | None = None) -> float:
        """Readings a second since then; NaN where all was committed at once."""
        readings, seconds = self.done(beyond)
        return readings / seconds if readings else float("nan")


def reached(offsets: Mapping[int, int], goal: Mapping[int, int]) -> bool:
    """Whether every partition of ``goal`` is so far."""
    return all(offsets.get(partition, 0) >= offset for partition, offset in goal.items())


class Cluster:
    """The node at ``address``; ``pid`` is its process."""

    def __init__(self, address: str, pid: int) -> None:
        self.address = address
        self.pid = pid
        self.broker: KafkaBroker = connect(config.Kafka(bootstrap=address))
        self._admin = KafkaAdminClient(bootstrap_servers=address)

    def close(self) -> None:
        """Let go of connections."""
        self._admin.close()
        self.broker.close()

    def make_topics(self, prefix: str, settings: Mapping[str, str] | None = None) -> config.Topics:
        """VitalWatch's topics with this prefix; those that exist stay.

        ``settings`` are for what is made, beside or instead of the usual ones.
        """
        named = config.Topics(prefix=prefix, partitions=PARTITIONS)
        specs = topics.specs(named)
        made = [replace(spec, settings={**spec.settings, **(settings or {})}) for spec in specs]
        self.broker.create(made)
        return named

    def empty_outputs(self, prefix: str) -> None:
        """Topics of a daemon that never ran: all but the readings are made anew."""
        named = config.Topics(prefix=prefix, partitions=PARTITIONS)
        outputs = [spec.name for spec in topics.specs(named) if spec.name != named.readings]
        present = [name for name in outputs if name in self.broker.topics(outputs)]
        if present:
            self._admin.delete_topics(present)
        while self.broker.topics(outputs):
            time.sleep(0.05)
        self.make_topics(prefix)

    def preload(self, prefix: str, patients: int, readings: int) -> None:
        """Have ``readings`` readings of a ward on the topic, if they are not there from before."""
        topic = self.make_topics(prefix).readings
        if sum(self.ends(topic).values()) == readings:
            return
        with writing(self.address, topic) as send:
            pour(send, patients, readings)
        if (written := sum(self.ends(topic).values())) != readings:
            raise RuntimeError(f"{topic} has {written} records, not {readings}: delete the data")

    def ends(self, topic: str) -> Offsets:
        """The partitions' ends."""
        asked = {TopicPartition(topic, number): OffsetSpec.LATEST for number in range(PARTITIONS)}
        found = self._admin.list_partition_offsets(asked)
        return {partition.partition: each.offset for partition, each in found.items()}

    def committed(self, group: str, topic: str) -> Offsets:
        """The group's committed offsets, of partitions that have one."""
        try:
            found = self._admin.list_group_offsets(group)[group]
        except errors.KafkaError as error:
            if error.retriable:  # the first group of a new node has no coordinator for a while
                return {}
            raise
        return {
            partition.partition: each.offset
            for partition, each in found.items()
            if partition.topic == topic and each.offset >= 0
        }

    def follow(
        self,
        group: str,
        topic: str,
        until: Mapping[int, int],
        check: Callable[[], None],
        period: float = 0.02,
        seconds: float = 600.0,
    ) -> Progress:
        """Watch a group until it has committed ``until``; ``check`` may raise meanwhile."""
        progress = Progress()
        deadline = time.monotonic() + seconds
        while True:
            offsets = self.committed(group, topic)
            progress.samples.append((time.monotonic(), offsets))
            if reached(offsets, until):
                return progress
            check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{group} has not got beyond {offsets} in {seconds:.0f} s")
            time.sleep(period)


def pour(send: Send, patients: int, readings: int) -> None:
    """Send a ward's first readings at their own times."""
    for each in wire(ward(patients), readings):
        send(each.key, each.value(), each.time)


@contextmanager
def running(data: Path) -> Iterator[Cluster]:
    """A node that runs on the folder ``data`` while inside, and deletes at once what it may."""
    module = local_kafka.node()
    settings = {"log.retention.check.interval.ms": "1000"}
    node = module.start(data, owner=os.getpid(), settings=settings)
    try:
        with closing(Cluster(node.address, node.pid)) as cluster:
            yield cluster
    finally:
        module.stop(data)
