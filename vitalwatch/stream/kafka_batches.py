"""Records of Kafka in columns, past kafka-python's object a record.

The library's fetcher keeps each response as it came, and makes a Python object of each record when
records are asked for: nine tenths of the cost of consuming. Here its parser gets a stand-in that
reads the response's batches into columns, by the same rules: checksums, compression, markers,
aborted transactions, the offset asked for.

Where the library is not as known (another version), its public API is used, which gives the same
records. (The private parts that membership needs are in ``kafka_source``, those of writing in
``kafka_writers``; they have no stand-in, and so the dependency's range is narrow.)
"""

import functools
import logging
import operator
import re
import ssl
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import kafka
import numpy as np
from crc32c import crc32c
from kafka import codec, errors
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords

from vitalwatch.arrays import Bools, Buffer, Ints
from vitalwatch.stream.broker import RecordBatch, TopicPartition
from vitalwatch.stream.kafka_columns import (
    ABORT,
    ATTRIBUTES,
    BASE,
    BATCH_COLUMNS,
    BODY,
    CODEC,
    CONTROL,
    COUNT,
    CRC,
    END,
    EPOCH,
    HEAD,
    LAST,
    LEADER,
    MAGIC,
    MARKER,
    NOTHING,
    OFFSET,
    PRODUCER,
    RECORD_COLUMNS,
    SMALLEST_RECORD,
    START,
    TRANSACTIONAL,
    Columns,
    read_records,
    walk_batches,
)

log = logging.getLogger(__name__)

KNOWN: Final = ((3, 0, 12), (3, 1))
"""The library's versions whose private parts are as used here: from, and to below."""

_PARTS: Final = (
    "_coordinator.need_rejoin",
    "_coordinator.stable",
    "_fetcher.PartitionRecords",
    "_fetcher._completed_fetches",
    "_fetcher._fetchable_partitions",
    "_fetcher._next_partition_records",
    "_fetcher._subscriptions.assignment",
    "_fetcher.fetch_records",
    "_fetcher.fetched_records",
    "_fetcher.send_fetches",
)
_CLASS_PARTS: Final = (
    (MemoryRecords, "_buffer"),
    (KafkaTCPTransport, "_sock_recv"),
    (KafkaSSLTransport, "_sock_recv"),
)
_CODECS: Final[dict[int, tuple[str, Callable[[], bool], Callable[[bytes], bytes]]]] = {
    1: ("gzip", codec.has_gzip, codec.gzip_decode),
    2: ("snappy", codec.has_snappy, codec.snappy_decode),
    3: ("lz4", codec.has_lz4, codec.lz4_decode),
    4: ("zstd", codec.has_zstd, codec.zstd_decode),
}
_columnar: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
"""The consumers that hand out columns."""

RECEIVE_BYTES: Final = 2**18
"""So much is taken from a socket at once; the library takes 4 KiB."""

AHEAD_BYTES: Final = 8 * 2**20
"""No more is asked for while so much is still to be handed out."""

UNPACKED_BYTES: Final = 16 * 2**20
"""No further compressed batch is unpacked at a time after so much."""


class _Taken:
    """Some records for the fetcher: counted, they are as many as they are; listed, one object."""

    def __init__(self, records: Columns = NOTHING) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Columns]:
        if len(self._records):
            yield self._records


