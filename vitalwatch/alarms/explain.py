"""What the network says of its readings, for the words of an alert."""

from dataclasses import dataclass
from typing import Final

from vitalwatch.arrays import Bytes8, Floats

SUDDEN: Final = 0
UNUSUAL: Final = 1
DANGEROUS: Final = 2
HEADING: Final = 3
"""What makes a value rare: its change, its distance from the patient's own normal, its level, or
what the network foretells of it."""

CAUSES: Final = ("sudden change", "unusual for the patient", "near a limit", "heading for danger")
"""The same in words, by number."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why n readings are rare, by vital; each (n, V), NaN where it cannot be told.

    ``share`` of the whole, in [0, 1], and ``cause``: one of those above, whichever gave
    most of it; ``observed`` the value last seen; ``expected``, ``low`` and ``high`` what is normal
    for the patient, in the vital's unit; ``outside`` s for which the vital has been outside of
    low to high, negative below, 0 inside.
    """

    share: Floats
    cause: Bytes8
    observed: Floats
    expected: Floats
    low: Floats
    high: Floats
    outside: Floats
