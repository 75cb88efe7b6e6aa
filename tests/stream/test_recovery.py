"""What a worker's successor knows: all of it, however long ago."""

import dataclasses
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.stream.test_daemon import unplaced, ward
from tests.stream.worker import HEALTHY, START, Until, Worker, reading
from vitalwatch.detector import Detector
from vitalwatch.snapshot import Snapshot
from vitalwatch.stream.broker import Broker, TopicPartition
from vitalwatch.stream.memory import MemoryBroker

Name = Callable[[str], str]
SNAPSHOTS: dict[str, Any] = {"snapshot_seconds": 0.001, "warmup_minutes": 0.0}


def snapshots(worker: Worker) -> int:
    """How many records of snapshots are there."""
    return sum(value is not None for _, value, _ in worker.records(worker.settings.topics.state))


def run(worker: Worker, records: list[tuple[str | None, bytes | None]], **doubles: Any) -> None:
    """A new worker reads these, in small polls, and ends."""
    worker.publish(records)
    worker.run(len(records), **doubles)


def test_a_successor_knows_what_is_longer_ago_than_any_warm_up(broker: Broker, name: Name) -> None:
    records = ward(600)
    once = Worker(broker, name("once"))
    run(once, records)
    often = Worker(broker, name("often"), daemon={**SNAPSHOTS, "max_records": 20})
    for part in (records[:200], records[200:350], records[350:]):
        run(often, part)
    assert snapshots(often) > 1
    assert often.scores() == once.scores()
    assert [unplaced(a) for a in often.alerts()] == [unplaced(a) for a in once.alerts()]


