import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from vitalwatch.errors import CheckpointError, ConfigurationError
from vitalwatch.model import checkpoint
from vitalwatch.model.forecaster import Forecaster
from vitalwatch.model.layout import CELLS, shapes

CARD = {"cell": "gru", "hidden": 8}


def test_a_model_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = Forecaster("gru", 8)
    path = tmp_path / "m.safetensors"
    card = {"cell": "gru", "hidden": 8, "name": "test"}
    tables = checkpoint.load().calibration
    checkpoint.save(path, network.weights(), tables, card)
    model = checkpoint.load(path)
    assert (model.cell, model.hidden, model.card) == ("gru", 8, card)
    for name, table in tables.items():
        np.testing.assert_array_equal(model.calibration[name], table)
    for name, tensor in network.state_dict().items():
        assert torch.equal(model.forecaster().state_dict()[name], tensor)


def test_the_fingerprint_follows_the_tensors_and_not_the_card(tmp_path: Path) -> None:
    network = Forecaster("gru", 8)
    prints = []
    for number, value in enumerate((1, 1, 2)):
        path = tmp_path / f"{number}.safetensors"
        card = {"cell": "gru", "hidden": 8, "number": number}
        tables = dict(checkpoint.load().calibration)
        tables["sums"] = value * tables["sums"]
        checkpoint.save(path, network.weights(), tables, card)
        prints.append(checkpoint.load(path).fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_a_file_that_does_not_exist_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors.*vitalwatch train"):
        checkpoint.load(tmp_path / "nowhere.safetensors")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    text, foreign = tmp_path / "text", tmp_path / "foreign.safetensors"
    text.write_text("not a model")
    safetensors.torch.save_file({"weight": torch.zeros(3)}, foreign)
    for path in (text, foreign):
        with pytest.raises(CheckpointError, match=path.name):
            checkpoint.load(path)


def test_a_model_of_another_shape_is_refused_and_not_half_loaded(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, Forecaster("gru", 8).weights(), {}, CARD | {"hidden": 16})
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.load(path)


@pytest.mark.parametrize("card", [None, "", "8", "[]", "{}", '{"hidden": "8"}', '{"hidden": -1}'])
def test_a_file_whose_card_does_not_say_its_shape_is_refused(
    card: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    metadata = {"format": checkpoint.FORMAT} | ({} if card is None else {"card": card})
    safetensors.torch.save_file({"network.x": torch.zeros(3)}, path, metadata)
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.load(path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, Forecaster("gru", 8).weights(), {}, CARD)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"^Cannot read .*--model-path.*vitalwatch train`\.$"):
        checkpoint.load(path)


def test_a_model_with_weights_that_are_no_numbers_is_refused(tmp_path: Path) -> None:
    path, network = tmp_path / "m.safetensors", Forecaster("gru", 8)
    next(network.parameters()).data[0] = float("nan")
    checkpoint.save(path, network.weights(), checkpoint.load().calibration, CARD)
    with pytest.raises(CheckpointError, match=r"not all numbers.*vitalwatch train"):
        checkpoint.load(path)


@pytest.mark.parametrize("cell", CELLS)
def test_the_shapes_are_those_of_the_network(cell: str) -> None:
    weights = Forecaster(cell, 16).weights()
    assert {name: weight.shape for name, weight in weights.items()} == shapes(cell, 16)


def test_a_calibration_of_another_version_is_refused(tmp_path: Path) -> None:
    path, tables = tmp_path / "m.safetensors", dict(checkpoint.load().calibration)
    tables.pop("weights")
    checkpoint.save(path, Forecaster("gru", 8).weights(), tables, CARD)
    with pytest.raises(CheckpointError, match=r"weights is missing.*vitalwatch train"):
        checkpoint.load(path)


def test_the_shipped_card_says_what_it_was_trained_on_and_how_it_scores() -> None:
    model = checkpoint.load()
    readable = json.loads(
        checkpoint.SHIPPED.with_suffix(checkpoint.CARD).read_text(encoding="utf-8")
    )
    assert readable == model.card
    for entry in ("command", "trained_on", "calibrated_on", "evaluation", "limits"):
        assert model.card[entry]


def test_scoring_does_without_torch() -> None:
    program = (
        "import sys\nfrom vitalwatch import config\nfrom vitalwatch.detector import Detector\n"
        "from vitalwatch.model import checkpoint\n"
        "Detector(checkpoint.load(), config.Alarms())\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_of_every_cell_there_is_a_model_to_compare_trained_as_the_others_are() -> None:
    models = {path.stem: checkpoint.load(path) for path in checkpoint.FAMILY.glob("*.safetensors")}
    assert set(models) == set(CELLS)
    commands = {
        str(model.card["command"]).replace(f"--cell {cell}", "") for cell, model in models.items()
    }
    assert len(commands) == 1


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("sums", lambda sums: sums[::-1], "does not rise"),
        ("sums", lambda sums: sums[:1], "no two entries"),
        ("sums", lambda sums: sums[:0], "no two entries"),
        ("sums", lambda sums: sums[:, None], "no two entries"),
        ("log_days", lambda days: days[::-1], "fall"),
        ("tails", lambda tails: tails[..., ::-1], "fall"),
        ("pace", lambda pace: pace + np.float32(np.inf), "not all numbers"),
    ],
)
def test_tables_that_would_silence_alarms_are_refused(
    name: str, changed: Callable[[Any], Any], said: str, tmp_path: Path
) -> None:
    model, path = checkpoint.load(), tmp_path / "m.safetensors"
    tables = {**model.calibration, name: changed(model.calibration[name])}
    checkpoint.save(path, model.weights, tables, model.card)
    with pytest.raises(CheckpointError, match=said):
        checkpoint.load(path)


def test_a_model_that_is_not_calibrated_is_refused(tmp_path: Path) -> None:
    model, path = checkpoint.load(), tmp_path / "m.safetensors"
    checkpoint.save(path, model.weights, {}, model.card)
    with pytest.raises(CheckpointError, match="not calibrated"):
        checkpoint.load(path)


def test_what_cannot_be_written_whole_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = checkpoint.load(), tmp_path / "m.safetensors"
    path.write_bytes(b"earlier")

    def full(self: Path, _: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, model.weights, model.calibration, model.card)
    assert [each.name for each in tmp_path.iterdir()] == ["m.safetensors"]
    assert path.read_bytes() == b"earlier"


@pytest.mark.parametrize("name", ["m.json", "m.run", "m"])
def test_a_model_is_not_written_to_a_name_that_other_files_have(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ends with \.safetensors"):
        checkpoint.check_name(Path(name))
