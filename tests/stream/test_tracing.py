"""Traces: off by default, linked to those who sent the readings, and no part of the output."""

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.stream.test_daemon import unplaced
from tests.stream.worker import HEALTHY, START, Worker, reading
from vitalwatch.detector import Detector
from vitalwatch.errors import BrokerError, ConfigurationError
from vitalwatch.monitoring import tracing
from vitalwatch.monitoring.tracing import LINKS, OpenTelemetry
from vitalwatch.stream import trace_context
from vitalwatch.stream.broker import Broker, Headers
from vitalwatch.stream.memory import MemoryBroker

Name = Callable[[str], str]

ILL = {**HEALTHY, "spo2": 72}


def parent(trace: int, span: int = 7) -> bytes:
    return f"00-{trace:032x}-{span:016x}-01".encode()


def publish(worker: Worker, headers: Callable[[int], Headers], count: int = 5) -> None:
    """A patient with a dangerous value, which is an alert with the fourth reading."""
    publisher = worker.broker.publisher()
    for number in range(count):
        publisher.send(
            worker.settings.topics.readings,
            b"anna",
            reading("anna", 5 * number, ILL),
            timestamp=START + 5000 * number,
            headers=headers(number),
        )
    publisher.close()


def traced(worker: Worker) -> tuple[OpenTelemetry, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    settings = worker.settings
    return OpenTelemetry(provider, settings.topics.readings, settings.daemon.group), exporter


def test_a_transaction_is_a_span_linked_to_who_sent_its_readings(
    broker: Broker, name: Name
) -> None:
    worker = Worker(broker, name("traced"), daemon={"commit_seconds": 1.0})
    publish(worker, lambda number: [("traceparent", parent(number // 2 + 1)), ("device", b"x")])
    told, exporter = traced(worker)
    worker.run(5, tracing=told)
    spans = exporter.get_finished_spans()
    links = [link.context.trace_id for span in spans for link in span.links]
    assert sorted(set(links)) == [1, 2, 3]
    counted = [dict(span.attributes or {}) for span in spans]
    assert sum(int(str(each["messaging.batch.message_count"])) for each in counted) == 5
    assert sum(int(str(each["vitalwatch.alerts"])) for each in counted) == 1
    for span in spans:
        assert span.name == f"process {worker.settings.topics.readings}"
        assert span.kind == SpanKind.CONSUMER
        assert span.parent is None
        assert span.status.status_code != StatusCode.ERROR
        assert START < (span.start_time or 0) / 1e6 <= (span.end_time or 0) / 1e6
        assert "anna" not in span.to_json()


def test_an_alert_carries_the_context_of_the_reading_that_brought_it(
    broker: Broker, name: Name
) -> None:
    worker = Worker(broker, name("carried"))
    state = b"vendor=1"
    publish(worker, lambda n: [("traceparent", parent(n + 1)), ("tracestate", state)])
    worker.run(5)  # nobody asks for traces
    ((_, _, headers),) = worker.records(worker.settings.topics.alerts)
    (alert,) = worker.alerts()
    assert list(headers) == [
        ("traceparent", parent(alert.origin.offset + 1)),
        ("tracestate", state),
    ]


def test_output_is_the_same_with_traces_and_without() -> None:
    told = []
    for asked in (True, False):
        worker = Worker(MemoryBroker(), "same")
        publish(worker, lambda number: [("traceparent", parent(number + 1))])
        worker.run(5, **({"tracing": traced(worker)[0]} if asked else {}))
        topics = worker.settings.topics
        records = [worker.records(topic) for topic in (topics.scores, topics.alerts)]
        told.append((records, [unplaced(alert) for alert in worker.alerts()]))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", b"")],
        [("traceparent", None)],
        [("traceparent", parent(0))],
        [("traceparent", parent(1, 0))],
        [("traceparent", b"ff" + parent(1)[2:])],
        [("traceparent", parent(1).upper().replace(b"01", b"0A"))],
        [("traceparent", parent(1) + b"\n")],
        [("traceparent", b"patient=anna")],
        [("traceparent", parent(1)), ("traceparent", parent(2))],
        [("tracestate", b"a=1")],
    ],
)
def test_what_is_no_context_is_not_carried(headers: Any) -> None:
    assert trace_context.carried(headers) == ()


@pytest.mark.parametrize("state", [b"x" * 513, b"\xff", None])
def test_a_state_that_cannot_be_is_left_out(state: Any) -> None:
    headers = [("traceparent", parent(1)), ("tracestate", state)]
    assert trace_context.carried(headers) == (("traceparent", parent(1)),)


def test_of_many_senders_no_more_are_linked_than_a_span_keeps() -> None:
    worker = Worker(MemoryBroker(), "many", daemon={"commit_seconds": 1.0})
    publish(worker, lambda number: [("traceparent", parent(number + 1))], 3 * LINKS)
    told, exporter = traced(worker)
    worker.run(3 * LINKS, tracing=told)
    (span,) = exporter.get_finished_spans()
    assert len({link.context.trace_id for link in span.links}) == LINKS


def test_a_transaction_that_fails_is_a_span_with_an_error() -> None:
    class Failing(Detector):
        failed = False

        def process(self, batch: Any) -> Any:
            if not Failing.failed:
                Failing.failed = True
                raise BrokerError("no word of anna")
            return super().process(batch)

    worker = Worker(MemoryBroker(), "failing")
    publish(worker, lambda _number: [])
    told, exporter = traced(worker)
    detector = Failing(worker.model, worker.settings.alarms)
    # It fails once it is a member of the group, and so is tried again.
    worker.run(5, tracing=told, detector=detector, wait=lambda _stop, _seconds: False)
    span = exporter.get_finished_spans()[0]
    assert span.status.status_code == StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "BrokerError"
    assert "anna" not in span.to_json()


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with (
        pytest.raises(ConfigurationError, match=r"pip install 'vitalwatch\[otel\]'"),
        tracing.exporting("http://127.0.0.1:4318/v1/traces", "t", "g"),
    ):
        pass


def test_a_collector_that_is_away_does_not_hold_up_the_end() -> None:
    began = time.monotonic()
    worker = Worker(MemoryBroker(), "away")
    publish(worker, lambda _number: [])
    with tracing.exporting("http://127.0.0.1:9/v1/traces", "t", "g") as told:
        worker.run(5, tracing=told)
    assert time.monotonic() - began < 30
