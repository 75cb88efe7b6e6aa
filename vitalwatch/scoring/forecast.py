"""What a forecaster makes of an output, compiled: predictions at any time ahead, and risks.

The formulas are those of :mod:`vitalwatch.model.forecaster`; see :mod:`vitalwatch.scoring.cells`
for the step between. As there, n is even and an odd patient's neighbour may be computed too.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.compiled import compiled
from vitalwatch.model.layout import (
    FEATURES,
    FURTHEST,
    INPUTS,
    KNOTS,
    SQUASH_DIVISOR,
    SQUASH_SECONDS,
    squash,
)
from vitalwatch.scoring.elementary import exp, log1p, sigmoid, softplus
from vitalwatch.scoring.prediction import aligned, packed, products

_V: Final = vitals.COUNT
_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_THREE: Final = np.float32(3)
_LEAST_SCALE: Final = np.float32(0.1)
_FURTHEST: Final = np.float32(FURTHEST)
_SECONDS: Final = np.float32(SQUASH_SECONDS)
_DIVISOR: Final = np.float32(SQUASH_DIVISOR)
_KNOTS: Final = np.array([squash(seconds) for seconds in KNOTS], dtype=np.float32)


class Head(NamedTuple):
    """A forecaster's ends: ``rate`` and ``onset (V,)`` of the decay; ``says (L, K 3 V)`` of the
    output and a 1; ``risks (L', R V)`` of the output, the inputs and a 1."""

    rate: Floats
    onset: Floats
    says: Floats
    risks: Floats

    @classmethod
    def of(cls, of: Mapping[str, Floats]) -> "Head":
        """That of a forecaster's weights, by name."""
        return cls(
            np.ascontiguousarray(of["decay.rate"]),
            np.ascontiguousarray(of["decay.onset"]),
            packed(of["head.weight"].T, of["head.bias"][None]),
            packed(of["risk.weight"].T, of["risk.bias"][None]),
        )

    def rows(self, count: int) -> tuple[Floats, Floats]:
        """Room for ``count`` rows that multiply ``says`` and ``risks``."""
        return aligned(count, len(self.says)), aligned(count, len(self.risks))


@compiled
def decay(features: Floats, head: Head, x: Floats, count: int) -> None:
    """Features ``(n, FEATURES)`` to the cell's inputs, the first columns of ``x``."""
    for k in range(count):
        for v in range(_V):
            last, mean = features[k, v], features[k, 3 * _V + v]
            kept = exp(-max(head.rate[v] * features[k, 2 * _V + v] + head.onset[v], _ZERO))
            value = mean + kept * (last - mean)
            away = (value - mean) / features[k, 4 * _V + v]
            x[k, v] = value
            x[k, FEATURES + v] = min(max(away, -_FURTHEST), _FURTHEST)
        for j in range(_V, FEATURES):
            x[k, j] = features[k, j]


@compiled
def say(state: Floats, units: int, head: Head, row: Floats, said: Floats, count: int) -> None:
    """What the head says at each knot ``(n, K 3 V)``, of the ``units`` that ``state`` starts."""
    for k in range(count):
        for j in range(units):
            row[k, j] = state[k, j]
        row[k, units] = _ONE
    products(row, head.says, said, count)


@compiled
def predict(
    said: Floats,
    last: Floats,
    mean: Floats,
    ahead: Floats,
    step: Floats,
    location: Floats,
    scale: Floats,
) -> None:
    """Location and scale ``(n, V)``, standardised, ``ahead (n,)`` seconds of the last reading.

    ``last`` and ``mean (n, V)`` as they were after it; ``step (V,)`` the devices'.
    """
    end = len(_KNOTS) - 1
    for k in range(len(ahead)):
        time = log1p(ahead[k] / _SECONDS) / _DIVISOR
        time = min(max(time, _KNOTS[0]), _KNOTS[end])
        knot = 0
        while knot < end - 1 and time >= _KNOTS[knot + 1]:
            knot += 1
        later = (time - _KNOTS[knot]) / (_KNOTS[knot + 1] - _KNOTS[knot])
        sooner = _ONE - later
        at, to = knot * 3 * _V, (knot + 1) * 3 * _V
        for v in range(_V):
            change = sooner * said[k, at + v] + later * said[k, to + v]
            pull = sooner * said[k, at + _V + v] + later * said[k, to + _V + v]
            wide = sooner * said[k, at + 2 * _V + v] + later * said[k, to + 2 * _V + v]
            drawn = sigmoid(pull - _THREE) * (mean[k, v] - last[k, v])
            location[k, v] = last[k, v] + drawn + change
            scale[k, v] = softplus(wide - _ONE) + _LEAST_SCALE * step[v]


@compiled
def risk(
    state: Floats, units: int, x: Floats, head: Head, row: Floats, logits: Floats, count: int
) -> None:
    """Logits ``(n, R V)`` that a vital becomes critical within each of the layout's RISKS."""
    for k in range(count):
        for j in range(units):
            row[k, j] = state[k, j]
        for j in range(INPUTS):
            row[k, units + j] = x[k, j]
        row[k, units + INPUTS] = _ONE
    products(row, head.risks, logits, count)
