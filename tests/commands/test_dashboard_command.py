import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dashboard.stream import Client
from vitalwatch.commands.main import main

DEADLINE = 60.0


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--simulate", "0"], 2, "from 1 to"),
        (["--simulate", "4", "--replay", "x.csv"], 2, "Either --simulate or --replay"),
        (["--truth", "x.jsonl"], 2, "--truth belongs to --replay"),
        (["--replay", "x.csv", "--speed", "0"], 2, "--speed must be above 0"),
        (["--replay", "missing.csv"], 78, "Cannot read missing.csv"),
        (["--dashboard-host", "0.0.0.0"], 78, "VITALWATCH_DASHBOARD_VIEW_TOKEN"),
        (["--dashboard-port", "high"], 78, "dashboard.port"),
    ],
)
def test_what_cannot_be_served_is_said(
    flags: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dashboard", *flags]) == code
    assert said in capsys.readouterr().err


def test_it_serves_a_recording_until_it_is_asked_to_end(tmp_path: Path) -> None:
    recording = tmp_path / "ward.csv"
    rows = [f"bed-1,{second},{70 + second % 3}" for second in range(0, 600, 5)]
    recording.write_text("\n".join(["patient,time,hr", *rows]) + "\n")
    command = [sys.executable, "-m", "vitalwatch.commands.main", "dashboard"]
    flags = ["--replay", str(recording), "--dashboard-port", "0", "--speed", "100"]
    with subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.fullmatch(
                r"Dashboard: (http://127\.0\.0\.1:\d+)\n", process.stdout.readline()
            )
            assert found
            with Client(found[1]).page() as page:
                told = page.ready()
                assert [patient["label"] for patient in told["patients"]] == ["bed-1"]
                process.send_signal(signal.SIGTERM)
                assert process.wait(DEADLINE) == 0
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
