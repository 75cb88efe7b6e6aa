"""How far back a gradient reaches: the reason why there are gates.

The loss at one reading is differentiated by the inputs of the readings before it. In a plain RNN
that gradient shrinks by a factor with each reading that it goes through (Bengio et al., 1994); a
gate that stays open lets it through.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vitalwatch import vitals
from vitalwatch.arrays import Doubles
from vitalwatch.model import head, layout
from vitalwatch.model.forecaster import Forecaster
from vitalwatch.scoring import features
from vitalwatch.scoring.known import follow
from vitalwatch.training.data import ward
from vitalwatch.training.streams import context


@dataclass(frozen=True, slots=True)
class Reach:
    """``norm (lags,)``: the mean over patients of the gradient's norm by the inputs so many
    readings before the loss, 0 first; the loss is the mean surprise 15 min ahead of it.
    """

    cell: str
    norm: Doubles

    @property
    def half(self) -> int:
        """Readings after which what is left is less than half of the first."""
        below = np.flatnonzero(self.norm < self.norm[0] / 2)
        return int(below[0]) if len(below) else len(self.norm)


AHEAD = 900.0


def readings(frames: int, patients: int, interval: float, seed: int) -> tuple[Tensor, Tensor]:
    """Features ``(T, N, F)`` of simulated stable patients, and what they show later ``(N, V)``."""
    later = int(AHEAD / interval)
    people = ward("validate", seed, patients, interval, None)
    times, values = people.read(frames + later)
    low, high = vitals.bounds("plausible")
    seen = (values >= low) & (values <= high)
    value = np.where(seen, features.standardise(values), np.float32(np.nan))
    elapsed = np.diff(times[:frames], axis=0, prepend=times[:1]) / 1000
    told = np.empty((frames, patients, layout.FEATURES), dtype=np.float32)
    memory = features.Memory.blank(patients)
    who = context(people, np.random.default_rng(seed))
    follow(memory.parts, elapsed.astype(np.float32), value[:frames], who, features.STEP, told)
    return torch.from_numpy(told), torch.from_numpy(value[-1])


def reach(model: Forecaster, told: Tensor, later: Tensor, lags: int) -> Reach:
    """How the gradient falls over ``lags`` readings; ``told`` and ``later`` as of readings()."""
    inputs = model.decay(told).detach().requires_grad_()
    output, _ = model.cell(inputs, model.cell.blank(told.shape[1]))
    # What was seen last stands in the features of the last reading, which are held fixed: the
    # gradient is of what went through the cell.
    ahead = torch.full(told.shape[1:2], AHEAD)
    prediction = model.predict(model.said(output[-1]), told[-1], ahead)
    seen = ~torch.isnan(later)
    value = torch.where(seen, later, torch.zeros_like(later))
    nats = head.surprise(value, prediction.location, prediction.scale, model.step)
    ((nats * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)).sum().backward()  # type: ignore[no-untyped-call]
    assert inputs.grad is not None  # noqa: S101 - backward() has just filled it
    norms = inputs.grad.norm(dim=2).mean(dim=1).double().numpy()
    return Reach(model.kind, norms[::-1][:lags].copy())
