"""A stream that tests write by hand, and pages that read what the dashboard says of it."""

import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec

from vitalwatch import config
from vitalwatch.messages import Alert, Driver, Event, Kind, Origin, Priority, ScoreBlock
from vitalwatch.stream.broker import Broker, TopicPartition
from vitalwatch.stream.partitioner import partition_of
from vitalwatch.vitals import NAMES

DEADLINE = 20.0
PARTITIONS = 2
MINUTE = 60_000


def now() -> int:
    """Now, in ms."""
    return round(time.time() * 1000)


class Stream:
    """Writes readings with their scores, and alerts, as a daemon would: in transactions."""

    def __init__(self, broker: Broker, topics: config.Topics, name: str) -> None:
        self.broker = broker
        self.topics = topics
        self._sink = broker.sink(f"writer-{name}")
        self._publisher = broker.publisher()

    def close(self) -> None:
        self._sink.close()
        self._publisher.close()

    def raw(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self._publisher.send(topic, key, value)
        self._publisher.flush()

    def read(self, patient: str, time_ms: int, scored: bool = True, **vitals: float) -> None:
        """A reading, and its scores: a point below and above is the band."""
        self.readings([(patient, time_ms, vitals)], scored=scored)

    def readings(
        self, rows: list[tuple[str, int, Mapping[str, float]]], *, scored: bool = True
    ) -> None:
        for patient, time_ms, vitals in rows:
            message = {"patient": patient, "time": time_ms, "vitals": vitals}
            placed = {**message, "ward": "Ward 1", "bed": patient[-1]}
            value = msgspec.json.encode(placed)
            self._publisher.send(self.topics.readings, patient.encode(), value, timestamp=time_ms)
        self._publisher.flush()
        if scored:
            self._score(rows)

    def _score(self, rows: list[tuple[str, int, Mapping[str, float]]]) -> None:
        self._sink.begin()
        for partition in range(PARTITIONS):
            mine = [row for row in rows if partition_of(row[0].encode(), PARTITIONS) == partition]
            if mine:
                value = msgspec.json.encode(block(self.topics.readings, partition, mine))
                self._sink.append(self.topics.scores, b"0", value, timestamp=mine[-1][1])
        self._sink.commit({}, None)

    def alert(self, patient: str, time_ms: int, **changes: Any) -> Alert:
        told = alert(patient, time_ms, topic=self.topics.readings, **changes)
        self._sink.begin()
        value = msgspec.json.encode(told)
        self._sink.append(self.topics.alerts, patient.encode(), value, timestamp=time_ms)
        self._sink.commit({}, None)
        return told

    def acks(self) -> list[Any]:
        """What is on the topic of acknowledgements."""
        found: list[Any] = []
        for partition in range(PARTITIONS):
            source = TopicPartition(self.topics.acks, partition)
            for batch in self.broker.read(source, 0):
                found += [msgspec.json.decode(value) for value in batch.values if value]
        return found


def block(
    topic: str, partition: int, rows: list[tuple[str, int, Mapping[str, float]]]
) -> ScoreBlock:
    def column(name: str, change: float) -> list[float | None]:
        return [row[2][name] + change if name in row[2] else None for row in rows]

    measured = [name for name in NAMES if any(name in row[2] for row in rows)]
    return ScoreBlock(
        topic=topic,
        partition=partition,
        model="m",
        offsets=list(range(len(rows))),
        patients=[row[0] for row in rows],
        times=[row[1] for row in rows],
        rarity=[0.5] * len(rows),
        surprise={name: column(name, 0) for name in measured},
        expected={name: column(name, 0.5) for name in measured},
        low={name: column(name, -1) for name in measured},
        high={name: column(name, 1) for name in measured},
    )


def alert(
    patient: str,
    time_ms: int,
    *,
    alert_id: str = "",
    event: Event = "raised",
    kind: Kind = "physiological",
    priority: Priority = "medium",
    sentence: str = "SpO2 88 % (expected 95 to 98)",
    topic: str = "t",
) -> Alert:
    return Alert(
        alert_id=alert_id or f"alert-{patient}",
        patient=patient,
        event=event,
        kind=kind,
        condition="deterioration",
        priority=priority,
        time=time_ms,
        onset=time_ms - MINUTE,
        rarity=12.0,
        drivers=[Driver("spo2", 0.7, 88.0, 96.0, 95.0, 98.0)],
        sentence=sentence,
        origin=Origin(topic, 0, 7),
        model="m",
    )


class Page:
    """An open page: the events that have come, by name, and the last one's id."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.seen: list[tuple[str, Any]] = []
        self.last_id = ""

    def next(self) -> tuple[str, Any]:
        """The next event; fails if the stream ends or nothing comes in time."""
        name, end = "", time.monotonic() + DEADLINE
        while time.monotonic() < end:  # comments keep it alive
            line = self._response.readline()
            assert line, "the stream has ended"
            word, _, content = line.rstrip(b"\n").partition(b": ")
            if word == b"id":
                self.last_id = content.decode()
            elif word == b"event":
                name = content.decode()
            elif word == b"data":
                self.seen.append((name, msgspec.json.decode(content)))
                return self.seen[-1]
        raise AssertionError("nothing comes")

    def until(self, name: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next event of a name that is as wanted."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            found, content = self.next()
            if found == name and wanted(content):
                return content
        raise AssertionError(f"no such {name}")

    def ready(self, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """The whole ward, once it is as wanted."""
        return self.until("ward", wanted)

    def until_reading(self, label_key: str, time_ms: int) -> Any:
        """The numbers of a patient's reading of a time."""

        def has(content: Any) -> bool:
            return any(row[0] == label_key and row[1] >= time_ms for row in content["p"])

        return self.until("numbers", has)


class Client:
    """Asks a dashboard."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.host = urlsplit(url).netloc
        self.headers = dict(headers or {})

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """Status, decoded JSON (else bytes) and headers."""
        connection = http.client.HTTPConnection(self.host, timeout=DEADLINE)
        sent = {**self.headers, **(headers or {})}
        raw = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, raw, sent)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.headers.get_content_type() == "application/json":
            return response.status, msgspec.json.decode(content), response.headers
        return response.status, content, response.headers

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return self.ask("GET", path, headers=headers)[:2]

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        return self.ask("POST", path, body, headers)[:2]

    @contextmanager
    def page(self, last_id: str = "") -> Iterator[Page]:
        connection = http.client.HTTPConnection(self.host, timeout=DEADLINE)
        sent = {**self.headers, **({"Last-Event-ID": last_id} if last_id else {})}
        try:
            connection.request("GET", "/api/events", headers=sent)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            with response:
                yield Page(response)
        finally:
            connection.close()
