"""``vitalwatch audit`` on the real broker, and on recordings of its topics."""

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.audit.staged import Kept, kept, scored, ward, with_block, write
from tests.stream.worker import Worker, reading
from vitalwatch.commands import main
from vitalwatch.config import Kafka
from vitalwatch.messages import Alert, ScoreBlock
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.kafka import KafkaBroker, connect

RECORDS = ward(300)


@pytest.fixture(scope="module")
def kafka(kafka_address: str) -> Iterator[KafkaBroker]:
    with closing(connect(Kafka(bootstrap=kafka_address))) as broker:
        yield broker


def at_work(kafka: KafkaBroker) -> Worker:
    """Has scored a ward on topics of its own."""
    return scored(kafka, f"audit-{uuid.uuid4().hex[:12]}", RECORDS)


@pytest.fixture(scope="module")
def worker(kafka: KafkaBroker) -> Worker:
    """For those who change nothing."""
    return at_work(kafka)


@pytest.fixture
def victim(kafka: KafkaBroker) -> Worker:
    """For forgers."""
    return at_work(kafka)


def run(worker: Worker, address: str, *arguments: str) -> int:
    settings = worker.settings
    return main.main(
        [
            "audit",
            *arguments,
            "--json",
            *("--kafka-bootstrap", address),
            *("--topics-prefix", settings.topics.prefix),
            *("--daemon-group", settings.daemon.group),
        ]
    )


def replace(kafka: KafkaBroker, topic: str, records: list[Kept]) -> None:
    """Make a topic anew, with other records."""
    spec = kafka.topics([topic])[topic]
    kafka.ask(lambda admin: admin.delete_topics([topic]))
    end = time.monotonic() + 30
    while topic in kafka.topics([topic]):
        assert time.monotonic() < end, "the topic is not deleted"
        time.sleep(0.05)
    write(kafka, spec, records)


def kcat(kafka: KafkaBroker, topic: str, path: Path) -> str:
    """A recording of a topic as ``kcat -J`` writes it; its path."""
    with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
        for partition in range(kafka.topics([topic])[topic].partitions):
            for batch in kafka.read(TopicPartition(topic, partition), 0):
                columns = (batch.offsets, batch.timestamps, batch.keys, batch.values, batch.headers)
                for offset, time_, key, value, headers in zip(*columns, strict=True):
                    record = {
                        "topic": topic,
                        "partition": partition,
                        "offset": int(offset),
                        "tstype": "create",
                        "ts": int(time_),
                        "broker": 1,
                        "headers": [part for name, text in headers for part in (name, _text(text))],
                        "key": _text(key),
                        "payload": _text(value),
                    }
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return str(path)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="surrogateescape")


