"""How rare a value is among those that quiet patients showed."""

from typing import Final

import numpy as np

from vitalwatch.arrays import Doubles, Floats
from vitalwatch.scoring.evidence import TAIL_LOGS

_TELLING: Final = 20
"""So many values beyond it say how rare a value is: those of one patient are much alike."""

_DECADE: Final = 4  # places in TAIL_LOGS


def weighted_tail(values: Floats, weights: Doubles) -> Doubles:
    """Values exceeded with each frequency of TAIL_LOGS; beyond what so many can tell, on a line.

    ``values`` and ``weights`` (n,), one at least. A vital that is measured now and then has few
    values, the largest of which would stand for all rarer ones: what is a little larger would then
    pass for something that never happens.
    """
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    wanted = 1 - 10.0**-TAIL_LOGS
    found = np.searchsorted(below, wanted * below[-1], side="left").clip(max=len(order) - 1)
    tail = np.asarray(values[order][found], dtype=np.float64)
    told = float(np.log10(max(weights.sum() ** 2 / (weights**2).sum() / _TELLING, 1)))
    last = max(int(np.searchsorted(TAIL_LOGS, told, side="right")) - 1, _DECADE)
    slope = tail[last] - tail[last - _DECADE]
    tail[last:] = tail[last] + slope * (TAIL_LOGS[last:] - TAIL_LOGS[last])
    return tail
