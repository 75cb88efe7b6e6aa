"""The daemon on both backends: what goes in comes out once, as scores, alerts or dead letters."""

import functools
import itertools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from tests.stream.worker import HEALTHY, START, Until, Worker, reading
from vitalwatch.detector import Detector
from vitalwatch.errors import BrokerError, DeadLetterFlood, Replaced
from vitalwatch.messages import REJECTIONS
from vitalwatch.monitoring.http import Health
from vitalwatch.stream.broker import Broker, TopicPartition
from vitalwatch.stream.daemon import CONDITIONS
from vitalwatch.stream.memory import MemoryBroker

Name = Callable[[str], str]

BAD: dict[str, tuple[str | None, bytes | None, str]] = {
    "not JSON": ("anna", b"HR 80", "not_json"),
    "not UTF-8": ("anna", b'{"patient": "\xff"}', "not_json"),
    "NaN": ("anna", reading("anna", 1).replace(b"80", b"NaN"), "not_json"),
    "infinity": ("anna", reading("anna", 1).replace(b"80", b"-Infinity"), "not_json"),
    "a number out of range": ("anna", reading("anna", 1).replace(b"80", b"1e400"), "invalid"),
    "a number too large": ("anna", reading("anna", 1).replace(b"80", b"1e300"), "invalid"),
    "a list": ("anna", b"[1, 2]", "invalid"),
    "a value as text": ("anna", reading("anna", 1).replace(b"80", b'"80"'), "invalid"),
    "no patient": ("anna", b'{"time": 1700000001000, "vitals": {"hr": 80}}', "invalid"),
    "an empty patient": ("", reading("", 1), "invalid"),
    "no time": ("anna", b'{"patient": "anna", "vitals": {"hr": 80}}', "invalid"),
    "a time without a zone": (
        "anna",
        b'{"patient": "anna", "time": "2023-11-14T22:13:20", "vitals": {"hr": 80}}',
        "invalid",
    ),
    "an absurd time": ("anna", reading("anna", -(10**10)), "bad_time"),
    "a future time": ("anna", reading("anna", 10**8), "bad_time"),
    "a newer schema": ("anna", b'{"v": 99, "patient": "anna"}', "version"),
    "a huge value": ("anna", b'{"note": "' + b"x" * 10_000_000 + b'"}', "too_large"),
    "a tombstone": ("anna", None, "tombstone"),
    "no key": (None, reading("anna", 1), "no_key"),
    "another's key": ("berta", reading("anna", 1), "foreign_key"),
    "strange vitals only": ("anna", reading("anna", 1, {"mood": 7}), "no_vitals"),
    "a duplicate": ("anna", reading("anna", 0), "late"),
    "an old reading": ("anna", reading("anna", -30), "late"),
}


def test_every_bad_record_is_a_dead_letter_and_the_next_reading_is_scored(
    broker: Broker, name: Name
) -> None:
    worker = Worker(broker, name("bad"))
    records: list[tuple[str | None, bytes | None]] = []
    for place, (key, value, _) in enumerate(BAD.values()):
        records += [("anna", reading("anna", 2 * place)), (key, value)]
    records.append(("anna", reading("anna", 2 * len(BAD))))
    worker.publish(records)

    worker.run(len(records))

    topics = worker.settings.topics
    letters = worker.records(topics.dead_letters)
    assert [(key, value) for key, value, _ in letters] == [
        (None if key is None else key.encode(), value) for key, value, _ in BAD.values()
    ]
    for place, (name_of_bad, (_, _, headers)) in enumerate(zip(BAD, letters, strict=True)):
        told = dict(headers)
        assert told.pop("detail")
        assert {"bad": name_of_bad, **told} == {
            "bad": name_of_bad,
            "device": b"monitor",
            "reason": BAD[name_of_bad][2].encode(),
            "source-topic": topics.readings.encode(),
            "source-partition": b"0",
            "source-offset": str(2 * place + 1).encode(),
            "source-timestamp": str(START + (2 * place + 1) * 1000).encode(),
        }
    assert sorted(worker.scores()) == [(0, 2 * place) for place in range(len(BAD) + 1)]
    reasons = [reason for _, _, reason in BAD.values()]
    assert {
        reason: worker.figure("vitalwatch_dead_letters_total", reason=reason)
        for reason in REJECTIONS
    } == {reason: reasons.count(reason) for reason in REJECTIONS}
    assert worker.figure("vitalwatch_readings_late_total") == 2


