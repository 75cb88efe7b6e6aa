"""The file that holds a trained model: weights and calibration in safetensors, with a card.

The digest of all tensors, which is all that decides a score, is the model's fingerprint. The card
says what it was trained on, with which command, and how it scores; it stands in the file's
metadata, and once more beside it as JSON for people to read.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from vitalwatch.arrays import Floats
from vitalwatch.errors import CheckpointError, ConfigurationError
from vitalwatch.model.layout import CELLS, RISKS, V, shapes

FORMAT: Final = "vitalwatch-model-2"
SHIPPED: Final = Path(__file__).parent / "shipped.safetensors"
FAMILY: Final = Path(__file__).parent / "family"
"""Models of each cell, for comparison, all trained alike and more briefly than what ships."""

ENDING: Final = ".safetensors"
CARD: Final = ".card.json"

ANOTHER: Final = "give another with --model-path, or make one with `vitalwatch train`"

if TYPE_CHECKING:
    from vitalwatch.model.forecaster import Forecaster

Tensor = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Model:
    """A trained forecaster, with its calibration (see scoring.evidence.Calibration).

    ``cell`` and ``hidden`` as in :mod:`vitalwatch.model.layout`; ``weights`` by name, shaped as
    its ``shapes`` says. ``fingerprint`` is the digest of all tensors and of the cell's name: the
    same fingerprint gives the same scores bit for bit.
    """

    cell: str
    hidden: int
    weights: Mapping[str, Floats]
    calibration: Mapping[str, Tensor]
    card: dict[str, Any]
    fingerprint: str

    def forecaster(self) -> "Forecaster":
        """The network itself, in torch, which takes seconds to import: for training and tests."""
        import torch

        from vitalwatch.model.forecaster import Forecaster

        made = Forecaster(self.cell, self.hidden).eval()
        made.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in self.weights.items()})
        for parameter in made.parameters():
            parameter.requires_grad_(False)
        return made


def save(
    path: Path,
    weights: Mapping[str, Floats],
    calibration: Mapping[str, Tensor],
    card: dict[str, Any],
) -> None:
    """Write a model file, and its card beside it with the ending ``.card.json``, each whole or not.

    ``weights`` are stored under ``network.<name>``, ``calibration`` under ``calibration.<name>``;
    the card names ``cell`` and ``hidden``.
    """
    tensors = {f"network.{name}": tensor for name, tensor in weights.items()}
    tensors |= {f"calibration.{name}": tensor for name, tensor in calibration.items()}
    metadata = {"format": FORMAT, "card": json.dumps(card, sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(tensor) for name, tensor in sorted(tensors.items())}, metadata
    )
    readable = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    for file, told in ((path, content), (path.with_suffix(CARD), readable.encode())):
        partial = file.with_name(file.name + ".partial")
        try:
            partial.write_bytes(told)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)


def check_name(path: Path) -> None:
    """Raise ConfigurationError unless a model may be written to a file of that name.

    Beside it stand others of the same name with other endings, which must not be the model's own.
    """
    if path.suffix != ENDING:
        raise ConfigurationError(f"Cannot write {path}: a model's file ends with {ENDING}.")


def load(path: str | Path = "") -> Model:
    """Read a model file; without ``path`` the one that ships with the package.

    Raises CheckpointError with the cause and what to do.
    """
    path = Path(path) if path else SHIPPED
    try:
        content = path.read_bytes()
        with safetensors.safe_open(path, framework="np") as opened:
            metadata = opened.metadata() or {}
        tensors = safetensors.numpy.load(content)
    except (OSError, safetensors.SafetensorError, LookupError, TypeError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"Cannot read the model file {path}: {cause}; {ANOTHER}.") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a safetensors file but not a VitalWatch model of this version; {ANOTHER}."
        )
    weights, calibration = _part(tensors, "network."), _part(tensors, "calibration.")
    try:
        card = json.loads(metadata["card"])
        cell, hidden = card["cell"], int(card["hidden"])
        _check(weights, cell, hidden)
        _check_calibration(calibration)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{path} does not fit this version of VitalWatch: {error}; {ANOTHER}."
        ) from error
    broken = sorted(
        name
        for name, tensor in tensors.items()
        # A weight of the calibration is a logarithm, of nothing too.
        if not np.isfinite(tensor if name != "calibration.weights" else np.exp(tensor)).all()
    )
    if broken:
        # It would score, and alert on nothing that it learned, without a word.
        raise CheckpointError(
            f"{path} is damaged, or its training failed: {broken[0]} is not all numbers; {ANOTHER}."
        )
    return Model(cell, hidden, weights, calibration, card, fingerprint(tensors, cell))


def fingerprint(tensors: Mapping[str, Tensor], cell: str) -> str:
    """Twelve hexadecimal digits that stand for these tensors, names and shapes included."""
    digest = hashlib.blake2b(cell.encode(), digest_size=6)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} torch.{tensor.dtype} {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def _check(weights: Mapping[str, Tensor], cell: str, hidden: int) -> None:
    """Raise ValueError unless these are the weights of such a forecaster."""
    if cell not in CELLS:
        raise ValueError(f"there is no cell {cell!r}")
    _compare(weights, {name: ("float32", shape) for name, shape in shapes(cell, hidden).items()})


def _check_calibration(calibration: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless these are tables as scoring.evidence.Calibration describes them.

    Tables that do not rise would turn what is rare into what is usual, and alarm of nothing.
    """
    if not calibration:
        raise ValueError("it is not calibrated")
    levels = calibration["sums"].shape
    if len(levels) != 1 or levels[0] < 2:
        raise ValueError("its table of rarities has no two entries")
    _compare(
        calibration,
        {
            "tails": ("float32", (3, V, 17)),
            "weights": ("float32", (3 + len(RISKS), V)),
            "pace": ("float32", (5,)),
            "sums": ("float64", levels),
            "log_days": ("float64", levels),
        },
    )
    if (np.diff(calibration["sums"]) <= 0).any():
        raise ValueError("its evidence does not rise from entry to entry")
    for name in ("log_days", "tails"):
        if (np.diff(calibration[name], axis=-1) < 0).any():
            raise ValueError(f"its {name} fall from entry to entry")


def _compare(tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[str, Any]]) -> None:
    found = {name: (str(tensor.dtype), tensor.shape) for name, tensor in tensors.items()}
    for name, (dtype, shape) in wanted.items():
        if found.pop(name, None) != (dtype, shape):
            raise ValueError(f"{name} is missing, or not {dtype} {shape}")
    if found:
        raise ValueError(f"it has no use for {', '.join(sorted(found))}")


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
