"""The file that holds a trained model: weights and calibration in safetensors, with a card.

The digest of all tensors, which is all that decides a score, is the model's fingerprint. The card
says what it was trained on, with which command, and how it scores; it stands in the file's
metadata, and once more beside it as JSON for people to read.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from vitalwatch.arrays import Floats
from vitalwatch.errors import CheckpointError
from vitalwatch.model.shapes import shapes

FORMAT: Final = "vitalwatch-model-1"
SHIPPED: Final = Path(__file__).parent / "shipped.safetensors"
ANOTHER: Final = "give another with --model-path, or make one with `vitalwatch train`"

if TYPE_CHECKING:
    from vitalwatch.model.network import Network

Tensor = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Model:
    """A trained network's weights, with its calibration (see scoring.evidence.Calibration).

    ``weights`` by name, shaped as in :func:`vitalwatch.model.shapes.shapes`. ``fingerprint`` is
    the digest of all tensors: the same fingerprint gives the same scores bit for bit.
    """

    weights: Mapping[str, Floats]
    calibration: Mapping[str, Tensor]
    card: dict[str, Any]
    fingerprint: str

    @property
    def hidden(self) -> int:
        """Hidden units of the network."""
        return int(self.weights["head.weight"].shape[1])

    def network(self) -> "Network":
        """The network itself, in torch, which takes seconds to import: for training and tests."""
        import torch

        from vitalwatch.model.network import Network

        network = Network(self.hidden).eval()
        network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in self.weights.items()})
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        return network


def save(
    path: Path,
    weights: Mapping[str, Floats],
    calibration: Mapping[str, Tensor],
    card: dict[str, Any],
) -> None:
    """Write a model file, and its card beside it with the ending ``.json``.

    ``weights`` are stored under ``network.<name>``, ``calibration`` under ``calibration.<name>``.
    """
    write(path, FORMAT, weights, calibration, card)


def write(
    path: Path,
    form: str,
    weights: Mapping[str, Tensor],
    calibration: Mapping[str, Tensor],
    card: dict[str, Any],
) -> None:
    """:func:`save` in the format that is called ``form``."""
    tensors = {f"network.{name}": tensor for name, tensor in weights.items()}
    tensors |= {f"calibration.{name}": tensor for name, tensor in calibration.items()}
    metadata = {"format": form, "card": json.dumps(card, sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(tensor) for name, tensor in sorted(tensors.items())}, metadata
    )
    path.write_bytes(content)
    readable = json.dumps(card, indent=2, ensure_ascii=False)
    path.with_suffix(".json").write_text(readable + "\n", encoding="utf-8")


def load(path: str | Path = "") -> Model:
    """Read a model file; without ``path`` the one that ships with the package.

    Raises CheckpointError with the cause and what to do.
    """
    return Model(
        *read(
            Path(path) if path else SHIPPED,
            FORMAT,
            "a VitalWatch model",
            ANOTHER,
            lambda weights, card: _check(weights, card["hidden"]),
        )
    )


class Contents(NamedTuple):
    """What a model file holds, as in :class:`Model`."""

    weights: dict[str, Tensor]
    calibration: dict[str, Tensor]
    card: dict[str, Any]
    fingerprint: str


def read(
    path: Path,
    form: str,
    what: str,
    another: str,
    check: Callable[[dict[str, Tensor], dict[str, Any]], None],
) -> Contents:
    """Read a model file of the format ``form``; ``what`` it should be, ``another`` how to get one.

    ``check`` is given weights and card, and raises LookupError, TypeError or ValueError if they do
    not fit. Raises CheckpointError with the cause and what to do.
    """
    try:
        content = path.read_bytes()
        with safetensors.safe_open(path, framework="np") as opened:
            metadata = opened.metadata() or {}
        tensors = safetensors.numpy.load(content)
    except (OSError, safetensors.SafetensorError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"Cannot read the model file {path}: {cause}; {another}.") from error
    if metadata.get("format") != form:
        raise CheckpointError(
            f"{path} is a safetensors file but not {what} of this version; {another}."
        )
    weights = _part(tensors, "network.")
    try:
        card = json.loads(metadata["card"])
        check(weights, card)
    except (LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not fit this version of VitalWatch: {error}; {another}."
        ) from error
    broken = sorted(name for name, tensor in tensors.items() if np.isnan(tensor).any())
    if broken:
        # It would score, and alert on nothing that it learned, without a word.
        raise CheckpointError(
            f"{path} is damaged, or its training failed: {broken[0]} is not all numbers; {another}."
        )
    return Contents(weights, _part(tensors, "calibration."), card, fingerprint(tensors))


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits that stand for these tensors, names and shapes included."""
    digest = hashlib.blake2b(digest_size=6)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} torch.{tensor.dtype} {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def _check(weights: Mapping[str, Floats], hidden: int) -> None:
    """Raise ValueError unless these are the weights of a network of so many ``hidden`` units."""
    wanted = shapes(hidden)
    if wanted.keys() != weights.keys():
        raise ValueError(f"its weights are {', '.join(sorted(weights))}")
    for name, shape in wanted.items():
        if weights[name].shape != shape or weights[name].dtype != np.float32:
            raise ValueError(
                f"{name} is {weights[name].dtype} {weights[name].shape}, not float32 {shape}"
            )


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
