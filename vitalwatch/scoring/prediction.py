"""The network's step for many patients at once, and the surprise at what came, compiled.

The formulas are those of :mod:`vitalwatch.model.network` and :mod:`vitalwatch.model.head`, which
training uses: torch takes 0.15 ms for a step and its surprise, even of one patient. Here every
number is the same sum in the same order, whichever batch it is in and whichever processor computes
it, so that a patient's score has the same bits everywhere.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.compiled import compiled
from vitalwatch.scoring.elementary import log, sigmoid, softplus, tanh

CHANGE, PULL, SCALE = range(3)
"""What the head says of a vital: of these, and of the value last seen and the baseline, location
and scale of the prediction are made."""

LOCATION: Final = CHANGE
"""Where :func:`predict` puts the location."""

_HEADS: Final = 4  # the three, and nothing, so that a row is whole vectors
TOGETHER: Final = 4
"""So many products go into a sum each time that it is loaded and stored."""

_CACHE_LINE: Final = 64

_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_TWO: Final = np.float32(2)
_THREE: Final = np.float32(3)
_FOUR: Final = np.float32(4)
_LEAST_SCALE: Final = np.float32(0.1)
_LARGEST: Final = np.float32(1e4)
_SMALLEST: Final = np.float32(1e-20)


def aligned(*shape: int) -> Floats:
    """Zeros that begin with a cache line: vectors across two of them load at half the speed."""
    size = 4 * int(np.prod(shape))
    block = np.zeros(size + _CACHE_LINE, dtype=np.uint8)
    start = -block.ctypes.data % _CACHE_LINE
    return block[start : start + size].view(np.float32).reshape(shape)


class Weights(NamedTuple):
    """A network's weights as :func:`products` takes them.

    ``cell`` (K, 4 H): a row for each input, each hidden unit and the bias; columns are the input,
    forget, cell and output gates. ``head`` (L, 4 V): a row for each hidden unit and the bias;
    columns are change, pull, scale and nothing. K and L are filled up with zeros.
    """

    cell: Floats
    head: Floats

    @classmethod
    def of(cls, of: Mapping[str, Floats]) -> "Weights":
        """Those of a model, by name."""
        bias = of["cell.bias_ih_l0"] + of["cell.bias_hh_l0"]
        cell = (of["cell.weight_ih_l0"].T, of["cell.weight_hh_l0"].T, bias[None])
        head = (of["head.weight"].T, of["head.bias"][None])
        return cls(packed(*cell, width=len(bias)), packed(*head, width=_HEADS * vitals.COUNT))


def packed(*parts: Floats, width: int = 0) -> Floats:
    """Rows one after the other, filled up with zeros to so many columns (or none), and to as many
    rows as :func:`products` takes at a time.
    """
    rows = np.concatenate(parts)
    out = aligned(-(-len(rows) // TOGETHER) * TOGETHER, width or rows.shape[1])
    out[: len(rows), : rows.shape[1]] = rows
    return out


@compiled
def products(x: Floats, weights: Floats, out: Floats, count: int) -> None:
    """Matrix product of ``count`` rows of ``x`` (n, K) and ``weights`` (K, m), to ``out`` (n, m).

    Two rows at a time, which share the weights that are loaded: of an odd ``count`` the row after
    it comes along, whatever that holds.
    """
    for i in range(0, count, 2):
        for j in range(weights.shape[1]):
            out[i, j] = _ZERO
            out[i + 1, j] = _ZERO
    for k in range(0, len(weights), TOGETHER):
        for i in range(0, count, 2):
            a0, a1, a2, a3 = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
            b0, b1, b2, b3 = x[i + 1, k], x[i + 1, k + 1], x[i + 1, k + 2], x[i + 1, k + 3]
            for j in range(weights.shape[1]):
                w0, w1 = weights[k, j], weights[k + 1, j]
                w2, w3 = weights[k + 2, j], weights[k + 3, j]
                out[i, j] = out[i, j] + a0 * w0 + a1 * w1 + a2 * w2 + a3 * w3
                out[i + 1, j] = out[i + 1, j] + b0 * w0 + b1 * w1 + b2 * w2 + b3 * w3


@compiled
def advance(gates: Floats, cell: Floats, hidden: Floats, count: int) -> None:
    """The LSTM's cell: ``gates`` (n, 4, H) as they come from the product, ``cell`` (n, H).

    Updates ``cell``, and writes the hidden state to the first H columns of ``hidden``.
    """
    for k in range(count):
        for j in range(cell.shape[1]):
            kept = sigmoid(gates[k, 1, j]) * cell[k, j]
            cell[k, j] = kept + sigmoid(gates[k, 0, j]) * tanh(gates[k, 2, j])
        for j in range(cell.shape[1]):
            hidden[k, j] = sigmoid(gates[k, 3, j]) * tanh(cell[k, j])


@compiled
def step(
    x: Floats,
    weights: Weights,
    gates: Floats,
    cell: Floats,
    hidden: Floats,
    heads: Floats,
    count: int,
) -> None:
    """The network's step for the first ``count`` of n patients, n even: cell, then head.

    ``x`` (n, K) holds inputs, hidden state and a 1, ``cell`` (n, H) the cell's state, which is
    updated; ``hidden`` (n, L) gets the new hidden state before its 1, and ``heads`` (n, 4, V)
    what the head says. ``gates`` (n, 4, H) is room to work in.
    """
    products(x, weights.cell, gates.reshape((len(gates), gates.shape[1] * gates.shape[2])), count)
    advance(gates, cell, hidden, count)
    products(hidden, weights.head, heads.reshape((len(heads), weights.head.shape[1])), count)


@compiled
def predict(
    heads: Floats, last: Floats, mean: Floats, step: Floats, out: Floats, count: int
) -> None:
    """Location and scale, standardised, from ``heads`` (n, 4, V) to ``out`` (3, n V).

    ``last``, ``mean`` and the device's ``step`` (n V,): a patient's vitals after another's.
    """
    width = heads.shape[2]
    for k in range(count):
        for head in range(3):
            for v in range(width):
                out[head, k * width + v] = heads[k, head, v]
    for i in range(count * width):
        pull = sigmoid(out[PULL, i] - _THREE)
        out[LOCATION, i] = last[i] + pull * (mean[i] - last[i]) + out[CHANGE, i]
    for i in range(count * width):
        out[SCALE, i] = softplus(out[SCALE, i] - _ONE) + _LEAST_SCALE * step[i]


@compiled
def _upper_tail(x: np.float32) -> np.float32:
    magnitude = abs(x)
    root: np.float32 = np.sqrt(_FOUR + magnitude * magnitude)
    rest = _FOUR / (root * (root + magnitude))
    tail = rest * rest * (_THREE - rest) / _FOUR
    return _ONE - tail if x < _ZERO else tail


@compiled
def surprise(value: Floats, location: Floats, scale: Floats, step: Floats, out: Floats) -> None:
    """Nats of the device's step around ``value``; all (m,), standardised. No number for NaN."""
    for i in range(len(out)):
        distance = min(abs(value[i] - location[i]) / scale[i], _LARGEST)
        half = step[i] / (_TWO * scale[i])
        probability = _upper_tail(distance - half) - _upper_tail(distance + half)
        out[i] = -log(max(probability, _SMALLEST))
