"""A ward whose readings were scored, and topics whose records are then tampered with."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import cache
from typing import NamedTuple

import msgspec

from tests.stream.worker import HEALTHY, Worker, reading
from vitalwatch.audit.logs import Topic
from vitalwatch.audit.ranges import Limits, spans
from vitalwatch.audit.reasons import notes, reasons
from vitalwatch.audit.report import Counts, Difference, Report
from vitalwatch.audit.rerun import Committed, audit
from vitalwatch.detector import Detector
from vitalwatch.messages import Alert, ScoreBlock
from vitalwatch.model.checkpoint import Model
from vitalwatch.stream.broker import Broker, Headers, RecordBatch, TopicPartition, TopicSpec
from vitalwatch.stream.memory import MemoryBroker

PREFIX = "ward"
SCORES, ALERTS, LETTERS = f"{PREFIX}.scores", f"{PREFIX}.alerts", f"{PREFIX}.dead-letters"


class Kept(NamedTuple):
    """A record as it stands on a topic."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


Change = Callable[[list[Kept]], list[Kept]]


def ward(seconds: int, patients: int = 6) -> list[tuple[str | None, bytes | None]]:
    """Patients of whom one after the other desaturates, and some records that are no readings."""
    records: list[tuple[str | None, bytes | None]] = []
    for second in range(0, seconds, 5):
        for patient in range(patients):
            who = f"patient-{patient}"
            low = (second // 60) % patients == patient
            vitals = HEALTHY | {"hr": 70 + 5 * patient + second % 7, "spo2": 74 if low else 97}
            said = {"age": 20 + 10 * patient, "sex": "male"} if second % 60 == 0 else {}
            records.append((who, reading(who, second, vitals, **said)))
        if second % 30 == 0:
            records.append((f"patient-{second % patients}", b"no reading"))
            records.append((None, reading("patient-0", second)))
            records.append(("patient-1", reading("patient-1", second - 10)))
    return records


def scored(
    broker: Broker,
    prefix: str,
    records: list[tuple[str | None, bytes | None]],
    partitions: int = 3,
    **options: Mapping[str, object],
) -> Worker:
    """A worker that has gone through these records, in three goes."""
    worker = Worker(broker, prefix, partitions, **options)
    third = len(records) // 3
    for part in (records[:third], records[third : 2 * third], records[2 * third :]):
        worker.publish(part)
        worker.run(len(part))
    return worker


def audited(
    worker: Worker,
    limits: Limits | None = None,
    model: Model | None = None,
    committed: dict[TopicPartition, int] | None = None,
    **alarms: float,
) -> Report:
    """The audit of all that a worker has done, perhaps with another model or other alarms."""
    settings, broker = worker.settings, worker.broker
    topics = settings.topics
    settings = msgspec.structs.replace(
        settings, alarms=msgspec.structs.replace(settings.alarms, **alarms)
    )
    model = model or worker.model
    scattered = settings.scores.emit == "reading"
    outputs = Committed(
        None if settings.scores.emit == "none" else Topic(broker, topics.scores, scattered),
        Topic(broker, topics.alerts),
        Topic(broker, topics.dead_letters),
    )
    wanted = spans(broker, topics.readings, limits or Limits(), committed or {})
    detector = Detector(model, settings.alarms)
    return audit(
        wanted, broker, outputs, detector, settings, model.fingerprint, lambda *_: lambda _: None
    )


def kept(broker: Broker, topic: str) -> list[Kept]:
    """All records of a topic."""
    found = []
    for partition in range(broker.topics([topic])[topic].partitions):
        for batch in broker.read(TopicPartition(topic, partition), 0):
            found += list(_records(batch))
    return found


def _records(batch: RecordBatch) -> Iterator[Kept]:
    for time, key, value, headers in zip(
        batch.timestamps.tolist(), batch.keys, batch.values, batch.headers, strict=True
    ):
        yield Kept(batch.source.partition, key, value, headers, time)


def rewritten(broker: MemoryBroker, topic: str, change: Change) -> None:
    """Put other records in place of a topic's."""
    records = change(kept(broker, topic))
    spec = broker.topics([topic])[topic]
    del broker._topics[topic]
    write(broker, spec, records)


def write(broker: Broker, spec: TopicSpec, records: list[Kept]) -> None:
    """Make a topic of these records."""
    broker.create([spec])
    with closing(broker.sink("forger")) as sink:
        sink.begin()
        for record in records:
            sink.append(
                spec.name,
                record.key,
                record.value,
                partition=record.partition,
                timestamp=record.timestamp,
                headers=record.headers,
            )
        sink.commit({}, None)


def with_block(record: Kept, change: Callable[[ScoreBlock], ScoreBlock]) -> Kept:
    """A record of scores with another block."""
    block = change(msgspec.json.decode(record.value or b"", type=ScoreBlock))
    return record._replace(value=msgspec.json.encode(block))


RECORDS = ward(300)


@cache
def once_scored() -> Worker:
    """A worker that has scored the ward, for all tests; they change nothing of it."""
    return scored(MemoryBroker(), PREFIX, RECORDS)


def copied() -> Worker:
    """A worker on a copy of the log of one that has scored the ward."""
    made = Worker(MemoryBroker(), PREFIX, 3)
    for topic in (f"{PREFIX}.readings", SCORES, ALERTS, LETTERS):
        write(made.broker, made.broker.topics([topic])[topic], kept(once_scored().broker, topic))
    return made


def change(worker: Worker, topic: str, changing: Callable[[list[Kept]], list[Kept]]) -> Report:
    """The audit after somebody changed a topic's records."""
    assert isinstance(worker.broker, MemoryBroker)
    rewritten(worker.broker, topic, changing)
    return audited(worker)


def told(report: Report) -> str:
    return "\n".join([*notes(report), *reasons(report, "zen4, numba 0.68")])


def only(report: Report, kind: str, **counts: int) -> Difference:
    """The first difference, if nothing differs but ``counts`` of a kind."""
    assert not report.equal
    for other, total in report.totals.items():
        assert msgspec.structs.asdict(total) | {"equal": 0} == msgspec.structs.asdict(
            Counts(**(counts if other == kind else {}))
        )
    assert report.first is not None
    assert report.first.kind == kind
    return report.first


def at(place: int, change: Callable[[Kept], Kept]) -> Callable[[list[Kept]], list[Kept]]:
    """Change one record."""

    def changing(records: list[Kept]) -> list[Kept]:
        records[place] = change(records[place])
        return records

    return changing


def kept_value(worker: Worker, topic: str, place: int) -> bytes:
    value: bytes = worker.records(topic)[place][1]
    return value


def alert_of(value: bytes | None) -> Alert:
    return msgspec.json.decode(value or b"", type=Alert)


def cut(block: ScoreBlock, begin: int, end: int) -> ScoreBlock:
    """Some readings of a block."""
    fields = msgspec.structs.asdict(block)
    for name, content in fields.items():
        if isinstance(content, list):
            fields[name] = content[begin:end]
        elif isinstance(content, dict):
            fields[name] = {vital: column[begin:end] for vital, column in content.items()}
    return ScoreBlock(**fields)
