"""From what a network says to one number that a ward can budget: rarity in patient-days.

Four questions are asked of each vital. What is the *risk* that it is heading for a critical value,
or part of an event that is under way; is the reading a *surprise* after what was foretold an
instant, minutes and an hour before; is its *level* far from the patient's own baseline towards
harm; and is it near *danger* in absolute terms.

Each answer is a hazard, and hazards add up: over questions, and over vitals to the evidence, which
is the logarithm of their sum. So the shares of the vitals, and of the questions in them, add up to
all of it; and vitals share the budget of false alarms as they share the risk. (They share it as
the first of the risks, for only of that is it known which vital it was; told to people, more of it
goes to a vital that has gone far from its usual.) A risk's hazard is ``-log(1 - chance)``. Of the
other three it is in proportion to one over how often quiet calibration patients show as much, and
none where that is ordinary (more often than one reading in ten): they are there for what no network
has learnt to fear. Who is read more often shows more that stands for a while, so to the evidence is
added what makes alarms as seldom at every pace. The evidence is mapped to how seldom a quiet
patient has an alarm at that level, counted in alarm episodes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch import vitals
from vitalwatch.arrays import Doubles, Floats
from vitalwatch.compiled import compiled
from vitalwatch.model.layout import RISKS, SQUASH_DIVISOR, SQUASH_SECONDS, squash
from vitalwatch.scoring.elementary import exp, log, log1p

TERMS: Final = ("surprise", "level", "danger")
"""What is compared with quiet patients."""

RISK: Final = len(TERMS)
"""The number of the fourth question, after those of TERMS."""

WEIGHTS: Final = np.array([-5.0, -6.0, -4.6, -0.2, -0.7, -1.2, 0.1])
"""log10 of what a hazard of each of TERMS, and of each of the layout's RISKS, counts: set on
calibration patients, simulated and recorded, so that the first three matter where the risks are
silent."""

LEAST: Final = np.float32(1e-9)
"""Hazards that add up to less than this are as good as none."""

PACES: Final = (1.0, 5.0, 15.0, 60.0, 300.0)
"""Seconds between readings for which it is known how much is added to the evidence."""

TAIL_LOGS: Final = np.arange(17, dtype=np.float64) / 4
"""The tails that are tabulated: -log10 from 0 (always) by quarters to 4 (one in ten thousand)."""

_ORDINARY: Final = np.float32(1)
_ORDINARY_PLACE: Final = 4  # in TAIL_LOGS
_CAP: Final = np.float32(8)
_MOST_LOG_DAYS: Final = 5.56  # a thousand years
_ZERO: Final = np.float32(0)
_SAFE: Final = np.float32(-np.inf)
_LN10: Final = np.float32(np.log(10))
_PACES: Final = np.array([squash(seconds) for seconds in PACES], dtype=np.float32)
_SQUASHED: Final = np.float32(SQUASH_SECONDS)
_DIVISOR: Final = np.float32(SQUASH_DIVISOR)
_LOG10_E: Final = np.float32(1 / np.log(10))


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
def hazard(answers: Floats, tails: Floats, beyond: Floats, factor: Floats, out: Floats) -> None:
    """``factor`` (V,) over the tail frequency, 0 where it is ordinary; ``answers``, ``out`` (n, V).

    ``tails`` (V, 17) of one term and its ``beyond`` (V,), as in :class:`Tables`. NaN gives 0. The
    frequency is taken to be 1e-8 at least.
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
            out[k, v] = factor[v] * exp(_LN10 * min(max(np.float32(tail), _ORDINARY), _CAP))


@compiled
def logarithm(total: np.float32) -> np.float32:
    """log10 of a sum of hazards: the evidence."""
    return log(max(total, LEAST)) * _LOG10_E


@compiled
def _days(log_days: float) -> np.float32:
    """The power of ten, to a millionth of it."""
    return exp(_LN10 * np.float32(min(log_days, _MOST_LOG_DAYS)))


@compiled
def paced(elapsed: np.float32, pace: Floats) -> np.float32:
    """What is added to the evidence ``elapsed`` seconds after the reading before.

    ``pace`` (P,) at each of PACES; in a line over squashed time between, and the same beyond.
    """
    last = len(_PACES) - 1
    time = log1p(elapsed / _SQUASHED) / _DIVISOR
    time = min(max(time, _PACES[0]), _PACES[last])
    place = 0
    while place < last - 1 and time >= _PACES[place + 1]:
        place += 1
    later = (time - _PACES[place]) / (_PACES[place + 1] - _PACES[place])
    added: np.float32 = pace[place] + later * (pace[place + 1] - pace[place])
    return added


@compiled
def rarity(evidence: Floats, sums: Doubles, log_days: Doubles, beyond: float, out: Floats) -> None:
    """Patient-days per alarm episode of quiet patients; ``evidence``, ``out`` (n,).

    ``sums``, ``log_days`` and ``beyond`` (days_beyond) as in :class:`Tables`.
    """
    last = len(sums) - 1
    commonest = _days(log_days[0])
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
        out[k] = _days(found)


class Tables(NamedTuple):
    """A :class:`Calibration` as compiled functions take it.

    ``factors`` (3 + R, V) are the weights' powers of ten. Beyond the tables the slope of their ends
    goes on: ``tails_beyond`` (3, V), the last decade's, and ``days_beyond``, that of the last third
    or of the whole table, whichever is steeper.
    """

    tails: Floats
    tails_beyond: Floats
    factors: Floats
    pace: Floats
    sums: Doubles
    log_days: Doubles
    days_beyond: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What quiet patients, not trained on, show.

    ``tails`` (3, V, 17): for each of TERMS and each vital, the values exceeded with frequency
    ``10**-TAIL_LOGS``, ascending. ``weights`` (3 + R, V): log10 of what a hazard of each term, and
    of each risk, counts, -inf for nothing. ``pace`` (P,): what is added to the evidence at each of
    PACES. ``sums`` (K,) ascending evidence and ``log_days`` (K,)
    log10 of patient-days per alarm episode at that evidence, ascending.
    """

    tails: Floats
    weights: Floats
    pace: Floats
    sums: Doubles
    log_days: Doubles

    @classmethod
    def of(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> "Calibration":
        """As it stands in a model file."""
        return cls(**tensors)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """As it goes into a model file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tables(self) -> Tables:
        """All that is looked up."""
        decade = self.tails[..., -1] - self.tails[..., -5]
        beyond = (1 / np.maximum(decade, np.float32(1e-6))).astype(np.float32)
        # Of the last third, or of all where alarms are too few there to fall any more.
        third = -1 - len(self.sums) // 3
        slopes = [
            float(self.log_days[-1] - self.log_days[k])
            / max(float(self.sums[-1] - self.sums[k]), 1e-6)
            for k in (third, 0)
        ]
        factors = (10.0**self.weights).astype(np.float32)
        return Tables(self.tails, beyond, factors, self.pace, self.sums, self.log_days, max(slopes))


NOTHING: Final = Calibration(
    np.zeros((len(TERMS), vitals.COUNT, len(TAIL_LOGS)), dtype=np.float32),
    np.full((len(TERMS) + len(RISKS), vitals.COUNT), -np.inf, dtype=np.float32),
    np.zeros(len(PACES), dtype=np.float32),
    np.zeros(2),
    np.zeros(2),
)
"""Stands for a calibration that is still to be made."""
