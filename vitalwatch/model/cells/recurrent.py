"""The plain RNN, the GRU and the LSTM."""

import torch
from torch import Tensor, nn

from vitalwatch.model.cells.cell import Cell

_LONGEST = 200.0
"""Readings: gates start with memories from one reading to so many (Tallec & Ollivier, 2018)."""


class Rnn(Cell):
    """``h = tanh(W x + U h + b)``; the state is h."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden, hidden)
        self.core = nn.RNN(inputs, hidden)

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As for every cell."""
        output, last = self.core(inputs, state[None].contiguous())
        return output, last[0]


class Gru(Cell):
    """Gates decide how much of h is kept and how much is new; the state is h."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden, hidden)
        self.core = nn.GRU(inputs, hidden)
        with torch.no_grad():
            # torch's order: reset, update (1: kept), new
            self.core.get_parameter("bias_ih_l0")[hidden : 2 * hidden] = _memories(hidden)
            self.core.get_parameter("bias_hh_l0")[hidden : 2 * hidden] = 0

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As for every cell."""
        output, last = self.core(inputs, state[None].contiguous())
        return output, last[0]


class Lstm(Cell):
    """Beside h a cell c, which adds up and so carries gradients further; the state is h, c."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden, 2 * hidden)
        self.core = nn.LSTM(inputs, hidden)
        remember_long(self.core)

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As for every cell."""
        h, c = torch.split(state, self.hidden, dim=1)
        output, (h, c) = self.core(inputs, (h[None].contiguous(), c[None].contiguous()))
        return output, torch.cat((h[0], c[0]), dim=1)


def remember_long(core: nn.LSTM) -> None:
    """Let the forget gates start with memories of many lengths."""
    hidden = core.hidden_size
    with torch.no_grad():
        # torch's order: input, forget, cell, output
        memories = _memories(hidden)
        core.get_parameter("bias_ih_l0")[:hidden] = -memories
        core.get_parameter("bias_ih_l0")[hidden : 2 * hidden] = memories
        core.get_parameter("bias_hh_l0")[: 2 * hidden] = 0


def _memories(hidden: int) -> Tensor:
    """Biases of gates that keep a state for 1 to some 200 readings, evenly many each length."""
    return torch.log(torch.linspace(1.0, _LONGEST - 1, hidden))
