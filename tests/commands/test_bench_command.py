import json
from typing import Any

import pytest

from vitalwatch import config
from vitalwatch.commands import bench, main
from vitalwatch.detector import Detector
from vitalwatch.model import checkpoint

FAST = ("bench", "--seconds", "0.05", "--patients", "30", "10")


def test_the_table_says_rates_stages_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(FAST) == 0
    out = capsys.readouterr().out
    assert checkpoint.load().fingerprint in out
    assert "patients who are read once a second" in out
    for stage in bench.STAGES:
        assert f"{stage}, µs" in out
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows if len(row) == 5 and row[0].isdigit()] == ["10", "30"]
    state = Detector(checkpoint.load(), config.Alarms()).row_bytes
    assert f"{state:,} bytes a patient" in out


def test_json_holds_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([*FAST, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    measured = report["measured"]
    assert [row["patients"] for row in measured] == [10, 30]
    for row in measured:
        spent = sum(row["microseconds_per_reading"].values())
        assert row["readings_per_second"] == pytest.approx(1e6 / spent, rel=0.05)
    rates = [row["readings_per_second"] for row in measured]
    assert 0.9 * min(rates) < report["patients_at_1_hz"] < 1.1 * max(rates)
    assert report["state_bytes"]["1000"] == 1000 * report["state_bytes_per_patient"]


def test_every_reading_is_scored_and_none_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    detections = []

    class Watched(Detector):
        def process(self, batch: Any) -> Any:
            found = super().process(batch)
            detections.extend(found)
            return found

    monkeypatch.setattr("vitalwatch.detector.Detector", Watched)
    row = bench.measure(checkpoint.load(), config.Settings(), 20, 0.5)
    assert 0 < row.readings <= sum(len(detection.late) for detection in detections)
    assert not any(detection.late.any() for detection in detections)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--seconds", "0"], "--seconds"),
        (["--seconds", "nan"], "--seconds"),
        (["--patients", "0"], "--patients"),
        (["--patients", "10000000"], "--patients"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    flags: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["bench", *flags]) == 2
    assert named in capsys.readouterr().err
