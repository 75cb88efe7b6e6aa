"""A broker of each backend, and topics of their own for every test."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest

from vitalwatch.config import Kafka
from vitalwatch.stream.broker import Broker, TopicSpec
from vitalwatch.stream.kafka import KafkaBroker, connect
from vitalwatch.stream.memory import MemoryBroker

MakeTopic = Callable[..., str]


@pytest.fixture(scope="session")
def kafka(kafka_address: str) -> Iterator[KafkaBroker]:
    """The real broker."""
    broker = connect(Kafka(bootstrap=kafka_address))
    yield broker
    broker.close()


class Tidy:
    """A broker that closes after the test what the test opened and may not have closed."""

    def __init__(self, broker: Broker, stack: ExitStack) -> None:
        self._broker = broker
        self._stack = stack

    def __getattr__(self, attribute: str) -> Any:
        method = getattr(self._broker, attribute)
        if attribute not in ("source", "sink", "publisher"):
            return method

        def opening(*arguments: Any, **named: Any) -> Any:
            opened = method(*arguments, **named)
            self._stack.callback(opened.close)
            return opened

        return opening


@pytest.fixture(params=["memory", "kafka"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """One backend after the other."""
    real = MemoryBroker() if request.param == "memory" else request.getfixturevalue("kafka")
    with ExitStack() as stack:
        yield cast(Broker, Tidy(real, stack))


@pytest.fixture
def name() -> Callable[[str], str]:
    """Names that no other test uses."""
    unique, count = uuid.uuid4().hex[:12], itertools.count()
    return lambda kind: f"{kind}-{unique}-{next(count)}"


@pytest.fixture
def make_topic(broker: Broker, name: Callable[[str], str]) -> MakeTopic:
    """Create a topic that keeps records of any time: ``make_topic(partitions=1, **settings)``."""

    def make(partitions: int = 1, **settings: str) -> str:
        topic = name("topic")
        dotted = {key.replace("_", "."): value for key, value in settings.items()}
        dotted["retention.ms"] = "-1"
        assert broker.create([TopicSpec(topic, partitions, dotted)]) == [topic]
        return topic

    return make
