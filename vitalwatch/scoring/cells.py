"""One reading's step of each cell for many patients, compiled, over the same flat state.

The formulas are those of :mod:`vitalwatch.model.cells`, which training uses. Each number is the
same sum in the same order, whichever batch it is in, so a patient's state has the same bits
everywhere. All steps are called alike: a ``row (n, 1 + H + INPUTS or more)`` holds a 1 for the
bias, room for an output, and the inputs, so that one product of matrices takes it all in; ``state
(n, S)`` is moved on, and begins with the output then. Rows and rooms have as many places more as
products fill at a time.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from vitalwatch.arrays import Floats
from vitalwatch.compiled import compiled
from vitalwatch.model.layout import (
    CELLS,
    DILATIONS,
    ELAPSED,
    FORGOTTEN,
    INPUTS,
    KEY,
    SLOTS,
    SQUASH_DIVISOR,
    SQUASH_SECONDS,
    TURNS,
)
from vitalwatch.scoring.elementary import exp, log1p, sigmoid, softplus, tanh
from vitalwatch.scoring.products import packed, products, room, stacked
from vitalwatch.vectors import fma

_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_SECONDS: Final = np.float32(SQUASH_SECONDS)
_DIVISOR: Final = np.float32(SQUASH_DIVISOR)
_FORGOTTEN: Final = np.float32(FORGOTTEN)
_NEARNESS: Final = np.float32(KEY**-0.5)
_RNN, _GRU, _LSTM, _ATTENTION, _TCN = range(len(CELLS))
_D: Final = np.array(DILATIONS, dtype=np.int64)


class Weights(NamedTuple):
    """A cell's weights as :func:`~vitalwatch.scoring.products.products` takes them.

    ``entry`` of the whole row, the bias first: of the recurrent cells to their gates in torch's
    order; but the GRU's last, which is of the inputs alone, has a fourth beside it, of the output
    alone. Of attention also ``look``, to keys and queries, of the row's bias and output, and
    ``back`` of what was looked up. Of convolutions ``layers (D, ...)``, each of the bias, the
    layer's input now, and that of some readings ago. What a cell lacks is empty.
    """

    units: int
    entry: Floats
    look: Floats
    back: Floats
    fading: np.float32
    layers: Floats

    @classmethod
    def of(cls, kind: str, of: Mapping[str, Floats]) -> "Weights":
        """Those of a forecaster, by name; ``kind`` is its cell's."""
        part = {name[5:]: value for name, value in of.items() if name.startswith("cell.")}
        nothing = packed(np.zeros((0, 0), dtype=np.float32))
        layers = nothing[None]
        if kind == "tcn":
            units = len(part["enter.bias"])
            unused = np.zeros((units, units), dtype=np.float32)
            entry = packed(part["enter.bias"][None], unused, part["enter.weight"].T)
            parts = zip(part["bias"], part["now"], part["past"], strict=True)
            layers = stacked([packed(bias[None], now, past) for bias, now, past in parts])
            return cls(units, entry, nothing, nothing, _ZERO, layers)
        into, again = part["core.weight_ih_l0"].T, part["core.weight_hh_l0"].T
        first, second = part["core.bias_ih_l0"][None], part["core.bias_hh_l0"][None]
        units = len(again)
        if kind == "gru":
            into, first = _beside(into, 2, units), _beside(first, 2, units)
            again, second = _beside(again, 3, units), _beside(second, 3, units)
        entry = packed(first + second, again, into)
        if kind != "attention":
            return cls(units, entry, nothing, nothing, _ZERO, layers)
        both = np.concatenate((part["key.weight"].T, part["query.weight"].T), axis=1)
        look = packed(np.zeros((1, 2 * KEY), dtype=np.float32), both)
        fading = np.float32(softplus(part["fading"][0]))
        return cls(units, entry, look, packed(part["back.weight"].T), fading, layers)


def _beside(gates: Floats, here: int, units: int) -> Floats:
    """Four gates of three: the last stays, or goes, ``here``, and nothing is in its other place."""
    out = np.zeros((len(gates), 4 * units), dtype=np.float32)
    out[:, : 2 * units] = gates[:, : 2 * units]
    out[:, here * units : (here + 1) * units] = gates[:, 2 * units :]
    return out


class Room(NamedTuple):
    """Room to work in for n patients, each of as much as a cell needs."""

    gates: Floats
    again: Floats
    looks: Floats
    context: Floats
    pair: Floats

    @classmethod
    def of(cls, weights: Weights, count: int) -> "Room":
        """For ``count`` patients."""
        return cls(
            gates=room(count, weights.entry.shape[0] * weights.entry.shape[2]),
            again=room(count, weights.units),
            looks=room(count, 2 * KEY),
            context=room(count, KEY),
            pair=room(count, 1 + 2 * weights.units),
        )


def rows(count: int, units: int) -> Floats:
    """Room for what is known of ``count`` patients, as all steps take it: a 1, an output with so
    many ``units``, and the inputs."""
    row = room(count, 1 + units + INPUTS)
    row[:, 0] = 1
    return row


@compiled
def bring(state: Floats, at: int, units: int, row: Floats, count: int) -> None:
    """The output, ``units`` of the state from ``at`` on, to its place in each ``row``."""
    for k in range(count):
        for j in range(units):
            row[k, 1 + j] = state[k, at + j]


