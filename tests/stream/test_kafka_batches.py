"""Reading past the library's object a record: the same records as by its public API."""

import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import kafka as library
import pytest
from kafka import KafkaConsumer, KafkaProducer, codec
from kafka.structs import TopicPartition as KafkaPartition

from vitalwatch.errors import BrokerError
from vitalwatch.stream import kafka_batches
from vitalwatch.stream.broker import TopicPartition, TopicSpec
from vitalwatch.stream.kafka import KafkaBroker
from vitalwatch.stream.kafka_batches import install, record_batch
from vitalwatch.stream.kafka_columns import Columns
from vitalwatch.stream.kafka_records import read_any_header

Name = Callable[[str], str]
Made = Callable[..., str]
DEADLINE = 20.0
HEADERS = [("größe", b"1"), ("", b""), ("größe", b"\xff")]


class Read(NamedTuple):
    """All that a consumer got of one partition, and where it stood at the end."""

    records: list[tuple[int, int, bytes | None, bytes | None, list[Any]]]
    position: int
    polls: list[int]


@pytest.fixture
def make(kafka: KafkaBroker, name: Name) -> Made:
    def make(**settings: str) -> str:
        topic = name("topic")
        dotted = {key.replace("_", "."): value for key, value in settings.items()}
        kafka.create([TopicSpec(topic, 1, {"retention.ms": "-1", **dotted})])
        return topic

    return make


@pytest.fixture
def producer(kafka_address: str) -> Iterator[Callable[..., Any]]:
    opened: list[Any] = []

    def open_producer(**options: Any) -> Any:
        opened.append(KafkaProducer(bootstrap_servers=kafka_address, **options))
        return opened[-1]

    yield open_producer
    for each in opened:
        each.close()


def read(
    address: str,
    topic: str,
    sizes: Sequence[int] = (500,),
    start: int = 0,
    columns: bool = True,
    **options: Any,
) -> Read:
    """Read a partition to its end, in polls of ``sizes`` in turn."""
    read_any_header()
    partition = KafkaPartition(topic, 0)
    settings: dict[str, Any] = {"isolation_level": "read_committed", "fetch_max_wait_ms": 50}
    consumer = KafkaConsumer(bootstrap_servers=address, **settings | options)
    records, polls = [], []
    with closing(consumer):
        if columns:
            install(consumer)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        consumer.seek(partition, start)
        for turn in range(10_000):
            if consumer.position(partition) >= end:
                break
            polled = consumer.poll(1000, sizes[turn % len(sizes)])
            for taken in polled.values():
                assert isinstance(taken[0], Columns) == columns
                batch = record_batch(TopicPartition(topic, 0), taken)
                assert len(batch) <= sizes[turn % len(sizes)]
                assert batch.next_offset == batch.offsets[-1] + 1
                polls.append(len(batch))
                rows = (batch.offsets.tolist(), batch.timestamps.tolist(), batch.keys, batch.values)
                records += [
                    (*row, list(headers))
                    for *row, headers in zip(*rows, batch.headers, strict=True)
                ]
        position = consumer.position(partition)
    return Read(records, position, polls)


def same(address: str, topic: str, **arguments: Any) -> Read:
    """What both ways of reading give, which is the same."""
    found = read(address, topic, **arguments)
    expected = read(address, topic, columns=False, **arguments)
    assert found.records == expected.records
    assert found.position == expected.position
    return found


