"""Streams on both brokers, with topics of their own for every test."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.dashboard.stream import PARTITIONS, Stream
from vitalwatch import config
from vitalwatch.stream import kafka, topics
from vitalwatch.stream.broker import Broker
from vitalwatch.stream.memory import MemoryBroker

Connect = Callable[[], Broker]


@pytest.fixture
def settings() -> config.Settings:
    return config.Settings(
        topics=config.Topics(prefix=f"dashboard-{uuid.uuid4().hex[:10]}", partitions=PARTITIONS),
        dashboard=config.Dashboard(port=0),
    )


@pytest.fixture(params=["memory", "kafka"])
def connect(request: pytest.FixtureRequest, settings: config.Settings) -> Connect:
    """Opens one broker after the other, with the topics made."""
    if request.param == "memory":
        broker = MemoryBroker()
        broker.create(topics.specs(settings.topics))
        return lambda: broker
    address = request.getfixturevalue("kafka_address")

    def connected() -> Broker:
        return kafka.connect(config.Kafka(bootstrap=address))

    made = connected()
    made.create(topics.specs(settings.topics))
    made.close()
    return connected


@pytest.fixture
def stream(connect: Connect, settings: config.Settings) -> Iterator[Stream]:
    with ExitStack() as stack:
        broker = connect()
        stack.callback(broker.close)
        stream = Stream(broker, settings.topics, settings.topics.prefix)
        stack.callback(stream.close)
        yield stream


@pytest.fixture
def memory(settings: config.Settings) -> MemoryBroker:
    broker = MemoryBroker()
    broker.create(topics.specs(settings.topics))
    return broker
