"""Members of a group on a real broker that die at an awkward moment."""

import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from kafka.structs import TopicPartition as KafkaPartition

from tests.stream.test_daemon import ward
from tests.stream.worker import Worker
from vitalwatch.errors import BrokerError
from vitalwatch.stream.broker import TopicPartition, TopicSpec
from vitalwatch.stream.kafka import KafkaBroker

SECONDS = 20.0


def test_a_partition_given_up_by_a_named_member_that_died_then_is_not_left_to_nobody(
    kafka: KafkaBroker, name: Callable[[str], str]
) -> None:
    topic, group = name("topic"), name("group")
    kafka.create([TopicSpec(topic, 3)])
    one, two = kafka.source([topic], group, instance="one"), kafka.source([topic], group)
    end = time.monotonic() + SECONDS
    while len(one.assignment()) < 3:
        assert time.monotonic() < end
        one.poll(0.1, 10)
    # It gives up a partition, and dies before it joins again so that the other gets that.
    coordinator = one._consumer._coordinator
    rejoin = coordinator.request_rejoin
    coordinator.request_rejoin = lambda: None if one._losses.lost else rejoin()
    while not one.poll(0.05, 10).revoked:
        assert time.monotonic() < end
        two.poll(0.05, 10)
    one.close()

    again = kafka.source([topic], group, instance="one")
    while len(again.assignment() | two.assignment()) < 3:
        assert time.monotonic() < end, "a partition belongs to nobody"
        again.poll(0.1, 10)
        two.poll(0.1, 10)
    assert not again.assignment() & two.assignment()
    again.close()
    two.close()


def test_who_is_joined_while_it_commits_without_a_pause_is_never_refused(
    kafka: KafkaBroker, name: Callable[[str], str]
) -> None:
    topic, group = name("topic"), name("group")
    kafka.create([TopicSpec(topic, 4)])
    one = kafka.source([topic], group)
    end = time.monotonic() + SECONDS
    while len(one.assignment()) < 4:
        assert time.monotonic() < end
        one.poll(0.1, 10)
    publish(kafka, topic, 20_000)
    two, stop = kafka.source([topic], group), threading.Event()

    def join() -> None:
        while not (two.assignment() or stop.is_set()):
            two.poll(0.1, 10)

    joining = threading.Thread(target=join)
    joining.start()
    with closing(kafka.sink(name("sink"))) as sink:
        while len(one.assignment()) == 4:
            assert time.monotonic() < end
            polled = one.poll(0, 10)  # as when a snapshot is under way: that goes on by itself
            offsets = dict.fromkeys(one.assignment(), 0)
            offsets |= {batch.source: batch.next_offset for batch in polled.batches}
            sink.begin()
            sink.append(topic, b"k", b"v", partition=0)
            sink.commit(offsets, polled.membership)
    stop.set()
    joining.join()
    one.close()
    two.close()


def test_readings_deleted_before_they_were_read_are_not_passed_over_in_silence(
    kafka: KafkaBroker, name: Callable[[str], str]
) -> None:
    topic, group = name("topic"), name("group")
    kafka.create([TopicSpec(topic, 1)])
    publish(kafka, topic, 10)
    kafka.ask(lambda admin: admin.delete_records({KafkaPartition(topic, 0): 5}))
    source = kafka.source([topic], group)
    end = time.monotonic() + SECONDS
    while not source.assignment():
        assert time.monotonic() < end
        source.poll(0.1, 10)
    source.seek(TopicPartition(topic, 0), 2)
    with pytest.raises(BrokerError, match="gone"):  # noqa: PT012 - whichever poll it is
        while time.monotonic() < end:
            assert not source.poll(0.1, 10).batches
    source.close()


def test_who_joins_where_readings_were_deleted_goes_on_with_those_that_are_left(
    kafka: KafkaBroker, name: Callable[[str], str]
) -> None:
    worker = Worker(kafka, name("deleted"))
    records = ward(60)
    worker.publish(records)
    worker.run(len(records))
    worker.publish(records)
    readings = TopicPartition(worker.settings.topics.readings, 0)
    needed = len(records) + 7
    kafka.ask(lambda admin: admin.delete_records({KafkaPartition(*readings): needed}))
    worker.run(len(records) - 7)
    assert worker.figure("vitalwatch_readings_lost_total") == 7


def test_a_topic_made_anew_meanwhile_is_not_read_on_from_where_the_old_one_was(
    kafka: KafkaBroker, name: Callable[[str], str]
) -> None:
    topic, group = name("topic"), name("group")
    kafka.create([TopicSpec(topic, 1)])
    publish(kafka, topic, 10)
    source = kafka.source([topic], group)
    read, end = 0, time.monotonic() + SECONDS
    while read < 5:
        assert time.monotonic() < end
        read += sum(map(len, source.poll(0.1, 5).batches))
    # Nothing is polled until the new topic has more records than were read of the old one.
    kafka.ask(lambda admin: admin.delete_topics([topic]))
    while not kafka.create([TopicSpec(topic, 1)]):
        assert time.monotonic() < end
    publish(kafka, topic, 20)
    with pytest.raises(BrokerError, match="made anew"):  # noqa: PT012 - whichever poll it is
        while time.monotonic() < end:
            assert not any(batch.next_offset > 10 for batch in source.poll(0.1, 5).batches)
    source.close()


def publish(kafka: KafkaBroker, topic: str, records: int) -> None:
    publisher = kafka.publisher()
    for _ in range(records):
        publisher.send(topic, b"key", b"value")
    publisher.close()


def test_a_partition_that_is_added_is_read_within_seconds(
    kafka: KafkaBroker, name: Callable[[str], str]
) -> None:
    topic, group = name("topic"), name("group")
    kafka.create([TopicSpec(topic, 1)])
    source = kafka.source([topic], group)
    end = time.monotonic() + SECONDS
    while not source.assignment():
        assert time.monotonic() < end
        source.poll(0.1, 10)
    kafka.ask(lambda admin: admin.create_partitions({topic: 2}))
    end = time.monotonic() + SECONDS
    while len(source.assignment()) < 2:
        assert time.monotonic() < end, "nobody reads the new partition"
        source.poll(0.1, 10)
    source.close()


def test_a_partition_that_is_missing_is_named_with_what_adds_it(
    kafka: KafkaBroker, name: Callable[[str], str]
) -> None:
    topic = name("topic")
    kafka.create([TopicSpec(topic, 1)])
    with pytest.raises(BrokerError, match=f"--alter --topic {topic} --partitions 3"):
        kafka.bounds(TopicPartition(topic, 2))
