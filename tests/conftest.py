"""What all tests share: programs from outside Python, and warnings as they should be."""

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from vitalwatch.stream import local_kafka

# A slow machine is no fault: nothing is timed, here or in any other test.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

INSTALL = "deploy/install-system-packages.sh"
KAFKA_FOLDER = "VITALWATCH_TEST_KAFKA"
KAFKA_OWNER = "VITALWATCH_TEST_OWNER"


def pytest_configure(config: pytest.Config) -> None:
    """Name one place for Kafka nodes, which the processes of one test run share."""
    # A script's background job starts with Ctrl+C ignored, and so would the programs under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        os.environ[KAFKA_FOLDER] = tempfile.mkdtemp(prefix="vitalwatch-kafka-")
        os.environ[KAFKA_OWNER] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing running."""
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(KAFKA_FOLDER))
        for data in folder.iterdir():
            if data.is_dir():
                local_kafka.node().stop(data, 0)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def needs() -> Callable[..., str]:
    """Path of the first program, all of which a test needs.

    Where one is missing the test is skipped with the line that installs it; with ``CI=true``,
    where nothing may be left untested, it fails.
    """

    def find(*programs: str) -> str:
        missing = [program for program in programs if shutil.which(program) is None]
        if missing:
            reason = f"needs {' and '.join(missing)}: run {INSTALL}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return str(shutil.which(programs[0]))

    return find


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recordings of real patients, which are not part of the project."""
    beside = Path(__file__).parent.parent.parent / "shared" / "recordings"
    folder = Path(os.environ.get("VITALWATCH_RECORDINGS", beside))
    if not folder.is_dir():
        pytest.skip("needs recordings of patients: set VITALWATCH_RECORDINGS to their folder")
    return folder


@pytest.fixture(scope="session")
def start_kafka(needs: Callable[..., str]) -> Callable[..., str]:
    """Start a Kafka node once for all processes of a test run: ``start_kafka(name)``, its address.

    Further arguments are those of ``deploy/kafka/node.py``'s ``start``.
    """

    def start(name: str, **arguments: Any) -> str:
        needs("java", "mvn")
        folder = Path(os.environ[KAFKA_FOLDER])
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            node = local_kafka.node()
            owner = int(os.environ[KAFKA_OWNER])
            address: str = node.start(folder / name, owner=owner, **arguments).address
            return address

    return start


@pytest.fixture(scope="session")
def kafka_address(start_kafka: Callable[..., str]) -> str:
    """``HOST:PORT`` of a real Kafka node without passwords, shared by all tests."""
    return start_kafka("plain")
