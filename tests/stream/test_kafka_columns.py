"""The compiled reading of record batches against the library's own, on any bytes."""

import struct
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from crc32c import crc32c
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kafka import codec, errors
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.structs import TopicPartition as KafkaPartition

from vitalwatch.stream import kafka_batches
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.kafka_batches import PartitionRecords, record_batch
from vitalwatch.stream.kafka_records import read_any_header

PARTITION = KafkaPartition("topic", 3)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
AVAILABLE = [name for name in CODECS if name == "none" or getattr(codec, f"has_{name}")()]
READ_COMMITTED = IsolationLevel.build_from("read_committed")
FIRST = -(2**63)

Record = tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]


class Batch(NamedTuple):
    """One record batch as a broker stores it."""

    records: Sequence[tuple[int, bytes | None, bytes | None, Any]] = ((1, b"k", b"v", ()),)
    codec: str = "none"
    producer: int = -1
    transactional: bool = False
    marker: int | None = None  # 0 aborts, 1 commits
    append_time: int | None = None
    kept: int = 2**31  # after compaction so many of the records are left
    epoch: int = 0


def encoded(batch: Batch, base: int) -> bytes:
    """The bytes of a batch whose first offset is ``base``."""
    sequence = 0 if batch.producer >= 0 else -1
    records = list(batch.records)
    if batch.marker is not None:
        records = [(1, struct.pack(">hh", 0, batch.marker), struct.pack(">hi", 0, 0), ())]
    builder = DefaultRecordBatchBuilder(
        2, CODECS[batch.codec], batch.transactional, batch.producer, sequence, sequence, 2**30
    )
    for delta, (timestamp, key, value, headers) in enumerate(records):
        if delta < batch.kept:
            builder.append(delta, timestamp, key, value, headers)
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    struct.pack_into(">i", data, 12, batch.epoch)
    struct.pack_into(">i", data, 23, len(records) - 1)
    attributes = struct.unpack_from(">h", data, 21)[0]
    if batch.marker is not None:
        attributes |= 0x20
    if batch.append_time is not None:
        attributes |= 0x08
        struct.pack_into(">q", data, 35, batch.append_time)
    struct.pack_into(">h", data, 21, attributes)
    return sealed(data)


def sealed(data: bytearray) -> bytes:
    struct.pack_into(">I", data, 17, crc32c(memoryview(data)[21:]))
    return bytes(data)


def response(batches: Sequence[Batch], gaps: Sequence[int] = ()) -> tuple[bytes, list[int]]:
    """The batches one after another, ``gaps`` of offsets between them; and their first offsets."""
    data, base, bases = b"", 100, []
    for index, batch in enumerate(batches):
        base += gaps[index] if index < len(gaps) else 0
        bases.append(base)
        data += encoded(batch, base)
        base += 1 if batch.marker is not None else len(batch.records)
    return data, bases


class Outcome(NamedTuple):
    records: list[Record]
    error: type[Exception] | None = None
    # Where to go on and its leader's epoch: after so many records of more, and after all.
    positions: Mapping[int, tuple[int, int]] = {}
    end: tuple[int, int] | None = None

    def agrees(self, other: "Outcome") -> bool:
        """The same, however it was cut."""
        both = self.positions.keys() & other.positions.keys()
        return self._replace(positions={}) == other._replace(positions={}) and all(
            self.positions[count] == other.positions[count] for count in both
        )


def outcome(
    kind: Any,
    data: bytes,
    sizes: Sequence[int] = (2**30,),
    fetch_offset: int = FIRST,
    aborted: Sequence[tuple[int, int]] = (),
) -> Outcome:
    """What the fetcher would get of a response, ``sizes`` at a time."""
    taken: list[Record] = []
    part = kind(
        fetch_offset,
        PARTITION,
        MemoryRecords(data),
        key_deserializer=None,
        value_deserializer=None,
        check_crcs=True,
        isolation_level=READ_COMMITTED,
        aborted_transactions=[SimpleNamespace(producer_id=p, first_offset=o) for p, o in aborted],
        metric_aggregator=None,
        on_drain=lambda _: None,
    )
    positions: dict[int, tuple[int, int]] = {}
    turn = 0
    try:
        while part:
            positions[len(taken)] = part.next_fetch_offset, part.leader_epoch
            size = sizes[turn % len(sizes)]
            some = part.take(size)
            assert len(some) <= size
            taken += listed(list(some))
            turn += 1
    except errors.KafkaError as error:
        if kind is PartitionRecords:
            with pytest.raises(type(error)):
                part.take(1)
        return Outcome(taken, type(error))
    positions.pop(len(taken), None)
    return Outcome(taken, None, positions, (part.next_fetch_offset, part.leader_epoch))


