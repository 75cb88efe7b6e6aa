"""What every backend does with records, partitions and topics; each test runs on each of them."""

import time
from typing import ClassVar

import pytest

from tests.stream.contract import MakeTopic, Name, publish, read, take, values
from vitalwatch.errors import BrokerError
from vitalwatch.stream.broker import Broker, RecordBatch, TopicPartition, TopicSpec


class TestRecords:
    def test_a_record_comes_back_as_it_went_in(self, broker: Broker, make_topic: MakeTopic) -> None:
        topic = make_topic()
        publisher = broker.publisher()
        headers = [("reason", b"late"), ("origin", b"\xff\x00"), ("reason", b"again")]
        publisher.send(topic, "Zoë".encode(), b"\x00\xffvalue", timestamp=1_234, headers=headers)
        publisher.close()

        (batch,) = broker.read(TopicPartition(topic, 0), 0)

        assert batch.source == TopicPartition(topic, 0)
        assert list(batch.keys) == ["Zoë".encode()]
        assert list(batch.values) == [b"\x00\xffvalue"]
        assert batch.timestamps.tolist() == [1_234]
        assert [list(h) for h in batch.headers] == [headers]
        assert batch.offsets.tolist() == [0]
        assert len(batch) == 1

    def test_a_tombstone_is_none_and_an_empty_value_is_empty(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic()
        publisher = broker.publisher()
        publisher.send(topic, b"key", None)
        publisher.send(topic, b"", b"")
        publisher.send(topic, None, b"no key")
        publisher.close()

        (batch,) = broker.read(TopicPartition(topic, 0), 0)

        assert list(batch.values) == [None, b"", b"no key"]
        assert list(batch.keys) == [b"key", b"", None]

    def test_a_record_needs_a_key_or_a_value(self, broker: Broker, make_topic: MakeTopic) -> None:
        topic = make_topic()
        publisher = broker.publisher()
        with pytest.raises(ValueError, match="key"):
            publisher.send(topic, None, None)
        publisher.close()

    def test_without_a_timestamp_a_record_bears_the_time_of_writing(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic()
        before = int(time.time() * 1000)
        publish(broker, topic, [(b"key", b"value")])

        (batch,) = broker.read(TopicPartition(topic, 0), 0)

        assert before <= batch.timestamps[0] <= time.time() * 1000 + 1

    def test_ten_megabytes_arrive_and_so_does_what_follows(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic(max_message_bytes=str(16 * 2**20))
        big = bytes(10 * 2**20)
        publish(broker, topic, [(b"k", b"before"), (b"k", big), (b"k", b"after")])

        source = broker.source([topic], name("group"))
        got = values(take(source, 3))
        source.close()

        assert got == [b"before", big, b"after"]


class TestPartitions:
    # Hashes from the unit tests of Kafka's own client, so that other programs agree with us too.
    HASHES: ClassVar = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"abc": 479470107,
        b"a-little-bit-longer-string": -1486304829,
    }

    def test_the_key_decides_by_kafkas_default_partitioner(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic(partitions=6)
        publish(broker, topic, [(key, key + b"!") for key in self.HASHES])
        sink = broker.sink(topic)
        sink.begin()
        for key in self.HASHES:
            sink.append(topic, key, key + b"?")
        sink.commit({}, None)
        sink.close()

        for partition in range(6):
            keys = [k for k, h in self.HASHES.items() if (h & 0x7FFFFFFF) % 6 == partition]
            assert read(broker, topic, partition) == [
                key + mark for mark in (b"!", b"?") for key in keys
            ]

    def test_a_record_without_a_key_goes_to_some_partition(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic(partitions=3)
        publish(broker, topic, [(None, b"%d" % i) for i in range(10)])

        got = [value for partition in range(3) for value in read(broker, topic, partition)]

        assert sorted(v for v in got if v is not None) == [b"%d" % i for i in range(10)]

    def test_a_sink_writes_to_the_partition_that_it_is_told(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic(partitions=3)
        sink = broker.sink(topic)
        sink.begin()
        for partition in (2, 0, 2):
            sink.append(topic, b"same key", b"%d" % partition, partition=partition)
        sink.commit({}, None)
        sink.close()

        assert [read(broker, topic, p) for p in range(3)] == [[b"0"], [], [b"2", b"2"]]

    def test_order_holds_within_a_partition_however_small_the_polls(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic(partitions=3)
        sent = [(b"%d" % (i % 7), b"%d" % i) for i in range(300)]
        publish(broker, topic, sent)
        source = broker.source([topic], name("group"))
        polls = take(source, 300, max_records=17)
        source.close()

        assert all(len(batch) for poll in polls for batch in poll.batches)
        assert max(sum(len(batch) for batch in poll.batches) for poll in polls) <= 17
        for key in {key for key, _ in sent}:
            got = [
                value
                for poll in polls
                for batch in poll.batches
                for k, value in zip(batch.keys, batch.values, strict=True)
                if k == key
            ]
            assert got == [value for k, value in sent if k == key]

    def test_a_poll_has_one_batch_a_partition_with_ascending_offsets(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic(partitions=2)
        publish(broker, topic, [(b"%d" % i, b"x") for i in range(50)])
        source = broker.source([topic], name("group"))
        polls = take(source, 50)
        source.close()

        for poll in polls:
            assert len({batch.source for batch in poll.batches}) == len(poll.batches)
            for batch in poll.batches:
                assert batch.offsets.tolist() == sorted(set(batch.offsets.tolist()))
                assert batch.next_offset > batch.offsets[-1]


class TestReading:
    def test_a_range_is_read_from_its_start_to_below_its_end(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic()
        publish(broker, topic, [(b"k", b"%d" % i) for i in range(10)])

        def between(start: int, end: int | None) -> list[bytes | None]:
            batches: list[RecordBatch] = list(broker.read(TopicPartition(topic, 0), start, end))
            return [value for batch in batches for value in batch.values]

        assert between(3, 6) == [b"3", b"4", b"5"]
        assert between(8, None) == [b"8", b"9"]
        assert between(10, None) == between(4, 4) == []

    def test_bounds_are_the_first_offset_and_the_next(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic()
        partition = TopicPartition(topic, 0)
        assert broker.bounds(partition) == (0, 0)
        publish(broker, topic, [(b"k", b"v")] * 3)
        assert broker.bounds(partition) == (0, 3)

    def test_reading_an_empty_partition_ends_at_once(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        assert read(broker, make_topic()) == []

    def test_a_time_leads_to_the_first_record_that_is_not_before_it(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        partition = TopicPartition(make_topic(retention_ms="-1"), 0)
        publisher = broker.publisher()
        for timestamp in (1000, 3000, 3000, 5000):
            publisher.send(partition.topic, b"key", b"value", timestamp=timestamp)
        publisher.close()
        found = [broker.offset_at(partition, time) for time in (-5, 1000, 1001, 3000, 5000, 5001)]
        assert found == [0, 0, 1, 1, 3, 4]


class TestTopics:
    def test_creating_twice_changes_nothing(self, broker: Broker, name: Name) -> None:
        spec = TopicSpec(name("topic"), 3, {"cleanup.policy": "compact"})
        other = TopicSpec(name("topic"), 1)
        assert broker.create([spec]) == [spec.name]
        publish(broker, spec.name, [(b"k", b"v")])

        assert broker.create([spec, other]) == [other.name]

        found = broker.topics([spec.name, other.name, name("missing")])
        assert set(found) == {spec.name, other.name}
        assert found[spec.name].partitions == 3
        assert found[spec.name].settings["cleanup.policy"] == "compact"
        assert found[spec.name].replication == 1
        assert sum(len(read(broker, spec.name, p)) for p in range(3)) == 1

    def test_a_missing_topic_is_named(self, broker: Broker, name: Name) -> None:
        missing = name("missing")
        publisher, sink = broker.publisher(), broker.sink(name("sink"))
        sink.begin()
        with pytest.raises(BrokerError, match=missing):
            broker.source([missing], name("group"))
        with pytest.raises(BrokerError, match=missing):
            publisher.send(missing, b"k", b"v")
        with pytest.raises(BrokerError, match=missing):
            sink.append(missing, b"k", b"v")
        with pytest.raises(BrokerError, match=missing):
            broker.bounds(TopicPartition(missing, 0))
        with pytest.raises(BrokerError, match=missing):
            list(broker.read(TopicPartition(missing, 0), 0))
        sink.close()
        publisher.close()
