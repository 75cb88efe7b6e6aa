"""The library's holes in exactly-once writing and in groups, each shown closed on a real broker."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.structs import ConsumerGroupMetadata, MemberState

from vitalwatch.errors import BrokerError, Fenced
from vitalwatch.stream import kafka_writers
from vitalwatch.stream.broker import Membership, Poll, Source, TopicPartition, TopicSpec
from vitalwatch.stream.kafka import KafkaBroker
from vitalwatch.stream.kafka_source import KafkaSource
from vitalwatch.stream.kafka_writers import KafkaSink

Name = Callable[[str], str]
DEADLINE = 20.0


@pytest.fixture
def topic(kafka: KafkaBroker, name: Name) -> str:
    topic = name("topic")
    kafka.create([TopicSpec(topic, 2)])
    return topic


@pytest.fixture
def open_sink(kafka: KafkaBroker) -> Iterator[Callable[[str], KafkaSink]]:
    with ExitStack() as stack:

        def opening(identity: str) -> KafkaSink:
            sink = kafka.sink(identity)
            stack.callback(sink.close)
            return sink

        yield opening


def read(broker: KafkaBroker, topic: str) -> list[bytes | None]:
    return [
        value
        for partition in range(2)
        for batch in broker.read(TopicPartition(topic, partition), 0)
        for value in batch.values
    ]


def first_records(source: Source) -> Poll:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        poll = source.poll(0.2, 100)
        if poll.batches:
            return poll
    raise AssertionError("no records came")


def test_offsets_of_a_refused_commit_do_not_leak_into_the_next_transaction(
    kafka: KafkaBroker, topic: str, name: Name, open_sink: Callable[[str], KafkaSink]
) -> None:
    group, identity = name("group"), name("sink")
    publisher = kafka.publisher()
    publisher.send(topic, b"k", b"v")
    publisher.close()
    source = kafka.source([topic], group)
    poll = first_records(source)
    (batch,) = poll.batches
    stale = poll.membership.token
    assert isinstance(stale, ConsumerGroupMetadata)
    older = Membership(group, stale._replace(generation_id=stale.generation_id - 1))
    refused = open_sink(identity)
    refused.begin()
    with pytest.raises(Fenced):
        refused.commit({batch.source: batch.next_offset}, older)
    refused.close()

    fresh = open_sink(identity)
    fresh.begin()
    fresh.append(topic, b"k", b"output", partition=1)
    other = TopicPartition(topic, 1 - batch.source.partition)
    fresh.commit({other: 0}, poll.membership)

    assert source.committed(other) == 0
    assert source.committed(batch.source) is None
    source.close()


def test_a_record_that_expires_unsent_fails_its_transaction(
    kafka: KafkaBroker, topic: str, name: Name, open_sink: Callable[[str], KafkaSink]
) -> None:
    sink = open_sink(name("sink"))
    sink.begin()
    sink.append(topic, b"k", b"sent", partition=0)
    sink._producer.flush()
    # The library holds this one back until it has expired, as when the broker is away for long.
    sink._producer._accumulator.config |= {"linger_ms": 60_000, "delivery_timeout_ms": 1}
    sink.append(topic, b"k", b"expired", partition=1)
    time.sleep(0.05)
    with pytest.raises(BrokerError, match="does not answer"):
        sink.commit({}, None)
    sink.close()
    assert read(kafka, topic) == []


def test_a_record_that_the_broker_refuses_fails_its_transaction(
    kafka: KafkaBroker, name: Name, open_sink: Callable[[str], KafkaSink]
) -> None:
    topic = name("small")
    kafka.create([TopicSpec(topic, 2, {"max.message.bytes": "1000"})])
    sink = open_sink(name("sink"))
    sink.begin()
    sink.append(topic, b"k", b"small", partition=0)
    sink.append(topic, b"k", bytes(5000), partition=1)
    with pytest.raises(BrokerError, match=r"max\.message\.bytes"):
        sink.commit({}, None)
    sink.close()
    assert read(kafka, topic) == []


@pytest.mark.parametrize("harm", ["refused", "expired", "fenced"])
def test_offsets_that_go_out_with_records_that_fail_are_not_committed(
    kafka: KafkaBroker, topic: str, name: Name, open_sink: Callable[[str], KafkaSink], harm: str
) -> None:
    group, small = name("group"), name("small")
    kafka.create([TopicSpec(small, 2, {"max.message.bytes": "1000"})])
    publisher = kafka.publisher()
    publisher.send(topic, b"k", b"v")
    publisher.close()
    source = kafka.source([topic], group)
    poll = first_records(source)
    (batch,) = poll.batches
    offsets = {batch.source: batch.next_offset}
    identity = name("sink")
    sink = open_sink(identity)
    sink.begin()
    sink.append(small, b"k", bytes(5000) if harm == "refused" else b"fits", partition=0)
    if harm == "expired":
        sink._producer._accumulator.config["delivery_timeout_ms"] = 0
    if harm == "fenced":
        open_sink(identity)

    with pytest.raises(BrokerError if harm != "fenced" else Fenced):
        sink.commit(offsets, poll.membership)
    sink.close()

    assert source.committed(batch.source) is None
    again = open_sink(identity)
    again.begin()
    again.commit(offsets, poll.membership)
    assert source.committed(batch.source) == batch.next_offset
    source.close()
    assert read(kafka, small) == []


def test_a_sequence_error_ends_the_sink_instead_of_starting_anew_in_silence(
    kafka: KafkaBroker, topic: str, name: Name, open_sink: Callable[[str], KafkaSink]
) -> None:
    identity = name("sink")
    sink = open_sink(identity)
    sink.begin()
    sink.append(topic, b"k", b"first", partition=0)
    sink._producer.flush()
    # As if records in between had been lost.
    sink._producer._transaction_manager.increment_sequence_number((topic, 0), 7)
    sink.append(topic, b"k", b"second", partition=0)
    with pytest.raises(BrokerError):
        sink.commit({}, None)
    sink.close()

    again = open_sink(identity)
    again.begin()
    again.append(topic, b"k", b"third", partition=0)
    again.commit({}, None)
    assert read(kafka, topic) == [b"third"]


def test_a_zombie_that_goes_on_writing_does_not_fence_its_successor(
    kafka: KafkaBroker, topic: str, name: Name, open_sink: Callable[[str], KafkaSink]
) -> None:
    identity = name("sink")
    zombie = open_sink(identity)
    zombie.begin()
    zombie.append(topic, b"k", b"zombie", partition=0)
    zombie._producer.flush()
    living = open_sink(identity)
    living.begin()
    living.append(topic, b"k", b"living", partition=0)

    # The library answers the refusal of this record by asking for a new epoch.
    with pytest.raises(Fenced):  # noqa: PT012 - now or at the commit
        zombie.append(topic, b"k", b"zombie again", partition=0)
        zombie.commit({}, None)
    zombie.close()

    living.commit({}, None)
    living.begin()
    living.append(topic, b"k", b"still living", partition=0)
    living.commit({}, None)
    assert read(kafka, topic) == [b"living", b"still living"]


def test_who_is_not_in_the_group_commits_nothing_though_the_broker_would_take_it(
    kafka: KafkaBroker, topic: str, name: Name, open_sink: Callable[[str], KafkaSink]
) -> None:
    group = name("group")
    nobody = ConsumerGroupMetadata(group_id=group)
    source = kafka.source([topic], group)
    for token in (nobody, None):
        sink = open_sink(name("sink"))
        sink.begin()
        with pytest.raises(Fenced):
            sink.commit({TopicPartition(topic, 0): 1}, Membership(group, token))
    assert source.committed(TopicPartition(topic, 0)) is None
    source.close()


def test_small_batches_still_wait_for_company_after_a_commit(
    topic: str, name: Name, open_sink: Callable[[str], KafkaSink]
) -> None:
    sink = open_sink(name("sink"))
    sink.begin()
    sink.append(topic, b"k", b"v")
    sink.commit({}, None)
    assert not sink._producer._accumulator.flush_in_progress()


def test_waiting_for_a_commit_ends(
    topic: str,
    name: Name,
    open_sink: Callable[[str], KafkaSink],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = open_sink(name("sink"))
    sink.begin()
    sink.append(topic, b"k", b"v")
    sink._producer.flush()
    # The transaction's last request is not sent while a batch is under way: here, for ever.
    monkeypatch.setattr(sink._producer._transaction_manager, "next_request_handler", lambda _: None)
    monkeypatch.setattr(kafka_writers, "COMMIT_SECONDS", 0.2)
    with pytest.raises(BrokerError, match="does not answer"):
        sink.commit({}, None)
    monkeypatch.undo()


def test_a_request_for_which_there_is_no_connection_is_sent_later(
    topic: str,
    name: Name,
    open_sink: Callable[[str], KafkaSink],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = open_sink(name("sink"))
    connect, away = KafkaNetClient.await_ready, iter([True, True])

    def unreachable(client: Any, *arguments: Any, **named: Any) -> Any:
        if client is sink._producer._sender._client and next(away, False):
            raise errors.KafkaConnectionError("Node 1 not ready after 20000 ms")
        return connect(client, *arguments, **named)

    monkeypatch.setattr(KafkaNetClient, "await_ready", unreachable)
    monkeypatch.setattr(kafka_writers, "COMMIT_SECONDS", 5.0)
    sink.begin()
    sink.append(topic, b"k", b"v")
    sink.commit({}, None)
    assert next(away, None) is None


def test_members_that_poll_in_turn_settle_and_stay_so(
    kafka: KafkaBroker, topic: str, name: Name
) -> None:
    group = name("group")
    end = time.monotonic() + DEADLINE
    one = kafka.source([topic], group)
    while len(one.assignment()) < 2:
        assert time.monotonic() < end
        one.poll(0.05, 10)
    two = kafka.source([topic], group)
    while not (len(one.assignment()) == len(two.assignment()) == 1):
        assert time.monotonic() < end
        one.poll(0.05, 10)
        two.poll(0.05, 10)
    for _ in range(20):
        polls = [one.poll(0.1, 10), two.poll(0.1, 10)]
    for poll in polls:
        token = poll.membership.token
        assert isinstance(token, ConsumerGroupMetadata)
        # One round to give up and one to take; the library alone goes on for a dozen and more.
        assert token.generation_id <= 5
    one.close()
    two.close()


class RebalancingConsumer:
    """Stands for the library in the middle of a rebalance, at a moment that is hard to meet."""

    def __init__(self) -> None:
        self.metadata = ConsumerGroupMetadata("g", 1, "m", None, MemberState.STABLE)
        self.held: set[Any] = {TopicPartition("t", 0)}
        self.during: Callable[[], None] = lambda: None
        known = {
            "_join_task": None,
            "coordinator_unknown": lambda _: False,
            "need_rejoin": lambda _: False,
        }
        self._coordinator = type("Coordinator", (), known)()
        cluster = type("Cluster", (), {"topic_id": lambda _, __: None})()
        manager = type("Manager", (), {"cluster": cluster})()
        subscriptions = type("Subscriptions", (), {"request_offset_reset": lambda _: None})()
        parts = {"_subscriptions": subscriptions, "_manager": manager}
        self._fetcher = type("Fetcher", (), parts)()

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self.listener = listener

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def poll(self, timeout_ms: float, max_records: int) -> dict[Any, list[Any]]:
        self.during()
        return {}

    def assignment(self) -> set[Any]:
        return self.held

    def group_metadata(self) -> Any:
        return self.metadata


def test_the_membership_stays_old_until_the_rebalance_has_an_outcome() -> None:
    consumer = RebalancingConsumer()
    source = KafkaSource(consumer, ["t"], "g", "host:1")
    before = source.poll(0, 1).membership

    def joined() -> None:  # the generation is known, what belongs to whom is not
        consumer.metadata = ConsumerGroupMetadata("g", 2, "m", None, MemberState.REBALANCING)

    consumer.during = joined
    assert source.poll(0, 1).membership == before

    def synced() -> None:
        consumer.metadata = ConsumerGroupMetadata("g", 2, "m", None, MemberState.STABLE)
        consumer.listener.on_partitions_revoked(set(consumer.held))
        consumer.held = set()

    consumer.during = synced
    after = source.poll(0, 1)
    assert after.membership != before
    assert after.revoked == {TopicPartition("t", 0)}


def test_a_partition_that_was_lost_and_came_back_is_reported_as_both() -> None:
    consumer = RebalancingConsumer()
    source = KafkaSource(consumer, ["t"], "g", "host:1")
    assert source.poll(0, 1).assigned == {TopicPartition("t", 0)}

    consumer.during = lambda: consumer.listener.on_partitions_lost(set(consumer.held))
    poll = source.poll(0, 1)

    assert poll.revoked == poll.assigned == {TopicPartition("t", 0)}
