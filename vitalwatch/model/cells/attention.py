"""An LSTM that looks back at its own last outputs, kept in a short ring."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitalwatch.model.cells.cell import Cell, ring_order, roll_up, unroll
from vitalwatch.model.cells.recurrent import remember_long
from vitalwatch.model.layout import (
    ELAPSED,
    FORGOTTEN,
    KEY,
    SLOTS,
    SQUASH_DIVISOR,
    SQUASH_SECONDS,
    TURNS,
    state_width,
)


class Attention(Cell):
    """``output = h + B c``, c a mean of the ring's entries weighted by likeness and by age.

    Each output h enters the ring as ``K h``, together with its age in seconds, so that what counts
    is how long ago it was and not how many readings. An entry weighs
    ``exp(Q h . entry / 4 - fading * squashed age)``, and 1 in the sum stands for looking nowhere.
    The state is output, h, c, position, ages (seconds + 1; 0 for an empty slot), entries.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden, state_width("attention", hidden))
        self.core = nn.LSTM(inputs, hidden)
        remember_long(self.core)
        self.key = nn.Linear(hidden, KEY, bias=False)
        self.query = nn.Linear(hidden, KEY, bias=False)
        self.back = nn.Linear(KEY, hidden, bias=False)
        self.fading = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As for every cell."""
        frames, size = len(inputs), self.hidden
        _, h, c, position, ages, ring = torch.split(
            state, [size, size, size, 1, SLOTS, SLOTS * KEY], dim=1
        )
        hidden, (h, c) = self.core(inputs, (h[None].contiguous(), c[None].contiguous()))

        order = ring_order(position[:, 0], SLOTS)
        entries = torch.cat((unroll(ring.reshape(-1, SLOTS, KEY), order), self.key(hidden)))
        passed = SQUASH_SECONDS * torch.expm1(SQUASH_DIVISOR * inputs[..., ELAPSED])
        # The clock starts with the last reading before these. It adds up in double precision, or
        # a second would be lost after a day; by a product, as a GPU's cumulative sum is not the
        # same twice.
        ones = torch.ones(frames, frames, dtype=torch.float64, device=passed.device)
        clock = ones.tril() @ passed.double()
        old = unroll(ages[:, :, None], order)[..., 0]
        written = torch.cat((1 - old, clock))
        filled = torch.cat((old > 0, torch.ones_like(clock, dtype=torch.bool)))

        windows = entries.unfold(0, SLOTS, 1)[:frames]  # (T, N, KEY, SLOTS), oldest first
        age = clock[..., None] - written.unfold(0, SLOTS, 1)[:frames]
        scores = torch.einsum("tnk,tnks->tns", self.query(hidden), windows) / KEY**0.5
        age = age.clamp(0, FORGOTTEN).float()
        squashed = torch.log1p(age / SQUASH_SECONDS) / SQUASH_DIVISOR
        scores = scores - functional.softplus(self.fading) * squashed
        usable = filled.unfold(0, SLOTS, 1)[:frames]
        scores = scores.masked_fill(~usable, float("-inf"))
        # Weights relative to the greatest score, or to 0, that of looking nowhere.
        greatest = scores.amax(dim=-1, keepdim=True).clamp(min=0).detach()
        weights = torch.exp(scores - greatest)
        weights = weights / (weights.sum(dim=-1, keepdim=True) + torch.exp(-greatest))
        output = hidden + self.back(torch.einsum("tns,tnks->tnk", weights, windows))

        position = (position + frames) % TURNS
        order = ring_order(position[:, 0], SLOTS)
        lasting = (clock[-1] - written[-SLOTS:]).clamp(0, FORGOTTEN).float() + 1
        ages = roll_up((lasting * filled[-SLOTS:])[..., None], order)[..., 0]
        ring = roll_up(entries[-SLOTS:], order).flatten(1)
        return output, torch.cat((output[-1], h[0], c[0], position, ages, ring), dim=1)
