"""A broker of each backend, and topics of their own for every test."""

import itertools
import uuid
from collections.abc import Callable

import pytest

from vitalwatch.stream.broker import Broker, TopicSpec
from vitalwatch.stream.memory import MemoryBroker

MakeTopic = Callable[..., str]


@pytest.fixture(params=["memory"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """One backend after the other."""
    return MemoryBroker()


@pytest.fixture
def name() -> Callable[[str], str]:
    """Names that no other test uses."""
    unique, count = uuid.uuid4().hex[:12], itertools.count()
    return lambda kind: f"{kind}-{unique}-{next(count)}"


@pytest.fixture
def make_topic(broker: Broker, name: Callable[[str], str]) -> MakeTopic:
    """Create a topic: ``make_topic(partitions=1, **settings)``, its name."""

    def make(partitions: int = 1, **settings: str) -> str:
        topic = name("topic")
        dotted = {key.replace("_", "."): value for key, value in settings.items()}
        assert broker.create([TopicSpec(topic, partitions, dotted)]) == [topic]
        return topic

    return make
