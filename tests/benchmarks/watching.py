"""What it costs to be watched: metrics, and traces where somebody asks for them.

The daemon with its metrics is run in turns with one that keeps none, and with one that makes spans;
compared is the processor's time a reading, which others on the machine disturb least. What is less
than such runs differ anyway is timed alone, too.
"""

import time
from collections.abc import Callable

import numpy as np
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry

from tests.benchmarks import network
from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure, Target, ratio
from tests.benchmarks.pipeline import PATIENTS
from vitalwatch import config
from vitalwatch.arrays import Spans
from vitalwatch.detector import Detector
from vitalwatch.model import checkpoint
from vitalwatch.monitoring.fit import Fit
from vitalwatch.monitoring.metrics import Metrics
from vitalwatch.monitoring.tracing import OpenTelemetry, Tracing
from vitalwatch.readings import Detection, Readings
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.outputs import Tally

WATCHED, UNWATCHED, TRACED = "daemon with metrics", "daemon without metrics", "daemon with traces"
FLAGS = {WATCHED: (), UNWATCHED: ("--unwatched",), TRACED: ("--traced",)}


class Unwatched(Metrics):
    """Counts the readings that were scored, by which a benchmark sees the end, and nothing else."""

    def __getattribute__(self, name: str) -> object:
        kept = name.startswith("_") or name in ("registry", "scored")
        return super().__getattribute__(name) if kept else _nothing


def _nothing(*_arguments: object) -> None:
    pass


def unwatched() -> Metrics:
    """Metrics of a daemon that counts nothing by reading, either; for a process of its own."""
    Fit.add = _nothing  # type: ignore[assignment, method-assign]
    return Unwatched(CollectorRegistry())


class _Nowhere(SpanExporter):  # type: ignore[misc]
    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def tracing(settings: config.Settings) -> Tracing:
    """Spans that are made and handed on as for a collector, but go nowhere."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    return OpenTelemetry(provider, settings.topics.readings, settings.daemon.group)


def measure(context: Context) -> list[Figure]:
    """The daemon watched, unwatched and traced, in turns; and what watching takes alone."""
    prefix = context.topic(PATIENTS, context.size.readings)
    taken: dict[str, list[float]] = {name: [] for name in FLAGS}
    for _ in range(context.size.runs):
        for name, flags in FLAGS.items():
            context.cluster.empty_outputs(prefix)
            address, group = context.cluster.address, context.name("watching")
            with context.undisturbed():
                found = context.program(
                    "pipeline", address, prefix, group, context.size.readings, *flags
                )
            taken[name].append(found["processor"])
            context.say(f"  {name}: {found['rate']:,.0f} readings/s, {taken[name][-1]:.2f} µs each")
    watched, without, traced = (Figure(name, taken[name], "µs a reading") for name in FLAGS)
    by_reading, by_transaction, untraced, scoring = alone(context)
    return [
        watched,
        without,
        traced,
        ratio("with metrics / without", watched, without, Target("≤", 1.03, 1)),
        ratio("with traces / without", traced, watched),
        by_reading,
        ratio("metrics, by reading / scoring and alarms", by_reading, scoring, Target("≤", 0.01)),
        Figure("metrics, by transaction", by_transaction, "µs"),
        Figure("traces when off, by transaction", untraced, "µs", Target("≤", 2)),
    ]


def alone(context: Context) -> tuple[Figure, list[float], list[float], Figure]:
    """µs of what is done a reading; of the rest a transaction; and of no traces a transaction.

    Beside it scoring and alarms, µs a reading.
    """
    moment, runs = context.size.moment, max(context.size.runs, 3)
    values, detection = _detection()
    tally, metrics, none = Tally(), Metrics(CollectorRegistry()), Tracing()
    tally.fit.add(values, detection)
    place = TopicPartition("vitals.readings", 0)

    def tell() -> None:
        metrics.committed(0.01)
        metrics.scored(1000, 0.01)
        metrics.reached([0])
        metrics.fits(tally.fit)
        metrics.late(0)
        metrics.unknown_vitals(0)
        metrics.published([])
        metrics.watched(60.0, 1.0)
        metrics.adjusted(place, 1.0)
        metrics.patients(1000, 10)

    def untraced() -> None:
        with none.transaction() as trace:
            trace.read([])
            trace.committed(tally, 0.01)

    ward, model = network.frames(), checkpoint.load()
    by_reading, scoring = [], []
    for _ in range(runs):
        scoring.append(network.detecting(model, ward))
        by_reading.append(_each(lambda: Fit().add(values, detection), moment) / len(values))
    return (
        Figure("metrics, by reading", by_reading, "µs"),
        [_each(tell, moment) for _ in range(runs)],
        [_each(untraced, moment) for _ in range(runs)],
        Figure("scoring and alarms", scoring, "µs"),
    )


def _detection() -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float32]], Detection]:
    """The last readings of a ward, and what is said of them."""
    detector = Detector(checkpoint.load(), config.Alarms())
    patients = Spans.of(map(str, range(network.BATCH)))
    for frame, (times, measured) in enumerate(network.frames()):
        values = measured.astype(np.float32)
        offsets = np.arange(network.BATCH) + frame * network.BATCH
        (found,) = detector.process([Readings("ward", 0, patients, times, values, offsets)])
    return values, found


def _each(work: Callable[[], object], seconds: float) -> float:
    """µs of one, the least of many blocks, because others can only add to it."""
    work()
    end, best = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(100):
            work()
        best = min(best, (time.perf_counter() - began) / 100)
    return best * 1e6