def origin(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Where the state of each partition taken over came from."""
    return [vars(r)["state_from"] for r in caplog.records if r.message == "partition taken over"]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_the_state_comes_from_a_snapshot_and_few_readings_are_gone_through_again(
    told: pytest.LogCaptureFixture,
) -> None:
    worker = Worker(MemoryBroker(), "vitals", daemon={**SNAPSHOTS, "max_records": 50})
    run(worker, ward(600))
    told.clear()
    worker.daemon().run(Until(lambda: bool(origin(told))))
    assert origin(told) == ["snapshot"]
    again = [vars(r)["readings_again"] for r in told.records if hasattr(r, "readings_again")]
    assert again[0] < 100


def test_an_alarm_of_long_ago_is_cleared_under_its_own_name_by_the_successor() -> None:
    worker = Worker(MemoryBroker(), "vitals", daemon={**SNAPSHOTS, "max_records": 10})
    ill = {**HEALTHY, "spo2": 72}
    run(worker, [("anna", reading("anna", i, ill)) for i in range(300)])
    run(worker, [("anna", reading("anna", 300 + i)) for i in range(60)])
    events = [(a.event, a.alert_id) for a in worker.alerts() if a.condition == "spo2_low"]
    assert [event for event, _ in events] == ["raised", "cleared"]
    assert len({alert_id for _, alert_id in events}) == 1


def test_with_another_model_alarms_and_baselines_go_on_and_the_network_starts_from_readings(
    told: pytest.LogCaptureFixture,
) -> None:
    worker = Worker(MemoryBroker(), "vitals", daemon={**SNAPSHOTS, "max_records": 10})
    ill = {**HEALTHY, "spo2": 72}
    run(worker, [("anna", reading("anna", i, ill)) for i in range(300)])
    worker.model = dataclasses.replace(worker.model, fingerprint="another")
    told.clear()
    run(worker, [("anna", reading("anna", 300 + i)) for i in range(60)])
    assert origin(told) == ["snapshot of another model"]
    events = [(a.event, a.model) for a in worker.alerts() if a.condition == "spo2_low"]
    assert [event for event, _ in events] == ["raised", "cleared"]
    assert events[1][1] == "another"


def test_damaged_snapshots_are_passed_over_for_an_older_one_and_then_for_readings(
    told: pytest.LogCaptureFixture,
) -> None:
    log, records = MemoryBroker(), ward(600)
    once = Worker(MemoryBroker(), "vitals")
    run(once, records)
    worker = Worker(
        log,
        "vitals",
        daemon={"snapshot_seconds": 0.001, "warmup_minutes": 1000.0, "max_records": 20},
    )
    run(worker, records[:200])
    state = log._log(TopicPartition(worker.settings.topics.state, 0))
    state.records[-1] = state.records[-1]._replace(value=b"damaged")
    told.clear()
    run(worker, records[200:300])
    assert origin(told) == ["snapshot"]
    state.records[:] = [record._replace(value=b"damaged") for record in state.records]
    told.clear()
    run(worker, records[300:])
    assert origin(told) == ["readings"]
    assert any("cannot be used" in record.message for record in told.records)
    assert worker.scores() == once.scores()
    assert [unplaced(a) for a in worker.alerts()] == [unplaced(a) for a in once.alerts()]


def test_a_snapshot_ahead_of_what_the_group_has_committed_is_not_used(
    told: pytest.LogCaptureFixture,
) -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", daemon={**SNAPSHOTS, "max_records": 20})
    run(worker, ward(300))
    group = log._groups["vitals"]
    group.committed[TopicPartition(worker.settings.topics.readings, 0)] = 1
    told.clear()
    worker.daemon().run(Until(lambda: bool(origin(told))))
    assert origin(told) == ["readings"]


def test_nothing_is_written_again_while_nothing_comes_in() -> None:
    worker = Worker(MemoryBroker(), "vitals", daemon=SNAPSHOTS)
    run(worker, ward(60))
    turns = iter(range(30))
    worker.daemon(detector=Detector(worker.model, worker.settings.alarms)).run(
        Until(lambda: next(turns, None) is None)
    )
    before = snapshots(worker)
    turns = iter(range(30))
    worker.daemon().run(Until(lambda: next(turns, None) is None))
    assert snapshots(worker) == before


def test_a_snapshot_falls_due_also_when_nothing_comes_in_any_more() -> None:
    worker = Worker(MemoryBroker(), "vitals", daemon={"snapshot_seconds": 60.0})
    records, now = ward(60), 0.0
    worker.publish(records)
    steps = worker.daemon(clock=lambda: now).steps(Until(lambda: snapshots(worker) > 0))
    while worker.seen() < len(records):
        next(steps)
    assert snapshots(worker) == 0
    now = 61.0
    for _ in range(10):
        next(steps, None)
    assert snapshots(worker) > 0


def test_readings_that_retention_deleted_and_the_state_needs_are_told(
    told: pytest.LogCaptureFixture,
) -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", daemon={**SNAPSHOTS, "max_records": 20})
    run(worker, ward(300))
    partition = TopicPartition(worker.settings.topics.readings, 0)
    state = log._log(TopicPartition(worker.settings.topics.state, 0))
    del state.records[2:], state.offsets[2:]  # only an old snapshot is left
    log.trim(partition, 200)
    told.clear()
    worker.daemon().run(Until(lambda: bool(origin(told))))
    assert any("retention is too short" in record.message for record in told.records)


def test_readings_that_retention_deleted_before_they_were_scored_are_told_and_counted(
    told: pytest.LogCaptureFixture,
) -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", daemon={**SNAPSHOTS, "max_records": 20})
    run(worker, ward(60))
    group, partition = log._groups["vitals"], TopicPartition(worker.settings.topics.readings, 0)
    needed = group.committed[partition]
    worker.publish(ward(60))
    log.trim(partition, needed + 7)
    told.clear()
    worker.daemon().run(Until(lambda: bool(origin(told))))
    assert any("deleted before they were scored" in record.message for record in told.records)
    assert worker.figure("vitalwatch_readings_lost_total") == 7


def test_one_record_with_a_wrong_timestamp_does_not_do_away_with_the_warm_up(
    told: pytest.LogCaptureFixture,
) -> None:
    worker = Worker(MemoryBroker(), "vitals", daemon={"snapshot_seconds": 3600.0})
    publisher = worker.broker.publisher()
    for second in range(300):
        ahead = 20 * 86_400_000 if second == 299 else 0
        publisher.send(
            worker.settings.topics.readings,
            b"anna",
            reading("anna", second),
            timestamp=START + second * 1000 + ahead,
        )
    worker.run(300)
    told.clear()
    worker.daemon().run(Until(lambda: bool(origin(told))))
    again = [vars(r)["readings_again"] for r in told.records if hasattr(r, "readings_again")]
    assert again[0] == 300


class Thrifty(Detector):
    """Fails when asked for a snapshot while an older one is still in memory."""

    taken: list[weakref.ref[Any]]

    def snapshot(self, topic: str, partition: int) -> Snapshot:
        assert not any(older() is not None for older in self.taken)
        made = super().snapshot(topic, partition)
        self.taken.append(weakref.ref(made.rows))
        return made


def test_a_snapshot_that_is_written_takes_no_memory_any_more() -> None:
    worker = Worker(MemoryBroker(), "vitals", daemon={**SNAPSHOTS, "max_records": 20})
    detector = Thrifty(worker.model, worker.settings.alarms)
    detector.taken = []
    run(worker, ward(300), detector=detector)
    assert len(detector.taken) > 2


def test_what_is_known_of_another_topic_of_the_same_name_is_not_used(
    told: pytest.LogCaptureFixture,
) -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", daemon={**SNAPSHOTS, "max_records": 20})
    run(worker, ward(300))
    readings = TopicPartition(worker.settings.topics.readings, 0)
    made = log._log(readings)
    made.records.clear()
    made.offsets.clear()
    made.start = made.end = 0  # deleted, and made again
    told.clear()
    worker.daemon().run(Until(lambda: bool(origin(told))))
    assert origin(told) == ["nothing before"]
    assert any("another topic" in record.message for record in told.records)


def test_snapshots_of_another_topic_of_this_name_are_never_used_later_either(
    told: pytest.LogCaptureFixture,
) -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", daemon={"max_records": 20, "snapshot_seconds": 0.001})
    run(worker, ward(300))
    readings = TopicPartition(worker.settings.topics.readings, 0)
    made = log._log(readings)
    made.records.clear()
    made.offsets.clear()
    made.start = made.end = 0  # deleted, and made again; Kafka forgets the group's offset with it
    del log._groups["vitals"].committed[readings]
    worker.settings = msgspec.structs.replace(
        worker.settings,
        daemon=msgspec.structs.replace(worker.settings.daemon, snapshot_seconds=3600.0),
    )
    others: list[tuple[str | None, bytes | None]]
    others = [("otto", reading("otto", i)) for i in range(len(ward(300)) + 10)]
    run(worker, others)
    told.clear()
    worker.daemon().run(Until(lambda: bool(origin(told))))
    assert origin(told) == ["snapshot"]
    again = [vars(r)["readings_again"] for r in told.records if hasattr(r, "readings_again")]
    assert again == [len(others)]


def test_with_the_first_commit_no_snapshot_of_another_topic_of_this_name_is_used_any_more(
    told: pytest.LogCaptureFixture,
) -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", 4, daemon=SNAPSHOTS)
    run(worker, ward(30, patients=20))
    for number in range(4):
        readings = TopicPartition(worker.settings.topics.readings, number)
        log.trim(readings, log.bounds(readings)[1])
        made = log._log(readings)
        made.start = made.end = 0
        log._groups["vitals"].committed[readings] = 0  # as after a reset to the earliest
    seldom = msgspec.structs.replace(worker.settings.daemon, snapshot_seconds=3600.0)
    worker.settings = msgspec.structs.replace(worker.settings, daemon=seldom)
    publisher, before = log.publisher(), worker.seen()
    for number in range(200):
        other = f"other-{number}"
        publisher.send(readings.topic, other.encode(), reading(other, number), timestamp=START)
    steps = worker.daemon().steps(threading.Event())
    while worker.seen() == before:
        next(steps)
    del steps  # it dies after its first commit of readings
    told.clear()
    worker.daemon("heir").run(Until(lambda: len(origin(told)) == 4))
    held = [vars(r) for r in told.records if r.message == "partition taken over"]
    assert all(each["readings_again"] == each["committed"] > 20 for each in held)


def test_after_another_topic_of_the_same_name_all_of_it_is_read() -> None:
    log = MemoryBroker()
    worker = Worker(log, "vitals", daemon={**SNAPSHOTS, "max_records": 20})
    run(worker, ward(300))
    made = log._log(TopicPartition(worker.settings.topics.readings, 0))
    made.records.clear()
    made.offsets.clear()
    made.start = made.end = 0
    run(worker, [("otto", reading("otto", i)) for i in range(5)])


def test_a_snapshot_of_another_form_is_passed_over(
    told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(MemoryBroker(), "vitals", daemon={**SNAPSHOTS, "max_records": 20})
    run(worker, ward(300))
    told.clear()
    monkeypatch.setattr(Detector, "layout", "of a later version")
    worker.daemon().run(Until(lambda: bool(origin(told))))
    assert origin(told) == ["readings"]
    assert any("layout" in record.getMessage() for record in told.records)
