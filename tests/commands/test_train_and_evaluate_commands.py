from pathlib import Path

import pytest

from vitalwatch.commands.main import main
from vitalwatch.training import fitting


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["evaluate", "--seed", "-1"], "--seed"),
        (["evaluate", "--seed", "1000000"], "--seed"),
        (["evaluate", "--hours", "0"], "--hours"),
        (["evaluate", "--hours", "nan"], "--hours"),
        (["evaluate", "--hours", "inf"], "--hours"),
        (["evaluate", "--interval", "0.5"], "--interval"),
        (["evaluate", "--patients", "0"], "patients"),
        (["train", "-o", "m.safetensors", "--seed", "-1"], "--seed"),
        (["train", "-o", "m.safetensors", "--seed", "100000"], "--seed"),
        (["train", "-o", "m.safetensors", "--rounds", "0"], "--rounds"),
        (["train", "-o", "m.safetensors", "--rounds", "1001"], "--rounds"),
        (["train", "-o", "m.safetensors", "--hidden", "0"], "--hidden"),
    ],
)
def test_what_cannot_be_done_is_wrong_usage(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert named in capsys.readouterr().err


def test_a_model_that_cannot_be_written_is_said_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "fit", lambda *_: pytest.fail("trained in vain"))
    (tmp_path / "file").touch()
    for output in (tmp_path, tmp_path / "file" / "m.safetensors"):
        assert main(["train", "-o", str(output)]) == 78
        assert str(tmp_path) in capsys.readouterr().err


def test_an_evaluation_prints_a_table_with_a_row_for_each_method(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", "--patients", "4", "--hours", "0.5", "--interval", "60"]) == 0
    head, _, *table = capsys.readouterr().out.splitlines()
    assert head.startswith("4 simulated patients, 0 patient-days, a reading every 60 s")
    assert [len(row.split("|")) for row in table] == [7] * 7
