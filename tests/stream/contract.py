"""What the tests of the broker protocol have in common."""

import time
from collections.abc import Callable, Iterable

from vitalwatch.stream.broker import Broker, Poll, Source, TopicPartition

Name = Callable[[str], str]
MakeTopic = Callable[..., str]
DEADLINE = 20.0


def publish(broker: Broker, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> None:
    publisher = broker.publisher()
    for key, value in records:
        publisher.send(topic, key, value)
    publisher.close()


def read(broker: Broker, topic: str, partition: int = 0) -> list[bytes | None]:
    batches = broker.read(TopicPartition(topic, partition), 0)
    return [value for batch in batches for value in batch.values]


def values(polls: Iterable[Poll]) -> list[bytes | None]:
    return [value for poll in polls for batch in poll.batches for value in batch.values]


def take(source: Source, count: int, max_records: int = 1000) -> list[Poll]:
    """Poll until ``count`` records came; fail when they do not come, or more."""
    polls: list[Poll] = []
    end = time.monotonic() + DEADLINE
    while len(values(polls)) < count and time.monotonic() < end:
        polls.append(source.poll(0.2, max_records))
    assert len(values(polls)) == count
    return polls


def settle(sources: dict[str, Source], done: Callable[[], bool]) -> dict[str, list[Poll]]:
    """Poll all members in turn until ``done``."""
    polls: dict[str, list[Poll]] = {member: [] for member in sources}
    end = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < end, "the group does not settle"
        for member, source in sources.items():
            polls[member].append(source.poll(0.05, 1000))
    return polls


def join(source: Source) -> None:
    settle({"only": source}, lambda: bool(source.assignment()))


def last_membership(polls: list[Poll]) -> tuple[Poll, dict[TopicPartition, int]]:
    """The last poll, and what to commit after all of them."""
    return polls[-1], {b.source: b.next_offset for poll in polls for b in poll.batches}
