"""The dashboard's own figures for Prometheus; nothing of a patient is among the labels."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

EVENTS: Final = ("ward", "numbers", "alert", "ack", "source", "replay")
KINDS: Final = ("readings", "scores", "alerts", "acks")


class Figures:
    """All metrics of one dashboard, on the registry that it is given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.clients = 0
        ProcessCollector(registry=registry)
        self._clients = Gauge(
            "vitalwatch_dashboard_clients", "Pages that are open.", registry=registry
        )
        self._dropped = Counter(
            "vitalwatch_dashboard_clients_dropped",
            "Pages whose connection was closed because they did not keep up.",
            registry=registry,
        )
        self._events = Counter(
            "vitalwatch_dashboard_events",
            "Events told to the pages, each counted once.",
            ("event",),
            registry=registry,
        )
        self._bytes = Counter(
            "vitalwatch_dashboard_event_bytes",
            "Bytes of these events, each counted once.",
            registry=registry,
        )
        self._records = Counter(
            "vitalwatch_dashboard_records",
            "Records read from the topics.",
            ("kind",),
            registry=registry,
        )
        self._skipped = Counter(
            "vitalwatch_dashboard_records_skipped",
            "Records that could not be shown.",
            ("kind", "reason"),
            registry=registry,
        )
        self._patients = Gauge(
            "vitalwatch_dashboard_patients", "Patients that are shown.", registry=registry
        )
        self._lag = Gauge(
            "vitalwatch_dashboard_lag_records",
            "Records on the topics that are not read yet.",
            registry=registry,
        )
        self._up = Gauge(
            "vitalwatch_dashboard_source_up",
            "Whether the broker, or the recording, is being read: 1 or 0.",
            registry=registry,
        )
        for event in EVENTS:
            self._events.labels(event)
        for kind in KINDS:
            self._records.labels(kind)

    def hears(self, reading: Callable[[], bool]) -> None:
        """Whether the source is read is asked whenever the figures are."""
        self._up.set_function(reading)

    def client(self, change: int) -> None:
        """A page came or went."""
        self.clients += change
        self._clients.set(self.clients)

    def dropped(self) -> None:
        """A page was too slow."""
        self._dropped.inc()

    def published(self, event: str, size: int) -> None:
        """An event of so many bytes was told."""
        self._events.labels(event).inc()
        self._bytes.inc(size)

    def records(self, kind: str, count: int) -> None:
        """So many records were read."""
        self._records.labels(kind).inc(count)

    def skipped(self, kind: str, reason: str, count: int) -> None:
        """So many records could not be shown; ``reason`` is of a fixed few."""
        self._skipped.labels(kind, reason).inc(count)

    def state(self, patients: int, lag: int) -> None:
        """How much is shown, and how much is still to be read."""
        self._patients.set(patients)
        self._lag.set(lag)
