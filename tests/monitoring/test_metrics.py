import re
import subprocess
from collections.abc import Callable
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from vitalwatch import messages, vitals
from vitalwatch.alarms import conditions
from vitalwatch.monitoring.http import Health
from vitalwatch.monitoring.metrics import LOSSES, Metrics
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.daemon import CONDITIONS


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def alert(
    event: messages.Event = "raised",
    kind: messages.Kind = "physiological",
    priority: messages.Priority = "high",
    condition: str = "spo2_low",
) -> messages.Alert:
    return messages.Alert(
        alert_id="a",
        patient="Jane Doe",
        event=event,
        kind=kind,
        condition=condition,
        priority=priority,
        time=0,
        onset=0,
        rarity=None,
        drivers=[],
        sentence="",
        origin=messages.Origin("t", 0, 0),
        model="m",
    )


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_label_child_exists_before_anything_happens(metrics: Metrics) -> None:
    for reason in messages.REJECTIONS:
        assert value(metrics, "vitalwatch_dead_letters_total", reason=reason) == 0
    for event in get_args(messages.Event):
        for kind in get_args(messages.Kind):
            for priority in messages.PRIORITIES:
                labels = {"event": event, "kind": kind, "priority": priority}
                assert value(metrics, "vitalwatch_alerts_total", **labels) == 0
    for reason in LOSSES:
        assert value(metrics, "vitalwatch_memberships_lost_total", reason=reason) == 0
    for vital in vitals.NAMES:
        for name in ("values_scored", "values_expected", "surprise_nats"):
            assert value(metrics, f"vitalwatch_{name}_total", vital=vital) == 0
    metrics.conditions(conditions.INDEX)
    for condition in conditions.INDEX:
        assert value(metrics, "vitalwatch_alerts_raised_total", condition=condition) == 0


def test_what_happens_is_counted(metrics: Metrics) -> None:
    metrics.scored(5, 0.002)
    metrics.scored(3, 0.004)
    metrics.late(2)
    metrics.unknown_vitals(4)
    metrics.dead_letter("not_json")
    metrics.published([alert(), alert(), alert(event="cleared", priority="low")])
    assert value(metrics, "vitalwatch_readings_scored_total") == 8
    assert value(metrics, "vitalwatch_scoring_seconds_count") == 2
    assert value(metrics, "vitalwatch_scoring_seconds_sum") == pytest.approx(0.006)
    assert value(metrics, "vitalwatch_readings_late_total") == 2
    assert value(metrics, "vitalwatch_unknown_vitals_total") == 4
    assert value(metrics, "vitalwatch_dead_letters_total", reason="not_json") == 1
    high = {"event": "raised", "kind": "physiological", "priority": "high"}
    assert value(metrics, "vitalwatch_alerts_total", **high) == 2
    assert value(metrics, "vitalwatch_alerts_raised_total", condition="spo2_low") == 2


def test_latency_is_from_arrival_to_now_and_a_clock_that_is_ahead_does_no_harm() -> None:
    metrics = Metrics(CollectorRegistry(), now=lambda: 1000.0)
    metrics.reached([999_960, 1_000_500])
    name = "vitalwatch_reading_latency_seconds"
    assert value(metrics, f"{name}_bucket", le="0.03") == 1
    assert value(metrics, f"{name}_bucket", le="0.05") == 2
    assert value(metrics, f"{name}_sum") == pytest.approx(0.04)


def test_what_is_of_a_partition_goes_with_it(metrics: Metrics) -> None:
    ours = TopicPartition("t", 0)
    metrics.stream_time(ours, 1500)
    metrics.snapshot(ours)
    metrics.adjusted(ours, 1.5)
    names = ("stream_timestamp_seconds", "snapshot_timestamp_seconds", "rarity_adjustment_ratio")
    assert [value(metrics, f"vitalwatch_{names[0]}", topic="t", partition="0")] == [1.5]
    metrics.forget(ours)
    for name in names:
        assert value(metrics, f"vitalwatch_{name}", topic="t", partition="0") is None


