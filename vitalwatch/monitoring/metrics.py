"""The daemon's figures for Prometheus.

One-word prefix, base units, counters end in ``_total``. Labels take their values from small
fixed sets, or are a topic and partition; children are created at the start, so that a rate over
a counter sees its first increment. Whatever is of a partition goes when the partition goes.

All is written once a transaction, so what it costs is divided by the readings of one; what is
counted by reading is counted by a compiled loop (:mod:`vitalwatch.monitoring.fit`). There are no
exemplars: Prometheus keeps them only where it is told to, the text format has none, and the only
thing to point to would be a trace, which few have; a reading's own identifiers must not be here.
"""

import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from vitalwatch import messages, vitals
from vitalwatch.monitoring.fit import Fit, RarityHistogram
from vitalwatch.stream.broker import TopicPartition

SCORING_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Seconds of one transaction: from a single reading to the largest batch on a slow machine."""

COMMIT_BUCKETS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
LATENCY_BUCKETS: Final = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 300),
)
"""Seconds from a reading's arrival to its commit: 99 of 100 take 30 to 200 ms, by the rate; beyond
a second something is wrong, and it matters only how much."""

RESTORE_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800)

LOSSES: Final = ("fenced", "broker")
"""Why a worker has to join the group anew."""

# When each child was made, which is at the start: a third of the page, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """All metrics of one daemon, on the registry that it is given."""

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = time.time) -> None:
        self.registry = registry
        self._now = now
        ProcessCollector(registry=registry)
        self._readings = Counter(
            "vitalwatch_readings_scored", "Readings that were scored.", registry=registry
        )
        self._late = Counter(
            "vitalwatch_readings_late",
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
            "Time to score the readings of one transaction and run their alarms.",
            buckets=SCORING_BUCKETS,
            registry=registry,
        )
        self._commit = Histogram(
            "vitalwatch_commit_seconds",
            "Time to commit one transaction.",
            buckets=COMMIT_BUCKETS,
            registry=registry,
        )
        self._latency = Histogram(
            "vitalwatch_reading_latency_seconds",
            "From a record's timestamp to the commit of what it brought, of the oldest record that "
            "a transaction has of a partition.",
            buckets=LATENCY_BUCKETS,
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
        self._stream_time = Gauge(
            "vitalwatch_stream_timestamp_seconds",
            "How far the patients of an assigned partition have got, by their readings' times.",
            ("topic", "partition"),
            registry=registry,
        )
        self._partitions = Gauge(
            "vitalwatch_topic_partitions",
            "Partitions of the readings' topic, assigned to this worker or to others.",
            ("topic",),
            registry=registry,
        )
        self._losses = Counter(
            "vitalwatch_memberships_lost",
            "Times that this worker had to join the group anew, and to restore its state.",
            ("reason",),
            registry=registry,
        )
        self._alerts = Counter(
            "vitalwatch_alerts",
            "Alert events published.",
            ("event", "kind", "priority"),
            registry=registry,
        )
        self._raised = Counter(
            "vitalwatch_alerts_raised",
            "Alerts raised, by condition.",
            ("condition",),
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
        self._rarity = RarityHistogram(
            "vitalwatch_rarity_seconds",
            "Rarity of readings: a stable patient shows as much once in so long.",
        )
        registry.register(self._rarity)
        self._measured = Counter(
            "vitalwatch_values_scored", "Values that were scored.", ("vital",), registry=registry
        )
        self._inside = Counter(
            "vitalwatch_values_expected",
            "Scored values within the range that the network expected to hold 90 % of them.",
            ("vital",),
            registry=registry,
        )
        self._surprise = Counter(
            "vitalwatch_surprise_nats",
            "Sum of the surprise of scored values: how improbable the network thought them.",
            ("vital",),
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
        for reason in LOSSES:
            self._losses.labels(reason)
        self._by_vital = [
            (self._measured.labels(name), self._inside.labels(name), self._surprise.labels(name))
            for name in vitals.NAMES
        ]

    def scored(self, readings: int, seconds: float) -> None:
        """A transaction's so many ``readings`` took ``seconds`` to score."""
        self._readings.inc(readings)
        self._scoring.observe(seconds)

    def committed(self, seconds: float) -> None:
        """A transaction took ``seconds`` to commit."""
        self._commit.observe(seconds)

    def reached(self, arrivals: Iterable[int]) -> None:
        """What came at these times (ms since 1970) is committed."""
        now = self._now()
        for arrived in arrivals:
            self._latency.observe(max(now - arrived / 1000, 0.0))

    def fits(self, fit: Fit) -> None:
        """How readings that are committed fit the model."""
        self._rarity.add(fit)
        found = zip(fit.measured.tolist(), fit.inside.tolist(), fit.nats.tolist(), strict=True)
        for (measured, inside, surprise), counts in zip(self._by_vital, found, strict=True):
            if counts[0]:
                measured.inc(counts[0])
                inside.inc(counts[1])
                surprise.inc(max(counts[2], 0.0))  # not below 0 but by rounding

    def restored(self, seconds: float) -> None:
        """The state of a partition took ``seconds`` to restore."""
        self._restore.observe(seconds)

    def snapshot(self, partition: TopicPartition) -> None:
        """A partition's snapshot is complete and committed."""
        self._snapshot.labels(partition.topic, str(partition.partition)).set(self._now())

    def forget(self, partition: TopicPartition) -> None:
        """A partition is another worker's now."""
        self._lagging -= {partition}
        for gauge in (self._lag, self._snapshot, self._factor, self._stream_time):
            with suppress(KeyError):
                gauge.remove(partition.topic, str(partition.partition))

    def stream_time(self, partition: TopicPartition, ms: int) -> None:
        """The patients of a partition have got to this time, ms since 1970."""
        self._stream_time.labels(partition.topic, str(partition.partition)).set(ms / 1000)

    def partitions(self, topic: str, count: int) -> None:
        """The topic of readings has so many partitions, as of this worker's start."""
        self._partitions.labels(topic).set(count)

    def membership_lost(self, reason: str) -> None:
        """This worker has to join the group anew; ``reason`` is one of :data:`LOSSES`."""
        self._losses.labels(reason).inc()

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
            if alert.event == "raised":
                self._raised.labels(alert.condition).inc()
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

    def conditions(self, names: Iterable[str]) -> None:
        """These are all conditions that an alert can have."""
        for name in names:
            self._raised.labels(name)

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
