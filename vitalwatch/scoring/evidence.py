"""From a prediction to one number that a ward can budget: rarity in patient-days.

Three questions are asked of each vital: is the reading a *surprise* to the network, is its
*level* far from the patient's own baseline towards harm, and is it near *danger* in absolute
terms. On real recordings surprise alone ranks near chance and level alone cries late; the sum of
their calibrated tails does best. Each answer is turned into ``-log10`` of how often quiet
calibration patients show as much; what is ordinary (more often than one reading in ten) counts
nothing, and the rest adds up over vitals. So a vital's share in the evidence is exact. The sum is
mapped to how seldom a quiet patient has an alarm at that level, counted in alarm episodes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from vitalwatch import vitals
from vitalwatch.arrays import Doubles, Floats
from vitalwatch.scoring.features import Memory

TERMS: Final = ("surprise", "level", "danger")
TAIL_LOGS: Final = np.arange(17, dtype=np.float64) / 4
"""The tails that are tabulated: -log10 from 0 (always) by quarters to 4 (one in ten thousand)."""

_ORDINARY: Final = np.float32(1)
_CAP: Final = np.float32(8)

# Too much oxygen saturation and too low a diastolic pressure are no danger by themselves.
_LOW_HARMS: Final = np.array([v.limit[0] is not None for v in vitals.VITALS])
_HIGH_HARMS: Final = np.array([v.limit[1] is not None for v in vitals.VITALS])


def _ends() -> tuple[Floats, Floats]:
    low, high = vitals.bounds("limit")
    typical, spread = vitals.column("typical"), vitals.column("spread")
    return (low - typical) / spread, (high - typical) / spread


_LOW, _HIGH = _ends()


def level(memory: Memory, value: Floats) -> Floats:
    """Own-baseline deviations towards harm ``(n, V)``, 0 or less where on the safe side."""
    away = (value - memory.mean) / memory.deviation
    below = np.where(_LOW_HARMS, -away, -np.inf)
    above = np.where(_HIGH_HARMS, away, -np.inf)
    return np.asarray(np.maximum(below, above), dtype=np.float32)


def danger(value: Floats) -> Floats:
    """How far towards the safety limit ``(n, V)``: 0 at the typical value, 1 at the limit."""
    return np.asarray(np.maximum(value / _LOW, value / _HIGH), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What quiet patients, not trained on, show.

    ``tails`` (3, V, 17): for each of TERMS and each vital, the values exceeded with frequency
    ``10**-TAIL_LOGS``, ascending. ``sums`` (K,) ascending evidence and ``log_days`` (K,) log10
    of patient-days per alarm episode at that evidence, ascending.
    """

    tails: Floats
    sums: Doubles
    log_days: Doubles

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "Calibration":
        """As it stands in a model file."""
        return cls(**{name: tensor.numpy() for name, tensor in tensors.items()})

    def tensors(self) -> dict[str, Tensor]:
        """As it goes into a model file."""
        return {
            "tails": torch.from_numpy(self.tails),
            "sums": torch.from_numpy(self.sums),
            "log_days": torch.from_numpy(self.log_days),
        }

    def excess(self, term: str, answers: Floats) -> Floats:
        """-log10 of the tail frequency beyond the ordinary, in [0, 7]; ``answers`` (n, V).

        Beyond the table the last decade's slope goes on. NaN gives 0.
        """
        out = np.zeros_like(answers)
        for vital, table in enumerate(self.tails[TERMS.index(term)]):
            answer = answers[:, vital]
            tail = np.interp(answer, table, TAIL_LOGS)
            slope = 1 / max(float(table[-1] - table[-5]), 1e-6)
            tail += np.maximum(answer - table[-1], 0) * slope
            out[:, vital] = tail
        np.nan_to_num(out, copy=False, nan=0.0)
        return np.asarray(np.clip(out, _ORDINARY, _CAP) - _ORDINARY, dtype=np.float32)

    def rarity(self, evidence: Floats) -> Floats:
        """Patient-days per alarm episode of quiet patients; ``evidence`` (n,) summed.

        Beyond the table the slope of its last third goes on, capped at a thousand years.
        """
        log_days = np.interp(evidence, self.sums, self.log_days)
        back = len(self.sums) // 3
        run = max(float(self.sums[-1] - self.sums[-1 - back]), 1e-6)
        slope = float(self.log_days[-1] - self.log_days[-1 - back]) / run
        log_days += np.maximum(evidence - self.sums[-1], 0) * slope
        return np.asarray(10.0 ** np.minimum(log_days, 5.56), dtype=np.float32)
