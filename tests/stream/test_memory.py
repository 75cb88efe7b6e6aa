"""What the in-process log has beside the contract: faults to order, and threads."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.errors import Fenced
from vitalwatch.stream.broker import TopicPartition, TopicSpec
from vitalwatch.stream.memory import MemoryBroker
from vitalwatch.stream.memory_group import Group, Member

PARTITION = TopicPartition("t", 0)


def broker_with(partitions: int, *values: bytes) -> MemoryBroker:
    broker = MemoryBroker()
    broker.create([TopicSpec("t", partitions)])
    publisher = broker.publisher()
    for value in values:
        publisher.send("t", value, value)
    return broker


def test_a_member_that_died_is_put_out_and_another_takes_its_partitions() -> None:
    broker = broker_with(2)
    one, two = broker.source(["t"], "g"), broker.source(["t"], "g")
    one.poll(0, 1)
    two.poll(0, 1)
    lost = one.assignment()

    broker.expire(one)

    assert two.poll(0, 1).assigned == lost


def test_a_member_that_was_put_out_loses_all_and_joins_anew() -> None:
    broker = broker_with(1, b"v")
    source, sink = broker.source(["t"], "g"), broker.sink("s")
    first = source.poll(0, 1)

    broker.expire(source)

    sink.begin()
    with pytest.raises(Fenced):
        sink.commit({PARTITION: 1}, first.membership)
    again = source.poll(0, 1)
    assert again.revoked == again.assigned == {PARTITION}
    assert again.membership != first.membership


def test_a_named_member_keeps_its_partitions_until_it_expires() -> None:
    broker = broker_with(1)
    one = broker.source(["t"], "g", instance="a")
    one.poll(0, 1)
    one.close()
    other = broker.source(["t"], "g")
    assert not other.poll(0, 1).assigned

    broker.expire(one)

    assert other.poll(0, 1).assigned == {PARTITION}


def test_the_predecessor_of_a_named_member_is_fenced_with_its_next_poll() -> None:
    broker = broker_with(1)
    old = broker.source(["t"], "g", instance="a")
    old.poll(0, 1)
    broker.source(["t"], "g", instance="a")
    with pytest.raises(Fenced):
        old.poll(0, 1)


def test_reading_starts_behind_what_retention_deleted() -> None:
    broker = broker_with(1, b"0", b"1", b"2", b"3")
    source = broker.source(["t"], "g")
    source.poll(0, 1)

    broker.trim(PARTITION, 2)

    assert broker.bounds(PARTITION) == (2, 4)
    assert list(source.poll(0, 10).batches[0].values) == [b"2", b"3"]
    assert [list(batch.values) for batch in broker.read(PARTITION, 0)] == [[b"2", b"3"]]


def test_a_commit_takes_one_more_offset_as_kafkas_marker_does() -> None:
    broker = broker_with(1)
    sink = broker.sink("s")
    for value in (b"a", b"b"):
        sink.begin()
        sink.append("t", b"k", value)
        sink.commit({}, None)
    (batch,) = broker.read(PARTITION, 0)
    assert batch.offsets.tolist() == [0, 2]
    assert broker.bounds(PARTITION) == (0, 4)


def test_time_comes_from_the_clock_it_is_given() -> None:
    broker = MemoryBroker(clock=lambda: 1.5)
    broker.create([TopicSpec("t", 1)])
    broker.publisher().send("t", b"k", b"v")
    (batch,) = broker.read(PARTITION, 0)
    assert batch.timestamps.tolist() == [1500]


def test_a_waiting_poll_wakes_for_a_record_of_another_thread() -> None:
    broker = broker_with(1)
    source = broker.source(["t"], "g")
    source.poll(0, 1)
    polled = threading.Event()
    values: list[bytes | None] = []

    def wait() -> None:
        values.extend(source.poll(60, 1).batches[0].values)
        polled.set()

    thread = threading.Thread(target=wait)
    thread.start()
    broker.publisher().send("t", b"k", b"v")
    assert polled.wait(10)
    thread.join()
    assert values == [b"v"]


def test_threads_lose_and_double_nothing() -> None:
    broker = broker_with(4)
    broker.create([TopicSpec("out", 4)])
    count, done = 400, threading.Event()

    def produce(tag: int) -> None:
        publisher = broker.publisher()
        for i in range(count):
            publisher.send("t", b"%d" % i, b"%d/%d" % (tag, i))

    def work(tag: int) -> None:
        source, sink = broker.source(["t"], "g"), broker.sink(f"worker-{tag}")
        while not done.is_set():
            poll = source.poll(0.01, 7)
            sink.begin()
            for batch in poll.batches:
                for key, value in zip(batch.keys, batch.values, strict=True):
                    sink.append("out", key, value)
            offsets = {batch.source: batch.next_offset for batch in poll.batches}
            try:
                sink.commit(offsets, poll.membership)
            except Fenced:
                sink = broker.sink(f"worker-{tag}")
                for source_partition in source.assignment():
                    start = source.committed(source_partition) or 0
                    source.seek(source_partition, start)

    def outputs() -> list[bytes | None]:
        partitions = [TopicPartition("out", p) for p in range(4)]
        return [v for p in partitions for b in broker.read(p, 0) for v in b.values]

    threads = [threading.Thread(target=f, args=(i,)) for f in (produce, work) for i in range(3)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 30
    while len(outputs()) < 3 * count and time.monotonic() < end:
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert sorted(v for v in outputs() if v) == sorted(
        b"%d/%d" % (tag, i) for tag in range(3) for i in range(count)
    )


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=20), st.integers(1, 12))
def test_any_coming_and_going_leaves_an_even_and_steady_assignment(
    steps: list[tuple[bool, int]], count: int
) -> None:
    group, partitions = Group(), [TopicPartition("t", p) for p in range(count)]
    for joins, member in steps:
        if joins == (member in group.members):
            continue
        before = dict(group.target)
        if joins:
            group.add(Member(member, frozenset({"t"}), None))
        else:
            group.remove(member)
        if not group.members:
            continue
        group.rebalance(partitions)
        loads = [list(group.target.values()).count(m) for m in group.members]
        assert sum(loads) == count
        assert max(loads) - min(loads) <= 1
        stayed = [p for p in partitions if before.get(p) in group.members]
        moved = [p for p in stayed if group.target[p] != before[p]]
        assert all(joins and group.target[p] == member for p in moved)
