"""The shipped network as one first writes it: one reading at a time, an ``LSTMCell``, plain Python.

The two matrices are torch's; the eight vitals around them are cheaper in Python than as torch
calls: 40 µs a reading in all, where the torch functions of :mod:`vitalwatch.model` made it 130.
"""

from array import array
from collections.abc import Mapping
from math import exp, log, log1p, sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vitalwatch.model import checkpoint
from vitalwatch.model.shapes import INPUTS
from vitalwatch.vitals import COUNT, NAMES, VITALS

HIGH_SURPRISE = 30.0
"""Nats, summed over vitals: whoever surprises the network so much is alerted on."""

_NEVER = 1e7
_BASELINE_SECONDS = 8 * 3600


class State(NamedTuple):
    """What is kept of a patient: the LSTM's ``(1, H)`` each, and what its inputs are made of.

    ``last``, ``mask``, ``age`` and ``mean`` are one number a vital, standardised, as in
    :mod:`vitalwatch.scoring.features`; ``time`` is s.
    """

    hidden: Tensor
    cell: Tensor
    time: float
    last: list[float]
    mask: list[float]
    age: list[float]
    mean: list[float]

    def aged(self, time_ms: int) -> tuple[float, list[float]]:
        """Seconds since the last reading, and since each vital was seen."""
        elapsed = time_ms / 1000 - self.time if self.time else 0.0
        return elapsed, [min(seconds + elapsed, _NEVER) for seconds in self.age]

    def inputs(self, elapsed: float, age: list[float]) -> Tensor:
        """What the network is told before a reading, ``(1, INPUTS)``."""
        squashed = [log1p(seconds / 5) / 6 for seconds in (*age, elapsed)]
        parts = (*self.last, *self.mask, *squashed[:-1], *self.mean, squashed[-1])
        return torch.tensor([parts])

    def pack(self) -> bytes:
        """As bytes, for a store."""
        numbers = array("d", (self.time, *self.last, *self.mask, *self.age, *self.mean))
        return torch.cat((self.hidden, self.cell)).numpy().tobytes() + numbers.tobytes()

    @classmethod
    def unpack(cls, content: bytes, hidden: int) -> "State":
        """What :meth:`pack` made."""
        split = 2 * 4 * hidden
        numbers = array("d", content[split:]).tolist()
        parts = [numbers[1 + i * COUNT : 1 + (i + 1) * COUNT] for i in range(4)]
        both = torch.frombuffer(bytearray(content[:split]), dtype=torch.float32).view(2, 1, hidden)
        return cls(both[0], both[1], numbers[0], *parts)


class PlainModel:
    """The network's weights in an ``LSTMCell``, which is called for every reading."""

    def __init__(self) -> None:
        torch.set_num_threads(1)  # the fastest for matrices of one row
        network = checkpoint.load().network()
        self.hidden = network.hidden
        self._head = network.head
        self._cell = nn.LSTMCell(INPUTS, self.hidden)
        weights = network.cell.state_dict()
        self._cell.load_state_dict({name.removesuffix("_l0"): w for name, w in weights.items()})
        self._cell.requires_grad_(False)
        self._scale = [(v.typical, v.spread, v.resolution / v.spread) for v in VITALS]

    def blank(self) -> State:
        """The state of a patient of whom nothing is known."""
        zeros = torch.zeros(1, self.hidden)
        return State(
            zeros, zeros, 0.0, [0.0] * COUNT, [0.0] * COUNT, [_NEVER] * COUNT, [0.0] * COUNT
        )

    def step(
        self, state: State, time_ms: int, measured: Mapping[str, float]
    ) -> tuple[State, float]:
        """The next state, and how much the reading surprises: nats, summed over its vitals."""
        elapsed, age = state.aged(time_ms)
        inputs = state.inputs(elapsed, age)
        with torch.inference_mode():
            hidden, cell = self._cell(inputs, (state.hidden, state.cell))
            raw = self._head(hidden)[0].tolist()
        last, mask, mean = state.last.copy(), [0.0] * COUNT, state.mean.copy()
        surprise = 0.0
        for vital, name in enumerate(NAMES):
            value = measured.get(name)
            if value is None:
                continue
            typical, spread, step = self._scale[vital]
            value = (value - typical) / spread
            change, pull, width = raw[vital], raw[COUNT + vital], raw[2 * COUNT + vital]
            location = last[vital] + (mean[vital] - last[vital]) / (1 + exp(3 - pull)) + change
            scale = log1p(exp(width - 1)) + 0.1 * step
            distance, half = abs(value - location) / scale, step / (2 * scale)
            surprise -= log(max(_tail(distance - half) - _tail(distance + half), 1e-20))
            last[vital], mask[vital], age[vital] = value, 1.0, 0.0
            mean[vital] += (value - mean[vital]) * min(elapsed / _BASELINE_SECONDS, 1.0)
        return State(hidden, cell, time_ms / 1000, last, mask, age, mean), surprise


def _tail(x: float) -> float:
    """P(X > x) for Student's t with four degrees of freedom; see :mod:`vitalwatch.model.head`."""
    root = sqrt(4 + x * x)
    rest = 4 / (root * (root + abs(x)))
    tail = rest * rest * (3 - rest) / 4
    return 1 - tail if x < 0 else tail
