"""A ward that publishes at a steady rate, as a process: each reading bears the time it is due at.

    python -m tests.benchmarks.publisher ADDRESS TOPIC RATE PATIENTS SECONDS [--crossing N]

Of the first N patients each has a heart rate beyond its critical limit for 20 s in every two
minutes, one after the other, so that alerts come all the time.

Devices are many and elsewhere, and what stands for them here should cost this machine next to
nothing. So batches of records are made beforehand, as a client with a linger of some milliseconds
would make them, and when one is due only times, crossings and its checksum are put in. A reading
that is sent late was due all the same: its age counts from then.
"""

import argparse
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from crc32c import crc32c
from kafka.partitioner import murmur2
from kafka.record.default_records import DefaultRecordBatchBuilder

from tests.benchmarks.cluster import PARTITIONS
from tests.benchmarks.load import Wire, ward, wire

CYCLE_SECONDS: Final = 120.0  # longer than an alarm takes to be raised, cleared and forgotten
CROSSING_SECONDS: Final = 20.0
WITHIN, BEYOND = b"80", b"25"  # per minute, of those who cross

_LINGER_SECONDS: Final = 0.005
_LATE_SECONDS: Final = 0.1
_LEAST_WIRES: Final = 20_000
_MOST_IN_FLIGHT: Final = 64  # requests, of 8 batches or fewer
_MARK: Final = 1_111_111_111_111  # a time that is replaced before it is sent
_DIGITS: Final = 10 ** np.arange(12, -1, -1)
# Where these are in a batch of records, of version 2.
_CHECKSUM, _CHECKED, _TIMES = 17, 21, slice(27, 43)


class Batch(NamedTuple):
    """Records of one partition, to be sent again and again with other times."""

    data: np.ndarray[tuple[int], np.dtype[np.uint8]]
    times_at: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    """Where the 13 digits of each reading's time are."""

    rates_at: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    """Where the 2 digits of the heart rates of those who cross are."""

    begins: np.ndarray[tuple[int], np.dtype[np.float64]]
    """When in a cycle the crossing of each of those begins, in seconds."""

    def at(self, times: np.ndarray[tuple[int], np.dtype[np.int64]]) -> bytes:
        """The batch with readings of these ``times``, in ms."""
        data = self.data
        data[self.times_at] = times[:, None] // _DIGITS % 10 + ord("0")
        if len(self.begins):
            since = (times[-1] / 1000 - self.begins) % CYCLE_SECONDS
            crossing = since < CROSSING_SECONDS
            data[self.rates_at] = np.where(crossing[:, None], [*BEYOND], [*WITHIN])
        data[_TIMES] = np.frombuffer(struct.pack(">qq", times[0], times[0]), dtype=np.uint8)
        view = data.data
        struct.pack_into(">I", view, _CHECKSUM, crc32c(view[_CHECKED:]))
        return data.tobytes()


def batches(patients: int, crossings: int, size: int) -> list[list[Batch]]:
    """By partition, batches of ``size`` records of a ward, whole rounds of all its patients.

    ``crossings`` is how many of the patients cross their limit now and then.
    """
    frames = max(1, _LEAST_WIRES // patients)
    numbers: dict[bytes, int] = {}
    queues: list[list[tuple[Wire, float | None]]] = [[] for _ in range(PARTITIONS)]
    for each in islice(wire(ward(patients)), frames * patients):
        number = numbers.setdefault(each.key, len(numbers))
        begin = number / crossings * CYCLE_SECONDS if number < crossings else None
        if begin is not None:
            each = each._replace(after=re.sub(rb'"hr":\d+', b'"hr":' + WITHIN, each.after))
        queues[(murmur2(each.key) & 0x7FFFFFFF) % PARTITIONS].append((each, begin))
    return [
        [_batch(queue[at : at + size]) for at in range(0, len(queue), size)] for queue in queues
    ]


def _batch(records: Sequence[tuple[Wire, float | None]]) -> Batch:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 2**24)
    begins, rates_at = [], []
    for place, (each, _) in enumerate(records):
        builder.append(place, _MARK, each.key, each.value(_MARK), [])
    data = bytes(builder.build())
    times_at = [found.start() for found in re.finditer(b"%d" % _MARK, data)]
    for (each, begin), at in zip(records, times_at, strict=True):
        rate = each.after.find(b'"hr":' + WITHIN)
        if begin is not None and rate >= 0:
            begins.append(begin)
            rates_at.append(at + 13 + rate + len(b'"hr":'))
    return Batch(
        np.frombuffer(bytearray(data), dtype=np.uint8),
        np.array(times_at, dtype=np.int64)[:, None] + np.arange(13),
        np.array(rates_at, dtype=np.int64)[:, None] + np.arange(2),
        np.array(begins),
    )


