"""The shipped network as one first writes it: one reading at a time, an ``LSTMCell``, plain Python.

The matrices are torch's; the eight vitals around them are cheaper in Python than as torch calls.
"""

from array import array
from collections.abc import Mapping
from math import exp, log, log1p, sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vitalwatch.model import checkpoint, layout
from vitalwatch.vitals import COUNT, NAMES, VITALS

HIGH_SURPRISE = 30.0
"""Nats, summed over vitals: whoever surprises the network so much is alerted on."""

_NEVER = 1e7
_BASELINE_SECONDS = 8 * 3600
_KNOTS = [layout.squash(seconds) for seconds in layout.KNOTS]


class State(NamedTuple):
    """What is kept of a patient: the LSTM's ``(1, H)`` each, what its inputs are made of, and what
    it said last, ``(K 3 V,)``.

    ``last``, ``age``, ``mean`` and ``deviation`` are one number a vital, standardised, as in
    :mod:`vitalwatch.scoring.features`; ``time`` is s.
    """

    hidden: Tensor
    cell: Tensor
    time: float
    last: list[float]
    age: list[float]
    mean: list[float]
    deviation: list[float]
    said: list[float]

    def pack(self) -> bytes:
        """As bytes, for a store."""
        parts = (*self.last, *self.age, *self.mean, *self.deviation, *self.said)
        numbers = array("d", (self.time, *parts))
        return torch.cat((self.hidden, self.cell)).numpy().tobytes() + numbers.tobytes()

    @classmethod
    def unpack(cls, content: bytes, hidden: int) -> "State":
        """What :meth:`pack` made."""
        split = 2 * 4 * hidden
        numbers = array("d", content[split:]).tolist()
        parts = [numbers[1 + i * COUNT : 1 + (i + 1) * COUNT] for i in range(4)]
        both = torch.frombuffer(bytearray(content[:split]), dtype=torch.float32).view(2, 1, hidden)
        last, age, mean, deviation = parts
        said = numbers[1 + 4 * COUNT :]
        return cls(both[0], both[1], numbers[0], last, age, mean, deviation, said)


class PlainModel:
    """The network's weights in an ``LSTMCell``, which is called for every reading."""

    def __init__(self) -> None:
        torch.set_num_threads(1)  # the fastest for matrices of one row
        model = checkpoint.load()
        made = model.forecaster()
        self.hidden = made.hidden
        self._made = made
        self._cell = nn.LSTMCell(layout.INPUTS, self.hidden)
        weights = {
            name.removeprefix("cell.core.").removesuffix("_l0"): torch.from_numpy(weight.copy())
            for name, weight in model.weights.items()
            if name.startswith("cell.")
        }
        self._cell.load_state_dict(weights)
        self._cell.requires_grad_(False)
        self._decay = list(zip(made.decay.rate.tolist(), made.decay.onset.tolist(), strict=True))
        self._scale = [(v.typical, v.spread, v.resolution / v.spread) for v in VITALS]

    def blank(self) -> State:
        """The state of a patient of whom nothing is known."""
        zeros, nothing = torch.zeros(1, self.hidden), [0.0] * COUNT
        said = [0.0] * (3 * COUNT * len(layout.KNOTS))
        return State(zeros, zeros, 0.0, nothing, [_NEVER] * COUNT, nothing, [0.5] * COUNT, said)

    def step(
        self, state: State, time_ms: int, measured: Mapping[str, float]
    ) -> tuple[State, float]:
        """The next state, and how much the reading surprises: nats, summed over its vitals."""
        elapsed = time_ms / 1000 - state.time if state.time else 0.0
        age = [min(seconds + elapsed, _NEVER) for seconds in state.age]
        last, mean, deviation = state.last.copy(), state.mean.copy(), state.deviation.copy()
        mask, surprise = [0.0] * COUNT, 0.0
        for vital, name in enumerate(NAMES):
            value = measured.get(name)
            if value is None:
                continue
            typical, spread, step = self._scale[vital]
            value = (value - typical) / spread
            if age[vital] < _NEVER:
                location, scale = self._foretold(state, vital, elapsed)
                distance, half = abs(value - location) / scale, step / (2 * scale)
                surprise -= log(max(_tail(distance - half) - _tail(distance + half), 1e-20))
            weight = min(age[vital] / _BASELINE_SECONDS, 1.0)
            mean[vital] += (value - mean[vital]) * weight
            away = 1.25 * abs(value - mean[vital])
            deviation[vital] += (away - deviation[vital]) * min(weight, 0.5)
            last[vital], mask[vital], age[vital] = value, 1.0, 0.0
        inputs = self._inputs(elapsed, last, mask, age, mean, deviation)
        with torch.inference_mode():
            hidden, cell = self._cell(inputs, (state.hidden, state.cell))
            said = self._made.head(hidden)[0].tolist()
            self._made.risk(torch.cat((hidden, inputs), dim=1))  # an alarm would be made of it
        return State(hidden, cell, time_ms / 1000, last, age, mean, deviation, said), surprise

    def _inputs(
        self,
        elapsed: float,
        last: list[float],
        mask: list[float],
        age: list[float],
        mean: list[float],
        deviation: list[float],
    ) -> Tensor:
        """What the cell is told after a reading, ``(1, INPUTS)``."""
        squashed = [log1p(seconds / 5) / 6 for seconds in (*age, elapsed)]
        value, away = [0.0] * COUNT, [0.0] * COUNT
        for vital, (rate, onset) in enumerate(self._decay):
            kept = exp(-max(rate * squashed[vital] + onset, 0.0))
            value[vital] = mean[vital] + kept * (last[vital] - mean[vital])
            off = (value[vital] - mean[vital]) / deviation[vital]
            away[vital] = min(max(off, -layout.FURTHEST), layout.FURTHEST)
        context = [0.0] * len(layout.CONTEXT_NAMES)
        parts = (*value, *mask, *squashed[:-1], *mean, *deviation, squashed[-1], *context, *away)
        return torch.tensor([parts])

    def _foretold(self, state: State, vital: int, ahead: float) -> tuple[float, float]:
        """Location and scale of a vital so many seconds after the last reading."""
        time = min(max(log1p(ahead / 5) / 6, _KNOTS[0]), _KNOTS[-1])
        knot = max(k for k in range(len(_KNOTS) - 1) if _KNOTS[k] <= time)
        later = (time - _KNOTS[knot]) / (_KNOTS[knot + 1] - _KNOTS[knot])
        at, to = 3 * COUNT * knot + vital, 3 * COUNT * (knot + 1) + vital
        change, pull, width = (
            (1 - later) * state.said[at + part * COUNT] + later * state.said[to + part * COUNT]
            for part in range(3)
        )
        drawn = (state.mean[vital] - state.last[vital]) / (1 + exp(3 - pull))
        step = self._scale[vital][2]
        return state.last[vital] + drawn + change, log1p(exp(width - 1)) + 0.1 * step


def _tail(x: float) -> float:
    """P(X > x) for Student's t with four degrees of freedom; see :mod:`vitalwatch.model.head`."""
    root = sqrt(4 + x * x)
    rest = 4 / (root * (root + abs(x)))
    tail = rest * rest * (3 - rest) / 4
    return 1 - tail if x < 0 else tail
