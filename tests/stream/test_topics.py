"""The topics' settings: what they are for, shown on a real broker, and how others differ."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from vitalwatch.commands import main
from vitalwatch.config import Topics
from vitalwatch.errors import BrokerError
from vitalwatch.stream.broker import Broker, TopicPartition, TopicSpec
from vitalwatch.stream.kafka import KafkaBroker
from vitalwatch.stream.memory import MemoryBroker
from vitalwatch.stream.topics import differences, plan, specs

Name = Callable[[str], str]
YEAR_2011 = 1_300_000_000_000
YEAR_2986 = 32_070_000_000_000


def find(broker: Broker, topics: Topics) -> dict[str, TopicSpec]:
    return broker.topics([spec.name for spec in specs(topics)])


def created(topics: Topics) -> MemoryBroker:
    broker = MemoryBroker()
    broker.create(specs(topics))
    return broker


class TestDifferences:
    def test_topics_as_created_do_not_differ(self) -> None:
        topics = Topics()
        found = {
            name: replace(s, replication=1) for name, s in find(created(topics), topics).items()
        }
        assert differences(topics, found, "host:1") == []

    def test_a_missing_topic_is_essential(self) -> None:
        (first, *_) = listed = differences(Topics(), {}, "host:1")
        assert len(listed) == len(specs(Topics()))
        assert first.essential
        assert first.fix == "vitalwatch topics create"

    @pytest.mark.parametrize(
        ("setting", "value", "essential"),
        [
            ("cleanup.policy", "compact", True),
            ("message.timestamp.after.max.ms", "3600000", True),
            ("message.timestamp.type", "LogAppendTime", True),
            ("max.message.bytes", "1048588", True),
            ("retention.ms", "604800000", False),
        ],
    )
    def test_another_setting_is_shown_with_its_fix(
        self, setting: str, value: str, essential: bool
    ) -> None:
        topics = Topics()
        found = find(created(topics), topics)
        was = found["vitals.readings"]
        found["vitals.readings"] = replace(was, settings={**was.settings, setting: value})

        (difference,) = differences(topics, found, "host:1")

        assert (difference.topic, difference.what) == ("vitals.readings", setting)
        assert difference.found == value
        assert difference.wanted == was.settings[setting]
        assert difference.essential == essential
        assert f"{setting}={was.settings[setting]}" in difference.fix
        assert "--bootstrap-server host:1" in difference.fix

    def test_more_than_needed_is_no_difference(self) -> None:
        topics = Topics()
        found = find(created(topics), topics)
        was = found["vitals.scores"]
        more = {**was.settings, "max.message.bytes": str(2**27)}
        found["vitals.scores"] = replace(was, settings=more)
        assert differences(topics, found, "host:1") == []

    def test_state_has_as_many_partitions_as_the_readings_have(self) -> None:
        topics = Topics(partitions=4)
        found = {"vitals.readings": replace(specs(topics)[0], partitions=12)}
        planned = {spec.name: spec for spec in plan(topics, found)}
        assert planned["vitals.state"].partitions == 12

        found |= {s.name: replace(s, partitions=12) for s in specs(topics)}
        found["vitals.state"] = replace(found["vitals.state"], partitions=4)
        listed = [d for d in differences(topics, found, "host:1") if d.what == "partitions"]
        assert [(d.topic, d.essential) for d in listed] == [
            ("vitals.state", True),
            ("vitals.readings", False),
        ]

    def test_no_fix_asks_for_more_copies_in_sync_than_there_are(self) -> None:
        topics = Topics(replication=3)
        found = {n: replace(s, replication=1) for n, s in find(created(topics), topics).items()}
        found = {
            n: replace(s, settings={**s.settings, "min.insync.replicas": "1"})
            for n, s in found.items()
        }
        listed = differences(topics, found, "host:1")
        assert {d.what for d in listed} == {"replication"}
        assert not any(d.essential for d in listed)


class TestOnARealBroker:
    def test_a_replay_of_any_year_is_accepted_and_kept(
        self, kafka: KafkaBroker, name: Name
    ) -> None:
        topics = Topics(prefix=name("replay"), partitions=1)
        kafka.create(specs(topics))
        usual = name("usual")  # a topic with Kafka's defaults shows that the rest means something
        kafka.create([TopicSpec(usual, 1)])
        ours = [topics.readings, topics.scores, topics.alerts, topics.dead_letters, topics.truth]
        publisher = kafka.publisher()
        for topic in ours:
            publisher.send(topic, b"k", b"late", timestamp=YEAR_2986)
        for topic in [usual, *ours]:
            publisher.send(topic, b"k", b"old", timestamp=YEAR_2011)
        publisher.flush()

        end = time.monotonic() + 20
        while kafka.bounds(TopicPartition(usual, 0))[0] == 0:
            assert time.monotonic() < end, "the old record is not deleted by default either"
            time.sleep(0.1)

        for topic in ours:
            values = [v for b in kafka.read(TopicPartition(topic, 0), 0) for v in b.values]
            assert values == [b"late", b"old"]
        publisher.send(usual, b"k", b"late", timestamp=YEAR_2986)
        with pytest.raises(BrokerError, match=r"message\.timestamp\.after\.max\.ms"):
            publisher.flush()
        with pytest.raises(BrokerError):
            publisher.close()

    def test_the_command_creates_checks_and_tells_what_to_change(
        self,
        kafka: KafkaBroker,
        kafka_address: str,
        name: Name,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        prefix = name("ward")
        flags = ["--kafka-bootstrap", kafka_address, "--topics-prefix", prefix]
        flags += ["--topics-partitions", "2"]
        kafka.create([TopicSpec(f"{prefix}.readings", 2)])

        assert main.main(["topics", "check", *flags]) == 78
        shown = capsys.readouterr().out
        assert f"{prefix}.alerts" in shown
        assert "message.timestamp.after.max.ms" in shown
        assert "vitalwatch topics create" in shown

        assert main.main(["topics", "create", *flags]) == 78  # it changes no topic that exists
        assert f"created {prefix}.alerts" in capsys.readouterr().out

        kafka.create(specs(Topics(prefix=f"{prefix}-new", partitions=2)))
        flags[3] += "-new"
        assert main.main(["topics", "check", *flags]) == 0
        assert "as they should be" in capsys.readouterr().out

    def test_more_copies_than_brokers_is_one_sentence(
        self, kafka_address: str, name: Name, capsys: pytest.CaptureFixture[str]
    ) -> None:
        flags = ["--kafka-bootstrap", kafka_address, "--topics-prefix", name("ward")]
        assert main.main(["topics", "create", *flags, "--topics-replication", "3"]) == 78
        assert "fewer brokers" in capsys.readouterr().err
