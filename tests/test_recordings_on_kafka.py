"""Real patients through the real broker: the same scores and alerts as without one."""

import csv
import functools
import itertools
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from vitalwatch import config, vitals
from vitalwatch.commands.main import main
from vitalwatch.detector import Detector
from vitalwatch.messages import Alert, Origin
from vitalwatch.model import checkpoint
from vitalwatch.monitoring.http import Health
from vitalwatch.monitoring.metrics import Metrics
from vitalwatch.readings import Detection, Readings
from vitalwatch.recordings.recording import Recording
from vitalwatch.stream.broker import Broker, TopicPartition
from vitalwatch.stream.daemon import CONDITIONS, Daemon
from vitalwatch.stream.detection import StreamDetector
from vitalwatch.stream.kafka import connect
from vitalwatch.stream.score_blocks import blocks
from vitalwatch.stream.topics import specs

Alerts = list[Alert]
Scores = list[dict[str, Any]]


@pytest.fixture(scope="module")
def broker(kafka_address: str) -> Iterator[Broker]:
    with closing(connect(config.Kafka(bootstrap=kafka_address))) as connected:
        yield connected


class Stopping:
    """A detector that asks the daemon to stop when it has seen all readings."""

    def __init__(self, detector: Detector, count: int, stop: threading.Event) -> None:
        self._detector, self._left, self._stop = detector, count, stop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        self._left -= sum(len(readings.patients) for readings in batch)
        if self._left <= 0:
            self._stop.set()
        return self._detector.process(batch)


def values(broker: Broker, topic: str) -> Iterator[bytes]:
    """All committed values of a topic, partition by partition."""
    for partition in range(broker.topics([topic])[topic].partitions):
        for batch in broker.read(TopicPartition(topic, partition), 0):
            yield from (value for value in batch.values if value is not None)


def elsewhere(alert: Alert) -> Alert:
    """An alert without the name of its topic and the number of its partition."""
    return msgspec.structs.replace(alert, origin=Origin("", 0, alert.origin.offset))


@functools.cache
def scored_alone(path: Path) -> tuple[Alerts, Scores]:
    """What ``vitalwatch score`` gives."""
    model = checkpoint.load()
    detector = Detector(model, config.Alarms())
    alerts: Alerts = []
    scores: Scores = []
    recording = Recording(path)
    count = 0
    with recording.stream() as stream:
        for rows in stream.parts:
            readings = stream.readings(rows, recording.name, count)
            (detection,) = detector.process([readings])
            alerts += detection.alerts
            parts = blocks(readings, detection, model.fingerprint, "block")
            scores += by_reading(value for _, value, _ in parts)
            count += len(rows)
    return alerts, scores


def by_reading(values: Iterable[bytes]) -> Scores:
    """One entry a reading, NaN as None, as on the wire."""
    out: Scores = []
    for value in values:
        part = msgspec.json.decode(value)
        for i in range(len(part["offsets"])):
            tables = ("surprise", "expected", "low", "high")
            cells = {
                t: {vital: column[i] for vital, column in part[t].items() if column[i] is not None}
                for t in tables
            }
            columns = ("offsets", "patients", "times", "rarity")
            out.append({name: part[name][i] for name in columns} | cells)
    return out


def scored_on_kafka(
    path: Path, model: checkpoint.Model, broker: Broker, settings: config.Settings
) -> tuple[Alerts, Scores]:
    """Publish a recording, run the daemon over it, and read what it committed."""
    topics = settings.topics
    broker.create(specs(topics))
    recording, count = Recording(path), 0
    with recording.stream() as stream, closing(broker.publisher()) as publisher:
        for rows in stream.parts:
            for key, value, timestamp in stream.messages(rows):
                publisher.send(topics.readings, key, value, timestamp=timestamp)
                count += 1
    stop = threading.Event()
    daemon = Daemon(
        broker,
        cast(StreamDetector, Stopping(Detector(model, settings.alarms), count, stop)),
        settings,
        Metrics(CollectorRegistry()),
        Health(CONDITIONS),
        model=model.fingerprint,
        identity=topics.prefix,
    )
    timer = threading.Timer(100, stop.set)
    timer.start()
    daemon.run(stop)
    timer.cancel()
    alerts = [msgspec.json.decode(value, type=Alert) for value in values(broker, topics.alerts)]
    return alerts, by_reading(values(broker, topics.scores))


def both_ways(
    path: Path, broker: Broker, partitions: int = 3
) -> tuple[tuple[Alerts, Scores], tuple[Alerts, Scores]]:
    model = checkpoint.load()
    prefix = f"replay-{uuid.uuid4().hex[:12]}"
    settings = config.Settings(
        topics=config.Topics(prefix=prefix, partitions=partitions),
        daemon=config.Daemon(group=prefix, max_records=997, commit_seconds=0.01),
    )
    return scored_alone(path), scored_on_kafka(path, model, broker, settings)


