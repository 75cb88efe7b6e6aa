"""``vitalwatch run`` as a process on a real broker: how it starts, stops and fails."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient

from tests.stream.test_daemon import unplaced, ward
from tests.stream.worker import Worker
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.kafka import KafkaBroker

Name = Callable[[str], str]
SECONDS = 60.0


class Process:
    """A running ``vitalwatch run``; its log is JSON, one line a record."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self._log = folder / f"log-{time.monotonic_ns()}"
        command = [sys.executable, "-m", "vitalwatch.commands.main", "run", *arguments]
        with self._log.open("wb") as stderr:
            self._process = subprocess.Popen(command, stderr=stderr, stdout=subprocess.PIPE)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def text(self) -> str:
        """What it said on standard error so far."""
        return self._log.read_text()

    def records(self) -> list[dict[str, Any]]:
        """Its log."""
        return [json.loads(line) for line in self.text().splitlines()]

    def logged(self, message: str) -> dict[str, Any]:
        """The log record with this message; waits for it."""
        found = self.wait_for(
            lambda: [record for record in self.records() if record["message"] == message]
        )
        record: dict[str, Any] = found[0]
        return record

    def get(self, page: str) -> bytes:
        """A page of its server."""
        url = self.logged("metrics and health are served")["url"]
        with urllib.request.urlopen(f"{url}/{page}", timeout=10) as answer:
            body: bytes = answer.read()
        return body

    def figure(self, name: str) -> float:
        """One metric."""
        lines = self.get("metrics").decode().splitlines()
        values = [float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")]
        return sum(values)

    def scored(self, readings: int) -> bool:
        """Whether it has scored so many readings."""
        return self.figure("vitalwatch_readings_scored_total") == readings

    def wait_for(self, done: Callable[[], Any]) -> Any:
        """Wait until it is so; fails when the process ends before."""
        end = time.monotonic() + SECONDS
        while not (result := done()):
            assert self._process.poll() is None, self.text()
            assert time.monotonic() < end, self.text()
            time.sleep(0.05)
        return result

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self._process.send_signal(number)
        return self._process.wait(SECONDS)

    def end(self) -> tuple[int, str]:
        """Wait for its own end: exit code and standard error."""
        output, _ = self._process.communicate(timeout=SECONDS)
        assert output == b""
        return self._process.returncode, self.text()


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the daemon: ``start(*flags)``."""
    with ExitStack() as stack:
        yield lambda *flags: stack.enter_context(Process(tmp_path, flags))


@pytest.fixture
def flags(kafka_address: str, name: Name) -> list[str]:
    """For a prefix and a group of its own."""
    prefix = name("run")
    return [
        *("--kafka-bootstrap", kafka_address, "--topics-prefix", prefix, "--daemon-group", prefix),
        *("--monitoring-port", "0", "--monitoring-log-format", "json"),
    ]


def members(address: str, group: str) -> int:
    """How many members the group has."""
    with closing(KafkaAdminClient(bootstrap_servers=address)) as admin:
        described: dict[str, Any] = admin.describe_groups([group])
    return len(described[group]["members"])


def test_a_signal_stops_it_and_a_restart_goes_on_where_it_was(
    kafka: KafkaBroker, kafka_address: str, flags: list[str], start: Start
) -> None:
    prefix, records = flags[3], ward(600)
    worker = Worker(kafka, prefix)  # makes the topics, and reads what the process writes
    expected = Worker(kafka, f"{prefix}-expected")
    expected.publish(records)
    expected.run(len(records))
    done = 0
    for part, number in ((records[:200], signal.SIGTERM), (records[200:], signal.SIGINT)):
        process = start(*flags)
        worker.publish(part)
        process.wait_for(functools.partial(process.scored, len(part)))
        assert json.loads(process.get("readyz"))["ready"]
        assert members(kafka_address, prefix) == 1
        assert process.stop(number) == 0
        assert process.records()[-1]["message"] == "stopped"
        assert members(kafka_address, prefix) == 0
        done += len(part)
        source = kafka.source([worker.settings.topics.readings], prefix)
        assert source.committed(TopicPartition(worker.settings.topics.readings, 0)) == done
        source.close()
    assert worker.scores() == expected.scores()
    told = [unplaced(alert) for alert in worker.alerts()]
    assert told == [unplaced(alert) for alert in expected.alerts()]
    assert len(told) > 8
    assert "patient-" not in process.text()


def test_it_says_at_the_start_with_what_it_works(
    kafka: KafkaBroker, flags: list[str], start: Start
) -> None:
    worker = Worker(kafka, flags[3])
    process = start(*flags)
    facts = process.logged("started")
    assert facts["model"] == worker.model.fingerprint
    assert facts["readings"] == worker.settings.topics.readings
    assert process.logged("partition taken over")["partition"] == 0
    assert b'fingerprint="' + worker.model.fingerprint.encode() in process.get("metrics")


def test_a_signal_while_it_compiles_does_not_wait_for_the_compiler(
    kafka: KafkaBroker,
    flags: list[str],
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "compiled"))
    Worker(kafka, flags[3])
    process = start(*flags, "--daemon-shutdown-seconds", "1")
    process.wait_for(lambda: "rehearsing" in process.text())
    assert process.stop() == 0
    assert process.records()[-1]["message"] == "stopped before joining the group"


def assert_one_sentence(process: Process, *words: str) -> None:
    """It ends as misconfigured, with one line that has these words and no traceback."""
    code, text = process.end()
    last = text.splitlines()[-1]
    assert code == 78
    assert last.startswith("vitalwatch: ")
    assert all(word in last for word in words), last
    assert "Traceback" not in text


def test_missing_topics_are_named_with_the_command_that_makes_them(
    flags: list[str], start: Start
) -> None:
    prefix = flags[3]
    assert_one_sentence(start(*flags), f"{prefix}.readings", "vitalwatch topics create")


def test_a_broker_that_is_not_there_is_named(start: Start) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        process = start("--kafka-bootstrap", address, "--monitoring-port", "0")
        assert_one_sentence(process, address)


def test_a_port_in_use_is_named_with_the_way_out(flags: list[str], start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = start(*flags, "--monitoring-port", port)
        assert_one_sentence(process, port, "--monitoring-port")


def test_a_file_that_is_no_model_is_named(
    kafka: KafkaBroker, tmp_path: Path, flags: list[str], start: Start
) -> None:
    Worker(kafka, flags[3])
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(os.urandom(1000))
    assert_one_sentence(start(*flags, "--model-path", str(wrong)), str(wrong))


def test_help_needs_no_broker_and_no_torch() -> None:
    program = (
        "import sys\nfrom vitalwatch.commands.main import main\n"
        "try:\n    main(['run', '--help'])\nfinally:\n    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    text = done.stdout.decode()
    assert "examples:" in text
    assert "--kafka-bootstrap" in text
    assert "VITALWATCH_KAFKA_BOOTSTRAP" in text
