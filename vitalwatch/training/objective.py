"""What training minimises: how wrong a forecaster is, in three terms of like scale.

The surprise (nats) at the next reading; the mean surprise at the later horizons; and for the risks
the cross entropy, divided by that of always saying how often each comes true. So each term is about
one for a network that knows only what is usual, however rare a danger is.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from vitalwatch.model import head, layout
from vitalwatch.model.forecaster import Forecaster
from vitalwatch.training.streams import THIN, Chunk

_RAREST: Final = 2e-3
"""Rarer risks weigh as this one does, or a single patient's would outweigh all else."""

_COMMON: Final = 0.02
"""Each chunk's part in how often a risk is taken to come true."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A :class:`~vitalwatch.training.streams.Chunk` as tensors on a device."""

    features: Tensor
    ahead: Tensor
    value: Tensor
    counts: Tensor
    later_ahead: Tensor
    later_value: Tensor
    later_counts: Tensor
    risk: Tensor
    risk_counts: Tensor
    fresh: Tensor

    @classmethod
    def of(cls, chunk: Chunk, device: torch.device) -> "Batch":
        """The same, there."""
        return cls(**{k: torch.from_numpy(v).to(device) for k, v in chunk.arrays().items()})


@dataclass(frozen=True, slots=True)
class Errors:
    """``next (V,)`` and ``later (Q, V)`` mean nats, ``risk (R, V)`` mean cross entropy.

    0 where nothing was asked for, and so many were in ``next_count``, ``later_count``,
    ``risk_count (V,)``; ``came (R, V)`` how often a risk came true; ``logits (L, N, R, V)``.
    """

    next: Tensor
    next_count: Tensor
    later: Tensor
    later_count: Tensor
    risk: Tensor
    risk_count: Tensor
    came: Tensor
    logits: Tensor

    def terms(self, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three terms; ``base (R, V)`` is how often each risk usually comes true."""
        return (
            _mean(self.next, self.next_count),
            _mean(self.later, self.later_count),
            _mean(self.risk / entropy(base), self.risk_count.expand_as(self.risk)),
        )


def measure(model: Forecaster, batch: Batch, state: Tensor) -> tuple[Errors, Tensor]:
    """A forecaster's errors on a batch, and its state ``(N, S)`` after it."""
    state = torch.where(batch.fresh[:, None], torch.zeros_like(state), state)
    output, inputs, state = model(batch.features, state)
    said = model.said(output)
    prediction = model.predict(said, batch.features, batch.ahead)
    nats = head.surprise(batch.value, prediction.location, prediction.scale, model.step)
    next_count = batch.counts.sum(dim=(0, 1))

    some = slice(THIN - 1, None, THIN)
    prediction = model.predict(
        said[some].unsqueeze(0), batch.features[some].unsqueeze(0), batch.later_ahead
    )
    later = head.surprise(batch.later_value, prediction.location, prediction.scale, model.step)
    later_count = batch.later_counts.sum(dim=(1, 2))

    logits = model.risks(output[some], inputs[some])
    counts = batch.risk_counts[:, :, None]
    wrong = functional.binary_cross_entropy_with_logits(logits, batch.risk, reduction="none")
    risk_count = batch.risk_counts.sum(dim=(0, 1))
    return (
        Errors(
            next=(nats * batch.counts).sum(dim=(0, 1)) / next_count.clamp(min=1),
            next_count=next_count,
            later=(later * batch.later_counts).sum(dim=(1, 2)) / later_count.clamp(min=1),
            later_count=later_count,
            risk=(wrong * counts).sum(dim=(0, 1)) / risk_count.clamp(min=1),
            risk_count=risk_count,
            came=(batch.risk * counts).sum(dim=(0, 1)) / risk_count.clamp(min=1),
            logits=logits.detach(),
        ),
        state,
    )


def unknown_base(device: torch.device) -> Tensor:
    """How often risks ``(R, V)`` are taken to come true before any was seen."""
    return torch.full((len(layout.RISKS), layout.V), 0.01, device=device)


def learn_base(base: Tensor, errors: Errors) -> Tensor:
    """The same after one more chunk."""
    return base + _COMMON * (errors.risk_count > 0) * (errors.came - base)


def entropy(base: Tensor) -> Tensor:
    """Cross entropy (nats) of always saying that something comes true as often as it does."""
    share = base.clamp(_RAREST, 0.5)
    return -(share * torch.log(share) + (1 - share) * torch.log1p(-share))


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """Over those that were asked for, each counting alike."""
    asked = counts > 0
    return (values * asked).sum() / asked.sum().clamp(min=1)
