"""What every backend does with transactions; each test runs on each of them."""

import pytest

from tests.stream.contract import (
    MakeTopic,
    Name,
    join,
    last_membership,
    publish,
    read,
    settle,
    take,
    values,
)
from vitalwatch.errors import Fenced
from vitalwatch.stream.broker import Broker, TopicPartition


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