class PartitionRecords:
    """One partition's part of a response, as the library's fetcher wants it.

    ``take`` raises what the library does, after the records before it, and then for good:
    CorruptRecordError, UnsupportedCodecError.
    """

    def __init__(
        self,
        fetch_offset: int,
        tp: Any,
        records: Any,
        *,
        isolation_level: int,
        aborted_transactions: Sequence[Any] | None,
        metric_aggregator: Any,
        on_drain: Callable[[Any], None],
        **_: Any,  # deserializers: there are none; and checksums are always looked at
    ) -> None:
        self.topic_partition = tp
        self.fetch_offset = self.next_fetch_offset = fetch_offset
        self.leader_epoch = -1
        self.bytes_read = self.records_read = 0
        self._buffer: bytes = records._buffer
        committed = isolation_level == IsolationLevel.READ_COMMITTED
        self._aborted = (aborted_transactions or ()) if committed else ()
        self._metrics = metric_aggregator
        self._on_drain = on_drain
        self._drained = False
        self._batches: Ints | None = None  # (m, BATCH_COLUMNS), those that are still to be read
        self._records = NOTHING
        self._end = fetch_offset, -1  # where to go on after all of it, and its leader's epoch
        self._error: errors.KafkaError | None = None

    def __bool__(self) -> bool:
        return not self._drained

    def drain(self) -> None:
        """Let go of the records."""
        if not self._drained:
            self._drained = True
            self._records, self._batches = NOTHING, None
            if self._metrics:
                self._metrics.record(self.topic_partition, self.bytes_read, self.records_read)
            self._on_drain(self)

    def take(self, n: int | None = None) -> _Taken:
        """The next records, at most ``n``; fewer do not mean the end."""
        if self._drained:
            return _Taken()
        if self._batches is None:
            self._batches = self._checked()
        while not len(self._records) and len(self._batches):
            self._records, self._batches = self._read(self._batches)
        taken = _Taken()
        if len(self._records):
            count = len(self._records) if n is None else min(n, len(self._records))
            taken = _Taken(self._records.first(count))
            self.next_fetch_offset = int(self._records.records[OFFSET, count - 1]) + 1
            self.leader_epoch = int(self._records.records[LEADER, count - 1])
            self.records_read += count
            self.bytes_read = len(self._buffer)
            self._records = self._records.rest(count)
        elif self._error is not None:
            raise self._error
        if not len(self._records) and not len(self._batches) and self._error is None:
            # Past what is not handed out, too, or that would be fetched again and again.
            self.next_fetch_offset, self.leader_epoch = self._end
            self.drain()
        return taken

    def _checked(self) -> Ints:
        """The batches (m, BATCH_COLUMNS) with records to hand out, up to the first damaged one."""
        data = np.frombuffer(self._buffer, np.uint8)
        batches = np.empty((len(data) // HEAD + 1, BATCH_COLUMNS), np.int64)
        batches = batches[: walk_batches(data, batches)]
        view = memoryview(self._buffer)
        content = _rows(batches, BODY, END, CRC, COUNT)
        for row, (begin, end, checksum, count) in enumerate(content):
            if count < 0 or crc32c(view[begin:end]) != checksum:
                self._error = self._damage(batches[row], "failed its CRC check")
                batches = batches[:row]
                break
        if len(batches):
            self._end = int(batches[-1, LAST]) + 1, int(batches[-1, EPOCH])
        return batches[self._kept(batches)]

    def _kept(self, batches: Ints) -> Bools:
        """Which (m,) of the batches hold records to hand out: no markers, and nothing aborted."""
        kept: Bools = (batches[:, ATTRIBUTES] & CONTROL) == 0
        if not self._aborted:
            return kept
        waiting = deque(sorted(self._aborted, key=lambda aborted: aborted.first_offset))
        aborting: set[int] = set()
        heads = _rows(batches, LAST, ATTRIBUTES, PRODUCER, MARKER)
        for row, (last, attributes, producer, marker) in enumerate(heads):
            if producer < 0:
                continue
            while waiting and waiting[0].first_offset <= last:
                aborting.add(waiting.popleft().producer_id)
            if attributes & CONTROL:
                if marker == ABORT:
                    aborting.discard(producer)
            elif attributes & TRANSACTIONAL and producer in aborting:
                kept[row] = False
        return kept

    def _read(self, batches: Ints) -> tuple[Columns, Ints]:
        """The records of the first batches, from the offset asked for on; the batches after."""
        data, ready, error = self._unpacked(batches)
        possible = (ready[:, END] - ready[:, START]) // SMALLEST_RECORD
        sound = ready[: _first((ready[:, COUNT] < 0) | (ready[:, COUNT] > possible))]
        records = np.empty((RECORD_COLUMNS, int(sound[:, COUNT].sum())), np.int64)
        read = read_records(data, sound, records)
        rest = batches[len(ready) :]
        if read < len(ready):
            error = self._damage(ready[read], "holds no records that can be read")
            records = records[:, : int(ready[:read, COUNT].sum())]
        if error is not None:  # what was found further behind does not matter any more
            self._error, rest = error, batches[:0]
        return Columns(data, records[:, _first(records[OFFSET] >= self.fetch_offset) :]), rest

    def _unpacked(self, batches: Ints) -> tuple[Buffer, Ints, errors.KafkaError | None]:
        """The first of the batches without compression, and the bytes that they are in.

        Not all at once where they are compressed, which bounds the memory. The error is about
        the batch after them.
        """
        codecs = batches[:, ATTRIBUTES] & CODEC
        if not codecs[0]:
            return np.frombuffer(self._buffer, np.uint8), batches[: _first(codecs > 0)], None
        parts: list[bytes] = []
        size, error = 0, None
        for batch in batches[: _first(codecs == 0)]:
            try:
                parts.append(self._payload(batch))
            except errors.UnsupportedCodecError as cause:
                error = cause
            except Exception as cause:  # each codec has errors of its own
                error = self._damage(batch, f"cannot be unpacked ({cause})")
            if error is not None or (size := size + len(parts[-1])) > UNPACKED_BYTES:
                break
        ready = batches[: len(parts)].copy()
        ready[:, END] = np.cumsum([len(part) for part in parts])
        ready[:, START] = ready[:, END] - [len(part) for part in parts]
        return np.frombuffer(b"".join(parts), np.uint8), ready, error

    def _payload(self, batch: Ints) -> bytes:
        """A compressed batch's records."""
        number = int(batch[ATTRIBUTES] & CODEC)
        if number not in _CODECS:
            raise errors.UnsupportedCodecError(f"Unrecognized compression type: {number}")
        name, available, decode = _CODECS[number]
        if not available():
            raise errors.UnsupportedCodecError(f"Libraries for {name} compression codec not found")
        payload = self._buffer[batch[START] : batch[END]]
        return bytes(decode(payload)) if batch[COUNT] else b""

    def _damage(self, batch: Ints, what: str) -> errors.KafkaError:
        topic, partition = self.topic_partition
        return errors.CorruptRecordError(
            f"Record batch of {topic}, partition {partition}, at offset {batch[BASE]} {what}"
        )


def _rows(batches: Ints, *columns: int) -> Iterator[tuple[int, ...]]:
    return zip(*(batches[:, column].tolist() for column in columns), strict=True)


def _first(flags: Bools) -> int:
    """The first place that is true, else the end."""
    return int(flags.argmax()) if flags.any() else len(flags)


def _partition_records(
    library: Callable[..., Any], fetch_offset: int, tp: Any, records: Any, **options: Any
) -> Any:
    """Records in columns; what a topic holds from before Kafka 0.11, as the library reads it."""
    old = len(records._buffer) > MAGIC and records._buffer[MAGIC] != 2
    return (library if old else PartitionRecords)(fetch_offset, tp, records, **options)


def _fetched(library: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[Any, bool]:
    """What has come in; and always ask for more, of which :func:`_ask` knows the right moment."""
    return library(*arguments, **named)[0], False


def _ask(fetcher: Any, library: Callable[[], Any]) -> None:
    """Ask for more records when that brings some at once, or when all are handed out.

    A broker answers one request after the other, and waits for records where there are none. The
    library asks for the partitions that are drained as soon as it hands out the last one's
    records: too late to have more in time if they have any, and if not, that last one waits, too.
    """
    held = fetcher._completed_fetches.copy()
    if held or fetcher._next_partition_records:
        if sum(len(fetch.partition_data.records or b"") for fetch in held) > AHEAD_BYTES:
            return
        states = fetcher._subscriptions.assignment
        drained = [states[partition] for partition in fetcher._fetchable_partitions()]
        if not any(
            state.highwater and state.position.offset < state.highwater for state in drained
        ):
            return
    library()


def _received(transport: Any) -> tuple[bytes, errors.KafkaError | None]:
    """All that has come in on a connection, and why no more will."""
    parts = []
    try:
        while part := transport._sock.recv(RECEIVE_BYTES):
            parts.append(part)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return b"".join(parts), None
    except Exception as cause:  # also where another thread closed the connection meanwhile
        return b"".join(parts), errors.KafkaConnectionError(cause)
    return b"".join(parts), errors.KafkaConnectionError("socket disconnected")


def install(consumer: Any) -> None:
    """Let a consumer hand out its records in columns, where that is possible."""
    version = tuple(int(part) for part in re.findall(r"\d+", kafka.__version__)[:3])
    missing = [part for part in _PARTS if not _has(consumer, part)]
    missing += [part for owner, part in _CLASS_PARTS if not _has(owner, part)]
    if not KNOWN[0] <= version < KNOWN[1] or missing:
        _not_known(kafka.__version__, ", ".join(missing))
        return
    fetcher = consumer._fetcher
    fetcher.PartitionRecords = functools.partial(_partition_records, fetcher.PartitionRecords)
    fetcher.fetched_records = functools.partial(_fetched, fetcher.fetched_records)
    fetcher.send_fetches = functools.partial(_ask, fetcher, fetcher.send_fetches)
    for transport in (KafkaTCPTransport, KafkaSSLTransport):
        transport._sock_recv = _received
    # Compiled here, not under the first records.
    walk_batches(NOTHING.data, np.empty((0, BATCH_COLUMNS), np.int64))
    read_records(NOTHING.data, np.empty((0, BATCH_COLUMNS), np.int64), NOTHING.records)
    _columnar.add(consumer)


def further(
    consumer: Any, seconds: float, max_records: int
) -> tuple[dict[Any, list[Any]], bool] | None:
    """What a poll would bring, without its part in the group; and whether nothing is under way.

    None when the library's next poll would take part in a rebalance, or the library is not known.
    """
    coordinator = consumer._coordinator
    if consumer not in _columnar or coordinator.need_rejoin() or not coordinator.stable():
        return None
    fetched: tuple[dict[Any, list[Any]], bool] = consumer._fetcher.fetch_records(
        max_records, timeout_ms=seconds * 1000
    )
    return fetched


def _has(owner: Any, part: str) -> bool:
    try:
        operator.attrgetter(part)(owner)
    except AttributeError:
        return False
    return True


@functools.cache
def _not_known(version: str, missing: str) -> None:
    """Say it once."""
    log.warning(
        "this kafka-python is not known: records are read by its public API, which takes longer",
        extra={"version": version, "missing": missing},
    )


def record_batch(source: TopicPartition, taken: Sequence[Any]) -> RecordBatch:
    """What a poll brought of one partition, which is not nothing."""
    if isinstance(taken[0], Columns):
        return Columns.joined(taken).batch(source)
    return RecordBatch.of(
        source,
        [record.offset for record in taken],
        [record.timestamp for record in taken],
        [record.key for record in taken],
        [record.value for record in taken],
        [record.headers for record in taken],
        next_offset=taken[-1].offset + 1,
    )