class Due(NamedTuple):
    """What is to be sent of one partition, and how late it is."""

    partition: int
    records: bytes
    readings: int
    late: bool


def schedule(
    made: Sequence[Sequence[Batch]], rate: float, seconds: float, began: float
) -> Iterator[list[Due]]:
    """What is due, whenever this is asked, until ``seconds`` after ``began`` (UNIX time).

    Partitions share the ``rate`` by how many readings of a round are theirs. A batch is due with
    its last reading.
    """
    all_readings = sum(len(batch.times_at) for queue in made for batch in queue)
    paces = [
        all_readings / rate / max(1, sum(len(batch.times_at) for batch in queue)) for queue in made
    ]
    sent, places = [0] * len(made), [0] * len(made)
    while (now := time.time()) < began + seconds:
        due = []
        for partition, (queue, pace) in enumerate(zip(made, paces, strict=True)):
            if not queue:
                continue
            batch = queue[places[partition] % len(queue)]
            count = len(batch.times_at)
            end = began + (sent[partition] + count) * pace
            if end > now:
                continue
            moments = began + (sent[partition] + 1 + np.arange(count)) * pace
            records = batch.at((moments * 1000).astype(np.int64))
            due.append(Due(partition, records, count, now - end > _LATE_SECONDS))
            sent[partition] += count
            places[partition] += 1
        yield due


class Connection:
    """Sends batches of records to the node that leads all partitions of a topic."""

    def __init__(self, address: str, topic: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = topic.encode()
        self._topic = struct.pack(">ih", 1, len(name)) + name
        self._free = threading.Semaphore(_MOST_IN_FLIGHT)
        self._number = 0
        self._failure: str | None = None
        threading.Thread(target=self._answers, daemon=True).start()

    def send(self, due: Sequence[Due]) -> None:
        """Send one request; waits while too many are unanswered."""
        self._free.acquire()
        if self._failure:
            raise RuntimeError(self._failure)
        self._number += 1
        # Request 0, produce, of version 3, without a client's name and a transaction's.
        parts = [struct.pack(">hhihhhi", 0, 3, self._number, -1, -1, 1, 30_000), self._topic]
        parts.append(struct.pack(">i", len(due)))
        for each in due:
            parts += [struct.pack(">ii", each.partition, len(each.records)), each.records]
        self._socket.sendall(struct.pack(">i", sum(map(len, parts))) + b"".join(parts))

    def close(self) -> None:
        """Wait for all answers."""
        for _ in range(_MOST_IN_FLIGHT):
            if not self._free.acquire(timeout=30):
                raise RuntimeError("the node does not answer")
        self._socket.close()
        if self._failure:
            raise RuntimeError(self._failure)

    def _answers(self) -> None:
        with self._socket.makefile("rb") as answers:
            while len(size := answers.read(4)) == 4:
                answer = answers.read(*struct.unpack(">i", size))
                at = 4 + len(self._topic)
                (count,) = struct.unpack_from(">i", answer, at)
                for partition, error, _, _ in struct.iter_unpack(
                    ">ihqq", answer[at + 4 : at + 4 + 22 * count]
                ):
                    if error:
                        self._failure = f"partition {partition} was not written: error {error}"
                self._free.release()


def main() -> None:
    """Publish, and print what was done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("rate", type=float)
    parser.add_argument("patients", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--crossing", type=int, default=0)
    given = parser.parse_args()
    size = max(1, round(given.rate / PARTITIONS * _LINGER_SECONDS))
    made = batches(given.patients, given.crossing, size)
    late = 0
    with closing(Connection(given.address, given.topic)) as connection:
        for due in schedule(made, given.rate, given.seconds, time.time()):
            if due:
                connection.send(due)
                late += sum(each.readings for each in due if each.late)
            else:
                time.sleep(_LINGER_SECONDS / 5)
    print(json.dumps({"late": late}))


if __name__ == "__main__":
    main()
