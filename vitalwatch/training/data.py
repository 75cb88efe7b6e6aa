"""Simulated wards for training, calibration and evaluation, told apart by their seeds.

Every ward comes from a purpose's own range of seeds, so no patient of one purpose is ever seen by
another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from simulator import Ward
from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints
from vitalwatch.model.shapes import INPUTS
from vitalwatch.scoring import features

if TYPE_CHECKING:
    from torch import Tensor

Purpose = Literal["train", "validate", "calibrate", "evaluate"]
_SEEDS: Final[dict[Purpose, int]] = {
    "train": 1_000_000,
    "validate": 2_000_000,
    "calibrate": 3_000_000,
    "evaluate": 4_000_000,
}

_LOWEST, _HIGHEST = vitals.bounds("plausible")


def ward(
    purpose: Purpose,
    seed: int,
    patients: int,
    interval: float,
    scenarios: str | None,
    **options: Any,
) -> Ward:
    """A simulated ward of ``patients`` read every ``interval`` seconds; ``options`` are Ward's."""
    if not 0 <= seed < 1_000_000:
        raise ValueError("a seed is 0 to 999,999: beyond lie other purposes' patients")
    return Ward(
        patients=patients,
        seed=_SEEDS[purpose] + seed,
        interval=interval,
        scenarios=scenarios,
        **options,
    )


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of T frames of N patients, ready for the network.

    ``inputs`` (T, N, INPUTS); ``values`` (T, N, V) standardised, 0 where not ``seen`` (T, N, V).
    """

    inputs: "Tensor"
    values: "Tensor"
    seen: "Tensor"


class Sequences:
    """Several wards side by side, each at its own interval, cut into chunks of frames.

    The chunks follow one another, so a network's state can be carried from one to the next.
    """

    def __init__(self, wards: Sequence[Ward]) -> None:
        self._frames: list[Iterator[tuple[Ints, Floats]]] = [iter(w.frames()) for w in wards]
        self._memory = features.Memory.blank(0)
        self._times: Ints = np.empty(0, dtype=np.int64)

    def chunk(self, frames: int) -> Chunk:
        """The next ``frames`` frames of every ward."""
        # Here and not above: whoever wants a ward alone does not wait for torch.
        import torch

        parts = []
        for _ in range(frames):
            drawn = [next(ward) for ward in self._frames]
            times = np.concatenate([time for time, _ in drawn])
            values = np.concatenate([value for _, value in drawn])
            parts.append(self._frame(times, values))
        inputs, values, seen = (np.stack(arrays) for arrays in zip(*parts, strict=True))
        return Chunk(torch.from_numpy(inputs), torch.from_numpy(values), torch.from_numpy(seen))

    def _frame(self, times: Ints, values: Floats) -> tuple[Floats, Floats, Floats]:
        if not len(self._times):
            self._memory = features.Memory.blank(len(times))
            self._times = times
        inputs = np.empty((len(times), INPUTS), dtype=np.float32)
        elapsed = ((times - self._times) / 1000).astype(np.float32)
        features.inputs(self._memory, elapsed, inputs)
        self._times = times
        seen = (values >= _LOWEST) & (values <= _HIGHEST)  # NaN, 0 for no signal: not seen
        value = np.where(seen, features.standardise(values), np.float32(np.nan))
        features.observe(self._memory, value)
        return inputs, np.where(seen, value, np.float32(0)), seen.astype(np.float32)