def test_both_ways_give_records_of_all_kinds(
    kafka_address: str, make: Made, producer: Callable[..., Any]
) -> None:
    topic = make(message_timestamp_after_max_ms=str(2**62))
    sender = producer(linger_ms=50)
    for key, value, headers, timestamp in [
        (b"key", b"value", [], 1),
        (None, b"no key", [], None),
        (b"no value", None, [("reason", b"gone")], 2**41),
        (b"", b"", HEADERS, 0),
        (b"k" * 200, b"v" * 20_000, HEADERS * 40, 5),
        *((b"%d" % i, b"x" * (i % 70), [], i) for i in range(5000)),
    ]:
        sender.send(topic, value, key, headers, timestamp_ms=timestamp)
    sender.flush()
    found = same(kafka_address, topic, sizes=[1, 2, 700, 13])
    assert len(found.records) == 5005
    assert found.records[3][2:] == (b"", b"", HEADERS)


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_both_ways_give_compressed_records(
    kafka_address: str, make: Made, producer: Callable[..., Any], compression: str
) -> None:
    if not getattr(codec, f"has_{compression}")():
        pytest.skip(f"needs a library: pip install 'kafka-python[{compression}]'")
    topic = make()
    for options in ({"compression_type": compression}, {}, {"compression_type": compression}):
        sender = producer(linger_ms=20, **options)
        for i in range(3000):
            sender.send(topic, b'{"heart rate": %d}' % (i % 7) * 9, b"%d" % i, [("a", b"b")])
        sender.flush()
    assert len(same(kafka_address, topic, sizes=[999]).records) == 9000


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
def test_both_ways_leave_out_markers_and_what_was_aborted(
    kafka_address: str, make: Made, producer: Callable[..., Any], name: Name, isolation: str
) -> None:
    topic, chance = make(), random.Random(7)
    plain = producer()
    writers = [producer(transactional_id=name("writer")) for _ in range(3)]
    for writer in writers:
        writer.init_transactions()
        writer.begin_transaction()
    committed = set()
    pending: list[set[bytes]] = [set() for _ in writers]
    for i in range(150):
        which, value = chance.randrange(4), b"%d" % i
        if which == 3:
            plain.send(topic, value).get(10)
            committed.add(value)
            continue
        writer = writers[which]
        writer.send(topic, value)
        pending[which].add(value)
        writer.flush()
        ending = chance.random()
        if ending < 0.15:
            writer.commit_transaction()
            committed |= pending[which]
        elif ending < 0.3:
            writer.abort_transaction()
        if ending < 0.3:
            pending[which] = set()
            writer.begin_transaction()
    for writer in writers:
        writer.abort_transaction()

    found = same(kafka_address, topic, sizes=[1, 5, 3], isolation_level=isolation)

    if isolation == "read_committed":
        assert {record[3] for record in found.records} == committed
    else:
        assert len(found.records) == 150
    assert found.position > found.records[-1][0] + 1  # past the markers at the end
    for start in (3, 50, 111):
        same(kafka_address, topic, start=start, isolation_level=isolation)


def test_a_large_batch_is_cut_into_polls_and_read_from_its_middle(
    kafka_address: str, make: Made, producer: Callable[..., Any]
) -> None:
    topic = make(max_message_bytes=str(8 * 2**20))
    sender = producer(linger_ms=60_000, batch_size=4 * 2**20, max_request_size=8 * 2**20)
    for i in range(50_000):
        sender.send(topic, b"value %d" % i, b"key", timestamp_ms=i)
    sender.flush()
    whole = same(kafka_address, topic, sizes=[7000], max_partition_fetch_bytes=8 * 2**20)
    assert whole.polls == [7000] * 7 + [1000]
    middle = same(kafka_address, topic, sizes=[7000, 1], start=31_234)
    assert middle.records == whole.records[31_234:]
    same(kafka_address, topic, start=49_999)


def test_values_of_megabytes_come_whole(
    kafka_address: str, make: Made, producer: Callable[..., Any]
) -> None:
    topic = make(max_message_bytes=str(8 * 2**20))
    sender = producer(max_request_size=8 * 2**20)
    for size in (10, 3 * 2**20, 0, 6 * 2**20, 10):
        sender.send(topic, bytes(size), b"key")
        sender.flush()
    found = same(kafka_address, topic, max_partition_fetch_bytes=2**20)
    assert [len(record[3] or b"") for record in found.records] == [
        10, 3 * 2**20, 0, 6 * 2**20, 10,
    ]  # fmt: skip


def test_the_time_of_the_broker_is_read_where_the_topic_says_so(
    kafka_address: str, make: Made, producer: Callable[..., Any]
) -> None:
    topic = make(message_timestamp_type="LogAppendTime")
    sender = producer(linger_ms=50)
    for _ in range(10):
        sender.send(topic, b"v", timestamp_ms=1)
    sender.flush()
    assert all(record[1] > 2**40 for record in same(kafka_address, topic).records)


