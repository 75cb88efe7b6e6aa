"""Traces, where they are asked for: a span a transaction, linked to whoever sent its readings.

With OpenTelemetry (the extra ``otel``), which is imported only then. A transaction is of the
readings of many senders, so it is no part of any of theirs: it has a trace of its own, with links.
No span names a patient.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import vitalwatch
from vitalwatch.errors import ConfigurationError
from vitalwatch.stream import trace_context
from vitalwatch.stream.broker import RecordBatch

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from vitalwatch.stream.outputs import Tally

LINKS: Final = 128
"""A span keeps so many links (OpenTelemetry's own limit), so of a large batch not every record's
headers are read."""

EXPORT_SECONDS: Final = 3.0
"""A collector that does not answer must not hold up the end of the process."""


class Transaction:
    """What is traced of one transaction: here nothing."""

    def read(self, batches: Sequence[RecordBatch]) -> None:
        """These records are part of it."""

    def committed(self, tally: "Tally", seconds: float) -> None:
        """It is committed, which took so many ``seconds``."""


class Tracing:
    """What a daemon has where nobody asks for traces."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Trace what happens within."""
        return _UNTRACED


_UNTRACED: Final = nullcontext(Transaction())


class _Span(Transaction):
    def __init__(self) -> None:
        self.parents: dict[bytes, None] = {}
        self.attributes: dict[str, Any] = {}

    def read(self, batches: Sequence[RecordBatch]) -> None:
        for batch in batches:
            for index in range(0, len(batch), max(len(batch) // LINKS, 1)):
                if len(self.parents) == LINKS:
                    return
                for name, content in trace_context.carried(batch.headers[index]):
                    if name == trace_context.PARENT:
                        self.parents[content] = None

    def committed(self, tally: "Tally", seconds: float) -> None:
        self.attributes = {
            "messaging.batch.message_count": tally.records,
            "vitalwatch.readings_scored": tally.scored,
            "vitalwatch.alerts": len(tally.alerts),
            "vitalwatch.dead_letters": len(tally.rejected),
            "vitalwatch.scoring_seconds": tally.scoring_seconds,
            "vitalwatch.commit_seconds": seconds,
        }


class OpenTelemetry(Tracing):
    """Spans for an OpenTelemetry ``provider``, by its conventions for messages."""

    def __init__(self, provider: "TracerProvider", topic: str, group: str) -> None:
        self._tracer = provider.get_tracer("vitalwatch", vitalwatch.__version__)
        self._name = f"process {topic}"
        self._attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.consumer.group.name": group,
        }

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Its span is made when it ends, for only then are all links known."""
        began, span = time.time_ns(), _Span()
        try:
            yield span
        except Exception as error:
            self._end(began, span, error)
            raise
        if span.attributes.get("messaging.batch.message_count"):  # or a part of a snapshot alone
            self._end(began, span)

    def _end(self, began: int, span: _Span, error: Exception | None = None) -> None:
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        extract = TraceContextTextMapPropagator().extract
        parents = [extract({trace_context.PARENT: parent.decode()}) for parent in span.parents]
        made = self._tracer.start_span(
            self._name,
            kind=SpanKind.CONSUMER,
            links=[Link(get_current_span(parent).get_span_context()) for parent in parents],
            attributes=self._attributes | span.attributes,
            start_time=began,
        )
        if error is not None:  # its words may hold what came from outside
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(Status(StatusCode.ERROR))
        made.end()


@contextmanager
def exporting(endpoint: str, topic: str, group: str) -> Iterator[Tracing]:
    """Traces for the collector at ``endpoint`` (OTLP over HTTP); none where it is empty.

    All else is as OpenTelemetry's variables say, ``OTEL_TRACES_SAMPLER`` for one. Raises
    ConfigurationError where the extra is missing.
    """
    if not endpoint:
        yield Tracing()
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigurationError(
            "Setting monitoring.traces asks for traces, which need OpenTelemetry: "
            "pip install 'vitalwatch[otel]', or leave it empty."
        ) from None
    who = {"service.name": "vitalwatch", "service.version": vitalwatch.__version__}
    provider = TracerProvider(resource=Resource.create(who), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield OpenTelemetry(provider, topic, group)
    finally:
        provider.shutdown()
