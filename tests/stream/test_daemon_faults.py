"""Whatever fails, whenever: every reading is scored once, and every alert said once."""

import functools
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.stream.test_daemon import unplaced, ward
from tests.stream.worker import Until, Worker
from vitalwatch.errors import BrokerError, Fenced
from vitalwatch.stream.broker import Broker, Membership, Poll, Sink, TopicPartition
from vitalwatch.stream.memory import MemoryBroker, MemorySource

RECORDS = ward(300)
PARTITIONS = 3


class FaultySink:
    """A sink whose commits fail before, or after, they took effect."""

    def __init__(self, sink: Sink, chance: Callable[[], float]) -> None:
        self._sink = sink
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> None:
        fate = self._chance()
        if fate < 0.1:
            self._sink.abort()
            raise BrokerError("The broker is away.")
        self._sink.commit(offsets, membership)
        if fate < 0.2:
            raise BrokerError("The broker went away before it answered.")


class FaultySource:
    """A member that is put out of its group now and then, between a poll and its commit."""

    def __init__(self, source: MemorySource, broker: MemoryBroker, chance: Callable[[], float]):
        self._source = source
        self._broker = broker
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def poll(self, timeout: float, max_records: int) -> Poll:
        polled = self._source.poll(timeout, max_records)
        if self._chance() < 0.1:
            self._broker.expire(self._source)
        return polled


class FaultyBroker:
    """The in-process log with such sinks and sources; one seed, one course of events."""

    def __init__(self, broker: MemoryBroker, seed: int) -> None:
        self._broker = broker
        self._chance = random.Random(seed).random

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def source(self, topics: Sequence[str], group: str, *, instance: str | None = None) -> Any:
        source = self._broker.source(topics, group, instance=instance)
        return FaultySource(source, self._broker, self._chance)

    def sink(self, identity: str) -> Any:
        return FaultySink(self._broker.sink(identity), self._chance)


def at_once(_stop: threading.Event, _seconds: float) -> bool:
    """Nobody waits in here."""
    return False


@pytest.fixture(scope="module")
def undisturbed() -> Worker:
    worker = Worker(MemoryBroker(), "vitals", PARTITIONS)
    worker.publish(RECORDS)
    worker.run(len(RECORDS))
    return worker


def committed(broker: Broker, group: str, topic: str) -> int:
    """How many offsets of the input the group has committed."""
    source = broker.source([topic], group)
    offsets = [source.committed(TopicPartition(topic, number)) for number in range(PARTITIONS)]
    source.close()
    return sum(offset or 0 for offset in offsets)


def assert_same(worker: Worker, undisturbed: Worker) -> None:
    assert worker.scores() == undisturbed.scores()
    told = [unplaced(alert) for alert in worker.alerts()]
    assert told == [unplaced(alert) for alert in undisturbed.alerts()]
    assert len(told) > 4


@pytest.mark.parametrize("seed", range(6))
def test_scores_and_alerts_are_those_of_an_undisturbed_run(seed: int, undisturbed: Worker) -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", PARTITIONS, daemon={"max_records": 20, "group": "ward"})
    worker.publish(RECORDS)
    topic = worker.settings.topics.readings

    def done() -> bool:
        groups = log._groups.get("ward")
        return groups is not None and sum(groups.committed.values()) == len(RECORDS)

    worker.daemon(broker=FaultyBroker(log, seed), wait=at_once).run(Until(done))
    assert committed(log, "ward", topic) == len(RECORDS)
    assert_same(worker, undisturbed)


def test_dead_letters_whose_commit_failed_count_once() -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", daemon={"max_records": 20, "dead_letter_limit": 0.5})
    records = [*RECORDS, *RECORDS[-1:] * 100]  # the last ones are late
    worker.publish(records)
    refusals = iter(range(60))

    def chance() -> float:
        all_good = log._groups["vitals"].committed.get(source, 0) >= len(RECORDS)
        return 1.0 if not all_good or next(refusals, None) is None else 0.0

    source = TopicPartition(worker.settings.topics.readings, 0)

    class Refusing(FaultyBroker):
        def source(self, *arguments: Any, **named: Any) -> Any:
            return log.source(*arguments, **named)

        def sink(self, identity: str) -> Any:
            return FaultySink(log.sink(identity), chance)

    worker.run(len(records), broker=Refusing(log, 0), wait=at_once)


def test_workers_that_come_and_go_share_the_work_without_a_trace(undisturbed: Worker) -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", PARTITIONS, daemon={"max_records": 10, "group": "ward"})
    stops = [threading.Event() for _ in range(3)]
    threads = [
        threading.Thread(target=worker.daemon(f"worker-{number}").run, args=(stop,), daemon=True)
        for number, stop in enumerate(stops)
    ]
    threads[0].start()
    for turn in range(3):
        goal = (turn + 1) * len(RECORDS) // 3
        worker.publish(RECORDS[goal - len(RECORDS) // 3 : goal])
        if turn < 2:
            threads[turn + 1].start()
        waiting = Until(functools.partial(worker.reached, goal))
        while not waiting.is_set():
            time.sleep(0.01)
        if turn == 1:
            stops[0].set()
            threads[0].join()
    for stop, thread in zip(stops[1:], threads[1:], strict=True):
        stop.set()
        thread.join()
    assert_same(worker, undisturbed)


def test_a_worker_that_was_replaced_too_often_says_so_and_ends() -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", PARTITIONS)
    worker.publish(RECORDS)

    class Usurped:
        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

        def sink(self, identity: str) -> Sink:
            sink = log.sink(identity)
            log.sink(identity)
            return sink

    with pytest.raises(Fenced, match="taken over"):
        worker.daemon(broker=Usurped(), wait=at_once).run(threading.Event())
    assert worker.seen() == 0
    assert worker.scores() == {}


def test_a_worker_without_its_broker_is_not_ready_and_comes_back(
    undisturbed: Worker,
) -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", PARTITIONS, daemon={"max_records": 100})
    worker.publish(RECORDS)
    ready: list[bool] = []
    failures = iter([False, True, False, False])

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

        def sink(self, identity: str) -> Any:
            return FaultySink(log.sink(identity), lambda: 0.0 if next(failures, False) else 1.0)

    def noting(_stop: threading.Event, _seconds: float) -> bool:
        ready.append(worker.health.ready()[0])
        return False

    worker.daemon(broker=Failing(), wait=noting).run(Until(lambda: worker.seen() == len(RECORDS)))
    assert False in ready
    assert worker.health.ready()[0]
    assert_same(worker, undisturbed)


def test_a_worker_that_is_a_member_again_is_not_ready_before_it_has_the_state_again() -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", PARTITIONS, daemon={"max_records": 100})
    worker.publish(RECORDS)
    failures = iter([False, True])
    first_polls: list[bool] = []

    class Member:
        def __init__(self, source: MemorySource) -> None:
            self._source = source
            self._polled = False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._source, name)

        def poll(self, timeout: float, max_records: int) -> Poll:
            if not self._polled:
                first_polls.append(worker.health.ready()[0])
            self._polled = True
            return self._source.poll(timeout, max_records)

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

        def source(self, *arguments: Any, **named: Any) -> Any:
            return Member(log.source(*arguments, **named))

        def sink(self, identity: str) -> Any:
            return FaultySink(log.sink(identity), lambda: 0.0 if next(failures, False) else 1.0)

    worker.daemon(broker=Failing(), wait=at_once).run(Until(lambda: worker.seen() == len(RECORDS)))
    assert first_polls == [False, False]
    assert worker.health.ready()[0]
