from pathlib import Path

import numpy as np
import pytest

from simulator import Ward
from vitalwatch import vitals
from vitalwatch.commands.main import main
from vitalwatch.model import checkpoint


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two wards for some hours, a broken file, and one that is no recording."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "deeper").mkdir()
    for number, place in enumerate((folder / "a.csv", folder / "deeper" / "b.csv")):
        ward = Ward(patients=10, seed=40 + number, interval=120, scenarios=None)
        times, values = ward.read(180)
        lines = ["patient,time," + ",".join(vitals.NAMES)]
        for frame, shown in zip(times, values, strict=True):
            for name, time, row in zip(ward.patients, frame, shown, strict=True):
                cells = ["" if np.isnan(cell) else f"{cell:g}" for cell in row]
                lines.append(f"{number}-{name},{time / 1000},{','.join(cells)}")
        place.write_text("\n".join(lines))
    (folder / "notes.txt").write_text("nothing of use\n")
    (folder / "cut.csv.gz").write_bytes(b"\x1f\x8b\x08\x00")
    return folder


def test_a_folder_gives_a_model_with_other_tables_and_the_same_weights(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "ours.safetensors"
    assert main(["calibrate", str(recordings), "-o", str(output), "--alarms-budget", "2"]) == 0
    said = capsys.readouterr()
    assert "20 patients, quiet for" in said.out
    assert "promised 2 false alarms a patient-day" in said.out
    assert said.out.count("of the promised)") == 2
    assert "notes.txt" in said.err
    assert "cut.csv.gz" in said.err
    ours, shipped = checkpoint.load(output), checkpoint.load()
    assert all(np.array_equal(ours.weights[name], shipped.weights[name]) for name in ours.weights)
    assert not np.array_equal(ours.calibration["log_days"], shipped.calibration["log_days"])
    assert shipped.fingerprint in ours.card["calibrated_on"]
    assert ours.card["false_alarms_promised_and_realised"]["budget"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["missing.csv", "-o", "out.safetensors"], 78, "there is no such file or folder"),
        (["{}/a.csv", "-o", "no/such/out.safetensors"], 78, "there is no such folder"),
        (["{}/notes.txt", "-o", "out.safetensors"], 78, "None of the recordings can be used"),
        (["{}/a.csv", "-o", "out.safetensors", "--alarms-budget", "0"], 78, "from --alarms-budget"),
        (["{}/a.csv"], 2, "-o/--output"),
    ],
)
def test_what_cannot_be_done_is_said(
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        found = main(["calibrate", *(each.format(recordings) for each in arguments)])
    except SystemExit as stop:
        found = int(str(stop.code))
    assert found == code
    assert said in capsys.readouterr().err


def test_one_patient_is_too_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "one.csv"
    file.write_text("time,hr\n" + "\n".join(f"{60 * k},{80 + k % 4}" for k in range(90)))
    assert main(["calibrate", str(file), "-o", str(tmp_path / "o.safetensors")]) == 78
    err = capsys.readouterr().err
    assert "Too little to calibrate with: 1 patient watched for 89 minutes" in err
    assert not (tmp_path / "o.safetensors").exists()
