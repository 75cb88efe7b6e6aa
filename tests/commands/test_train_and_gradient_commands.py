import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vitalwatch.commands.main import main
from vitalwatch.errors import CheckpointError
from vitalwatch.model import checkpoint
from vitalwatch.scoring.evidence import PACES
from vitalwatch.training import calibration, curves, fitting, streams
from vitalwatch.training.streams import Size


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "ROUND", Size(2, 2, 16))
    monkeypatch.setattr(streams, "RATES", streams.RATES[-2:-1])
    defaults = fitting.Plan.__init__.__defaults__
    assert defaults is not None
    tiny = tuple(Size(2, 2, 16) if isinstance(value, Size) else value for value in defaults)
    monkeypatch.setattr(fitting.Plan.__init__, "__defaults__", tiny)
    short = zip(PACES, (12,) * 5, (0.52, 0.55, 0.6, 1, 3), strict=True)
    monkeypatch.setattr(calibration, "WARDS", tuple(short))
    monkeypatch.setattr("vitalwatch.commands.train.EVALUATED", 4)


def train(path: Path, *more: str) -> int:
    words = ["train", "-o", str(path), "--cell", "gru", "--hidden", "6", "--patients", "2"]
    return main([*words, "--device", "cpu", "--processes", "0", *more])


@pytest.mark.usefixtures("small")
def test_a_forecaster_is_written_with_its_card_and_its_learning_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gru.safetensors"
    assert train(path, "--rounds", "1") == 0
    assert "auroc critical within 60 min" in capsys.readouterr().err
    made = checkpoint.load(path)
    assert (made.cell, made.hidden) == ("gru", 6)
    assert made.card == json.loads(path.with_suffix(".card.json").read_text(encoding="utf-8"))
    weights = made.forecaster().weights()
    assert all(np.array_equal(weights[name], weight) for name, weight in made.weights.items())
    with (tmp_path / "gru.curve.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rounds"] for row in rows] == ["1"]
    assert float(rows[0]["validation"]) > 0


@pytest.mark.usefixtures("small")
def test_a_run_can_be_resumed_and_only_as_it_was_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gru.safetensors"
    assert train(path, "--rounds", "1", "--resume") == 78
    assert "--resume" in capsys.readouterr().err
    assert train(path, "--rounds", "1") == 0
    first = checkpoint.load(path).fingerprint
    assert train(path, "--rounds", "1", "--resume") == 0
    assert checkpoint.load(path).fingerprint == first
    assert train(path, "--rounds", "2", "--resume") == 78
    assert "another run's" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--rounds", "0"], "--rounds"),
        (["--seed", str(fitting.LARGEST_SEED + 1)], "--seed"),
        (["--patients", "1"], "--patients"),
        (["--rate", "0"], "--rate"),
        (["--hidden", "0"], "--hidden"),
    ],
)
def test_what_cannot_be_trained_is_wrong_usage(
    words: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "x.safetensors", *words) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("card", [{}, {"cell": "mamba", "hidden": 4}, {"cell": "gru", "hidden": 4}])
def test_a_file_that_does_not_fit_its_card_is_refused(
    card: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, {"x": np.zeros(3, dtype=np.float32)}, {}, card)
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.load(path)


def test_the_gradient_of_a_plain_network_vanishes_and_that_of_gates_lasts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["gradient", "--lags", "101", "--hidden", "32"]) == 0
    head, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert head == ["lag", "rnn", "gru", "lstm"]
    by_lag = {row[0]: [float(value) for value in row[1:]] for row in rows}
    assert by_lag["0"] == [1, 1, 1]
    rnn, gru, lstm = by_lag["50"]
    assert rnn < 1e-6
    assert gru > 1e-3
    assert lstm > 1e-3
    assert by_lag["half"][0] < 10


def test_learning_curves_and_gradients_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    names = ("rounds", *(name for _, names in curves._PANELS for name in names))
    curve = [dict.fromkeys(names, float(number)) for number in range(3)]
    for picture in curves.write(curve, tmp_path / "x.csv")[1:]:
        assert picture.read_bytes().startswith(b"\x89PNG")
    plot = tmp_path / "reach.png"
    assert main(["gradient", "--lags", "20", "--hidden", "8", "--plot", str(plot)]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "words", [["--lags", "1"], ["--interval", "0"], ["--interval", "nan"], ["--seed", "-1"]]
)
def test_a_gradient_that_cannot_be_shown_is_wrong_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gradient", *words]) == 2
    assert words[0] in capsys.readouterr().err
