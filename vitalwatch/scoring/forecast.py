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
from vitalwatch.scoring.features import LAST, MEAN
from vitalwatch.scoring.products import TOGETHER, aligned, packed, products

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
def bring(state: Floats, units: int, row: Floats, count: int) -> None:
    """The ``units`` that ``state (n, S)`` starts with, and a 1, to ``row (n, L)``."""
    for k in range(count):
        for j in range(units):
            row[k, j] = state[k, j]
        row[k, units] = _ONE


@compiled
def look_ahead(
    k: int,
    row: Floats,
    head: Head,
    seconds: np.float32,
    parts: Floats,
    step: Floats,
    said: Floats,
    location: Floats,
    scale: Floats,
) -> None:
    """Location and scale of patient k's vitals ``seconds`` ahead, to row k of both ``(n, V)``.

    ``row (n, L)`` as :func:`bring` left it; ``parts (6, n, V)`` of the memory as it was after the
    last reading; ``step (V,)`` the devices', standardised; ``said (6 V,)`` is room to work in. Of
    the head's knots only the two around that time are asked.
    """
    end = len(_KNOTS) - 1
    time = log1p(seconds / _SECONDS) / _DIVISOR
    time = min(max(time, _KNOTS[0]), _KNOTS[end])
    knot = 0
    while knot < end - 1 and time >= _KNOTS[knot + 1]:
        knot += 1
    later = (time - _KNOTS[knot]) / (_KNOTS[knot + 1] - _KNOTS[knot])
    sooner = _ONE - later
    at, width = knot * 3 * _V, 6 * _V
    says = head.says
    for c in range(width):
        said[c] = _ZERO
    for j in range(0, len(says), TOGETHER):
        a0, a1, a2, a3 = row[k, j], row[k, j + 1], row[k, j + 2], row[k, j + 3]
        for c in range(width):
            w0, w1 = says[j, at + c], says[j + 1, at + c]
            w2, w3 = says[j + 2, at + c], says[j + 3, at + c]
            said[c] = said[c] + a0 * w0 + a1 * w1 + a2 * w2 + a3 * w3
    for v in range(_V):
        change = sooner * said[v] + later * said[3 * _V + v]
        pull = sooner * said[_V + v] + later * said[4 * _V + v]
        wide = sooner * said[2 * _V + v] + later * said[5 * _V + v]
        last = parts[LAST, k, v]
        location[k, v] = last + sigmoid(pull - _THREE) * (parts[MEAN, k, v] - last) + change
        scale[k, v] = softplus(wide - _ONE) + _LEAST_SCALE * step[v]


@compiled
def risk(
    state: Floats, units: int, x: Floats, head: Head, row: Floats, logits: Floats, count: int
) -> None:
    """Logits ``(n, R V)`` of each of the layout's RISKS."""
    for k in range(count):
        for j in range(units):
            row[k, j] = state[k, j]
        for j in range(INPUTS):
            row[k, units + j] = x[k, j]
        row[k, units + INPUTS] = _ONE
    products(row, head.risks, logits, count)
