"""The file that holds a forecaster: its weights in safetensors, with a card.

Beside :mod:`vitalwatch.model.checkpoint`, whose files the detector runs on, until it runs on these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vitalwatch.arrays import Floats
from vitalwatch.model import checkpoint
from vitalwatch.model.checkpoint import Tensor
from vitalwatch.model.layout import CELLS, shapes

FORMAT: Final = "vitalwatch-model-2"
ANOTHER: Final = "make one with `vitalwatch train --cell gru`"

if TYPE_CHECKING:
    from vitalwatch.model.forecaster import Forecaster


@dataclass(frozen=True, slots=True)
class Forecasts:
    """A trained forecaster: ``cell`` and ``hidden`` as in :mod:`~vitalwatch.model.layout`.

    ``weights`` by name; ``calibration`` by name, none yet. ``fingerprint`` is the digest of all
    tensors.
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
    """Write a model file, and its card, which names ``cell`` and ``hidden``, beside it as JSON."""
    checkpoint.write(path, FORMAT, weights, calibration, card)


def load(path: Path) -> Forecasts:
    """Read a model file. Raises CheckpointError with the cause and what to do."""
    weights, calibration, card, fingerprint = checkpoint.read(
        path,
        FORMAT,
        "a forecaster",
        ANOTHER,
        lambda weights, card: _check(weights, card["cell"], card["hidden"]),
    )
    return Forecasts(card["cell"], card["hidden"], weights, calibration, card, fingerprint)


def _check(weights: Mapping[str, Tensor], cell: str, hidden: int) -> None:
    """Raise ValueError unless these are the weights of such a forecaster."""
    if cell not in CELLS:
        raise ValueError(f"there is no cell {cell!r}")
    found = {name: (str(tensor.dtype), tensor.shape) for name, tensor in weights.items()}
    for name, shape in shapes(cell, hidden).items():
        if found.pop(name, None) != ("float32", shape):
            raise ValueError(f"{name} is missing, or not float32 {shape}")
    if found:
        raise ValueError(f"it has no use for {', '.join(sorted(found))}")
