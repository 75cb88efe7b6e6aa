"""A consumer of committed outputs, as a process: how old is what it sees?

    python -m tests.benchmarks.watcher alerts|scores|readings ADDRESS TOPIC FILE SECONDS
                                       [--partitions N]

It prints ``ready`` when it reads, and in the end writes the readings' times and their ages when
they were seen, two rows of seconds, to FILE. Of alerts it takes those that were raised or
escalated by a reading.
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition


class _Block(msgspec.Struct):
    """Of a block of scores."""

    times: list[int]


class _Alert(msgspec.Struct):
    """Of an alert."""

    event: str
    kind: str
    time: int


def times(kind: str, value: bytes, timestamp: int) -> Iterable[int]:
    """Times in ms of the readings that a record tells of."""
    if kind == "readings":
        return (timestamp,)
    if kind == "scores":
        return msgspec.json.decode(value, type=_Block).times
    alert = msgspec.json.decode(value, type=_Alert)
    told = alert.event in ("raised", "escalated") and alert.kind == "physiological"
    return (alert.time,) if told else ()


def main() -> None:
    """Watch, and write what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["alerts", "scores", "readings"])
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("file", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--partitions", type=int, default=8, help="of so many only")
    given = parser.parse_args()
    consumer = KafkaConsumer(
        bootstrap_servers=given.address,
        isolation_level="read_committed",
        auto_offset_reset="latest",
        max_partition_fetch_bytes=16 * 2**20,
    )
    consumer.assign([TopicPartition(given.topic, number) for number in range(given.partitions)])
    consumer.poll(1000)
    print("ready", flush=True)
    seen: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
    end = time.time() + given.seconds
    while time.time() < end:
        for records in consumer.poll(100).values():
            now = time.time()
            for record in records:
                told = times(given.kind, record.value, record.timestamp)
                moments = np.array(list(told), dtype=np.float64) / 1000
                seen.append(np.stack((moments, now - moments)))
    consumer.close()
    np.save(given.file, np.concatenate(seen, axis=1) if seen else np.empty((2, 0)))


if __name__ == "__main__":
    main()
