"""The interface of all cells."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Cell(nn.Module, ABC):
    """Takes I ``inputs`` a reading, keeps ``width`` S numbers of state, puts out ``hidden`` H.

    The first H numbers of the state are the output of the reading before.
    """

    def __init__(self, inputs: int, hidden: int, width: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.hidden = hidden
        self.width = width

    @abstractmethod
    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """``inputs (T, N, I)``, T at least 1, and ``state (N, S)`` before them.

        Returns the outputs ``(T, N, H)`` and the state after the last reading.
        """

    def blank(self, count: int) -> Tensor:
        """The state ``(count, S)`` of patients of whom nothing was read yet: all zeros."""
        return torch.zeros(count, self.width, device=next(self.parameters()).device)


def ring_order(position: Tensor, length: int) -> Tensor:
    """Slots ``(N, length)`` of a ring from its oldest entry on.

    ``position (N,)``: readings so far, modulo a multiple of ``length``; the next reading's entry
    takes the oldest one's slot.
    """
    return (position.long()[:, None] + torch.arange(length, device=position.device)) % length


def unroll(ring: Tensor, order: Tensor) -> Tensor:
    """Entries of a ``ring (N, L, C)`` from the oldest on, ``(L, N, C)``."""
    index = order[:, :, None].expand_as(ring)
    return ring.gather(1, index).transpose(0, 1)


def roll_up(entries: Tensor, order: Tensor) -> Tensor:
    """The inverse of :func:`unroll`: entries from the oldest on ``(L, N, C)`` to their slots."""
    by_patient = entries.transpose(0, 1)
    return torch.zeros_like(by_patient).scatter(
        1, order[:, :, None].expand_as(by_patient), by_patient
    )
