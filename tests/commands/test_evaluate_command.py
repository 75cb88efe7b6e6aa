"""``vitalwatch evaluate`` beside baselines, on simulated people and on recordings."""

from pathlib import Path

import pytest

from vitalwatch.commands.main import main
from vitalwatch.evaluation import card, learned, run
from vitalwatch.model import checkpoint

SMALL = ["--patients", "12", "--hours", "4", "--interval", "60"]


def recording(folder: Path) -> None:
    """Some hourly charts, a broken one among them."""
    place = folder / "cinc2019-sample" / "setB"
    place.mkdir(parents=True)
    header = (
        "HR|O2Sat|Temp|SBP|MAP|DBP|Resp|EtCO2|Age|Gender|Unit1|Unit2|HospAdmTime|ICULOS|SepsisLabel"
    )
    for k in range(60):
        rows = [
            f"{80 + (hour * (k + 3)) % 11 + 20 * (k % 3 == 0 and hour > 20)}"
            f"|97|NaN|120|85|60|18|NaN|70|1|1|0|-1|{hour + 1}|{int(k % 3 == 0 and hour > 22)}"
            for hour in range(36)
        ]
        (place / f"p{k:03}.psv").write_text("\n".join([header, *rows]))
    (place / "p999.psv").write_text("broken")


def test_a_comparison_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "found"
    assert main(["evaluate", "--full", *SMALL, "--output", str(output)]) == 0
    printed = capsys.readouterr()
    assert "simulated swinging, a reading every 60 s" in printed.out
    assert "| VitalWatch |" in printed.out
    assert (output / "simulated-swinging-60s.md").read_text() in printed.out
    assert (output / "simulated-swinging-60s.csv").read_text().startswith("data,detector,")
    assert (output / "simulated-swinging-60s.png").exists() == learned.installed("matplotlib")


def test_broken_files_of_recordings_are_named_and_the_rest_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording(tmp_path)
    assert main(["evaluate", "--recordings", str(tmp_path), *SMALL]) == 0
    printed = capsys.readouterr()
    assert "p999.psv left out" in printed.err
    assert "There is no cinc2009-train" in printed.err
    assert "sepsis, charted hourly (cinc2019-sample)" in printed.out


def test_a_card_is_written_from_what_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ELSEWHERE", run.ELSEWHERE[2:3])  # one of them, for time's sake
    recording(tmp_path)
    path = tmp_path / "card.md"
    words = ["--full", "--recordings", str(tmp_path), "--card", str(path)]
    assert main(["evaluate", *words, "--patients", "20", "--hours", "6", "--interval", "60"]) == 0
    text, printed = path.read_text(), capsys.readouterr().out
    assert checkpoint.load().fingerprint in text
    assert str(tmp_path) not in text
    assert "nan" not in text
    for part in (card.BEGIN, card.RECORDED):
        assert text.count(part) == 1
    assert "sepsis, charted hourly: early at ≤ 2 a day" in text
    assert "top driver right in" in text
    assert "top driver right in" in printed
    assert "| simulated wearable, a reading every 60 s" in text


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--output", "x"], 2, "--full"),
        (["--beside", "x"], 2, "--full"),
        (["--recordings", "nowhere"], 78, "nowhere"),
        (["--full", "--output", "/dev/null/x"], 78, "/dev/null"),
        (["--full", "--beside", "nowhere.safetensors"], 78, "nowhere.safetensors"),
        (["--full", "--patients", "0"], 2, "--patients"),
        (["--full", "--card", "x.md"], 2, "--recordings"),
        (["--seed", "500000"], 2, "--seed"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(
    arguments: list[str],
    code: int,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *arguments]) == code
    assert named in capsys.readouterr().err
