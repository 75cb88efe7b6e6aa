"""A forecaster: one shared network, of any cell, that says what each vital will be, and when not.

Values are standardised by the table's ``typical`` and ``spread`` throughout; see
:mod:`vitalwatch.model.layout` for what goes in and what comes out.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.model import layout
from vitalwatch.model.cells import make
from vitalwatch.model.cells.cell import Cell

_LEAST_SCALE: Final = 0.1  # of a device's step; below that the likelihood of a step is flat


class Prediction(NamedTuple):
    """Student-t location and scale of each vital, ``(..., V)``, standardised."""

    location: Tensor
    scale: Tensor


class Decay(nn.Module):
    """GRU-D's decay: what was seen long ago counts less, and the patient's own mean more.

    A value counts ``exp(-max(0, rate * squashed age + onset))``, both learned for each vital.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.full((layout.V,), 0.5))
        self.onset = nn.Parameter(torch.full((layout.V,), -0.2))

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(..., FEATURES)`` to a cell's inputs ``(..., INPUTS)``."""
        last, mean = features[..., layout.LAST], features[..., layout.MEAN]
        kept = torch.exp(-functional.relu(self.rate * features[..., layout.AGE] + self.onset))
        value = mean + kept * (last - mean)
        away = (value - mean) / features[..., layout.DEVIATION]
        away = away.clamp(-layout.FURTHEST, layout.FURTHEST)
        return torch.cat((value, features[..., layout.V :], away), dim=-1)


class Forecaster(nn.Module):
    """Decay, cell, head."""

    knots: Tensor
    step: Tensor

    def __init__(self, cell: str, hidden: int) -> None:
        """``cell`` is one of :data:`vitalwatch.model.layout.CELLS`."""
        super().__init__()
        self.kind = cell
        self.decay = Decay()
        self.cell: Cell = make(cell, layout.INPUTS, hidden)
        self.head = nn.Linear(hidden, len(layout.KNOTS) * 3 * layout.V)
        self.risk = nn.Linear(hidden + layout.INPUTS, len(layout.RISKS) * layout.V)
        knots = [layout.squash(seconds) for seconds in layout.KNOTS]
        self.register_buffer("knots", torch.tensor(knots), persistent=False)
        step = vitals.column("resolution") / vitals.column("spread")
        self.register_buffer("step", torch.from_numpy(step), persistent=False)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.risk.weight.mul_(0.1)
            self.risk.bias.fill_(-4.0)  # what is critical is rare
            self.risk.bias[-layout.V :] = -5.5  # and all vitals together make an event

    @property
    def hidden(self) -> int:
        """Units of the cell's output."""
        return self.cell.hidden

    def weights(self) -> dict[str, Floats]:
        """All that was learned, by name, as it goes into a model file."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.state_dict().items()}

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Along a sequence of ``features (T, N, FEATURES)`` from ``state (N, S)`` on.

        Returns outputs ``(T, N, H)``, the cell's inputs ``(T, N, INPUTS)`` and the state after.
        """
        inputs = self.decay(features)
        output, state = self.cell(inputs, state)
        return output, inputs, state

    def said(self, output: Tensor) -> Tensor:
        """What the head says at each knot, ``(..., K, 3 V)``, of outputs ``(..., H)``."""
        said: Tensor = self.head(output)
        return said.reshape(*said.shape[:-1], len(layout.KNOTS), 3 * layout.V)

    def predict(self, said: Tensor, features: Tensor, ahead: Tensor) -> Prediction:
        """The prediction ``ahead (...)`` seconds of the reading whose ``features (..., F)`` are.

        The location starts from the value last seen and may return some way to the patient's
        baseline, so the network learns only what differs from that.
        """
        knots = self.knots
        time = torch.log1p(ahead / layout.SQUASH_SECONDS) / layout.SQUASH_DIVISOR
        time = time.clamp(layout.squash(layout.KNOTS[0]), layout.squash(layout.KNOTS[-1]))
        # How much each knot has its say: 1 at it, falling in a line to 0 at its neighbours.
        place = (time[..., None] - knots[:-1]) / (knots[1:] - knots[:-1])
        filled = place.clamp(0, 1)
        share = functional.pad(filled, (1, 0), value=1.0) - functional.pad(filled, (0, 1))
        raw = (share[..., None, :] @ said)[..., 0, :]
        change, pull, scale = torch.split(raw, layout.V, dim=-1)
        last, mean = features[..., layout.LAST], features[..., layout.MEAN]
        location = last + torch.sigmoid(pull - 3) * (mean - last) + change
        return Prediction(location, functional.softplus(scale - 1) + _LEAST_SCALE * self.step)

    @staticmethod
    def hazard(risks: Tensor, seen: Tensor) -> Tensor:
        """The sum of hazards ``(...)`` of an event under way, of :meth:`risks`.

        ``seen (..., V)`` is 1 where a vital was ever seen: of no other is there a hazard.
        """
        return (functional.softplus(risks[..., -1, :]) * seen).sum(dim=-1)

    def risks(self, output: Tensor, inputs: Tensor) -> Tensor:
        """Logits ``(..., R, V)`` of each of the layout's RISKS."""
        logits: Tensor = self.risk(torch.cat((output, inputs), dim=-1))
        return logits.reshape(*logits.shape[:-1], len(layout.RISKS), layout.V)