def test_what_the_budget_promises_stands_beside_what_is_realised(metrics: Metrics) -> None:
    metrics.watched(43_200, 2.0)
    metrics.watched(86_400, 2.0)
    again = alert("escalated", condition="deterioration")
    metrics.published([alert(condition="deterioration"), again, alert()])
    metrics.published([alert(condition="deterioration")])
    assert value(metrics, "vitalwatch_patients_watched_seconds_total") == 129_600
    assert value(metrics, "vitalwatch_budgeted_alarms_total") == 3
    assert value(metrics, "vitalwatch_deterioration_alarms_total") == 2


def test_the_adjustment_of_a_partition_that_is_another_workers_now_is_not_reported(
    metrics: Metrics,
) -> None:
    for number in (0, 1):
        metrics.adjusted(TopicPartition("t", number), 1.5)
    metrics.forget(TopicPartition("t", 0))
    name = "vitalwatch_rarity_adjustment_ratio"
    assert value(metrics, name, topic="t", partition="0") is None
    assert value(metrics, name, topic="t", partition="1") == 1.5


def test_the_share_in_alarm_is_of_the_patients_held(metrics: Metrics) -> None:
    metrics.patients(held=8, in_alarm=2)
    assert value(metrics, "vitalwatch_patients_in_alarm_ratio") == 0.25
    metrics.patients(held=0, in_alarm=0)
    assert value(metrics, "vitalwatch_patients_in_alarm_ratio") == 0


def test_the_lag_of_a_partition_that_was_given_away_is_no_longer_reported(
    metrics: Metrics,
) -> None:
    metrics.lag({TopicPartition("t", 0): 7, TopicPartition("t", 1): 8})
    metrics.lag({TopicPartition("t", 1): 9})
    name = "vitalwatch_consumer_lag_records"
    assert value(metrics, name, topic="t", partition="0") is None
    assert value(metrics, name, topic="t", partition="1") == 9


def test_the_model_is_told(metrics: Metrics) -> None:
    metrics.model("abc123")
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    info = next(family for family in families if family.name == "vitalwatch_model_info")
    assert info.samples[0].labels["fingerprint"] == "abc123"


def test_the_exposition_has_nothing_that_no_dashboard_asks_for(metrics: Metrics) -> None:
    assert b"_created" not in generate_latest(metrics.registry)


def test_no_patient_is_in_the_exposition(metrics: Metrics) -> None:
    metrics.published([alert()])
    assert b"Jane" not in generate_latest(metrics.registry)


def exposition(metrics: Metrics) -> bytes:
    """All that a daemon tells, with every label that it can have."""
    ours = TopicPartition("t", 0)
    metrics.model("abc")
    metrics.conditions(conditions.INDEX)
    metrics.lag({ours: 1})
    metrics.stream_time(ours, 1)
    metrics.snapshot(ours)
    metrics.adjusted(ours, 1.0)
    metrics.partitions("t", 8)
    metrics.registry.register(Health(CONDITIONS))
    return generate_latest(metrics.registry)


def test_prometheus_own_linter_finds_nothing(metrics: Metrics, needs: Callable[..., str]) -> None:
    command = [needs("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=exposition(metrics), capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_labels_are_of_small_fixed_sets_or_of_a_partition(metrics: Metrics) -> None:
    allowed = {
        "event": set(get_args(messages.Event)),
        "kind": set(get_args(messages.Kind)),
        "priority": set(messages.PRIORITIES),
        "reason": {*messages.REJECTIONS, *LOSSES},
        "vital": set(vitals.NAMES),
        "condition": {*CONDITIONS, *conditions.INDEX},
        "topic": {"t"},
        "partition": {"0"},
    }
    told = exposition(metrics).decode()
    series = 0
    for family in text_string_to_metric_families(told):
        for sample in family.samples:
            series += 1
            if family.name != "vitalwatch_model_info":
                for label, content in sample.labels.items():
                    assert label == "le" or content in allowed[label], sample
    assert 150 < series < 300
    assert all(
        re.match(r"(vitalwatch|process)_", line) for line in told.splitlines() if line[0] != "#"
    )