def listed(taken: list[Any]) -> list[Record]:
    if not taken:
        return []
    batch = record_batch(TopicPartition(*PARTITION), taken)
    assert len(batch.keys) == len(batch.values) == len(batch.headers) == len(batch)
    columns = (batch.offsets.tolist(), batch.timestamps.tolist(), batch.keys, batch.values)
    return [
        (offset, timestamp, key, value, list(headers))
        for offset, timestamp, key, value, headers in zip(*columns, batch.headers, strict=True)
    ]


texts = st.text(max_size=6)
blobs = (
    st.none() | st.binary(max_size=6) | st.binary(min_size=60, max_size=140) | st.just(bytes(200))
)
headers = st.lists(st.tuples(texts, blobs), max_size=3)
times = st.integers(-1, 2**42) | st.sampled_from([0, 2**62])
records = st.lists(st.tuples(times, blobs, blobs, headers), min_size=1, max_size=5)
codecs = st.sampled_from(AVAILABLE)
producers = st.integers(1, 3)


def drawn(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Batch]:
    return st.fixed_dictionaries(fields).map(lambda found: Batch(**found))


batches = st.one_of(
    drawn(
        records=records,
        codec=codecs,
        append_time=st.none() | times,
        kept=st.integers(0, 5),
        epoch=st.integers(0, 3),
    ),
    drawn(records=records, codec=codecs, producer=producers, transactional=st.booleans()),
    drawn(producer=producers, transactional=st.just(True), marker=st.integers(0, 1)),
)
responses = st.lists(batches, max_size=8)


TRANSACTION = Batch(producer=1, transactional=True)


@settings(max_examples=300)
@example([TRANSACTION, TRANSACTION._replace(marker=1), TRANSACTION], [], [7], 95, [(1, 100)])
@given(
    responses,
    st.lists(st.integers(0, 4), max_size=8),
    st.lists(st.integers(1, 7), min_size=1),
    st.integers(95, 130),
    st.lists(st.tuples(producers, st.integers(100, 125)), max_size=3),
)
def test_columns_hold_what_the_library_reads(
    chosen: list[Batch],
    gaps: list[int],
    sizes: list[int],
    fetch_offset: int,
    aborted: list[tuple[int, int]],
) -> None:
    data, _ = response(chosen, gaps)
    arguments = (data, sizes, fetch_offset, aborted)
    expected = outcome(Fetcher.PartitionRecords, *arguments)
    assert outcome(PartitionRecords, *arguments).agrees(expected)


@given(
    st.lists(
        st.tuples(producers, st.sampled_from(["write", "write", "commit", "abort"])), min_size=9
    ),
    st.lists(st.integers(1, 3), min_size=1),
)
def test_of_many_transactions_what_was_aborted_is_left_out(
    steps: list[tuple[int, str]], sizes: list[int]
) -> None:
    log: list[Batch] = []
    begun: dict[int, list[int]] = {}
    aborted: list[tuple[int, int]] = []
    left_out: set[int] = set()
    for producer, step in [*steps, *((producer, "commit") for producer in (1, 2, 3))]:
        place = 100 + len(log)  # each batch has one record
        if step == "write":
            begun.setdefault(producer, []).append(place)
            log.append(Batch(producer=producer, transactional=True))
        elif producer in begun:
            offsets = begun.pop(producer)
            if step == "abort":
                aborted.insert(0, (producer, offsets[0]))
                left_out.update(offsets)
            marker = 0 if step == "abort" else 1
            log.append(Batch(producer=producer, transactional=True, marker=marker))
    data, _ = response(log)

    found = outcome(PartitionRecords, data, sizes, 100, aborted)

    written = [100 + place for place, batch in enumerate(log) if batch.marker is None]
    assert [record[0] for record in found.records] == [
        offset for offset in written if offset not in left_out
    ]
    assert found.agrees(outcome(Fetcher.PartitionRecords, data, sizes, 100, aborted))


tiny = st.none() | st.binary(max_size=2)
changes = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([1, 2, 3, 127, 128, 254, 255])),
    min_size=1,
    max_size=3,
)


