"""A broker that goes away and comes back: nothing is lost or doubled, and no wait is endless."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import errors
from kafka.net.connection import KafkaConnection

from vitalwatch.config import Kafka
from vitalwatch.errors import BrokerError
from vitalwatch.stream import kafka_log, kafka_source, kafka_writers, local_kafka
from vitalwatch.stream.broker import TopicPartition, TopicSpec
from vitalwatch.stream.kafka import connect

TOPIC = "vitals"
PARTITION = TopicPartition(TOPIC, 0)


def test_work_goes_on_after_an_outage(
    start_kafka: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(kafka_log._OUTAGES, "_lost", {})  # of other tests' brokers
    address = start_kafka("outage")
    node, data = local_kafka.node(), Path(os.environ["VITALWATCH_TEST_KAFKA"]) / "outage"
    broker = connect(Kafka(bootstrap=address))
    broker.create([TopicSpec(TOPIC, 1)])
    publisher, sink = broker.publisher(), broker.sink("worker")
    source = broker.source([TOPIC], "group")
    publisher.send(TOPIC, b"k", b"before")
    publisher.flush()
    seen: list[bytes | None] = []
    end = time.monotonic() + 20
    while not seen and time.monotonic() < end:
        poll = source.poll(0.2, 100)
        seen += [value for batch in poll.batches for value in batch.values]
    assert seen == [b"before"]
    sink.begin()
    sink.append(TOPIC, b"k", b"of an unfinished transaction")
    sink._producer.flush()

    assert node.stop(data, 0)

    publisher.send(TOPIC, b"k", b"during")
    assert source.poll(0.3, 100).batches == []
    with monkeypatch.context() as patch:
        patch.setattr(kafka_writers, "COMMIT_SECONDS", 0.5)
        patch.setattr(kafka_writers, "CLOSE_SECONDS", 0.5)
        with pytest.raises(BrokerError, match="does not answer"):
            sink.commit({PARTITION: 1}, poll.membership)
        sink.close()
        with pytest.raises(BrokerError, match=address):
            connect(Kafka(bootstrap=address))

    port = int(address.split(":")[1])
    node.start(data, port, owner=int(os.environ["VITALWATCH_TEST_OWNER"]))

    publisher.send(TOPIC, b"k", b"after")
    publisher.flush()
    sink = broker.sink("worker")
    sink.begin()
    sink.append(TOPIC, b"k", b"again")
    sink.commit({}, None)
    end = time.monotonic() + 20
    while len(seen) < 4 and time.monotonic() < end:
        seen += [value for batch in source.poll(0.2, 100).batches for value in batch.values]
    assert seen == [b"before", b"during", b"after", b"again"]
    assert [v for b in broker.read(PARTITION, 0) for v in b.values] == seen
    source.close()
    sink.close()
    publisher.close()
    broker.close()
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in said if record.name == kafka_log.__name__] == [
        "no connection to Kafka: trying until there is one",
        "connected to Kafka again",
    ]
    # A broker that starts may refuse a record at first; three lines a client, not thirty a second.
    assert len(said) < 10


def test_each_broker_is_lost_and_found_once_whoever_talks_to_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kafka_log._OUTAGES, "_lost", {})
    kafka_log.tell_of_outages_once()
    connections = logging.getLogger(kafka_log.CONNECTIONS)
    one, two, found, coordinator = (
        KafkaConnection(None, node_id) for node_id in (1, 2, "bootstrap-0", "coordinator-1")
    )
    refused = errors.KafkaConnectionError("refused")

    connections.info(kafka_log.CONNECTED, one)  # there was no outage
    for connection in (one, coordinator, found, one, two, one):
        connections.error(kafka_log.LOST, connection, refused)
        logging.getLogger("kafka.net.manager").error("Connection failed: %s", refused)
        logging.getLogger("kafka.cluster").warning("No node available for metadata refresh")
    logging.getLogger("kafka.cluster").error("Topic %s not found in cluster metadata", "vitals")
    for connection in (found, two, one, coordinator, two):
        connections.info(kafka_log.CONNECTED, connection)

    lost, again = "no connection to Kafka: trying until there is one", "connected to Kafka again"
    assert [(r.getMessage(), vars(r).get("broker")) for r in caplog.records] == [
        (lost, "1"),
        (lost, "2"),
        ("Topic vitals not found in cluster metadata", None),
        (again, "2"),
        (again, "1"),
    ]


def test_a_member_says_that_its_broker_is_away_instead_of_looking_idle(
    start_kafka: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = start_kafka("away")
    broker = connect(Kafka(bootstrap=address))
    broker.create([TopicSpec(TOPIC, 1)])
    source = broker.source([TOPIC], "group")
    end = time.monotonic() + 20
    while not source.assignment() and time.monotonic() < end:
        source.poll(0.2, 100)
    assert source.assignment() == {PARTITION}

    assert local_kafka.node().stop(Path(os.environ["VITALWATCH_TEST_KAFKA"]) / "away", 0)

    monkeypatch.setattr(kafka_source, "AWAY_SECONDS", 0.5)
    polls = (source.poll(0.2, 100) for _ in range(100))
    with pytest.raises(BrokerError, match=f"{address} has been away"):
        list(polls)
    source.close()
    broker.close()


def test_a_client_that_knows_of_no_node_for_a_moment_waits_for_one(
    kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = connect(Kafka(bootstrap=kafka_address))
    describe, calls = broker._admin.describe_topics, 0

    def forgetful(names: list[str]) -> Any:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise errors.NodeNotReadyError("No node_id provided")
        return describe(names)

    monkeypatch.setattr(broker._admin, "describe_topics", forgetful)
    assert broker.topics(["no-such-topic"]) == {}
    assert calls == 3
    broker.close()
