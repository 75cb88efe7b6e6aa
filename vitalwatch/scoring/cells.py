"""One reading's step of each cell for many patients, compiled, over the same flat state.

The formulas are those of :mod:`vitalwatch.model.cells`, which training uses. Each number is the
same sum in the same order, whichever batch it is in, so a patient's state has the same bits
everywhere. All steps are called alike: ``x (n, K)`` holds the inputs, a 1 for the bias and zeros;
``state (n, S)`` is moved on, and begins with the output then; n is even, and of the first ``count``
patients an odd one's neighbour may be moved on too.
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
from vitalwatch.scoring.products import TOGETHER, aligned, packed, products

_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_SECONDS: Final = np.float32(SQUASH_SECONDS)
_DIVISOR: Final = np.float32(SQUASH_DIVISOR)
_FORGOTTEN: Final = np.float32(FORGOTTEN)
_NEARNESS: Final = np.float32(KEY**-0.5)
_RNN, _GRU, _LSTM, _ATTENTION, _TCN = range(len(CELLS))
_D: Final = np.array(DILATIONS, dtype=np.int64)


class Weights(NamedTuple):
    """A cell's weights as :func:`~vitalwatch.scoring.prediction.products` takes them.

    Of the recurrent cells: ``entry (K, G)`` of inputs and bias, ``recur (L, G)`` of the output and
    bias, in torch's order of gates. Of attention also ``look (L, 2 KEY)``, keys and queries, and
    ``back (KEY, H)``. Of convolutions: ``entry (K, H)``, and ``layers (D, L', H)``, each of the
    layer's input now, that of some readings ago, and the bias. What a cell lacks is empty.
    """

    entry: Floats
    recur: Floats
    look: Floats
    back: Floats
    fading: np.float32
    layers: Floats

    @classmethod
    def of(cls, kind: str, of: Mapping[str, Floats]) -> "Weights":
        """Those of a forecaster, by name; ``kind`` is its cell's."""
        part = {name[5:]: value for name, value in of.items() if name.startswith("cell.")}
        nothing = np.zeros((0, 0), dtype=np.float32)
        layers = np.zeros((0, 0, 0), dtype=np.float32)
        if kind == "tcn":
            entry = packed(part["enter.weight"].T, part["enter.bias"][None])
            parts = zip(part["now"], part["past"], part["bias"], strict=True)
            layers = np.stack([packed(now, past, bias[None]) for now, past, bias in parts])
            return cls(entry, nothing, nothing, nothing, _ZERO, layers)
        entry = packed(part["core.weight_ih_l0"].T, part["core.bias_ih_l0"][None])
        recur = packed(part["core.weight_hh_l0"].T, part["core.bias_hh_l0"][None])
        if kind != "attention":
            return cls(entry, recur, nothing, nothing, _ZERO, layers)
        both = np.concatenate((part["key.weight"].T, part["query.weight"].T), axis=1)
        look = packed(both, np.zeros((1, 2 * KEY), dtype=np.float32))
        fading = np.float32(softplus(part["fading"][0]))
        return cls(entry, recur, look, packed(part["back.weight"].T), fading, layers)


class Room(NamedTuple):
    """Room to work in for n patients: ``hidden (n, L)`` ends with a 1; the rest as they need it."""

    hidden: Floats
    into: Floats
    again: Floats
    looks: Floats
    context: Floats
    pair: Floats

    @classmethod
    def of(cls, weights: Weights, count: int) -> "Room":
        """For ``count`` patients, an even number."""
        return cls(
            hidden=aligned(count, max(len(weights.recur), TOGETHER)),
            into=aligned(count, weights.entry.shape[1]),
            again=aligned(count, weights.recur.shape[1] or weights.entry.shape[1]),
            looks=aligned(count, 2 * KEY),
            context=aligned(count, KEY),
            pair=aligned(count, max(weights.layers.shape[1], TOGETHER)),
        )


@compiled
def _bring(state: Floats, at: int, units: int, hidden: Floats, count: int) -> None:
    """``units`` of the state from ``at`` on, and a 1, to ``hidden``."""
    for k in range(count):
        for j in range(units):
            hidden[k, j] = state[k, at + j]
        hidden[k, units] = _ONE


@compiled
def rnn(x: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The plain RNN."""
    units = weights.recur.shape[1]
    _bring(state, 0, units, room.hidden, count)
    products(x, weights.entry, room.into, count)
    products(room.hidden, weights.recur, room.again, count)
    for k in range(count):
        for j in range(units):
            state[k, j] = tanh(room.into[k, j] + room.again[k, j])


@compiled
def gru(x: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The GRU."""
    units = weights.recur.shape[1] // 3
    _bring(state, 0, units, room.hidden, count)
    products(x, weights.entry, room.into, count)
    products(room.hidden, weights.recur, room.again, count)
    into, again = room.into, room.again
    for k in range(count):
        for j in range(units):
            reset = sigmoid(into[k, j] + again[k, j])
            new = tanh(into[k, 2 * units + j] + reset * again[k, 2 * units + j])
            kept = sigmoid(into[k, units + j] + again[k, units + j])
            state[k, j] = new + kept * (state[k, j] - new)


@compiled
def _lstm(x: Floats, state: Floats, at: int, weights: Weights, room: Room, count: int) -> None:
    """The LSTM's step where h begins ``at`` a place of the state, and c follows."""
    units = weights.recur.shape[1] // 4
    _bring(state, at, units, room.hidden, count)
    products(x, weights.entry, room.into, count)
    products(room.hidden, weights.recur, room.again, count)
    into, again, cell = room.into, room.again, at + units
    for k in range(count):
        for j in range(4 * units):
            into[k, j] += again[k, j]
        for j in range(units):
            kept = sigmoid(into[k, units + j]) * state[k, cell + j]
            new = sigmoid(into[k, j]) * tanh(into[k, 2 * units + j])
            state[k, cell + j] = kept + new
        for j in range(units):
            state[k, at + j] = sigmoid(into[k, 3 * units + j]) * tanh(state[k, cell + j])


@compiled
def lstm(x: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The LSTM."""
    _lstm(x, state, 0, weights, room, count)


@compiled
def attention(x: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The LSTM that looks back."""
    units = weights.recur.shape[1] // 4
    _lstm(x, state, units, weights, room, count)
    _bring(state, units, units, room.hidden, count)
    products(room.hidden, weights.look, room.looks, count)
    for k in range(count):
        _look_back(
            x[k, ELAPSED], state[k], 3 * units, weights.fading, room.looks[k], room.context[k]
        )
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
def tcn(x: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The causal convolutions."""
    units = weights.layers.shape[2]
    into, again, pair = room.into, room.again, room.pair
    products(x, weights.entry, into, count)
    ring = units + 1
    for layer in range(len(_D)):
        for k in range(count):
            slot = ring + int(state[k, units]) % _D[layer] * units
            for j in range(units):
                pair[k, j] = into[k, j]
                pair[k, units + j] = state[k, slot + j]
                state[k, slot + j] = into[k, j]
            pair[k, 2 * units] = _ONE
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
def advance(kind: int, x: Floats, state: Floats, weights: Weights, room: Room, count: int) -> None:
    """The step of the cell that is number ``kind`` of the layout's CELLS."""
    if kind == _RNN:
        rnn(x, state, weights, room, count)
    elif kind == _GRU:
        gru(x, state, weights, room, count)
    elif kind == _LSTM:
        lstm(x, state, weights, room, count)
    elif kind == _ATTENTION:
        attention(x, state, weights, room, count)
    else:
        tcn(x, state, weights, room, count)


def inputs(count: int) -> Floats:
    """Room for the inputs of ``count`` patients, as all steps take them."""
    x = aligned(count, -(-(INPUTS + 1) // TOGETHER) * TOGETHER)
    x[:, INPUTS] = 1
    return x
