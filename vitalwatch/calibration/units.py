"""Whether a recording's values can be in the units that they should be in.

Wrong units are no faint signal: almost all values are off by the same factor. So it is the middle
value that tells, and neither artefacts nor the very ill, the very young or the very old.
"""

from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats

_FEWEST: Final = 10
"""Values other than 0 (a sensor that is off) below which nothing is said."""


class _Unit(NamedTuple):
    """What a vital's middle value lies within, in another unit."""

    low: float
    high: float
    name: str


_OTHERS: Final = {
    "hr": (_Unit(0.3, 5, "beats per second"),),
    "spo2": (_Unit(0.2, 1, "a fraction"),),
    "sbp": (_Unit(6, 27, "kPa"),),
    "dbp": (_Unit(3, 9.9, "kPa"),),
    "map": (_Unit(4, 19.9, "kPa"),),
    "temp": (_Unit(82, 115, "°F"), _Unit(295, 320, "K")),
    "etco2": (_Unit(1.5, 9.9, "kPa or %"),),
}


def doubts(values: Floats) -> list[str]:
    """What is wrong with values (n, V), a sentence a vital; empty if they can be right."""
    found = []
    for place, vital in enumerate(vitals.VITALS):
        told = values[:, place]
        told = told[~np.isnan(told) & (told != 0)]
        if len(told) < _FEWEST:
            continue
        middle = float(np.median(told))
        low, high = vital.plausible
        unit = next((u for u in _OTHERS.get(vital.name, ()) if u.low <= middle <= u.high), None)
        if unit is not None:
            found.append(
                f"{vital.name} has the middle value {middle:.4g}, as in {unit.name}: "
                f"it must be in {vital.unit}"
            )
        elif not low <= middle <= high:
            found.append(
                f"{vital.name} has the middle value {middle:.4g} {vital.unit}, which no patient "
                f"has ({low:g} to {high:g})"
            )
    return found