@compiled
def rnn(row: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The plain RNN."""
    units, gates = weights.units, room.gates
    bring(state, 0, units, row, count)
    products(row, weights.entry, gates, count)
    for k in range(count):
        for j in range(units):
            state[k, j] = tanh(gates[k, j])


@compiled
def gru(row: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The GRU."""
    units, gates = weights.units, room.gates
    bring(state, 0, units, row, count)
    products(row, weights.entry, gates, count)
    for k in range(count):
        for j in range(units):
            reset, kept = sigmoid(gates[k, j]), sigmoid(gates[k, units + j])
            new = tanh(fma(reset, gates[k, 3 * units + j], gates[k, 2 * units + j]))
            state[k, j] = fma(kept, state[k, j] - new, new)


@compiled
def _lstm(row: Floats, state: Floats, at: int, weights: Weights, room: Room, count: int) -> None:
    """The LSTM's step where h begins ``at`` a place of the state, and c follows."""
    units, gates, cell = weights.units, room.gates, at + weights.units
    bring(state, at, units, row, count)
    products(row, weights.entry, gates, count)
    for k in range(count):
        # Two loops: of one, each round would wait for the one exponential and then the other.
        for j in range(units):
            new = sigmoid(gates[k, j]) * tanh(gates[k, 2 * units + j])
            state[k, cell + j] = fma(sigmoid(gates[k, units + j]), state[k, cell + j], new)
        for j in range(units):
            state[k, at + j] = sigmoid(gates[k, 3 * units + j]) * tanh(state[k, cell + j])


@compiled
def lstm(row: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The LSTM."""
    _lstm(row, state, 0, weights, room, count)


@compiled
def attention(row: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The LSTM that looks back."""
    units = weights.units
    _lstm(row, state, units, weights, room, count)
    bring(state, units, units, row, count)
    products(row, weights.look, room.looks, count)
    for k in range(count):
        elapsed = row[k, 1 + units + ELAPSED]
        _look_back(elapsed, state[k], 3 * units, weights.fading, room.looks[k], room.context[k])
    products(room.context, weights.back, room.again, count)
    for k in range(count):
        for j in range(units):
            state[k, j] = state[k, units + j] + room.again[k, j]


@compiled
def _look_back(
    elapsed: np.float32,
    state: Floats,
    at: int,
    fading: np.float32,
    looks: Floats,
    context: Floats,
) -> None:
    """The mean of a patient's ring ``(KEY,)`` to ``context``; then its oldest entry makes way.

    From ``at`` on a state holds the position, ages and entries; ``looks`` are key and query.
    """
    ages, ring = at + 1, at + 1 + SLOTS
    passed = _SECONDS * (exp(_DIVISOR * elapsed) - _ONE)
    scores = np.empty(SLOTS, dtype=np.float32)
    greatest = _ZERO
    for slot in range(SLOTS):
        age = state[ages + slot]
        likeness = _ZERO
        for j in range(KEY):
            likeness += looks[KEY + j] * state[ring + slot * KEY + j]
        grown = min(max(age - _ONE + passed, _ZERO), _FORGOTTEN)
        scores[slot] = likeness * _NEARNESS - fading * (log1p(grown / _SECONDS) / _DIVISOR)
        if age > _ZERO:
            state[ages + slot] = grown + _ONE
            greatest = max(greatest, scores[slot])
    total = exp(-greatest)
    for j in range(KEY):
        context[j] = _ZERO
    for slot in range(SLOTS):
        if state[ages + slot] > _ZERO:
            weight = exp(scores[slot] - greatest)
            total += weight
            for j in range(KEY):
                context[j] += weight * state[ring + slot * KEY + j]
    for j in range(KEY):
        context[j] /= total
    position = int(state[at])
    slot = position % SLOTS
    state[ages + slot] = _ONE
    for j in range(KEY):
        state[ring + slot * KEY + j] = looks[j]
    state[at] = np.float32((position + 1) % TURNS)


@compiled
def tcn(row: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The causal convolutions."""
    units, into, again, pair = weights.units, room.gates, room.again, room.pair
    products(row, weights.entry, into, count)
    ring = units + 1
    for layer in range(len(_D)):
        for k in range(count):
            slot = ring + int(state[k, units]) % _D[layer] * units
            pair[k, 0] = _ONE
            for j in range(units):
                pair[k, 1 + j] = into[k, j]
                pair[k, 1 + units + j] = state[k, slot + j]
                state[k, slot + j] = into[k, j]
        products(pair, weights.layers[layer], again, count)
        for k in range(count):
            for j in range(units):
                into[k, j] += max(again[k, j], _ZERO)
        ring += _D[layer] * units
    for k in range(count):
        for j in range(units):
            state[k, j] = into[k, j]
        state[k, units] = np.float32((int(state[k, units]) + 1) % TURNS)


@compiled
def advance(
    kind: int, row: Floats, state: Floats, weights: Weights, room: Room, count: int
) -> None:
    """The step of the cell that is number ``kind`` of the layout's CELLS."""
    if kind == _RNN:
        rnn(row, state, weights, room, count)
    elif kind == _GRU:
        gru(row, state, weights, room, count)
    elif kind == _LSTM:
        lstm(row, state, weights, room, count)
    elif kind == _ATTENTION:
        attention(row, state, weights, room, count)
    else:
        tcn(row, state, weights, room, count)
