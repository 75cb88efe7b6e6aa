import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from vitalwatch.commands.main import main

DEMO = (sys.executable, "-m", "vitalwatch.commands.main", "demo")
DEADLINE = 60.0


def demo(*flags: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*DEMO, *flags], capture_output=True, text=True, check=False, timeout=DEADLINE
    )


def test_the_deterioration_is_caught_before_its_critical_time_and_explained() -> None:
    done = demo("--speed", "600")
    assert (done.returncode, done.stderr) == (0, "")
    caught = re.search(r"caught it at [\d:]+, \d+ min before critical: (\w+ .*)\.", done.stdout)
    assert caught, done.stdout
    alerts = [line for line in done.stdout.splitlines() if "MED bed" in line or "HIGH bed" in line]
    assert any(caught[1] in line for line in alerts)


def test_it_ends_after_the_seconds_asked_for() -> None:
    done = demo("--seconds", "3", "--patients", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Starting ... ")
    assert "Metrics: http://127.0.0.1:" in done.stdout
    assert "Dashboard: http://127.0.0.1:" in done.stdout
    assert re.search(r"^[\d:]+ 3 patients, [\d,]+ readings scored$", done.stdout, re.M)


def test_on_a_terminal_it_shows_the_ward_until_ctrl_c_and_leaves_nothing_running() -> None:
    terminal, child = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(
        [*DEMO, "--patients", "3"],
        stdin=child,
        stdout=child,
        stderr=child,
        env=environ,
        start_new_session=True,
    ) as process:
        os.close(child)
        seen, asked = b"", False
        deadline = time.monotonic() + DEADLINE
        try:
            while time.monotonic() < deadline:
                if select.select([terminal], [], [], 0.5)[0]:
                    try:
                        seen += os.read(terminal, 65536)
                    except OSError:  # the other side is closed
                        break
                if b"SIMULATED PATIENTS" in seen and not asked:
                    process.send_signal(signal.SIGINT)
                    asked = True
            assert process.wait(timeout=DEADLINE) == 0
        finally:
            process.kill()
            os.close(terminal)
    assert b"Once in" in seen
    assert b"/metrics" in seen
    assert b"In a browser: http://127.0.0.1:" in seen
    assert b"The demo ended before anything happened." in seen
    assert b"Traceback" not in seen


def test_it_runs_on_a_real_kafka_node_of_its_own(needs: Callable[..., str]) -> None:
    needs("java", "mvn")
    done = demo("--kafka", "--seconds", "5", "--patients", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^[\d:]+ 3 patients, [\d,]+ readings scored$", done.stdout, re.M)


@pytest.mark.parametrize(
    "flags",
    [
        ["--patients", "0"],
        ["--seed", "-1"],
        ["--speed", "inf"],
        ["--speed", "0"],
        ["--speed", "nan"],
        ["--speed", "-1"],
    ],
)
def test_impossible_wishes_are_wrong_usage(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", *flags]) == 2
    assert "--patients of at least 1 and a --speed above 0" in capsys.readouterr().err
