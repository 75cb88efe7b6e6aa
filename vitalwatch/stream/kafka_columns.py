"""Kafka's format of record batches (version 2), read into columns by compiled loops.

Nothing here trusts the bytes: what is cut off, negative or too long is found to be damaged, and no
place outside of the buffer is ever looked at. Checksums, compression and transactions are the
business of :mod:`vitalwatch.stream.kafka_batches`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
from kafka.record.util import decode_varint

from vitalwatch.arrays import Buffer, Ints, Spans
from vitalwatch.compiled import compiled
from vitalwatch.stream.broker import Headers, RecordBatch, TopicPartition

FRAME: Final = 12  # bytes before those that a batch's length counts
MAGIC: Final = 16  # place of the format's version
CHECKED: Final = 21  # bytes before those that the checksum covers
HEAD: Final = 61  # bytes before a batch's records
SMALLEST_RECORD: Final = 7
CODEC, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20  # attributes
ABORT: Final = 0
NO_MARKER: Final = -1

BATCH_COLUMNS: Final = 13
(START, END, BODY, BASE, LAST, EPOCH, CRC, ATTRIBUTES, TIME, LATEST, PRODUCER, COUNT, MARKER) = (
    range(BATCH_COLUMNS)
)
"""A batch's: where its records, and what its checksum covers, are; first and last offset; head."""

RECORD_COLUMNS: Final = 8
OFFSET, TIMESTAMP, LEADER, KEY, KEY_SIZE, VALUE, VALUE_SIZE, HEADERS = range(RECORD_COLUMNS)
"""A record's: offset, ms, leader's epoch, and places; a size of -1 where there is none."""

PLACES: Final = [KEY, VALUE, HEADERS]


@compiled
def _integer(data: Buffer, at: int, size: int) -> int:
    """The big-endian signed integer of so many bytes."""
    value = np.int64(data[at])
    if value >= 128:
        value -= 256
    for index in range(at + 1, at + size):
        value = (value << 8) | np.int64(data[index])
    return value  # type: ignore[return-value]  # a loop's numbers are numpy's


@compiled
def _varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    """The zigzag integer at ``at`` and the place after it; beyond ``end`` where it is cut off."""
    value = np.uint64(0)
    shift = 0
    while at < end and shift < 70:
        byte = np.int64(data[at])
        at += 1
        value |= np.uint64(byte & 0x7F) << np.uint64(shift)
        if byte < 0x80:
            whole = np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1))
            return whole, at  # type: ignore[return-value]
        shift += 7
    return 0, end + 1


@compiled
def walk_batches(data: Buffer, batches: Ints) -> int:
    """Fill a row of ``batches`` (m, BATCH_COLUMNS) for each whole batch of a response.

    Returns how many there are. It stops before a batch of another version, and behind one that
    cannot be any, which gets a count of -1.
    """
    rows = 0
    at = 0
    while at + FRAME <= len(data):
        row = batches[rows]
        row[BASE] = _integer(data, at, 8)
        length = _integer(data, at + 8, 4)
        if length < HEAD - FRAME:
            row[COUNT] = -1
            return rows + 1
        end = at + FRAME + length
        if end > len(data) or data[at + MAGIC] != 2:
            return rows
        row[START] = at + HEAD
        row[END] = end
        row[BODY] = at + CHECKED
        row[EPOCH] = _integer(data, at + 12, 4)
        row[CRC] = _integer(data, at + 17, 4) & 0xFFFFFFFF
        row[ATTRIBUTES] = _integer(data, at + 21, 2)
        row[LAST] = row[BASE] + _integer(data, at + 23, 4)
        row[TIME] = _integer(data, at + 27, 8)
        row[LATEST] = _integer(data, at + 35, 8)
        row[PRODUCER] = _integer(data, at + 43, 8)
        row[COUNT] = _integer(data, at + 57, 4)
        row[MARKER] = NO_MARKER
        if row[ATTRIBUTES] & CONTROL:
            # Its record's key is a version and a type; before it: length, attributes, two deltas.
            place = at + HEAD
            for _ in range(4):
                _, place = _varint(data, place, end)
            size, place = _varint(data, place, end)
            if size >= 4 and place + 4 <= end:
                row[MARKER] = _integer(data, place + 2, 2)
        rows += 1
        at = end
    return rows


