"""What a Kafka cluster tells about itself and about groups, to whoever only looks."""

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from kafka import errors

from vitalwatch.errors import BrokerError
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.kafka import KafkaBroker

WAIT_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.2


class Member(NamedTuple):
    """One worker of a group; ``instance`` is its stable name, if it has one."""

    instance: str
    host: str
    partitions: frozenset[TopicPartition]


class Group(NamedTuple):
    """A consumer group; ``state`` is Kafka's word, ``operations`` what this user may do, if told.

    ``committed`` are the next offsets to be read.
    """

    state: str
    members: list[Member]
    committed: dict[TopicPartition, int]
    operations: frozenset[str] | None


class Clock(NamedTuple):
    """How far the cluster's clock is ahead of this machine's, in s; give or take ``within``."""

    ahead: float
    within: float


def committed(broker: KafkaBroker, group: str) -> dict[TopicPartition, int]:
    """The group's committed offsets, by partition; empty for a group that there is not."""
    found = _asked(broker, lambda admin: admin.list_group_offsets({group: None}))
    return {TopicPartition(*key): each.offset for key, each in found[group].items()}


def group(broker: KafkaBroker, name: str) -> Group:
    """A group, its members and how far it has come; joins nothing."""
    found = _asked(broker, lambda admin: admin.describe_groups([name]))[name]
    members = [
        Member(each["group_instance_id"] or "", each["client_host"], _assigned(each))
        for each in found["members"]
    ]
    operations = found["authorized_operations"]
    return Group(
        found["group_state"],
        members,
        committed(broker, name),
        None if operations is None else frozenset(operations),
    )


def version(broker: KafkaBroker) -> str:
    """Which Kafka version the broker's requests are those of, at least."""
    told: str = _asked(broker, _version)
    return told


def operations(broker: KafkaBroker, topic: str) -> frozenset[str] | None:
    """What this user may do with a topic, in Kafka's words.

    None if the broker does not say, or there is no such topic.
    """
    (found,) = _asked(broker, lambda admin: admin.describe_topics([topic]))
    if found["error_code"] == errors.TopicAuthorizationFailedError.errno:
        return frozenset()
    if found["error_code"]:
        return None
    allowed = found.get("authorized_operations")
    return None if allowed is None else frozenset(allowed)


def clock(broker: KafkaBroker, now: Callable[[], float] = time.time) -> Clock | None:
    """How the cluster's clock differs from ``now`` (s since 1970); None if it cannot be told.

    The leader of the metadata says when it last heard from itself, which is when it answers.
    Kafka before version 4 may have no such leader, and a user may not be allowed to ask.
    """
    best: Clock | None = None
    for _ in range(3):
        before = now()
        try:
            told = broker.ask(lambda admin: admin.describe_metadata_quorum())
        except BrokerError:
            return None
        after = now()
        (partition,) = told["topics"][0]["partitions"]
        times = [
            each["last_caught_up_timestamp"] / 1000
            for each in partition["current_voters"]
            if each["replica_id"] == partition["leader_id"]
        ]
        if not times or times[0] <= 0:
            return None
        measured = Clock(times[0] - (before + after) / 2, (after - before) / 2 + 0.001)
        best = measured if best is None or measured.within < best.within else best
    return best


def _asked(broker: KafkaBroker, question: Callable[[Any], Any]) -> Any:
    """An answer; waits where the library gives up: a new cluster makes its groups' topic first."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return broker.ask(question)
        except BrokerError as error:
            cause = error.__cause__
            retriable = isinstance(cause, errors.KafkaError) and cause.retriable
            if not retriable or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def _version(admin: Any) -> str:
    nodes = [each["broker_id"] for each in admin.describe_cluster()["brokers"]]
    told: str = admin.get_broker_version_data(nodes[0]).broker_version_str
    return told


def _assigned(member: Any) -> frozenset[TopicPartition]:
    assignment = member["member_assignment"]
    if not assignment:
        return frozenset()
    return frozenset(
        TopicPartition(each["topic"], number)
        for each in assignment["assigned_partitions"]
        for number in each["partitions"]
    )
