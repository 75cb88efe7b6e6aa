"""What the network says of its readings, for the words of an alert."""

from dataclasses import dataclass

from vitalwatch.arrays import Floats


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why n readings are rare, by vital; each (n, V), NaN where it cannot be told.

    ``share`` of the whole, in [0, 1]; ``observed`` the value last seen; ``expected``, ``low`` and
    ``high`` what was expected, in the vital's unit; ``outside`` s for which the vital has been
    outside of low to high, negative below, 0 inside.
    """

    share: Floats
    observed: Floats
    expected: Floats
    low: Floats
    high: Floats
    outside: Floats
