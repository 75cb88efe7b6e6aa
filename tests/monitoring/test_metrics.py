from typing import get_args

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from vitalwatch import messages
from vitalwatch.monitoring.metrics import Metrics
from vitalwatch.stream.broker import TopicPartition


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
    assert value(metrics, "vitalwatch_late_readings_total") == 2
    assert value(metrics, "vitalwatch_unknown_vitals_total") == 4
    assert value(metrics, "vitalwatch_dead_letters_total", reason="not_json") == 1
    high = {"event": "raised", "kind": "physiological", "priority": "high"}
    assert value(metrics, "vitalwatch_alerts_total", **high) == 2


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
