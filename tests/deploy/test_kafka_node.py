"""One Kafka node by hand: started, found again, stopped, and what is said where it cannot be."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vitalwatch.stream import local_kafka

KAFKA = Path(__file__).parents[2] / "deploy" / "kafka"
DEADLINE = 20.0


def run(command: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(KAFKA / command), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def free_port() -> int:
    port: int = local_kafka.node()._free_port()
    return port


def test_a_node_is_started_found_and_stopped(needs: Callable[..., str], tmp_path: Path) -> None:
    needs("java", "mvn")
    data, port = str(tmp_path), str(free_port())

    started = run("start", "--port", port, "--data", data)
    try:
        assert started.returncode == 0
        assert f"Kafka is ready at 127.0.0.1:{port}" in started.stdout
        assert f"{tmp_path}/kafka.log" in started.stdout
        again = run("start", "--data", data)
        assert f"127.0.0.1:{port}" in again.stdout

        other = run("start", "--port", port, "--data", str(tmp_path / "other"))
        assert other.returncode == 78
        assert f"Port {port} is in use" in other.stderr
    finally:
        stopped = run("stop", "--data", data)
    assert "Kafka has stopped" in stopped.stdout
    assert "No Kafka runs" in run("stop", "--data", data).stdout
    log = (tmp_path / "kafka.log").read_text()
    assert "SLF4J" not in log
    assert "INFO" in log


def test_a_node_ends_with_its_owner_however_that_ends(
    needs: Callable[..., str], tmp_path: Path
) -> None:
    needs("java", "mvn")
    script = (
        "from pathlib import Path; import os, time; from vitalwatch.stream import local_kafka\n"
        f"with local_kafka.running(Path({str(tmp_path)!r})) as address:\n"
        "    print(address, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        address = owner.stdout.readline().decode().strip()
        host, port = address.split(":")
        socket.create_connection((host, int(port))).close()
        owner.send_signal(signal.SIGKILL)
    end = time.monotonic() + DEADLINE
    while local_kafka.node().find(tmp_path) is not None:
        assert time.monotonic() < end, "the node outlives its owner"
        time.sleep(0.1)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of programs with neither Java nor Maven."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("dirname", "python3"):
        (folder / program).symlink_to(
            sys.executable if program == "python3" else "/usr/bin/dirname"
        )
    return folder


def test_without_java_the_line_that_installs_it_is_said(bare: Path, tmp_path: Path) -> None:
    done = run("start", "--data", str(tmp_path / "data"), PATH=str(bare), JAVA_HOME="")
    assert done.returncode == 78
    assert "Java 17 is not installed: run deploy/install-system-packages.sh" in done.stderr


def test_without_maven_the_line_that_installs_it_is_said(bare: Path, tmp_path: Path) -> None:
    java = bare / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n")
    java.chmod(0o755)
    cache = str(tmp_path / "cache")
    done = run(
        "start", "--data", str(tmp_path / "d"), PATH=str(bare), JAVA_HOME="", XDG_CACHE_HOME=cache
    )
    assert done.returncode == 78
    assert "Maven is not installed: run deploy/install-system-packages.sh" in done.stderr


def test_an_old_java_is_refused(bare: Path, tmp_path: Path) -> None:
    java = bare / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_402\"' >&2\n")
    java.chmod(0o755)
    done = run("start", "--data", str(tmp_path / "d"), PATH=str(bare), JAVA_HOME="")
    assert done.returncode == 78
    assert "older than Java 17" in done.stderr


def test_a_number_that_went_to_another_program_is_not_taken_for_the_node(tmp_path: Path) -> None:
    (tmp_path / "kafka.pid").write_text(str(os.getpid()))
    (tmp_path / "kafka.properties").write_text("listeners=PLAINTEXT://127.0.0.1:9092\n")
    assert local_kafka.node().find(tmp_path) is None
    assert not local_kafka.node().stop(tmp_path)
