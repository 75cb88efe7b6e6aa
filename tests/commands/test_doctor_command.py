"""``vitalwatch doctor`` on the real broker, with one thing wrong at a time."""

import json
import operator
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.audit.staged import ward
from tests.stream.worker import Worker
from vitalwatch.checkup import cluster
from vitalwatch.checkup.cluster import Cluster
from vitalwatch.commands import main
from vitalwatch.config import Kafka, Topics
from vitalwatch.model import checkpoint
from vitalwatch.stream import inspection
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.kafka import KafkaBroker, connect
from vitalwatch.stream.topics import specs

LOCAL = [
    "python",
    "libraries",
    "checksums",
    "kafka client",
    "compression",
    "processor",
    "model",
    "scoring",
    "compiled loops",
    "batch invariance",
    "memory",
]

Findings = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def kafka(kafka_address: str) -> Iterator[KafkaBroker]:
    with closing(connect(Kafka(bootstrap=kafka_address))) as broker:
        yield broker


@pytest.fixture
def prefix() -> str:
    return f"doctor-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def doctor(
    kafka_address: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Findings]]:
    """Run the command; its exit code, and the findings by check."""

    def run(*arguments: str, address: str = kafka_address) -> tuple[int, Findings]:
        flags = ["--kafka-bootstrap", address, "--topics-prefix", prefix, "--json"]
        flags += ["--topics-partitions", "2", "--daemon-group", prefix, "--patients", "1000"]
        code = main.main(["doctor", *flags, *arguments])
        report = json.loads(capsys.readouterr().out)
        found: Findings = {}
        for finding in report["findings"]:
            found.setdefault(finding["check"], []).append(finding)
        assert report["healthy"] == (code == 0)
        return code, found

    return run


def topics(prefix: str) -> Topics:
    return Topics(prefix=prefix, partitions=2)


def test_a_ward_at_work_is_healthy(
    kafka: KafkaBroker, prefix: str, doctor: Callable[..., tuple[int, Findings]]
) -> None:
    records = [(key, value) for key, value in ward(60) if key and value != b"no reading"]
    worker = Worker(kafka, prefix, 2, daemon={"snapshot_seconds": 0.01, "max_records": 5})
    worker.publish(records)
    worker.run(len(records))

    code, found = doctor()

    assert code == 0
    expected = ["broker", "clock", "rights", "topics", "workers", "state", "readings", "times"]
    assert list(found) == [*LOCAL, *expected]
    statuses = {check: [each["status"] for each in listed] for check, listed in found.items()}
    assert {check: each for check, each in statuses.items() if each != ["ok"]} == {}
    assert "all is scored" in found["workers"][0]["text"]
    assert "2 partitions have snapshots" in found["state"][0]["text"]


def test_topics_that_are_missing_are_a_fault_with_the_command_that_makes_them(
    kafka: KafkaBroker, prefix: str, doctor: Callable[..., tuple[int, Findings]]
) -> None:
    made = [spec for spec in specs(topics(prefix)) if not spec.name.endswith("alerts")]
    kafka.create(made)
    code, found = doctor()
    assert code == 78
    (finding,) = found["topics"]
    assert finding["status"] == "fault"
    assert f"1 of 7 are missing: {prefix}.alerts" in finding["text"]
    assert finding["fix"] == f"vitalwatch topics create --topics-prefix {prefix}"


@pytest.mark.parametrize(
    ("topic", "changed", "status", "told"),
    [
        ("readings", {"cleanup.policy": "compact"}, "fault", "cleanup.policy=delete"),
        ("readings", {"message.timestamp.type": "LogAppendTime"}, "fault", "=CreateTime"),
        ("scores", {"retention.ms": "60000"}, "warning", "retention.ms=-1"),
    ],
)
def test_a_wrong_setting_is_shown_with_the_command_that_changes_it(
    kafka: KafkaBroker,
    prefix: str,
    doctor: Callable[..., tuple[int, Findings]],
    topic: str,
    changed: dict[str, str],
    status: str,
    told: str,
) -> None:
    name = f"{prefix}.{topic}"
    kafka.create(
        [
            replace(spec, settings={**spec.settings, **changed}) if spec.name == name else spec
            for spec in specs(topics(prefix))
        ]
    )
    code, found = doctor()
    assert code == (78 if status == "fault" else 0)
    (finding,) = found["topics"]
    assert finding["status"] == status
    assert f"{name}: {next(iter(changed))} is" in finding["text"]
    assert "kafka-configs.sh" in finding["fix"]
    assert told in finding["fix"]


