"""What a forecaster makes of an output, compiled: predictions at any time ahead, and risks.

The formulas are those of :mod:`vitalwatch.model.forecaster`; see :mod:`vitalwatch.scoring.cells`
for the step between, and for the ``row`` that holds a 1, the output and the inputs.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.model.layout import (
    CHANGE,
    FEATURES,
    FURTHEST,
    KNOTS,
    PULL,
    SCALE,
    SQUASH_DIVISOR,
    SQUASH_SECONDS,
    squash,
)
from vitalwatch.scoring.elementary import exp, log1p, sigmoid, softplus
from vitalwatch.scoring.features import LAST, MEAN
from vitalwatch.scoring.products import aligned, packed, products, room, stacked
from vitalwatch.vectors import ROWS, fma, multiply

_V: Final = vitals.COUNT
_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_THREE: Final = np.float32(3)
_LEAST_SCALE: Final = np.float32(0.1)
_FURTHEST: Final = np.float32(FURTHEST)
_SECONDS: Final = np.float32(SQUASH_SECONDS)
_DIVISOR: Final = np.float32(SQUASH_DIVISOR)
_SAID: Final = 3
_CHANGES: Final = _SAID * _V
_KNOTS: Final = np.array([squash(seconds) for seconds in KNOTS], dtype=np.float32)


class Head(NamedTuple):
    """A forecaster's ends: ``rate`` and ``onset (V,)`` of the decay; ``says (K - 1, ...)`` of a
    row's 1 and output to the 6 V numbers of two neighbouring knots; ``risks`` of the whole row to
    R V logits. The last two are packed."""

    rate: Floats
    onset: Floats
    says: Floats
    risks: Floats

    @classmethod
    def of(cls, of: Mapping[str, Floats]) -> "Head":
        """That of a forecaster's weights, by name."""
        said = np.concatenate((of["head.bias"][None], of["head.weight"].T))
        begins = range(0, said.shape[1] - _CHANGES, _CHANGES)
        return cls(
            np.ascontiguousarray(of["decay.rate"]),
            np.ascontiguousarray(of["decay.onset"]),
            stacked([packed(said[:, begin : begin + 2 * _CHANGES]) for begin in begins]),
            packed(of["risk.bias"][None], of["risk.weight"].T),
        )

    def logits(self, count: int) -> Floats:
        """Room for the logits of ``count`` patients."""
        return room(count, self.risks.shape[0] * self.risks.shape[2])


class Ahead(NamedTuple):
    """Room to look ahead of n patients in: the ``knot`` (n,) before a time and how much the one
    after it counts, ``later`` (n,); what is ``said`` (n, 6 V or more) at the two, and, mixed,
    ``told`` (3, n, V)."""

    knot: Ints
    later: Floats
    said: Floats
    told: Floats

    @classmethod
    def of(cls, count: int) -> "Ahead":
        """For ``count`` patients."""
        knot = np.zeros(len(room(count, 1)), dtype=np.int64)
        return cls(knot, aligned(len(knot)), room(count, 2 * _CHANGES), aligned(_SAID, count, _V))


@compiled
def decay(head: Head, row: Floats, units: int, count: int) -> None:
    """Features, after the ``units`` of each ``row``, to the cell's inputs in the same place."""
    lost, gap, deviation = np.empty((3, count * _V), dtype=np.float32)
    for k in range(count):
        told, at = row[k, 1 + units :], k * _V
        for v in range(_V):
            lost[at + v] = fma(head.rate[v], told[2 * _V + v], head.onset[v])
            gap[at + v] = told[v] - told[3 * _V + v]
            deviation[at + v] = told[4 * _V + v]
    # One long loop, of vectors.
    for i in range(count * _V):
        gap[i] = exp(-max(lost[i], _ZERO)) * gap[i]
        deviation[i] = min(max(gap[i] / deviation[i], -_FURTHEST), _FURTHEST)
    for k in range(count):
        told, at = row[k, 1 + units :], k * _V
        for v in range(_V):
            told[v] = told[3 * _V + v] + gap[at + v]
            told[FEATURES + v] = deviation[at + v]


@compiled
def look_ahead(
    row: Floats,
    head: Head,
    seconds: Floats,
    parts: Floats,
    step: Floats,
    ahead: Ahead,
    location: Floats,
    scale: Floats,
) -> None:
    """Location and scale of patients' vitals ``seconds (n,)`` ahead, to ``(n, V)`` each.

    NaN seconds ask for nothing, and what is answered there means nothing. ``row`` holds the
    outputs; ``parts (6, n, V)`` of the memory as it was after the last reading; ``step`` (n V,) the
    devices', standardised. Of the head's knots only the two around that time are asked.
    """
    count, end = len(seconds), len(_KNOTS) - 1
    _place(seconds, ahead)
    for knot in range(end):
        for begin in range(0, count, ROWS):
            asked = False
            for k in range(begin, min(begin + ROWS, count)):
                asked |= ahead.knot[k] == knot
            if asked:
                _say(row, head.says[knot], knot, begin, min(begin + ROWS, count), ahead)
    numbers = count * _V
    _foretell(
        ahead.told.reshape((_SAID, ahead.told.shape[1] * _V)),
        parts.reshape((parts.shape[0], parts.shape[1] * _V)),
        step[:numbers],
        location.reshape(location.size),
        scale.reshape(scale.size),
    )


@compiled
def _foretell(told: Floats, parts: Floats, step: Floats, location: Floats, scale: Floats) -> None:
    """The same of what is ``told (3, m)`` of m vitals, one after the other."""
    for i in range(len(step)):
        pulled = sigmoid(told[PULL, i] - _THREE) * (parts[MEAN, i] - parts[LAST, i])
        location[i] = parts[LAST, i] + pulled + told[CHANGE, i]
        scale[i] = fma(_LEAST_SCALE, step[i], softplus(told[SCALE, i] - _ONE))


@compiled
def _place(seconds: Floats, ahead: Ahead) -> None:
    """Between which knots these times are; of those that are NaN, the knot -1."""
    end = len(_KNOTS) - 1
    for k in range(len(seconds)):
        time = log1p(seconds[k] / _SECONDS) / _DIVISOR
        time = min(max(time, _KNOTS[0]), _KNOTS[end])
        knot = 0
        for after in range(1, end):
            knot += time >= _KNOTS[after]
        ahead.later[k] = (time - _KNOTS[knot]) / (_KNOTS[knot + 1] - _KNOTS[knot])
        ahead.knot[k] = -1 if np.isnan(seconds[k]) else knot


@compiled
def _say(row: Floats, says: Floats, knot: int, begin: int, end: int, ahead: Ahead) -> None:
    """What is said at ``knot`` and the next, mixed for those of some rows who ask for it."""
    for panel in range(len(says)):
        multiply(row, begin, says, panel, ahead.said)
    for k in range(begin, end):
        if ahead.knot[k] == knot:
            later = ahead.later[k]
            for part in range(_SAID):
                for v in range(_V):
                    before = ahead.said[k, part * _V + v]
                    after = ahead.said[k, _CHANGES + part * _V + v]
                    ahead.told[part, k, v] = fma(later, after, (_ONE - later) * before)


@compiled
def risk(row: Floats, head: Head, logits: Floats, count: int) -> None:
    """Logits ``(n, R V or more)`` of each of the layout's RISKS."""
    products(row, head.risks, logits, count)
