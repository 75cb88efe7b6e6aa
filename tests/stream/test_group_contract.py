"""What every backend does with groups and their members; each test runs on each of them."""

import time

import pytest

from tests.stream.contract import (
    DEADLINE,
    MakeTopic,
    Name,
    join,
    last_membership,
    publish,
    settle,
    take,
    values,
)
from vitalwatch.errors import Fenced
from vitalwatch.stream.broker import Broker, RecordBatch, TopicPartition


class TestGroups:
    def test_a_group_starts_at_the_beginning_and_goes_on_at_its_commit(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(), name("group")
        publish(broker, topic, [(b"k", b"%d" % i) for i in range(10)])
        source, sink = broker.source([topic], group), broker.sink(group)
        first = take(source, 4, max_records=4)
        poll, offsets = last_membership(first)
        sink.begin()
        sink.commit(offsets, poll.membership)
        take(source, 3, max_records=3)  # read and not committed
        source.close()
        sink.close()

        again = broker.source([topic], group)
        assert values(take(again, 6)) == [b"%d" % i for i in range(4, 10)]
        again.close()

        other = broker.source([topic], name("other"))
        assert len(values(take(other, 10))) == 10
        other.close()

    def test_partitions_come_assigned_before_their_records(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic(partitions=2)
        both = {TopicPartition(topic, 0), TopicPartition(topic, 1)}
        publish(broker, topic, [(b"%d" % i, b"x") for i in range(10)])
        source = broker.source([topic], name("group"))
        assigned: set[TopicPartition] = set()
        for poll in take(source, 10):
            assert {batch.source for batch in poll.batches} <= assigned
            assigned |= poll.assigned
            assert not poll.revoked
        assert assigned == both == source.assignment()
        source.close()

    def test_seeking_on_assignment_decides_the_first_record(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic()
        partition = TopicPartition(topic, 0)
        publish(broker, topic, [(b"k", b"%d" % i) for i in range(10)])
        source = broker.source([topic], name("group"))
        join(source)
        source.seek(partition, 7)
        assert values(take(source, 3)) == [b"7", b"8", b"9"]
        source.seek(partition, 2)
        assert values(take(source, 8)) == [b"%d" % i for i in range(2, 10)]
        source.close()

    def test_a_second_member_takes_its_share_and_gives_it_back(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(partitions=4), name("group")
        every = {TopicPartition(topic, p) for p in range(4)}
        one = broker.source([topic], group)
        join(one)
        assert one.assignment() == every

        two = broker.source([topic], group)
        polls = settle(
            {"one": one, "two": two},
            lambda: len(one.assignment()) == len(two.assignment()) == 2,
        )
        moved = frozenset().union(*(p.revoked for p in polls["one"]))
        kept = frozenset().union(*(p.assigned for p in polls["one"]))
        came = frozenset().union(*(p.assigned for p in polls["two"]))
        assert one.assignment() | two.assignment() == every
        assert moved - kept == came == two.assignment()

        two.close()
        settle({"one": one}, lambda: one.assignment() == every)
        one.close()

    def test_members_keep_what_does_not_move(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(partitions=4), name("group")
        one = broker.source([topic], group)
        join(one)
        two = broker.source([topic], group)
        polls = settle({"one": one, "two": two}, lambda: len(two.assignment()) == 2)
        assert len(frozenset().union(*(p.revoked for p in polls["one"]))) == 2
        one.close()
        two.close()

    def test_a_partition_goes_on_with_its_next_owner_at_the_committed_offset(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(partitions=2), name("group")
        publish(broker, topic, [(b"%d" % i, b"%d" % i) for i in range(20)])
        one, sink = broker.source([topic], group), broker.sink(group)
        poll, offsets = last_membership(take(one, 20))
        sink.begin()
        sink.commit(offsets, poll.membership)
        sink.close()
        two = broker.source([topic], group)
        sources = {"one": one, "two": two}
        settle(sources, lambda: len(one.assignment()) == len(two.assignment()) == 1)
        publish(broker, topic, [(b"%d" % i, b"new %d" % i) for i in range(20)])

        got: list[bytes | None] = []
        end = time.monotonic() + DEADLINE
        while len(got) < 20 and time.monotonic() < end:
            for source in sources.values():
                got += values([source.poll(0.1, 1000)])

        assert sorted(v for v in got if v) == sorted(b"new %d" % i for i in range(20))
        one.close()
        two.close()

    def test_a_named_member_comes_back_to_its_partitions_and_fences_its_predecessor(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(partitions=2), name("group")
        publish(broker, topic, [(b"%d" % i, b"x") for i in range(10)])
        one = broker.source([topic], group, instance="worker-1")
        two = broker.source([topic], group, instance="worker-2")
        settle({"one": one, "two": two}, lambda: bool(one.assignment() and two.assignment()))
        mine = one.assignment()
        stale = one.poll(0.1, 1000)
        sink = broker.sink(name("sink"))

        again = broker.source([topic], group, instance="worker-1")
        polls = settle({"again": again, "two": two}, lambda: bool(again.assignment()))

        assert again.assignment() == mine
        assert not any(poll.revoked or poll.assigned for poll in polls["two"])
        sink.begin()
        with pytest.raises(Fenced):
            sink.commit(dict.fromkeys(mine, 1), stale.membership)
        sink.close()

    def test_lag_falls_to_zero(self, broker: Broker, make_topic: MakeTopic, name: Name) -> None:
        topic = make_topic()
        partition = TopicPartition(topic, 0)
        sink = broker.sink(name("sink"))
        sink.begin()
        for i in range(10):
            sink.append(topic, b"k", b"%d" % i)
        sink.commit({}, None)
        sink.close()
        source = broker.source([topic], name("group"))
        take(source, 4, max_records=4)
        assert source.lag()[partition] >= 6
        take(source, 6)
        settle({"source": source}, lambda: source.lag() == {partition: 0})
        source.close()

    def test_an_empty_poll_returns_nothing_and_keeps_the_membership(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(), name("group")
        source = broker.source([topic], group)
        join(source)
        first, second = source.poll(0, 10), source.poll(0.05, 10)
        assert first.batches == second.batches == []
        assert first.membership == second.membership
        assert second.membership.group == group
        assert not second.assigned
        assert not second.revoked
        source.close()

    def test_a_group_may_read_several_topics(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topics = [make_topic(), make_topic()]
        for topic in topics:
            publish(broker, topic, [(b"k", topic.encode())])
        source = broker.source(topics, name("group"))
        assert sorted(v for v in values(take(source, 2)) if v) == sorted(t.encode() for t in topics)
        source.close()


class TestMore:
    def test_it_goes_on_where_the_poll_ended_and_the_next_poll_after_it(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(), name("group")
        publish(broker, topic, [(b"k", b"%d" % i) for i in range(10)])
        source, sink = broker.source([topic], group), broker.sink(group)
        first = take(source, 3, max_records=3)

        batches: list[RecordBatch] = []
        while sum(len(batch) for batch in batches) < 6:
            (batch,) = source.more(DEADLINE, 2)
            assert 0 < len(batch) <= 2
            batches.append(batch)
        sink.begin()
        sink.commit({batches[-1].source: batches[-1].next_offset}, first[-1].membership)
        sink.close()

        assert source.committed(TopicPartition(topic, 0)) == 9
        read = [value for batch in batches for value in batch.values]
        assert values(first) + read + values(take(source, 1)) == [b"%d" % i for i in range(10)]
        source.close()

    def test_it_brings_what_comes_in_time_and_else_nothing(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic()
        source = broker.source([topic], name("group"))
        join(source)
        assert source.more(0.1, 10) == []
        publish(broker, topic, [(b"k", b"v")])
        (batch,) = source.more(DEADLINE, 10)
        assert list(batch.values) == [b"v"]
        source.close()

    def test_before_the_first_poll_there_is_nothing_to_go_on_with(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic()
        publish(broker, topic, [(b"k", b"v")])
        source = broker.source([topic], name("group"))
        assert source.more(0.1, 10) == []
        assert not source.assignment()
        source.close()

    def test_it_starts_where_the_owner_of_a_new_partition_wants(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic()
        publish(broker, topic, [(b"k", b"%d" % i) for i in range(10)])
        source = broker.source([topic], name("group"))
        join(source)
        source.seek(TopicPartition(topic, 0), 7)
        (batch,) = source.more(DEADLINE, 2)
        assert list(batch.values) == [b"7", b"8"]
        source.close()

    def test_a_rebalance_that_is_due_waits_for_the_commit_and_ends_it(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(partitions=2), name("group")
        every = {TopicPartition(topic, 0), TopicPartition(topic, 1)}
        publish(broker, topic, [(b"%d" % i, b"x") for i in range(2000)])
        one, sink = broker.source([topic], group), broker.sink(group)
        polls = take(one, 1, max_records=1)
        _, offsets = last_membership(polls)

        two = broker.source([topic], group)
        end = time.monotonic() + DEADLINE
        while batches := one.more(DEADLINE, 1):
            assert time.monotonic() < end
            offsets |= {batch.source: batch.next_offset for batch in batches}
            assert not two.poll(0.05, 1).assigned
        sink.begin()
        sink.commit(offsets, polls[-1].membership)
        sink.close()

        assert one.assignment() == every
        assert all(one.committed(source) == offset for source, offset in offsets.items())
        settle({"one": one, "two": two}, lambda: bool(two.assignment()))
        assert len(one.assignment()) == 1
        one.close()
        two.close()