def test_unknown_vitals_are_counted_and_the_others_scored(broker: Broker, name: Name) -> None:
    worker = Worker(broker, name("unknown"))
    both = [reading("anna", n, {"hr": 80, "mood": 7, "aura": 1}) for n in range(2)]
    worker.publish([("anna", each) for each in both])
    worker.run(2)
    assert worker.figure("vitalwatch_unknown_vitals_total") == 4
    _, score = worker.scores().values()
    assert score[3]["hr"] is not None
    assert "spo2" not in score[3]


def test_a_dangerous_value_is_alerted_with_its_patient_as_key(broker: Broker, name: Name) -> None:
    worker = Worker(broker, name("alert"))
    ill = {**HEALTHY, "spo2": 72}
    worker.publish([("anna", reading("anna", 5 * i, ill)) for i in range(5)])
    worker.run(5)
    ((key, value, _),) = worker.records(worker.settings.topics.alerts)
    assert key == b"anna"
    (alert,) = worker.alerts()
    assert (alert.event, alert.condition, alert.priority) == ("raised", "spo2_low", "high")
    assert (alert.origin.topic, alert.origin.offset) == (worker.settings.topics.readings, 3)
    assert alert.model == worker.model.fingerprint
    assert msgspec.json.decode(value)["sentence"] == "SpO2 72 % (limit 80), low for 15 s"


