"""What every backend of the broker protocol does; each test runs on each of them."""

import time
from collections.abc import Callable, Iterable
from typing import ClassVar

import pytest

from vitalwatch.errors import BrokerError, Fenced
from vitalwatch.stream.broker import Broker, Poll, RecordBatch, Source, TopicPartition, TopicSpec

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


class TestRecords:
    def test_a_record_comes_back_as_it_went_in(self, broker: Broker, make_topic: MakeTopic) -> None:
        topic = make_topic()
        publisher = broker.publisher()
        headers = [("reason", b"late"), ("origin", b"\xff\x00"), ("reason", b"again")]
        publisher.send(topic, "Zoë".encode(), b"\x00\xffvalue", timestamp=1_234, headers=headers)
        publisher.close()

        (batch,) = broker.read(TopicPartition(topic, 0), 0)

        assert batch.source == TopicPartition(topic, 0)
        assert list(batch.keys) == ["Zoë".encode()]
        assert list(batch.values) == [b"\x00\xffvalue"]
        assert batch.timestamps.tolist() == [1_234]
        assert [list(h) for h in batch.headers] == [headers]
        assert batch.offsets.tolist() == [0]
        assert len(batch) == 1

    def test_a_tombstone_is_none_and_an_empty_value_is_empty(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic()
        publisher = broker.publisher()
        publisher.send(topic, b"key", None)
        publisher.send(topic, b"", b"")
        publisher.send(topic, None, b"no key")
        publisher.close()

        (batch,) = broker.read(TopicPartition(topic, 0), 0)

        assert list(batch.values) == [None, b"", b"no key"]
        assert list(batch.keys) == [b"key", b"", None]

    def test_a_record_needs_a_key_or_a_value(self, broker: Broker, make_topic: MakeTopic) -> None:
        topic = make_topic()
        publisher = broker.publisher()
        with pytest.raises(ValueError, match="key"):
            publisher.send(topic, None, None)
        publisher.close()

    def test_without_a_timestamp_a_record_bears_the_time_of_writing(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic()
        before = int(time.time() * 1000)
        publish(broker, topic, [(b"key", b"value")])

        (batch,) = broker.read(TopicPartition(topic, 0), 0)

        assert before <= batch.timestamps[0] <= time.time() * 1000 + 1

    def test_ten_megabytes_arrive_and_so_does_what_follows(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic(max_message_bytes=str(16 * 2**20))
        big = bytes(10 * 2**20)
        publish(broker, topic, [(b"k", b"before"), (b"k", big), (b"k", b"after")])

        source = broker.source([topic], name("group"))
        got = values(take(source, 3))
        source.close()

        assert got == [b"before", big, b"after"]


class TestPartitions:
    # Hashes from the unit tests of Kafka's own client, so that other programs agree with us too.
    HASHES: ClassVar = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"abc": 479470107,
        b"a-little-bit-longer-string": -1486304829,
    }

    def test_the_key_decides_by_kafkas_default_partitioner(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic(partitions=6)
        publish(broker, topic, [(key, key + b"!") for key in self.HASHES])
        sink = broker.sink(topic)
        sink.begin()
        for key in self.HASHES:
            sink.append(topic, key, key + b"?")
        sink.commit({}, None)
        sink.close()

        for partition in range(6):
            keys = [k for k, h in self.HASHES.items() if (h & 0x7FFFFFFF) % 6 == partition]
            assert read(broker, topic, partition) == [
                key + mark for mark in (b"!", b"?") for key in keys
            ]

    def test_a_record_without_a_key_goes_to_some_partition(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic(partitions=3)
        publish(broker, topic, [(None, b"%d" % i) for i in range(10)])

        got = [value for partition in range(3) for value in read(broker, topic, partition)]

        assert sorted(v for v in got if v is not None) == [b"%d" % i for i in range(10)]

    def test_a_sink_writes_to_the_partition_that_it_is_told(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic(partitions=3)
        sink = broker.sink(topic)
        sink.begin()
        for partition in (2, 0, 2):
            sink.append(topic, b"same key", b"%d" % partition, partition=partition)
        sink.commit({}, None)
        sink.close()

        assert [read(broker, topic, p) for p in range(3)] == [[b"0"], [], [b"2", b"2"]]

    def test_order_holds_within_a_partition_however_small_the_polls(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic(partitions=3)
        sent = [(b"%d" % (i % 7), b"%d" % i) for i in range(300)]
        publish(broker, topic, sent)
        source = broker.source([topic], name("group"))
        polls = take(source, 300, max_records=17)
        source.close()

        assert all(len(batch) for poll in polls for batch in poll.batches)
        assert max(sum(len(batch) for batch in poll.batches) for poll in polls) <= 17
        for key in {key for key, _ in sent}:
            got = [
                value
                for poll in polls
                for batch in poll.batches
                for k, value in zip(batch.keys, batch.values, strict=True)
                if k == key
            ]
            assert got == [value for k, value in sent if k == key]

    def test_a_poll_has_one_batch_a_partition_with_ascending_offsets(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic(partitions=2)
        publish(broker, topic, [(b"%d" % i, b"x") for i in range(50)])
        source = broker.source([topic], name("group"))
        polls = take(source, 50)
        source.close()

        for poll in polls:
            assert len({batch.source for batch in poll.batches}) == len(poll.batches)
            for batch in poll.batches:
                assert batch.offsets.tolist() == sorted(set(batch.offsets.tolist()))
                assert batch.next_offset > batch.offsets[-1]


class TestTransactions:
    def test_outputs_and_offsets_appear_together(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        inputs, outputs, group = make_topic(), make_topic(), name("group")
        publish(broker, inputs, [(b"k", b"1"), (b"k", b"2")])
        source, sink = broker.source([inputs], group), broker.sink(group)
        poll, offsets = last_membership(take(source, 2))
        watcher = broker.source([outputs], name("watcher"))
        join(watcher)
        sink.begin()
        sink.append(outputs, b"k", b"sum 3")

        assert values([watcher.poll(0.2, 10)]) == []
        assert source.committed(TopicPartition(inputs, 0)) is None

        sink.commit(offsets, poll.membership)

        assert read(broker, outputs) == [b"sum 3"]
        assert source.committed(TopicPartition(inputs, 0)) == 2
        source.close()
        sink.close()

    def test_many_transactions_of_one_sink_follow_each_other(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic = make_topic()
        sink = broker.sink(name("sink"))
        for i in range(20):
            sink.begin()
            sink.append(topic, b"k", b"%d" % i)
            sink.commit({}, None)
        sink.close()

        assert read(broker, topic) == [b"%d" % i for i in range(20)]

    def test_an_empty_transaction_commits(self, broker: Broker, name: Name) -> None:
        sink = broker.sink(name("sink"))
        sink.begin()
        sink.commit({}, None)
        sink.close()

    def test_offsets_alone_can_be_committed(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(), name("group")
        publish(broker, topic, [(b"k", b"bad")])
        source, sink = broker.source([topic], group), broker.sink(group)
        poll, offsets = last_membership(take(source, 1))
        sink.begin()
        sink.commit(offsets, poll.membership)

        assert source.committed(TopicPartition(topic, 0)) == 1
        source.close()
        sink.close()

    def test_offsets_without_a_membership_are_refused(self, broker: Broker, name: Name) -> None:
        sink = broker.sink(name("sink"))
        sink.begin()
        with pytest.raises(ValueError, match="membership"):
            sink.commit({TopicPartition("any", 0): 1}, None)
        sink.close()

    @pytest.mark.parametrize("how", ["abort", "close"])
    def test_what_is_aborted_is_never_seen(
        self, broker: Broker, make_topic: MakeTopic, name: Name, how: str
    ) -> None:
        topic, identity = make_topic(), name("sink")
        publish(broker, topic, [(b"k", b"before")])
        sink = broker.sink(identity)
        sink.begin()
        sink.append(topic, b"k", b"aborted")
        sink.abort() if how == "abort" else sink.close()
        sink.close()
        sink = broker.sink(identity)
        sink.begin()
        sink.append(topic, b"k", b"after")
        sink.commit({}, None)
        sink.close()

        source = broker.source([topic], name("group"))
        assert values(take(source, 2)) == [b"before", b"after"]
        assert values([source.poll(0.2, 10)]) == []
        source.close()
        assert read(broker, topic) == [b"before", b"after"]

    def test_an_aborted_sink_is_finished(self, broker: Broker, name: Name) -> None:
        sink = broker.sink(name("sink"))
        sink.begin()
        sink.abort()
        with pytest.raises(RuntimeError):
            sink.begin()
        sink.close()

    def test_a_sink_must_begin_before_it_appends(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        sink = broker.sink(name("sink"))
        with pytest.raises(RuntimeError):
            sink.append(make_topic(), b"k", b"v")
        sink.close()

    def test_reading_goes_on_behind_the_gaps_that_transactions_leave(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(), name("group")
        sink = broker.sink(name("sink"))
        for value in (b"1", b"2", b"3"):
            sink.begin()
            sink.append(topic, b"k", value)
            sink.commit({}, None)
        sink.close()
        partition = TopicPartition(topic, 0)
        (whole,) = broker.read(partition, 0)
        source, committer = broker.source([topic], group), broker.sink(group)
        first = take(source, 1, max_records=1)
        poll, offsets = last_membership(first)
        committer.begin()
        committer.commit(offsets, poll.membership)
        source.close()
        committer.close()

        assert len(whole) == 3
        assert whole.next_offset <= broker.bounds(partition)[1]
        assert [v for b in broker.read(partition, int(whole.offsets[1])) for v in b.values] == [
            b"2",
            b"3",
        ]
        again = broker.source([topic], group)
        assert values(take(again, 2)) == [b"2", b"3"]
        again.close()


class TestFencing:
    def test_a_newer_sink_of_the_same_identity_fences_the_older(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, identity = make_topic(), name("sink")
        old = broker.sink(identity)
        old.begin()
        old.append(topic, b"k", b"zombie")
        new = broker.sink(identity)
        new.begin()
        new.append(topic, b"k", b"living")
        new.commit({}, None)

        with pytest.raises(Fenced):
            old.commit({}, None)
        old.close()

        new.begin()  # the zombie's end does not disturb the living
        new.append(topic, b"k", b"still")
        new.commit({}, None)
        new.close()
        assert read(broker, topic) == [b"living", b"still"]

    def test_a_membership_from_before_a_rebalance_is_fenced(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group, outputs = make_topic(partitions=2), name("group"), make_topic()
        publish(broker, topic, [(b"%d" % i, b"x") for i in range(10)])
        one, sink = broker.source([topic], group), broker.sink(name("sink"))
        stale, offsets = last_membership(take(one, 10))
        two = broker.source([topic], group)
        settle({"one": one, "two": two}, lambda: len(two.assignment()) == 1)
        sink.begin()
        sink.append(outputs, b"k", b"stale")

        with pytest.raises(Fenced):
            sink.commit(offsets, stale.membership)
        sink.close()

        assert read(broker, outputs) == []
        assert all(one.committed(TopicPartition(topic, p)) is None for p in range(2))
        one.close()
        two.close()

    def test_a_membership_from_before_leaving_is_fenced(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(), name("group")
        publish(broker, topic, [(b"k", b"x")])
        source, sink = broker.source([topic], group), broker.sink(name("sink"))
        poll, offsets = last_membership(take(source, 1))
        source.close()
        sink.begin()
        with pytest.raises(Fenced):
            sink.commit(offsets, poll.membership)
        sink.close()

    def test_the_membership_of_a_member_that_has_not_joined_commits_nothing(
        self, broker: Broker, make_topic: MakeTopic, name: Name
    ) -> None:
        topic, group = make_topic(), name("group")
        source, sink = broker.source([topic], group), broker.sink(name("sink"))
        join(source)
        poll = source.poll(0, 10)
        source.close()
        other = broker.source([topic], group)
        sink.begin()
        with pytest.raises(Fenced):
            sink.commit({TopicPartition(topic, 0): 1}, poll.membership)
        sink.close()
        join(other)
        assert other.committed(TopicPartition(topic, 0)) is None
        other.close()


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


class TestReading:
    def test_a_range_is_read_from_its_start_to_below_its_end(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic()
        publish(broker, topic, [(b"k", b"%d" % i) for i in range(10)])

        def between(start: int, end: int | None) -> list[bytes | None]:
            batches: list[RecordBatch] = list(broker.read(TopicPartition(topic, 0), start, end))
            return [value for batch in batches for value in batch.values]

        assert between(3, 6) == [b"3", b"4", b"5"]
        assert between(8, None) == [b"8", b"9"]
        assert between(10, None) == between(4, 4) == []

    def test_bounds_are_the_first_offset_and_the_next(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        topic = make_topic()
        partition = TopicPartition(topic, 0)
        assert broker.bounds(partition) == (0, 0)
        publish(broker, topic, [(b"k", b"v")] * 3)
        assert broker.bounds(partition) == (0, 3)

    def test_reading_an_empty_partition_ends_at_once(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        assert read(broker, make_topic()) == []

    def test_a_time_leads_to_the_first_record_that_is_not_before_it(
        self, broker: Broker, make_topic: MakeTopic
    ) -> None:
        partition = TopicPartition(make_topic(retention_ms="-1"), 0)
        publisher = broker.publisher()
        for timestamp in (1000, 3000, 3000, 5000):
            publisher.send(partition.topic, b"key", b"value", timestamp=timestamp)
        publisher.close()
        found = [broker.offset_at(partition, time) for time in (-5, 1000, 1001, 3000, 5000, 5001)]
        assert found == [0, 0, 1, 1, 3, 4]


class TestTopics:
    def test_creating_twice_changes_nothing(self, broker: Broker, name: Name) -> None:
        spec = TopicSpec(name("topic"), 3, {"cleanup.policy": "compact"})
        other = TopicSpec(name("topic"), 1)
        assert broker.create([spec]) == [spec.name]
        publish(broker, spec.name, [(b"k", b"v")])

        assert broker.create([spec, other]) == [other.name]

        found = broker.topics([spec.name, other.name, name("missing")])
        assert set(found) == {spec.name, other.name}
        assert found[spec.name].partitions == 3
        assert found[spec.name].settings["cleanup.policy"] == "compact"
        assert found[spec.name].replication == 1
        assert sum(len(read(broker, spec.name, p)) for p in range(3)) == 1

    def test_a_missing_topic_is_named(self, broker: Broker, name: Name) -> None:
        missing = name("missing")
        publisher, sink = broker.publisher(), broker.sink(name("sink"))
        sink.begin()
        with pytest.raises(BrokerError, match=missing):
            broker.source([missing], name("group"))
        with pytest.raises(BrokerError, match=missing):
            publisher.send(missing, b"k", b"v")
        with pytest.raises(BrokerError, match=missing):
            sink.append(missing, b"k", b"v")
        with pytest.raises(BrokerError, match=missing):
            broker.bounds(TopicPartition(missing, 0))
        with pytest.raises(BrokerError, match=missing):
            list(broker.read(TopicPartition(missing, 0), 0))
        sink.close()
        publisher.close()