def test_records_that_were_deleted_are_passed_over(
    kafka: KafkaBroker, kafka_address: str, make: Made, producer: Callable[..., Any]
) -> None:
    topic = make()
    sender = producer(linger_ms=50)
    for i in range(100):
        sender.send(topic, b"%d" % i)
    sender.flush()
    kafka._admin.delete_records({KafkaPartition(topic, 0): 42})
    found = same(kafka_address, topic, auto_offset_reset="earliest")
    assert [record[3] for record in found.records] == [b"%d" % i for i in range(42, 100)]


def test_a_partition_with_a_backlog_does_not_wait_for_those_without(
    kafka_address: str, kafka: KafkaBroker, name: Name
) -> None:
    topic = name("topic")
    kafka.create([TopicSpec(topic, 4)])
    sink = kafka.sink(name("sink"))
    sink.begin()
    for i in range(4000):
        sink.append(topic, b"k", b"%d" % i + bytes(1000), partition=0)
    for partition in (1, 2, 3):
        sink.append(topic, b"k", b"few", partition=partition)
    sink.commit({}, None)
    sink.close()
    consumer = KafkaConsumer(
        bootstrap_servers=kafka_address,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        # A request that finds nothing waits for so long, and there would be forty of them.
        fetch_max_wait_ms=3000,
        max_partition_fetch_bytes=100_000,
    )
    with closing(consumer):
        install(consumer)
        consumer.assign([KafkaPartition(topic, partition) for partition in range(4)])
        count, end = 0, time.monotonic() + DEADLINE
        while count < 4003 and time.monotonic() < end:
            polled = consumer.poll(1000, 50)  # what is left over is what the others would keep
            count += sum(len(part) for taken in polled.values() for part in taken)
    assert count == 4003


def test_damage_on_the_brokers_disk_stops_reading_with_the_place_and_what_to_do(
    kafka: KafkaBroker, make: Made, name: Name
) -> None:
    topic = make()
    publisher = kafka.publisher()
    for value in (b"good", b"harmed", b"behind"):
        publisher.send(topic, b"k", value)
        publisher.flush()
    publisher.close()
    (segment,) = Path(os.environ["VITALWATCH_TEST_KAFKA"]).glob(f"plain/**/{topic}-0/*.log")
    with segment.open("r+b") as file:
        file.seek(segment.read_bytes().index(b"harmed"))
        file.write(b"broken")

    source = kafka.source([topic], name("group"))
    polled: list[bytes | None] = []

    def poll_for_ever() -> None:
        while True:
            polled.extend(v for batch in source.poll(0.2, 10).batches for v in batch.values)

    with pytest.raises(BrokerError, match=rf"{topic}, partition 0, at offset 1 .*CRC"):
        poll_for_ever()
    for again in (lambda: source.more(0.2, 10), lambda: source.poll(0.2, 10)):
        with pytest.raises(BrokerError, match="delete the partition's records up to behind"):
            again()
    source.close()
    assert polled == [b"good"]
    reading = kafka.read(TopicPartition(topic, 0), 0)
    assert list(next(reading).values) == [b"good"]
    with pytest.raises(BrokerError, match="CRC"):
        next(reading)


@pytest.mark.parametrize("what", ["version", "part"])
def test_an_unknown_library_is_read_by_its_public_api(
    what: str,
    kafka: KafkaBroker,
    make: Made,
    name: Name,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if what == "version":
        monkeypatch.setattr(library, "__version__", "3.1.0")
    else:
        monkeypatch.setattr(kafka_batches, "_PARTS", ("_fetcher.fetch_records", "_fetcher._gone"))
    kafka_batches._not_known.cache_clear()
    topic = make()
    publisher = kafka.publisher()
    for i in range(10):
        publisher.send(topic, b"k", b"%d" % i)
    publisher.close()

    source = kafka.source([topic], name("group"))
    batches = [batch for _ in range(20) for batch in source.poll(0.2, 4).batches]
    assert source.more(0.1, 4) == []
    source.close()
    batches += kafka.read(TopicPartition(topic, 0), 3)

    values = [value for batch in batches for value in batch.values]
    assert values == [b"%d" % i for i in [*range(10), *range(3, 10)]]
    warnings = [record for record in caplog.records if record.name == kafka_batches.__name__]
    assert [record.levelno for record in warnings] == [logging.WARNING]
    assert "public API" in warnings[0].getMessage()
