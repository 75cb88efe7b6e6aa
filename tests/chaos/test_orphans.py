"""Whoever started the suite may end as it likes: nothing goes on without it."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.crew import ROOT

MARK = "VITALWATCH_CHAOS_TEST"
SECONDS = 60.0


def running(mark: str) -> dict[int, str]:
    """Command lines of processes with this mark in their environment, by number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                words = (folder / "cmdline").read_bytes().split(b"\0")
                found[int(folder.name)] = b" ".join(words).decode(errors="replace")
        except OSError:
            pass  # not ours, or gone
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_nothing_outlives_a_run_that_is_killed(needs: Callable[..., str], tmp_path: Path) -> None:
    needs("java", "mvn")
    mark = uuid.uuid4().hex
    command = [sys.executable, "-u", "-m", "tests.chaos", "--seed", "1", "--only", "kill"]
    environment = {**os.environ, MARK: mark, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        said = b""
        while b"   1  kill" not in said:  # the first round has begun
            said += os.read(run.stdout.fileno(), 1000)
            assert run.poll() is None
        left = {pid: line for pid, line in running(mark).items() if pid != run.pid}
        workers = [pid for pid, line in left.items() if "tests.chaos.nursery" in line]
        assert any("kafka.Kafka" in line for line in left.values())
        assert len(workers) > 2
        os.kill(max(workers), signal.SIGSTOP)
        run.kill()
    end = time.monotonic() + SECONDS
    while running(mark):
        assert time.monotonic() < end, running(mark)
        time.sleep(0.1)
