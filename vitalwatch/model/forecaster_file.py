"""The file that holds a forecaster: its weights in safetensors, with a card.

Beside :mod:`vitalwatch.model.checkpoint`, whose files the detector runs on, until it runs on these.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import safetensors
import safetensors.numpy

from vitalwatch.arrays import Floats
from vitalwatch.errors import CheckpointError
from vitalwatch.model.checkpoint import Tensor, fingerprint
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
    tensors = {f"network.{name}": tensor for name, tensor in weights.items()}
    tensors |= {f"calibration.{name}": tensor for name, tensor in calibration.items()}
    metadata = {"format": FORMAT, "card": json.dumps(card, sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        safetensors.numpy.save(
            {name: np.ascontiguousarray(tensor) for name, tensor in sorted(tensors.items())},
            metadata,
        )
    )
    readable = json.dumps(card, indent=2, ensure_ascii=False)
    path.with_suffix(".json").write_text(readable + "\n", encoding="utf-8")


def load(path: Path) -> Forecasts:
    """Read a model file. Raises CheckpointError with the cause and what to do."""
    try:
        content = path.read_bytes()
        with safetensors.safe_open(path, framework="np") as opened:
            metadata = opened.metadata() or {}
        tensors = safetensors.numpy.load(content)
    except (OSError, safetensors.SafetensorError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"Cannot read the model file {path}: {cause}; {ANOTHER}.") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} does not hold a forecaster of this version; {ANOTHER}.")
    parts = {
        part: {n.removeprefix(part): t for n, t in tensors.items() if n.startswith(part)}
        for part in ("network.", "calibration.")
    }
    weights = parts["network."]
    try:
        card = json.loads(metadata["card"])
        cell, hidden = card["cell"], card["hidden"]
        _check(weights, cell, hidden)
    except (LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not fit this version of VitalWatch: {error}; {ANOTHER}."
        ) from error
    broken = sorted(name for name, tensor in tensors.items() if np.isnan(tensor).any())
    if broken:
        raise CheckpointError(
            f"{path} is damaged, or its training failed: {broken[0]} is not all numbers; {ANOTHER}."
        )
    return Forecasts(cell, hidden, weights, parts["calibration."], card, fingerprint(tensors))


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
