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
from typing import Any, Final

import safetensors
import safetensors.torch
import torch

from vitalwatch.errors import CheckpointError
from vitalwatch.model.network import Network

FORMAT: Final = "vitalwatch-model-1"
SHIPPED: Final = Path(__file__).parent / "shipped.safetensors"


@dataclass(frozen=True, slots=True)
class Model:
    """A trained network with its calibration tensors (see scoring.evidence.Calibration).

    ``fingerprint`` is the digest of the tensors; the same fingerprint, torch build and processor
    capability give the same scores bit for bit.
    """

    network: Network
    calibration: dict[str, torch.Tensor]
    card: dict[str, Any]
    fingerprint: str


def save(
    path: Path, network: Network, calibration: dict[str, torch.Tensor], card: dict[str, Any]
) -> None:
    """Write a model file, and its card beside it with the ending ``.json``.

    ``calibration`` is stored under ``calibration.<name>``.
    """
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"calibration.{name}": tensor for name, tensor in calibration.items()}
    metadata = {"format": FORMAT, "card": json.dumps(card, sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in sorted(tensors.items())}, metadata
    )
    path.write_bytes(content)
    readable = json.dumps(card, indent=2, ensure_ascii=False)
    path.with_suffix(".json").write_text(readable + "\n", encoding="utf-8")


def load(path: str | Path = "") -> Model:
    """Read a model file; without ``path`` the one that ships with the package.

    Raises CheckpointError with the cause and what to do.
    """
    file = Path(path) if path else SHIPPED
    try:
        content = file.read_bytes()
        with safetensors.safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
        tensors = safetensors.torch.load(content)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"cannot read the model file {file}: {error}; "
            "give another with --model-path, or make one with `vitalwatch train`"
        ) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{file} is a safetensors file but not a VitalWatch model of this version; "
            "make one with `vitalwatch train`"
        )
    try:
        card = json.loads(metadata["card"])
        network = Network(card["hidden"])
        network.load_state_dict(_part(tensors, "network."))
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{file} does not fit this version of VitalWatch: {error}") from error
    broken = sorted(name for name, tensor in tensors.items() if tensor.isnan().any())
    if broken:
        # It would score, and alert on nothing that it learned, without a word.
        raise CheckpointError(
            f"{file} is damaged, or its training failed: {broken[0]} is not all numbers; "
            "give another with --model-path, or make one with `vitalwatch train`"
        )
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return Model(
        network=network.eval(),
        calibration=_part(tensors, "calibration."),
        card=card,
        fingerprint=fingerprint(tensors),
    )


def fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """Twelve hexadecimal digits that stand for these tensors, names and shapes included."""
    digest = hashlib.blake2b(digest_size=6)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
