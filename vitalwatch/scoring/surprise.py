"""How surprising a value is after a prediction, compiled.

The formulas are those of :mod:`vitalwatch.model.head`, which training uses.
"""

from typing import Final

import numpy as np

from vitalwatch.arrays import Floats
from vitalwatch.compiled import compiled
from vitalwatch.scoring.elementary import log

_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_TWO: Final = np.float32(2)
_THREE: Final = np.float32(3)
_FOUR: Final = np.float32(4)
_LARGEST: Final = np.float32(1e4)
_SMALLEST: Final = np.float32(1e-20)


@compiled
def _upper_tail(x: np.float32) -> np.float32:
    magnitude = abs(x)
    root: np.float32 = np.sqrt(_FOUR + magnitude * magnitude)
    rest = _FOUR / (root * (root + magnitude))
    tail = rest * rest * (_THREE - rest) / _FOUR
    return _ONE - tail if x < _ZERO else tail


@compiled
def surprise(value: Floats, location: Floats, scale: Floats, step: Floats, out: Floats) -> None:
    """Nats of the device's step around ``value``; all (m,), standardised. No number for NaN."""
    for i in range(len(out)):
        distance = min(abs(value[i] - location[i]) / scale[i], _LARGEST)
        half = step[i] / (_TWO * scale[i])
        probability = _upper_tail(distance - half) - _upper_tail(distance + half)
        out[i] = -log(max(probability, _SMALLEST))
