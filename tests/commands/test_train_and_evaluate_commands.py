from pathlib import Path

import pytest

from vitalwatch.commands.main import main
from vitalwatch.commands.train import LARGEST_SEED, MOST_ROUNDS
from vitalwatch.training import data, loop


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
        (["train", "-o", "m.safetensors", "--seed", "166"], "--seed"),
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


def test_every_seed_and_round_that_is_allowed_has_wards_of_its_own() -> None:
    for seed, number in ((0, 0), (LARGEST_SEED, MOST_ROUNDS - 1)):
        assert loop._sequences("train", seed * 1000 + number, 1).chunk(1).values.shape[0] == 1
    with pytest.raises(ValueError, match="999,999"):
        data.ward("train", ((LARGEST_SEED + 1) * 1000 + MOST_ROUNDS - 1) * 6 + 5, 1, 1.0, None)


def test_a_model_that_cannot_be_written_is_said_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "train", lambda *_: pytest.fail("trained in vain"))
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