@pytest.mark.parametrize(
    ("file", "partitions"),
    [
        ("mimic2-numerics/a40834n.csv", 3),
        ("mimic2-numerics/s25047n.csv", 3),
        ("vitaldb-surgery/case_4096_1min.csv.gz", 1),
    ],
)
def test_a_recording_gives_the_same_alerts_and_scores_through_kafka_as_without(
    file: str, partitions: int, recordings: Path, broker: Broker
) -> None:
    (alerts, scores), (kafka_alerts, kafka_scores) = both_ways(
        recordings / file, broker, partitions
    )
    assert len(scores) > 0
    assert kafka_scores == scores
    # Alerts are keyed by patient, so their order holds within each patient.
    for patient in {alert.patient for alert in alerts}:
        ours = [elsewhere(alert) for alert in alerts if alert.patient == patient]
        theirs = [elsewhere(alert) for alert in kafka_alerts if alert.patient == patient]
        assert theirs == ours
    assert len(kafka_alerts) == len(alerts)


@pytest.mark.parametrize("file", ["a40834n.csv", "s25047n.csv"])
def test_what_is_compared_is_what_the_score_command_writes(
    file: str, recordings: Path, tmp_path: Path
) -> None:
    path = recordings / "mimic2-numerics" / file
    assert main(["score", str(path), "-o", str(tmp_path)]) == 0
    alerts, scores = scored_alone(path)
    lines = (tmp_path / "alerts.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Alert) for line in lines] == alerts
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [int(row["time"]) for row in rows] == [score["times"] for score in scores]
    # The file has every digit, the blocks those that matter.
    rarities = [float(np.float32(row["rarity"])) for row in rows]
    assert [float(f"{rarity:.3e}") for rarity in rarities] == [score["rarity"] for score in scores]
    for name in vitals.NAMES:
        written = [row[f"surprise_{name}"] for row in rows]
        assert [round(float(np.float32(cell)), 2) if cell else None for cell in written] == [
            score["surprise"].get(name) for score in scores
        ]


def raised(path: Path, kind: str) -> list[Alert]:
    alerts, _ = scored_alone(path)
    return [alert for alert in alerts if alert.event == "raised" and alert.kind == kind]


def test_the_desaturation_at_the_end_of_s25047n_is_alarmed(recordings: Path) -> None:
    alerts = raised(recordings / "mimic2-numerics" / "s25047n.csv", "physiological")
    # The record's 40th to 44th minutes show SpO2 of 71, 43, 51, 57 and 63 %.
    desaturations = [alert for alert in alerts if alert.condition == "spo2_low"]
    assert desaturations[0].origin.offset in (41, 42)
    assert desaturations[0].priority == "high"
    assert len(desaturations) >= 2, "and again in the last minutes"


def test_the_zeros_at_the_start_of_a40834n_raise_nothing_physiological(recordings: Path) -> None:
    path = recordings / "mimic2-numerics" / "a40834n.csv"
    recording = Recording(path)
    with recording.stream() as stream:
        first = next(iter(stream.parts))
        measured = (stream.readings(first, "", 0).values > 0).any(axis=1)
    start = int(measured.argmax())
    assert start > 10, "the recording begins with zeros"
    alerts = raised(path, "physiological")
    assert alerts, "the recording has alarms later on"
    # Nor does the first quarter of an hour after them.
    assert min(alert.origin.offset for alert in alerts) > start + 15


def test_zeroing_and_flushing_of_arterial_lines_is_technical_and_not_physiological(
    recordings: Path,
) -> None:
    path = recordings / "vitaldb-surgery" / "vitals.csv.gz"
    recording, maps = Recording(path), vitals.INDEX["map"]
    impossible: dict[str, list[int]] = {}
    with recording.stream() as stream:
        for rows in stream.parts:
            readings = stream.readings(rows, "", 0)
            pressure, names = readings.values[:, maps], readings.patients.texts()
            for i in ((pressure < 0) | (pressure > 250)).nonzero()[0].tolist():
                impossible.setdefault(names[i], []).append(int(readings.times[i]))
    assert sum(map(len, impossible.values())) > 2000
    alerts, _ = scored_alone(path)
    for patient, times in impossible.items():
        own = [alert for alert in alerts if alert.patient == patient]
        shown = [alert for alert in own if alert.condition == "map_implausible"]
        assert shown, "a technical alarm"
        # Every impossible pressure lies in such an alarm, or begins one.
        spans = list(itertools.pairwise([*(alert.time for alert in shown), 2**62]))
        active = [
            (begin, end)
            for alert, (begin, end) in zip(shown, spans, strict=True)
            if alert.event == "raised"
        ]
        for time in times:
            assert any(begin <= time <= end for begin, end in active), (patient, time)
    for alert in alerts:
        if alert.kind == "physiological" and alert.event in ("raised", "escalated"):
            for driver in alert.drivers:
                if driver.vital == "map" and driver.observed is not None:
                    assert 0 <= driver.observed <= 250
            if alert.condition.startswith("map"):
                near = [t for t in impossible.get(alert.patient, []) if abs(alert.time - t) <= 4000]
                assert not near, (alert.patient, alert.time)
