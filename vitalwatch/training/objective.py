"""What training minimises: how wrong a forecaster is, in five terms of like scale.

The surprise (nats) at the next reading; the mean surprise at the later horizons; for the risks the
cross entropy, divided by that of always saying how often each comes true; and so for events under
way, of simulated people and of real ones apart: those are few, and among so many others would not
be learnt. So each term is about one for a network that knows only what is usual, however rare a
danger is. Events weigh less: labels of whole events are coarse.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from vitalwatch.model import head, layout
from vitalwatch.model.forecaster import Forecaster
from vitalwatch.scoring import features
from vitalwatch.training.streams import THIN, Chunk

_NEVER: Final = layout.squash(0.9 * float(features.NEVER))
"""Above this squashed age a vital was never seen."""

_LEAST_HAZARD: Final = 1e-6

_RAREST: Final = 2e-3
"""Rarer risks weigh as this one does, or a single patient's would outweigh all else."""

WEIGHTS: Final = (1.0, 1.0, 1.0, 0.5, 0.25)
"""Of the five terms."""

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
    event: Tensor
    event_counts: Tensor
    fresh: Tensor
    real: Tensor

    @classmethod
    def of(cls, chunk: Chunk, device: torch.device) -> "Batch":
        """The same, there."""
        return cls(**{k: torch.from_numpy(v).to(device) for k, v in chunk.arrays().items()})


@dataclass(frozen=True, slots=True)
class Errors:
    """``next (V,)`` and ``later (Q, V)`` mean nats; ``risk (W, V)`` and ``event (2,)`` mean cross
    entropy, the event's of simulated and of real people.

    0 where nothing was asked for, and so many were in ``next_count``, ``later_count``,
    ``risk_count`` and ``event_count``; ``came (W + 2, V)`` how often each came true, the events
    last; ``logits (L, N, W, V)`` of the risks and ``hazard (L, N)`` of the event.
    """

    next: Tensor
    next_count: Tensor
    later: Tensor
    later_count: Tensor
    risk: Tensor
    risk_count: Tensor
    event: Tensor
    event_count: Tensor
    came: Tensor
    logits: Tensor
    hazard: Tensor

    def terms(self, base: Tensor) -> tuple[Tensor, ...]:
        """The five terms; ``base (W + 2, V)`` is how often each usually comes true."""
        return (
            _mean(self.next, self.next_count),
            _mean(self.later, self.later_count),
            _mean(self.risk / entropy(base[:-2]), self.risk_count),
            *(self.event / entropy(base[-2:, 0])),
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

    risks = model.risks(output[some], inputs[some])
    logits, counts = risks[..., :-1, :], batch.risk_counts
    wrong = functional.binary_cross_entropy_with_logits(logits, batch.risk, reduction="none")
    risk_count = counts.sum(dim=(0, 1))
    came = (batch.risk * counts).sum(dim=(0, 1)) / risk_count.clamp(min=1)

    seen = batch.features[some][..., layout.AGE] < _NEVER
    hazard = model.hazard(risks, seen)
    # log(1 - exp(-hazard)), exact for small ones
    under_way = torch.log(-torch.expm1(-hazard.clamp(min=_LEAST_HAZARD)))
    missed = -torch.where(batch.event > 0, under_way, -hazard)
    of_whom = torch.stack((~batch.real, batch.real)) * batch.event_counts[:, None]  # (L, 2, N)
    event_count = of_whom.sum(dim=(0, 2))
    share = (batch.event[:, None] * of_whom).sum(dim=(0, 2)) / event_count.clamp(min=1)
    return (
        Errors(
            next=(nats * batch.counts).sum(dim=(0, 1)) / next_count.clamp(min=1),
            next_count=next_count,
            later=(later * batch.later_counts).sum(dim=(1, 2)) / later_count.clamp(min=1),
            later_count=later_count,
            risk=(wrong * counts).sum(dim=(0, 1)) / risk_count.clamp(min=1),
            risk_count=risk_count,
            event=(missed[:, None] * of_whom).sum(dim=(0, 2)) / event_count.clamp(min=1),
            event_count=event_count,
            came=torch.cat((came, share[:, None].expand(2, layout.V))),
            logits=logits.detach(),
            hazard=hazard.detach(),
        ),
        state,
    )


def unknown_base(device: torch.device) -> Tensor:
    """How often risks and events ``(W + 2, V)`` are taken to come true before any was seen."""
    return torch.full((len(layout.CHANCES) + 2, layout.V), 0.01, device=device)


def learn_base(base: Tensor, errors: Errors) -> Tensor:
    """The same after one more chunk."""
    counts = torch.cat((errors.risk_count, errors.event_count[:, None].expand(2, layout.V)))
    return base + _COMMON * (counts > 0) * (errors.came - base)


def entropy(base: Tensor) -> Tensor:
    """Cross entropy (nats) of always saying that something comes true as often as it does."""
    share = base.clamp(_RAREST, 0.5)
    return -(share * torch.log(share) + (1 - share) * torch.log1p(-share))


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """Over those that were asked for, each counting alike."""
    asked = counts > 0
    return (values * asked).sum() / asked.sum().clamp(min=1)
