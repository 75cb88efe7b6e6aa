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
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch import vitals
from vitalwatch.arrays import Doubles, Floats
from vitalwatch.compiled import compiled

TERMS: Final = ("surprise", "level", "danger")
TAIL_LOGS: Final = np.arange(17, dtype=np.float64) / 4
"""The tails that are tabulated: -log10 from 0 (always) by quarters to 4 (one in ten thousand)."""

_ORDINARY: Final = np.float32(1)
_ORDINARY_PLACE: Final = 4  # in TAIL_LOGS
_CAP: Final = np.float32(8)
_MOST_LOG_DAYS: Final = 5.56  # a thousand years
_ZERO: Final = np.float32(0)
_SAFE: Final = np.float32(-np.inf)


def _limits() -> Floats:
    low, high = vitals.bounds("limit")
    typical, spread = vitals.column("typical"), vitals.column("spread")
    return np.stack(((low - typical) / spread, (high - typical) / spread))


LIMITS: Final = _limits()
"""Safety limits (2, V), low and high, standardised. Too much oxygen saturation and too low a
diastolic pressure are no danger by themselves: there they are infinite."""


@compiled
def level(
    value: Floats, mean: Floats, deviation: Floats, low: Floats, high: Floats, out: Floats
) -> None:
    """Own-baseline deviations towards harm, 0 or less where on the safe side.

    All (m,), one vital of one patient each, standardised; ``low`` and ``high`` its LIMITS.
    """
    for i in range(len(out)):
        away = (value[i] - mean[i]) / deviation[i]
        below = -away if low[i] > -np.inf else _SAFE
        above = away if high[i] < np.inf else _SAFE
        out[i] = max(below, above)


@compiled
def danger(value: Floats, low: Floats, high: Floats, out: Floats) -> None:
    """How far towards the safety limit: 0 at the typical value, 1 at the limit; as for level."""
    for i in range(len(out)):
        out[i] = max(value[i] / low[i], value[i] / high[i])


@compiled
def excess(answers: Floats, tails: Floats, beyond: Floats, out: Floats) -> None:
    """-log10 of the tail frequency beyond the ordinary, in [0, 7]; ``answers``, ``out`` (n, V).

    ``tails`` (V, 17) of one term and its ``beyond`` (V,), as in :class:`Tables`. NaN gives 0.
    """
    last = tails.shape[1] - 1
    for k in range(len(answers)):
        for v in range(len(tails)):
            answer = answers[k, v]
            if not answer > tails[v, _ORDINARY_PLACE]:
                out[k, v] = _ZERO
                continue
            if answer >= tails[v, last]:
                tail = TAIL_LOGS[last] + (answer - tails[v, last]) * beyond[v]
            else:
                place = _ORDINARY_PLACE
                while answer >= tails[v, place + 1]:
                    place += 1
                low, high = np.float64(tails[v, place]), np.float64(tails[v, place + 1])
                rate = (TAIL_LOGS[place + 1] - TAIL_LOGS[place]) / (high - low)
                tail = rate * (answer - low) + TAIL_LOGS[place]
            out[k, v] = min(max(np.float32(tail), _ORDINARY), _CAP) - _ORDINARY


@compiled
def rarity(evidence: Floats, sums: Doubles, log_days: Doubles, beyond: float, out: Floats) -> None:
    """Patient-days per alarm episode of quiet patients; ``evidence``, ``out`` (n,).

    ``sums``, ``log_days`` and ``beyond`` (days_beyond) as in :class:`Tables`.
    """
    last = len(sums) - 1
    commonest = np.float32(10.0 ** min(log_days[0], _MOST_LOG_DAYS))
    for k in range(len(evidence)):
        total = evidence[k]
        if total <= sums[0]:
            out[k] = commonest
            continue
        if total >= sums[last]:
            found = log_days[last] + (total - sums[last]) * beyond
        else:
            place = 0
            while total >= sums[place + 1]:
                place += 1
            rate = (log_days[place + 1] - log_days[place]) / (sums[place + 1] - sums[place])
            found = rate * (total - sums[place]) + log_days[place]
        out[k] = np.float32(10.0 ** min(found, _MOST_LOG_DAYS))


class Tables(NamedTuple):
    """A :class:`Calibration` as compiled functions take it.

    Beyond the tables the slope of their ends goes on: ``tails_beyond`` (3, V), the last decade's,
    and ``days_beyond``, the last third's.
    """

    tails: Floats
    tails_beyond: Floats
    sums: Doubles
    log_days: Doubles
    days_beyond: float


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
    def of(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> "Calibration":
        """As it stands in a model file."""
        return cls(**tensors)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """As it goes into a model file."""
        return {"tails": self.tails, "sums": self.sums, "log_days": self.log_days}

    def tables(self) -> Tables:
        """All that is looked up."""
        decade = self.tails[..., -1] - self.tails[..., -5]
        beyond = (1 / np.maximum(decade, np.float32(1e-6))).astype(np.float32)
        back = len(self.sums) // 3
        rise = float(self.log_days[-1] - self.log_days[-1 - back])
        run = max(float(self.sums[-1] - self.sums[-1 - back]), 1e-6)
        return Tables(self.tails, beyond, self.sums, self.log_days, rise / run)


NOTHING: Final = Calibration(
    np.zeros((len(TERMS), vitals.COUNT, len(TAIL_LOGS)), dtype=np.float32),
    np.zeros(2),
    np.zeros(2),
)
"""Stands for a calibration that is still to be made."""