def test_a_state_topic_with_another_number_of_partitions_is_a_fault(
    kafka: KafkaBroker, prefix: str, doctor: Callable[..., tuple[int, Findings]]
) -> None:
    kafka.create(
        [
            replace(spec, partitions=1) if spec.name.endswith("state") else spec
            for spec in specs(topics(prefix))
        ]
    )
    code, found = doctor()
    assert code == 78
    (finding,) = found["topics"]
    assert "partitions is 1 and should be 2" in finding["text"]
    assert "kafka-topics.sh" in finding["fix"]


def test_without_a_broker_it_says_why_and_checks_the_rest(
    doctor: Callable[..., tuple[int, Findings]],
) -> None:
    code, found = doctor(address="127.0.0.1:1")
    assert code == 78
    assert list(found) == [*LOCAL, "broker"]
    (finding,) = found["broker"]
    assert finding["status"] == "fault"
    assert "No broker listens at 127.0.0.1:1" in finding["text"]

    code, found = doctor("--local", address="127.0.0.1:1")
    assert code == 0
    assert found["broker"][0]["status"] == "ok"


def test_a_damaged_model_file_is_a_fault_and_the_cluster_is_checked(
    tmp_path: Path,
    kafka: KafkaBroker,
    prefix: str,
    doctor: Callable[..., tuple[int, Findings]],
) -> None:
    kafka.create(specs(topics(prefix)))
    path = tmp_path / "model.safetensors"
    path.write_bytes(checkpoint.SHIPPED.read_bytes()[:5000])
    code, found = doctor("--model-path", str(path))
    assert code == 78
    assert found["model"][0]["status"] == "fault"
    assert "--model-path" in found["model"][0]["text"]
    assert found["topics"][0]["status"] == "ok"


def test_a_person_reads_one_line_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["doctor", "--kafka-bootstrap", "127.0.0.1:1", "--patients", "9"]) == 78
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*(["ok"] * len(LOCAL)), "fault"]
    assert "correct kafka.bootstrap" in lines[-1]


def test_it_writes_nothing_and_joins_no_group(
    kafka: KafkaBroker, prefix: str, doctor: Callable[..., tuple[int, Findings]]
) -> None:
    kafka.create(specs(topics(prefix)))
    assert doctor()[0] == 0
    for spec in specs(topics(prefix)):
        for partition in range(spec.partitions):
            assert kafka.bounds(TopicPartition(spec.name, partition)) == (0, 0)
    groups = kafka.ask(lambda admin: admin.list_groups())
    assert prefix not in [group["group_id"] for group in groups]