@compiled
def read_records(data: Buffer, batches: Ints, records: Ints) -> int:
    """Fill ``records`` (RECORD_COLUMNS, n) from the n records of ``batches`` (m, BATCH_COLUMNS).

    The batches' records are at START to END of ``data``, without compression. Returns how many
    batches were read: fewer than there are where one is damaged.
    """
    n = 0
    for index in range(len(batches)):
        batch = batches[index]
        at = batch[START]
        for _ in range(batch[COUNT]):
            # A varint that is cut off leaves ``at`` beyond the record's end, where it stays.
            size, at = _varint(data, at, batch[END])
            if size < 0 or size > batch[END] - at:
                return index
            stop = at + size
            _, at = _varint(data, at, stop)  # attributes: none are in use
            time, at = _varint(data, at, stop)
            place, at = _varint(data, at, stop)
            records[OFFSET, n] = batch[BASE] + place
            records[TIMESTAMP, n] = batch[TIME] + time
            if batch[ATTRIBUTES] & LOG_APPEND_TIME:
                records[TIMESTAMP, n] = batch[LATEST]
            records[LEADER, n] = batch[EPOCH]
            size, at = _varint(data, at, stop)
            if size > stop - at:
                return index
            records[KEY, n] = at
            records[KEY_SIZE, n] = max(size, -1)
            at += max(size, 0)
            size, at = _varint(data, at, stop)
            if size > stop - at:
                return index
            records[VALUE, n] = at
            records[VALUE_SIZE, n] = max(size, -1)
            at += max(size, 0)
            records[HEADERS, n] = at
            headers, at = _varint(data, at, stop)
            if headers < 0:
                return index
            for _ in range(headers):
                size, at = _varint(data, at, stop)
                if size < 0 or size > stop - at:
                    return index
                size, at = _varint(data, at + size, stop)
                if size > stop - at:
                    return index
                at += max(size, 0)
            if at != stop:
                return index
            n += 1
        if at != batch[END]:
            return index
    return len(batches)


class HeaderColumn(Sequence[Headers]):
    """Headers of many records, read when they are looked at.

    ``starts`` (n,) are the places in ``data`` where the records' headers start, which are whole.
    What is not UTF-8 in a name is written as ``\\xff``.
    """

    __slots__ = ("data", "starts")

    def __init__(self, data: Buffer, starts: Ints) -> None:
        self.data = data
        self.starts = starts

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> Headers: ...
    @overload
    def __getitem__(self, place: slice) -> "HeaderColumn": ...
    def __getitem__(self, place: int | slice) -> "Headers | HeaderColumn":
        if isinstance(place, slice):
            return HeaderColumn(self.data, self.starts[place])
        data = memoryview(self.data.data)
        count, at = decode_varint(data, int(self.starts[place]))
        headers: list[tuple[str, Any]] = []  # a header may have no value
        for _ in range(count):
            size, at = decode_varint(data, at)
            name = str(data[at : at + size], "utf-8", "backslashreplace")
            size, at = decode_varint(data, at + size)
            headers.append((name, bytes(data[at : at + size]) if size >= 0 else None))
            at += max(size, 0)
        return headers


@dataclass(frozen=True, slots=True)
class Columns:
    """Records of one partition: their bytes (B,), and columns (RECORD_COLUMNS, n) about them."""

    data: Buffer
    records: Ints

    def __len__(self) -> int:
        return int(self.records.shape[1])

    def first(self, count: int) -> "Columns":
        """The first ``count``, which are not none, with only their bytes.

        So whoever copies or keeps the buffer takes no more than these records.
        """
        records = self.records[:, :count].copy()
        begin = records[KEY, 0]
        end = self.records[KEY, count] if count < len(self) else len(self.data)
        records[PLACES] -= begin
        return Columns(self.data[begin:end], records)

    def rest(self, count: int) -> "Columns":
        """All but the first ``count``."""
        return Columns(self.data, self.records[:, count:])

    @classmethod
    def joined(cls, parts: Sequence["Columns"]) -> "Columns":
        """Parts that follow each other."""
        if len(parts) == 1:
            return parts[0]
        records = np.concatenate([part.records for part in parts], axis=1)
        begins = np.cumsum([0, *(len(part.data) for part in parts[:-1])])
        records[PLACES] += np.repeat(begins, [len(part) for part in parts])
        return cls(np.concatenate([part.data for part in parts]), records)

    def batch(self, source: TopicPartition) -> RecordBatch:
        """The records, which are not none, for the broker's users."""
        records = self.records
        return RecordBatch(
            source,
            records[OFFSET],
            records[TIMESTAMP],
            Spans(self.data, records[KEY], records[KEY_SIZE]),
            Spans(self.data, records[VALUE], records[VALUE_SIZE]),
            HeaderColumn(self.data, records[HEADERS]),
            next_offset=int(records[OFFSET, -1]) + 1,
        )


NOTHING: Final = Columns(np.frombuffer(b"", np.uint8), np.empty((RECORD_COLUMNS, 0), np.int64))