@settings(max_examples=1000)
@given(
    st.lists(st.tuples(tiny, tiny, st.lists(st.tuples(texts, tiny), max_size=2)), min_size=1),
    changes,
)
def test_what_is_damaged_is_refused_where_the_library_refuses_it(
    some: list[Any], changes: list[tuple[int, int]]
) -> None:
    read_any_header()
    damaged = bytearray(encoded(Batch([(i, *rest) for i, rest in enumerate(some)]), 100))
    for place, change in changes:  # from the last byte of the number of records on
        at = 60 + place % (len(damaged) - 60)
        damaged[at] = (damaged[at] + change) % 256

    expected = outcome(Fetcher.PartitionRecords, sealed(damaged))
    found = outcome(PartitionRecords, sealed(damaged))

    assert found.error == expected.error
    assert found.records == ([] if expected.error else expected.records)


@given(responses.filter(bool), st.integers(1, 60))
def test_a_batch_that_is_cut_off_comes_with_the_next_response(
    chosen: list[Batch], missing: int
) -> None:
    data, _ = response([*chosen, Batch()])
    found = outcome(PartitionRecords, data[: -min(missing, 60)])
    assert found == outcome(PartitionRecords, response(chosen)[0])
    assert found.error is None


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_is_unpacked_where_its_library_is_installed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name not in AVAILABLE:
        pytest.skip(f"needs the library for {name}: pip install 'kafka-python[{name}]'")
    monkeypatch.setattr(kafka_batches, "UNPACKED_BYTES", 100_000)
    batch = Batch([(i, b"key", b"%d" % i * 50, [("h", b"x")]) for i in range(1000)], name)
    plain = Batch(batch.records)
    data, _ = response([batch, plain, batch, batch, batch, plain, plain, batch])
    assert name == "none" or len(data) < 1_000_000
    expected = outcome(Fetcher.PartitionRecords, data, [700])
    assert outcome(PartitionRecords, data, [700]).agrees(expected)
    assert len(expected.records) == 8000


def test_a_codec_without_its_library_is_named_after_the_records_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, _ = response([Batch(), Batch([(1, b"k", bytes(500), ())], "gzip"), Batch()])
    entry = ("lz4", lambda: False, kafka_batches._CODECS[1][2])
    monkeypatch.setitem(kafka_batches._CODECS, 1, entry)
    found = outcome(PartitionRecords, data)
    assert found.error is errors.UnsupportedCodecError
    assert len(found.records) == 1


@pytest.mark.parametrize("place", [-1, 21, 30, 60])
def test_a_wrong_checksum_is_reported_after_the_records_before(place: int) -> None:
    good = encoded(Batch(), 100)
    bad = bytearray(encoded(Batch(), 101))
    bad[place] ^= 1
    data = good + bytes(bad) + encoded(Batch(), 102)
    part = (Fetcher.PartitionRecords, PartitionRecords)
    assert [outcome(kind, data) for kind in part] == [
        Outcome([(100, 1, b"k", b"v", [])], errors.CorruptRecordError)
    ] * 2


def test_what_cannot_be_unpacked_is_damaged() -> None:
    data = bytearray(encoded(Batch([(1, b"k", bytes(500), ())], "gzip"), 100))
    data[61:65] = b"none"
    assert outcome(PartitionRecords, sealed(data)).error is errors.CorruptRecordError


def test_a_batch_too_short_to_be_one_is_damaged() -> None:
    data = bytearray(encoded(Batch(), 100))
    struct.pack_into(">i", data, 8, 20)
    assert outcome(PartitionRecords, bytes(data)).error is errors.CorruptRecordError


def test_more_records_than_there_are_bytes_take_no_memory() -> None:
    data = bytearray(encoded(Batch(), 100))
    struct.pack_into(">i", data, 57, 2**31 - 1)
    assert outcome(PartitionRecords, sealed(data)).error is errors.CorruptRecordError


def test_a_batch_keeps_only_the_bytes_of_its_records() -> None:
    data, _ = response([Batch([(i, b"key", bytes(100), ()) for i in range(100)])] * 10)
    part = PartitionRecords(
        100,
        PARTITION,
        MemoryRecords(data),
        isolation_level=READ_COMMITTED,
        aborted_transactions=None,
        metric_aggregator=None,
        on_drain=lambda _: None,
    )
    part.take(500)
    batch = record_batch(TopicPartition(*PARTITION), list(part.take(5)))
    assert batch.values.data is batch.keys.data
    assert len(batch.values.data) < 600
    assert [list(slice_) for slice_ in batch.headers[1:3]] == [[], []]
