"""The shared network: one LSTM for all patients, predicting each vital's next value.

The state is the patient's, the weights are everyone's. A step takes what is known just before a
reading (values last seen, how long ago, the patient's own baseline, the time that has passed)
and says what the reading should be. Time is an input, never the count of steps, so one model
serves a reading a second and one an hour.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.model.shapes import INPUTS, OUTPUTS

_LEAST_SCALE: Final = 0.1  # of a device's step; below that the likelihood of a step is flat


class Prediction(NamedTuple):
    """Student-t location and scale of each vital, ``(..., V)``, standardised."""

    location: Tensor
    scale: Tensor


class Network(nn.Module):
    """LSTM and output head.

    Values are standardised by the table's ``typical`` and ``spread`` throughout.
    """

    step: Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.cell = nn.LSTM(INPUTS, hidden)
        self.head = nn.Linear(hidden, OUTPUTS)
        step = vitals.column("resolution") / vitals.column("spread")
        self.register_buffer("step", torch.from_numpy(step), persistent=False)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            # A long memory to begin with: gradients live longer (Jozefowicz et al., 2015).
            self.cell.get_parameter("bias_ih_l0")[hidden : 2 * hidden].fill_(1.0)

    def weights(self) -> dict[str, Floats]:
        """All that was learned, by name, as it goes into a model file and scores."""
        return {name: tensor.detach().numpy() for name, tensor in self.state_dict().items()}

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Prediction, tuple[Tensor, Tensor]]:
        """Predict along a sequence.

        ``inputs`` (T, N, INPUTS); ``state`` hidden and cell, each (1, N, hidden), zero if None.
        Returns the prediction (T, N, V) of the readings that the inputs lead up to, and the
        state after the last.
        """
        output, state = self.cell(inputs, state)
        return self.predict(inputs, output), state

    def predict(self, inputs: Tensor, output: Tensor) -> Prediction:
        """Read the prediction out of the LSTM's output ``(..., hidden)``.

        The location starts from the value last seen and may return some way to the patient's
        baseline, so the network learns only what differs from that.
        """
        raw = self.head(output)
        last = inputs[..., : vitals.COUNT]
        baseline = inputs[..., 3 * vitals.COUNT : 4 * vitals.COUNT]
        change, pull, scale = raw.split(vitals.COUNT, dim=-1)
        location = last + torch.sigmoid(pull - 3) * (baseline - last) + change
        return Prediction(location, functional.softplus(scale - 1) + _LEAST_SCALE * self.step)
