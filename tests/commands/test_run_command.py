"""What ``vitalwatch run`` finds out before it joins the group."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from vitalwatch import config
from vitalwatch.commands.run import _check, _identity
from vitalwatch.errors import BrokerError
from vitalwatch.stream.broker import TopicSpec
from vitalwatch.stream.memory import MemoryBroker
from vitalwatch.stream.topics import specs

TOPICS = config.Topics(prefix="icu", partitions=4)


def broker(change: Callable[[TopicSpec], TopicSpec | None]) -> MemoryBroker:
    made = MemoryBroker()
    made.create([spec for spec in map(change, specs(TOPICS)) if spec is not None])
    return made


@pytest.mark.parametrize("name", ["readings", "scores", "alerts", "state", "dead-letters"])
def test_a_topic_that_is_missing_is_told_at_the_start(name: str) -> None:
    with pytest.raises(BrokerError, match=rf"no topic icu\.{name}: .*topics create"):
        _check(broker(lambda spec: None if spec.name == f"icu.{name}" else spec), TOPICS)


def test_a_topic_of_the_state_with_too_few_partitions_is_told_at_the_start() -> None:
    few = broker(lambda spec: replace(spec, partitions=3) if spec.name == "icu.state" else spec)
    with pytest.raises(BrokerError, match=r"--alter --topic icu\.state --partitions 4"):
        _check(few, TOPICS)


def test_topics_as_they_should_be_will_do() -> None:
    _check(broker(lambda spec: spec), TOPICS)


def test_transactions_bear_the_same_name_after_a_restart_and_no_two_workers_share_one() -> None:
    def identity(instance: str, port: int) -> str:
        daemon, monitoring = config.Daemon(instance=instance), config.Monitoring(port=port)
        return _identity(config.Settings(daemon=daemon, monitoring=monitoring))

    assert identity("", 9108) == identity("", 9108)
    assert identity("ward-1", 0) == identity("ward-1", 9108)
    assert len({identity("", 9108), identity("", 9109), identity("ward-1", 9108)}) == 3
    assert identity("", 0) != identity("", 0)  # where nothing tells two workers apart