def ward(seconds: int, patients: int = 4) -> list[tuple[str | None, bytes | None]]:
    """Patients of whom one after the other desaturates and gets better."""
    records: list[tuple[str | None, bytes | None]] = []
    for second in range(0, seconds, 5):
        for patient in range(patients):
            who = f"patient-{patient}"
            low = (second // 60) % patients == patient
            vitals = {"hr": 70 + 5 * patient + second % 7, "spo2": 74 if low else 97}
            records.append((who, reading(who, second, vitals)))
    return records


def test_a_restart_goes_on_as_if_nothing_had_happened(broker: Broker, name: Name) -> None:
    records = ward(600)
    once = Worker(broker, name("once"))
    once.publish(records)
    once.run(len(records))
    often = Worker(broker, name("often"))
    for part in (records[:100], records[100:250], records[250:]):
        often.publish(part)
        often.run(len(part))
    assert often.scores() == once.scores()
    assert len(once.alerts()) > 8
    assert [unplaced(alert) for alert in often.alerts()] == [
        unplaced(alert) for alert in once.alerts()
    ]


class Ticking:
    """A clock that is a second later each time."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 1.0
        return self._now


def unplaced(alert: Any) -> dict[str, Any]:
    """An alert without the name of its topic."""
    fields: dict[str, Any] = msgspec.to_builtins(alert)
    fields["origin"].pop("topic")
    return fields


@pytest.mark.parametrize("broker", ["memory"], indirect=True)
class TestInMemory:
    """What is the same on every backend is shown on the quick one."""

    def test_scores_are_one_record_a_batch_or_a_reading_or_none(
        self, broker: Broker, name: Name
    ) -> None:
        count = {}
        for emit in ("block", "reading", "none"):
            worker = Worker(broker, name(emit), scores={"emit": emit})
            worker.publish(ward(60))
            worker.run(48)
            count[emit] = len(worker.records(worker.settings.topics.scores))
            if emit != "none":
                assert len(worker.scores()) == 48
        assert count == {"block": 1, "reading": 48, "none": 0}

    def test_metrics_tell_what_was_done(self, broker: Broker, name: Name) -> None:
        worker = Worker(broker, name("metrics"))
        worker.publish(ward(40))
        worker.run(32)
        assert worker.figure("vitalwatch_readings_scored_total") == 32
        assert worker.figure("vitalwatch_scoring_seconds_count") >= 1
        raised = {"event": "raised", "kind": "physiological", "priority": "high"}
        assert worker.figure("vitalwatch_alerts_total", **raised) == 1
        watched = worker.figure("vitalwatch_patients_watched_seconds_total")
        assert watched
        scored = worker.figure("vitalwatch_values_scored_total", vital="hr")
        assert scored == 28  # nothing is expected of a patient's first reading
        assert worker.figure("vitalwatch_rarity_seconds_count") == 32
        assert 0 < worker.figure("vitalwatch_values_expected_total", vital="hr") <= 28
        assert worker.figure("vitalwatch_surprise_nats_total", vital="hr") > 0
        assert worker.figure("vitalwatch_reading_latency_seconds_count") >= 1
        promised = worker.figure("vitalwatch_budgeted_alarms_total")
        assert promised == pytest.approx(watched / 86_400 * worker.settings.alarms.budget)

    def test_the_share_of_patients_in_alarm_and_the_lag_are_reported(
        self, broker: Broker, name: Name
    ) -> None:
        worker = Worker(broker, name("share"), daemon={"max_records": 10})
        worker.publish(ward(40))
        topic = worker.settings.topics.readings
        place = {"topic": topic, "partition": "0"}
        of_partition = functools.partial(worker.metrics.registry.get_sample_value, labels=place)
        names = ("vitalwatch_stream_timestamp_seconds", "vitalwatch_consumer_lag_records")
        told = []

        def done() -> bool:
            told.append([of_partition(name) for name in names])
            return worker.seen() == 32

        worker.daemon(clock=Ticking()).run(Until(done))
        assert told[0] == [None, None]
        assert [START / 1000 + 35, 0] in told
        # The partition may be another worker's by now.
        assert [of_partition(name) for name in names] == [None, None]
        assert worker.figure("vitalwatch_patients_held") == 4
        assert worker.figure("vitalwatch_patients_in_alarm_ratio") == 0.25

    def test_it_is_ready_once_it_has_its_partitions_and_their_state(
        self, broker: Broker, name: Name
    ) -> None:
        worker = Worker(broker, name("ready"))
        worker.publish(ward(10))
        assert not worker.health.ready()[0]
        worker.run(8)
        assert worker.health.ready()[0]

    def test_past_readings_are_gone_through_again_without_a_word(
        self, broker: Broker, name: Name, caplog: pytest.LogCaptureFixture
    ) -> None:
        worker = Worker(broker, name("past"), daemon={"warmup_minutes": 1.0})
        records = ward(300)
        worker.publish(records[:200])
        worker.run(200)
        before = len(worker.alerts())
        with caplog.at_level(logging.INFO):
            worker.daemon().run(Until(lambda: worker.health.ready()[0] and bool(caplog.records)))
        (taken,) = (r for r in caplog.records if r.message == "partition taken over")
        # Records are a second apart, and the eighth from the end says when it is: those up to a
        # minute before it, itself, and those after it.
        assert vars(taken)["readings_again"] == 60 + 1 + 7
        assert len(worker.alerts()) == before
        assert worker.seen() == 200

    def test_a_request_to_stop_is_heard_while_past_readings_are_gone_through(
        self, broker: Broker, name: Name
    ) -> None:
        worker = Worker(broker, name("stop"))
        worker.publish(ward(60))
        worker.run(48)
        worker.publish(ward(120)[48:])
        stop = threading.Event()

        class Stopping(Detector):
            def process(self, batch: Any) -> Any:
                stop.set()
                return super().process(batch)

        worker.daemon(detector=Stopping(worker.model, worker.settings.alarms)).run(stop)
        assert worker.seen() == 48

    def test_an_alert_is_committed_at_once_and_scores_when_it_is_time(
        self, broker: Broker, name: Name
    ) -> None:
        worker = Worker(broker, name("urgent"), daemon={"max_records": 1, "commit_seconds": 50})
        worker.publish([("anna", reading("anna", 5 * i)) for i in range(6)])
        ill = {**HEALTHY, "spo2": 72}
        worker.publish([("berta", reading("berta", 5 * i, ill)) for i in range(4)])
        worker.daemon().run(Until(lambda: bool(worker.alerts())))
        scores = TopicPartition(worker.settings.topics.scores, 0)
        records = len(worker.records(scores.topic))
        assert records == 10
        assert broker.bounds(scores)[1] == records + 1  # one transaction's marker

    def test_an_alert_does_not_wait_for_a_backlog_to_end(self, broker: Broker, name: Name) -> None:
        worker = Worker(broker, name("behind"), daemon={"max_records": 300, "commit_seconds": 50})
        ill = {**HEALTHY, "spo2": 72}
        worker.publish([("berta", reading("berta", 5 * i, ill)) for i in range(300)])
        worker.publish([("anna", reading("anna", i / 10)) for i in range(9000)])
        ticks = itertools.count()
        daemon = worker.daemon(clock=lambda: next(ticks) / 100)
        daemon.run(Until(lambda: bool(worker.alerts())))
        assert worker.seen() < 6000

    def test_with_a_helper_on_another_core_the_output_is_the_same(
        self, broker: Broker, name: Name
    ) -> None:
        records = ward(3000, patients=20)
        alone, helped = (
            Worker(broker, name(kind), 4, daemon={"max_records": 700}) for kind in ("a", "b")
        )
        for worker in (alone, helped):
            worker.publish(records)
        alone.run(len(records))
        with ThreadPoolExecutor(1) as helper:
            helped.run(len(records), helper=helper)
        assert helped.scores() == alone.scores()
        assert [unplaced(a) for a in helped.alerts()] == [unplaced(a) for a in alone.alerts()]
        assert len(alone.alerts()) > 20

    def test_too_many_dead_letters_stop_it_before_they_are_committed(
        self, broker: Broker, name: Name
    ) -> None:
        worker = Worker(broker, name("flood"), daemon={"max_records": 100})
        worker.publish([("anna", b"HR 80")] * 12_000)
        with pytest.raises(DeadLetterFlood, match=r"not_json 1\d,\d00"):
            worker.run(12_000)
        assert 0 < len(worker.records(worker.settings.topics.dead_letters)) < 10_000

    def test_a_worker_for_whom_no_partition_is_left_stands_by_and_is_ready(
        self, broker: Broker, name: Name
    ) -> None:
        worker = Worker(broker, name("standby"))
        first = worker.daemon("first").steps(threading.Event())
        next(first)
        worker.health = Health(CONDITIONS)
        second = worker.daemon("second").steps(threading.Event())
        next(second)
        assert worker.health.ready()[0]

    def test_it_lives_however_long_the_broker_is_away(self, broker: Broker, name: Name) -> None:
        # Or whoever restarts what does not live would leave nobody to go on after the outage.
        worker = Worker(broker, name("away"))
        now = 0.0
        worker.health = Health(CONDITIONS, lambda: now)
        away = False

        class Failing(Detector):
            def process(self, _batch: Any) -> Any:
                raise BrokerError("away")

        class Leaving:
            def source(self, *arguments: Any, **options: Any) -> Any:
                if away:
                    raise BrokerError("away")
                return broker.source(*arguments, **options)

            def __getattr__(self, name: str) -> Any:
                return getattr(broker, name)

        steps = worker.daemon(
            broker=Leaving(),
            detector=Failing(worker.model, worker.settings.alarms),
            wait=lambda _stop, _seconds: False,
        ).steps(threading.Event())
        next(steps)
        away = True
        worker.publish(ward(10))
        while worker.health.ready()[0] or now < 600:
            next(steps)
            now += 30
            assert worker.health.live()[0]
        assert worker.figure("vitalwatch_memberships_lost_total", reason="broker") == now / 30

    def test_two_workers_of_one_name_do_not_take_over_from_each_other_for_ever(
        self, broker: Broker, name: Name
    ) -> None:
        worker = Worker(broker, name("twins"), 2, daemon={"instance": "twin"})
        twins = [worker.daemon("twin").steps(threading.Event()) for _ in range(2)]
        records = iter(ward(10_000))

        def take_turns() -> None:
            for _ in range(100):
                worker.publish([next(records) for _ in range(8)])
                for twin in twins:
                    next(twin)

        with pytest.raises(Replaced, match="twin"):
            take_turns()
        assert worker.figure("vitalwatch_memberships_lost_total", reason="fenced") >= 4

    def test_a_broker_that_cannot_be_used_at_the_start_ends_it(
        self, broker: Broker, name: Name
    ) -> None:
        worker = Worker(broker, name("missing"))
        with pytest.raises(BrokerError, match="There is no topic"):
            worker.daemon(broker=MemoryBroker()).run(threading.Event())
