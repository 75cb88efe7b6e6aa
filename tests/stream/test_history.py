import pytest

from vitalwatch.stream.broker import TopicPartition, TopicSpec
from vitalwatch.stream.history import begins
from vitalwatch.stream.memory import MemoryBroker

MINUTE = 60_000
SOURCE = TopicPartition("readings", 0)


def log(*minutes: float) -> MemoryBroker:
    """A record at each of these minutes."""
    broker = MemoryBroker()
    broker.create([TopicSpec("readings", 1)])
    publisher = broker.publisher()
    for minute in minutes:
        publisher.send("readings", b"k", b"v", timestamp=round(minute * MINUTE))
    return broker


def test_it_is_the_first_record_of_the_last_minutes() -> None:
    assert begins(log(*range(100)), SOURCE, 100, 30.0) == 62  # 15 records are as good as one


def test_one_record_with_a_wrong_timestamp_does_not_decide() -> None:
    wrong = 50_000
    assert begins(log(*range(99), wrong), SOURCE, 100, 30.0) == 62


@pytest.mark.parametrize("end", [0, 1])
def test_where_there_is_too_little_it_is_the_first_record(end: int) -> None:
    assert begins(log(5), SOURCE, end, 30.0) == 0