class TestWorkers:
    @pytest.fixture
    def worker(self, kafka: KafkaBroker, prefix: str) -> Worker:
        return Worker(kafka, prefix, 2)

    def check(self, worker: Worker, kafka: KafkaBroker, **more: Any) -> dict[str, Any]:
        looked = Cluster(kafka, worker.settings, worker.model.fingerprint, **more)
        return {finding.check: finding for finding in cluster.check(looked)}

    def test_readings_without_a_worker_are_a_warning(
        self, worker: Worker, kafka: KafkaBroker
    ) -> None:
        worker.publish(ward(10))
        finding = self.check(worker, kafka)["workers"]
        assert finding.status == "warning"
        assert "nobody is in group" in finding.text
        assert "vitalwatch run" in finding.fix

    def test_a_worker_that_does_not_get_on_is_a_warning(
        self, worker: Worker, kafka: KafkaBroker
    ) -> None:
        topic = worker.settings.topics.readings
        with closing(kafka.source([topic], worker.settings.daemon.group)) as source:
            end = time.monotonic() + 30
            while len(source.assignment()) < 2:
                assert time.monotonic() < end
                source.poll(0.1, 10)
            finding = self.check(worker, kafka)["workers"]
            assert finding.status == "ok"
            assert "1 in group" in finding.text
            worker.publish(ward(20))
            finding = self.check(worker, kafka, sleep=lambda _: None)["workers"]
            assert finding.status == "warning"
            assert "nothing was committed of partitions 0, 1" in finding.text

            def commit(_: float) -> None:
                found = [batch for _ in range(20) for batch in source.poll(0.1, 10_000).batches]
                with closing(kafka.sink(f"{topic}-sink")) as sink:
                    sink.begin()
                    offsets = {batch.source: batch.next_offset for batch in found}
                    sink.commit(offsets, source.poll(0, 1).membership)
                group = worker.settings.daemon.group
                while inspection.committed(kafka, group) != offsets:
                    assert time.monotonic() < end + 30

            finding = self.check(worker, kafka, sleep=commit)["workers"]
            assert finding.status == "ok"

    def test_no_snapshot_and_one_of_another_model_are_warnings(self, kafka: KafkaBroker) -> None:
        records = ward(60)
        for seconds, told in ((3600.0, "no snapshot of partitions 0, 1"), (0.01, "by model")):
            name = f"doctor-{uuid.uuid4().hex[:12]}"
            daemon = {"snapshot_seconds": seconds, "max_records": 5}
            worker = Worker(kafka, name, 2, daemon=daemon)
            worker.publish(records)
            worker.run(len(records))
            looked = Cluster(kafka, worker.settings, "another-model")
            (finding,) = (each for each in cluster.check(looked) if each.check == "state")
            assert finding.status == "warning"
            assert told in finding.text

    def test_a_clock_that_differs_from_the_clusters_is_a_warning(
        self, worker: Worker, kafka: KafkaBroker
    ) -> None:
        finding = self.check(worker, kafka, now=lambda: time.time() + 100)["clock"]
        assert finding.status == "warning"
        assert " 100.0" in finding.text or " 99.9" in finding.text
        assert "behind" in finding.text
        assert self.check(worker, kafka)["clock"].status == "ok"


def test_rights_that_are_lacking_are_named(
    start_kafka: Callable[..., str], prefix: str, doctor: Callable[..., tuple[int, Findings]]
) -> None:
    from kafka.admin import (
        ACL,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        ResourcePattern,
        ResourceType,
    )

    address = start_kafka(
        "rights",
        settings={
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
        },
    )
    with closing(connect(Kafka(bootstrap=address))) as broker:
        broker.create(specs(topics(prefix)))
        rights = {
            "readings": (ACLPermissionType.ALLOW, "User:somebody-else", ACLOperation.READ),
            "scores": (ACLPermissionType.ALLOW, "User:ANONYMOUS", ACLOperation.READ),
        }
        for topic, (permission, user, operation) in rights.items():
            pattern = ResourcePattern(
                ResourceType.TOPIC, f"{prefix}.{topic}", ACLResourcePatternType.LITERAL
            )
            acl = ACL(user, "*", operation, permission, pattern)
            broker.ask(operator.methodcaller("create_acls", [acl]))

    code, found = doctor(address=address)

    assert code == 78
    assert [(each["status"], each["text"]) for each in found["rights"]] == [
        ("fault", f"this user may not READ {prefix}.readings"),
        ("fault", f"this user may not WRITE {prefix}.scores"),
    ]
    (hidden,) = found["topics"]
    assert hidden["text"] == f"{prefix}.scores: settings is hidden and should be visible"
    assert "DESCRIBE_CONFIGS" in hidden["fix"]
