"""Causal convolutions, streamed through ring buffers: the comparison without recurrence."""

import torch
from torch import Tensor, nn

from vitalwatch.model.cells.cell import Cell, ring_order, roll_up, unroll
from vitalwatch.model.layout import DILATIONS, TURNS, state_width


class Convolution(Cell):
    """A stack of residual layers ``x + relu(A x(now) + P x(d readings ago) + b)``.

    It sees as many readings as the dilations add up to, and one: by count, whatever time they
    span; nothing before them. The state is the output, the position, and for each layer a ring of
    its last d inputs.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden, state_width("tcn", hidden))
        layers = len(DILATIONS)
        self.enter = nn.Linear(inputs, hidden)
        size = hidden**-0.5
        self.now = nn.Parameter(torch.empty(layers, hidden, hidden).uniform_(-size, size))
        self.past = nn.Parameter(torch.empty(layers, hidden, hidden).uniform_(-size, size))
        self.bias = nn.Parameter(torch.zeros(layers, hidden))

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As for every cell."""
        frames, size = len(inputs), self.hidden
        _, position, *rings = torch.split(state, [size, 1, *(d * size for d in DILATIONS)], dim=1)
        after = (position + frames) % TURNS
        x = self.enter(inputs)
        kept = []
        for layer, (ring, d) in enumerate(zip(rings, DILATIONS, strict=True)):
            past = unroll(ring.reshape(-1, d, size), ring_order(position[:, 0], d))
            whole = torch.cat((past, x))
            mixed = x @ self.now[layer] + whole[:frames] @ self.past[layer] + self.bias[layer]
            kept.append(roll_up(whole[-d:], ring_order(after[:, 0], d)).flatten(1))
            x = x + torch.relu(mixed)
        return x, torch.cat((x[-1], after, *kept), dim=1)
