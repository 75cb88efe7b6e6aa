"""The predictive distribution: a Student-t per vital, integrated over the device's step.

Four degrees of freedom: heavy enough tails for physiology, and a distribution function in
closed form (no incomplete beta function, so the same few operations in training and scoring).
With ``s = x / sqrt(4 + x²)`` it is ``F(x) = 1/2 + 3s/4 - s³/4`` (differentiate to get the density
``12 (4 + x²)^(-5/2)``; Abramowitz & Stegun 26.7). A monitor reports in steps (SpO2 1 %,
temperature 0.1 °C), so the likelihood of a value is the probability of its whole step: a density
would reward a collapsing scale wherever a value repeats.
"""

from typing import Final

import torch
from torch import Tensor

_LARGEST: Final = 1e4
_SMALLEST: Final = 1e-20


def upper_tail(x: Tensor) -> Tensor:
    """P(X > x) for Student's t with four degrees of freedom, exact far out in the tail.

    Any shape. ``1 - s`` is taken as ``4 / (r (r + x))`` with ``r = sqrt(4 + x²)``, because the
    plain difference loses every digit of a float32 where a surprise matters most.
    """
    magnitude = x.abs()
    root = torch.sqrt(4 + magnitude * magnitude)
    rest = 4 / (root * (root + magnitude))
    tail = rest * rest * (3 - rest) / 4
    return torch.where(x < 0, 1 - tail, tail)


def surprise(value: Tensor, location: Tensor, scale: Tensor, step: Tensor) -> Tensor:
    """Negative log-likelihood (nats) of the device's step around ``value``.

    All of one shape ``(..., V)`` but ``step`` ``(V,)``, in the same unit; ``scale`` positive.
    """
    distance = ((value - location).abs() / scale).clamp(max=_LARGEST)
    half = step / (2 * scale)
    probability = upper_tail(distance - half) - upper_tail(distance + half)
    return -torch.log(probability.clamp(min=_SMALLEST))
