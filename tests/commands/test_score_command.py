import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from vitalwatch.commands import score as command
from vitalwatch.errors import ConfigurationError
from vitalwatch.messages import Alert, Event, Kind, Origin, Priority, rfc3339
from vitalwatch.readings import Detection, Readings
from vitalwatch.recordings.recording import Recording
from vitalwatch.vitals import COUNT, INDEX


class Fake:
    """Scores a reading with its heart rate, and has an alert for each below 50."""

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        (readings,) = batch
        hr = readings.values[:, INDEX["hr"]]
        blank = np.full((len(hr), COUNT), np.nan, dtype=np.float32)
        alerts = []
        for at in np.flatnonzero(hr < 50).tolist():
            alerts.append(make_alert(readings, at, "physiological", "raised", "medium"))
            if hr[at] < 40:
                alerts.append(make_alert(readings, at, "physiological", "escalated", "high"))
                alerts.append(make_alert(readings, at, "physiological", "updated", "low"))
            alerts.append(make_alert(readings, at, "technical", "raised", "low"))
        return [Detection(hr == 99, hr, blank, blank, blank, blank, alerts)]


def make_alert(readings: Readings, at: int, kind: Kind, event: Event, priority: Priority) -> Alert:
    time = int(readings.times[at])
    return Alert(
        alert_id=f"{kind}-{readings.offsets[at]}",
        patient=readings.patients.texts()[at],
        event=event,
        kind=kind,
        condition="hr_low",
        priority=priority,
        time=time,
        onset=time,
        rarity=None,
        drivers=[],
        sentence="HR is low",
        origin=Origin(readings.topic, readings.partition, int(readings.offsets[at])),
        model="fake",
    )


def ward(path: Path, text: str) -> Recording:
    path.write_text(text)
    return Recording(path)


def test_scores_alerts_and_a_summary_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = [
        ward(tmp_path / "a.csv", "patient,time,hr,cvp\np1,0,80,1\np2,0,45,1\np1,x,1,1\n"),
        ward(tmp_path / "b.csv", "time,hr\n0,30\n1,99\n"),
    ]
    output = tmp_path / "new" / "out"
    results = command.score(recordings, output, "csv", Fake)
    assert sorted(path.name for path in output.iterdir()) == ["alerts.jsonl", "scores.csv"]
    with (output / "scores.csv").open(newline="") as file:
        rows = [
            (r["recording"], r["patient"], r["time"], r["rarity"]) for r in csv.DictReader(file)
        ]
    assert rows == [
        ("a.csv", "p1", "0", "80"),
        ("a.csv", "p2", "0", "45"),
        ("b.csv", "b", "0", "30"),
        ("b.csv", "b", "1000", "99"),
    ]
    alerts = [json.loads(line) for line in (output / "alerts.jsonl").read_text().splitlines()]
    assert [alert["origin"] for alert in alerts[1:3]] == [
        {"topic": "a.csv", "partition": 0, "offset": 1},
        {"topic": "b.csv", "partition": 0, "offset": 0},
    ]
    assert [str(result) for result in results] == [
        "a.csv: 2 readings of 2 patients; alerts: 1 physiological (1 medium) and "
        "1 technical (1 low)",
        "b.csv: 2 readings of 1 patient; alerts: 1 physiological (1 high) and "
        "1 technical (1 low); 1 readings were late and not scored",
    ]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "a.csv: dropped 1 row: 1 bad time (first in line 4)\na.csv: ignored columns cvp\n"
    )


def test_each_recording_has_a_detector_of_its_own(tmp_path: Path) -> None:
    made: list[Fake] = []

    def make() -> Fake:
        made.append(Fake())
        return made[-1]

    files = [ward(tmp_path / name, "time,hr\n0,80\n") for name in ("a.csv", "b.csv")]
    command.score(files, tmp_path, "csv", make)
    assert len(made) == 2


def test_what_is_not_finished_leaves_no_results(tmp_path: Path) -> None:
    class Broken(Fake):
        def process(self, batch: Sequence[Readings]) -> list[Detection]:
            raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    earlier = tmp_path / "out" / "alerts.jsonl"
    earlier.write_text("earlier\n")
    recording = ward(tmp_path / "a.csv", "time,hr\n0,80\n")
    with pytest.raises(KeyboardInterrupt):
        command.score([recording], tmp_path / "out", "csv", Broken)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["alerts.jsonl"]
    assert earlier.read_text() == "earlier\n"


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    recording = ward(tmp_path / "a.csv", "time,hr\n0,80\n")
    with pytest.raises(ConfigurationError, match="Cannot write to"):
        command.score([recording], tmp_path / "a.csv" / "out", "csv", Fake)
    with pytest.raises(ConfigurationError, match="is a file: -o names a folder"):
        command.score([recording], tmp_path / "a.csv", "csv", Fake)


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["score", *arguments])
    code: int = parsed.run(parsed)
    return code


def test_twenty_thousand_patients_in_one_file_are_scored_each_for_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patients = 20_000
    rows = [f"p{n},{time},{60 + n % 40}" for time in (0, 60) for n in range(patients)]
    path = tmp_path / "ward.csv"
    path.write_text("\n".join(["patient,time,hr", *rows]))
    assert run(str(path), "-o", str(tmp_path), "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)["recordings"]
    assert (result["readings"], result["patients"], result["late"]) == (2 * patients, patients, 0)
    with (tmp_path / "scores.csv").open(newline="") as file:
        scores = list(csv.DictReader(file))
    assert len(scores) == 2 * patients
    # Patients who show the same are told the same, whoever else is in the batch.
    for time in ("0", "60000"):
        told = {(60 + int(s["patient"][1:]) % 40, s["rarity"]) for s in scores if s["time"] == time}
        assert len(told) == 40


def test_the_shipped_model_finds_the_desaturation_of_a_patient(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recordings / "mimic2-numerics" / "s25047n.csv"
    assert run(str(path), "-o", str(tmp_path), "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["recordings"][0]["readings"] == 72
    assert len(summary["model"]) > 0
    alerts = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]
    # SpO2 is 65 % at 11:40 and 42 % at 11:41; the record ends with 36 % at 11:54 and 11:55.
    found = [
        rfc3339(alert["time"])[11:16]
        for alert in alerts
        if alert["condition"] == "spo2_low"
        and alert["kind"] == "physiological"
        and alert["event"] == "raised"
    ]
    assert found[-2:] == ["11:41", "11:55"]


def test_units_that_cannot_be_right_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "".join(f"{k},80,98.{k % 5}\n" for k in range(20))
    command.score([ward(tmp_path / "a.csv", f"time,hr,temp\n{lines}")], tmp_path, "csv", Fake)
    said = capsys.readouterr().err
    assert "a.csv: temp has the middle value 98.2, as in °F: it must be in °C" in said
    assert "scored as it is" in said
