"""The daemon's figures for Prometheus.

One-word prefix, base units, counters end in ``_total``. Labels take their values from small
fixed sets, or are a topic and partition; children are created at the start, so that a rate over
a counter sees its first increment.
"""

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Final, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

import vitalwatch
from vitalwatch import messages
from vitalwatch.stream.broker import TopicPartition

SCORING_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Seconds for one micro-batch: from a single reading to the largest batch on a slow machine."""

COMMIT_BUCKETS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
RESTORE_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800)

# When each child was made, which is at the start: a third of the page, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """All metrics of one daemon, on the registry that it is given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        ProcessCollector(registry=registry)
        self._readings = Counter(
            "vitalwatch_readings_scored", "Readings that were scored.", registry=registry
        )
        self._late = Counter(
            "vitalwatch_late_readings",
            "Readings not scored because they were not after the patient's last one.",
            registry=registry,
        )
        self._lost = Counter(
            "vitalwatch_readings_lost",
            "Records that were deleted from the readings before they were scored.",
            registry=registry,
        )
        self._unknown = Counter(
            "vitalwatch_unknown_vitals",
            "Values of vital signs that are not known, ignored.",
            registry=registry,
        )
        self._scoring = Histogram(
            "vitalwatch_scoring_seconds",
            "Time to score one micro-batch and run its alarms.",
            buckets=SCORING_BUCKETS,
            registry=registry,
        )
        self._commit = Histogram(
            "vitalwatch_commit_seconds",
            "Time to commit one transaction.",
            buckets=COMMIT_BUCKETS,
            registry=registry,
        )
        self._restore = Histogram(
            "vitalwatch_restore_seconds",
            "Time to have the state of a partition that was taken over.",
            buckets=RESTORE_BUCKETS,
            registry=registry,
        )
        self._snapshot = Gauge(
            "vitalwatch_snapshot_timestamp_seconds",
            "When the newest complete snapshot of an assigned partition was committed.",
            ("topic", "partition"),
            registry=registry,
        )
        self._alerts = Counter(
            "vitalwatch_alerts",
            "Alert events published.",
            ("event", "kind", "priority"),
            registry=registry,
        )
        self._watched = Counter(
            "vitalwatch_patients_watched_seconds",
            "Time for which patients were watched, of all patients together.",
            registry=registry,
        )
        self._deteriorations = Counter(
            "vitalwatch_deterioration_alarms",
            "Deterioration alarms raised: what the budget is for, true ones among them.",
            registry=registry,
        )
        self._promised = Counter(
            "vitalwatch_budgeted_alarms",
            "Deterioration alarms that the budget allows for the time that patients were watched.",
            registry=registry,
        )
        self._factor = Gauge(
            "vitalwatch_rarity_adjustment_ratio",
            "What an assigned partition's rarities are divided by, to follow its rate of alarms.",
            ("topic", "partition"),
            registry=registry,
        )
        self._dead_letters = Counter(
            "vitalwatch_dead_letters",
            "Records that were no readings and went to the dead letters.",
            ("reason",),
            registry=registry,
        )
        self._patients = Gauge(
            "vitalwatch_patients_held", "Patients whose state is held.", registry=registry
        )
        self._in_alarm = Gauge(
            "vitalwatch_patients_in_alarm_ratio",
            "Share of the patients held who have an active physiological alert.",
            registry=registry,
        )
        self._lag = Gauge(
            "vitalwatch_consumer_lag_records",
            "Records of an assigned partition that are not read yet.",
            ("topic", "partition"),
            registry=registry,
        )
        self._lagging: frozenset[TopicPartition] = frozenset()
        self._model = Info("vitalwatch_model", "The model that scores.", registry=registry)
        for event in get_args(messages.Event):
            for kind in get_args(messages.Kind):
                for priority in messages.PRIORITIES:
                    self._alerts.labels(event, kind, priority)
        for reason in messages.REJECTIONS:
            self._dead_letters.labels(reason)

    def scored(self, readings: int, seconds: float) -> None:
        """A micro-batch of so many ``readings`` took ``seconds`` to score."""
        self._readings.inc(readings)
        self._scoring.observe(seconds)

    def committed(self, seconds: float) -> None:
        """A transaction took ``seconds`` to commit."""
        self._commit.observe(seconds)

    def restored(self, seconds: float) -> None:
        """The state of a partition took ``seconds`` to restore."""
        self._restore.observe(seconds)

    def snapshot(self, partition: TopicPartition) -> None:
        """A partition's snapshot is complete and committed."""
        self._snapshot.labels(partition.topic, str(partition.partition)).set_to_current_time()

    def forget(self, partition: TopicPartition) -> None:
        """A partition is another worker's now."""
        for gauge in (self._snapshot, self._factor):
            with suppress(KeyError):
                gauge.remove(partition.topic, str(partition.partition))

    def late(self, readings: int) -> None:
        """So many readings were late."""
        self._late.inc(readings)

    def lost(self, records: int) -> None:
        """So many records were deleted before they were read."""
        self._lost.inc(records)

    def unknown_vitals(self, values: int) -> None:
        """So many values were of vital signs that are not known."""
        self._unknown.inc(values)

    def published(self, alerts: Sequence[messages.Alert]) -> None:
        """These alert events are committed."""
        for alert in alerts:
            self._alerts.labels(alert.event, alert.kind, alert.priority).inc()
            if alert.condition == "deterioration" and alert.event in ("raised", "updated"):
                self._deteriorations.inc()

    def watched(self, seconds: float, budget: float) -> None:
        """Patients were watched for so many ``seconds`` in all; ``budget`` is alarms a day."""
        self._watched.inc(seconds)
        self._promised.inc(seconds / 86_400 * budget)

    def adjusted(self, partition: TopicPartition, factor: float) -> None:
        """A partition's rarities are divided by ``factor`` now."""
        self._factor.labels(partition.topic, str(partition.partition)).set(factor)

    def dead_letter(self, reason: str) -> None:
        """One record was rejected; ``reason`` is a key of :data:`messages.REJECTIONS`."""
        self._dead_letters.labels(reason).inc()

    def patients(self, held: int, in_alarm: int) -> None:
        """The state of ``held`` patients is kept; ``in_alarm`` have a physiological alert."""
        self._patients.set(held)
        self._in_alarm.set(in_alarm / held if held else 0.0)

    def lag(self, lag: Mapping[TopicPartition, int]) -> None:
        """Records not read yet, by assigned partition; others are no longer reported."""
        for gone in self._lagging - lag.keys():
            self._lag.remove(gone.topic, str(gone.partition))
        for source, records in lag.items():
            self._lag.labels(source.topic, str(source.partition)).set(records)
        self._lagging = frozenset(lag)

    def model(self, fingerprint: str) -> None:
        """The model with this ``fingerprint`` scores from now on."""
        self._model.info(
            {
                "fingerprint": fingerprint,
                "version": vitalwatch.__version__,
                "numba": version("numba"),
                "numpy": version("numpy"),
                "python": platform.python_version(),
            }
        )