def test_what_a_daemon_committed_is_equal_and_readings_to_come_are_left_out(
    victim: Worker, kafka_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    victim.publish([("patient-1", reading("patient-1", 10_000))])
    assert run(victim, kafka_address) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["equal"]
    assert report["first"] is None
    assert report["totals"]["score"]["equal"] == len(victim.scores())
    assert report["totals"]["alert"]["equal"] == len(victim.alerts()) > 0
    topic = victim.settings.topics.dead_letters
    assert report["totals"]["dead letter"]["equal"] == len(victim.records(topic)) > 0


def test_auditing_joins_no_group_and_writes_nothing(
    worker: Worker, kafka: KafkaBroker, kafka_address: str
) -> None:
    topics = worker.settings.topics
    names = (topics.readings, topics.scores, topics.alerts, topics.dead_letters, topics.state)
    sources = [TopicPartition(name, number) for name in names for number in range(3)]
    before = [kafka.bounds(source) for source in sources]
    assert run(worker, kafka_address) == 0
    assert [kafka.bounds(source) for source in sources] == before


def test_a_forged_score_a_removed_alert_and_a_lost_dead_letter_are_named(
    victim: Worker,
    kafka: KafkaBroker,
    kafka_address: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topics = victim.settings.topics
    scores = kept(kafka, topics.scores)
    was = msgspec.json.decode(scores[-1].value or b"", type=ScoreBlock)

    def forge(block: ScoreBlock) -> ScoreBlock:
        block.rarity[0] = 77.0
        return block

    replace(kafka, topics.scores, [*scores[:-1], with_block(scores[-1], forge)])
    alerts = kept(kafka, topics.alerts)
    removed = msgspec.json.decode(alerts[0].value or b"", type=Alert)
    replace(kafka, topics.alerts, [*alerts[1:], alerts[1]])
    letters = kept(kafka, topics.dead_letters)
    replace(kafka, topics.dead_letters, letters[1:])
    lost = dict(letters[0].headers)

    assert run(victim, kafka_address) == 1

    report = json.loads(capsys.readouterr().out)
    assert {
        kind: {what: count for what, count in counts.items() if count and what != "equal"}
        for kind, counts in report["totals"].items()
    } == {
        "score": {"different": 1},
        "alert": {"missing": 1, "twice": 1},
        "dead letter": {"missing": 1},
    }
    found = {
        (each["kind"], each["source"]["partition"], each["source"]["offset"])
        for part in report["report"]["parts"]
        for each in part["differences"]
    }
    assert ("score", was.partition, was.offsets[0]) in found
    assert ("alert", removed.origin.partition, removed.origin.offset) in found
    assert (
        "dead letter",
        int(lost["source-partition"]),
        int(lost["source-offset"]),
    ) in found


def test_another_model_and_another_budget_are_suspected(
    worker: Worker,
    kafka_address: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(worker, kafka_address, "--alarms-budget", "20") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["totals"]["alert"]["missing"] > 0
    assert any("alarms.budget" in reason for reason in report["reasons"])

    from vitalwatch.model import checkpoint

    model = checkpoint.load()
    model.weights["head.bias"][0] += 0.5
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, model.weights, model.calibration, model.card)
    assert run(worker, kafka_address, "--model-path", str(path)) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["totals"]["score"]["other_model"] == len(worker.scores())
    assert any(f"Made by model {model.fingerprint}" in note for note in report["notes"])


class TestRecordings:
    @pytest.fixture
    def files(self, worker: Worker, kafka: KafkaBroker, tmp_path: Path) -> dict[str, str]:
        topics = worker.settings.topics
        names = {
            "readings": topics.readings,
            "scores": topics.scores,
            "alerts": topics.alerts,
            "dead-letters": topics.dead_letters,
        }
        return {kind: kcat(kafka, name, tmp_path / f"{kind}.jsonl") for kind, name in names.items()}

    def test_readings_from_a_file_are_compared_with_the_topics(
        self,
        worker: Worker,
        files: dict[str, str],
        kafka_address: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert run(worker, kafka_address, files["readings"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["totals"]["score"]["equal"] == len(worker.scores())

    def test_all_from_files_asks_no_broker(
        self, worker: Worker, files: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = [files.pop("readings")]
        for kind, path in files.items():
            arguments += [f"--{kind}", path]
        nowhere = "127.0.0.1:1"
        assert run(worker, nowhere, *arguments) == 0
        report = json.loads(capsys.readouterr().out)
        assert {kind: counts["equal"] for kind, counts in report["totals"].items()} == {
            "score": len(worker.scores()),
            "alert": len(worker.alerts()),
            "dead letter": len(worker.records(worker.settings.topics.dead_letters)),
        }

        assert run(worker, nowhere, arguments[0], "--alerts", files["alerts"]) == 0
        assert json.loads(capsys.readouterr().out)["totals"].keys() == {"alert"}

    def test_a_score_that_was_changed_in_a_file_is_found(
        self, worker: Worker, files: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = Path(files["scores"])
        lines = path.read_text().splitlines()
        record: dict[str, Any] = json.loads(lines[0])
        block = json.loads(record["payload"])
        block["rarity"][0] *= 2
        lines[0] = json.dumps({**record, "payload": json.dumps(block)})
        path.write_text("\n".join(lines))
        arguments = (files["readings"], "--scores", str(path))
        assert run(worker, "127.0.0.1:1", *arguments) == 1
        report = json.loads(capsys.readouterr().out)
        assert report["totals"]["score"]["different"] == 1
        assert [field["name"] for field in report["first"]["fields"]] == ["rarity"]

    def test_a_topic_without_records_is_compared_too(
        self,
        worker: Worker,
        files: dict[str, str],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        empty = tmp_path / "empty.jsonl"
        empty.touch()
        arguments = (files["readings"], "--dead-letters", str(empty))
        assert run(worker, "127.0.0.1:1", *arguments) == 1
        lost = worker.records(worker.settings.topics.dead_letters)
        report = json.loads(capsys.readouterr().out)
        assert report["totals"]["dead letter"]["missing"] == len(lost)
        assert run(worker, "127.0.0.1:1", str(empty), "--alerts", files["alerts"]) == 2

    def test_recorded_outputs_need_recorded_readings(
        self, worker: Worker, files: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(worker, "127.0.0.1:1", "--scores", files["scores"]) == 2
        assert "recording of the readings" in capsys.readouterr().err

    def test_a_file_of_another_kind_is_said(
        self, worker: Worker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "ward.jsonl"
        path.write_bytes(reading("anna", 0))
        assert run(worker, "127.0.0.1:1", str(path)) == 78
        assert "as `kcat -C -J` writes it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--topics-prefix", "nowhere"), 78, "There is no topic nowhere.readings"),
        (("--since", "yesterday"), 2, "--since 'yesterday'"),
        (("--until", "1970-01-02T00:00:00Z"), 2, "no readings in this range"),
        (("--from-offset", "9:0"), 2, "no partition 9"),
    ],
)
def test_what_cannot_be_audited_is_a_sentence(
    arguments: tuple[str, ...],
    code: int,
    told: str,
    worker: Worker,
    kafka_address: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prefix = worker.settings.topics.prefix
    flags = ["--kafka-bootstrap", kafka_address, "--topics-prefix", prefix]
    assert main.main(["audit", *flags, *arguments]) == code
    assert told in capsys.readouterr().err


def test_of_topics_that_are_missing_nothing_else_is_said(
    kafka_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--kafka-bootstrap", kafka_address, "--topics-prefix", "nowhere"]
    assert main.main(["audit", *flags]) == 78
    assert re.fullmatch(r"vitalwatch: There is no topic nowhere.*\n", capsys.readouterr().err)


def test_the_report_for_a_person_says_partition_offset_and_both_values(
    victim: Worker,
    kafka: KafkaBroker,
    kafka_address: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topics = victim.settings.topics
    scores = kept(kafka, topics.scores)
    was = msgspec.json.decode(scores[0].value or b"", type=ScoreBlock)

    def forge(block: ScoreBlock) -> ScoreBlock:
        block.rarity[3] = 77.25
        return block

    replace(kafka, topics.scores, [with_block(scores[0], forge), *scores[1:]])
    flags = ["--kafka-bootstrap", kafka_address, "--topics-prefix", topics.prefix]
    assert main.main(["audit", *flags, "--daemon-group", victim.settings.daemon.group]) == 1
    shown = capsys.readouterr().out
    where = f"partition {was.partition}, offset {was.offsets[3]}"
    assert f"First difference: the score of {where} is different" in shown
    row = next(line for line in shown.splitlines() if line.lstrip().startswith("rarity"))
    assert row.split() == ["rarity", "77.25", str(was.rarity[3])]
    assert shown.endswith("Not equal.\n")


@pytest.mark.parametrize("hours", ["-1", "nan", "inf", "1e400", "all"])
def test_a_history_that_is_no_number_of_hours_is_refused(
    hours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main.main(["audit", "--history", hours])
    assert left.value.code == 2
    assert "is not a number of hours" in capsys.readouterr().err
