"""A heap of times, each with a row of state: the earliest is at place 0.

``times`` and ``rows`` (m,) are two arrays of equal length of which the first places are in use.
"""

from vitalwatch.arrays import Ints
from vitalwatch.compiled import compiled


@compiled
def rise(times: Ints, rows: Ints, place: int, time: int, row: int) -> None:
    """Put an entry at the end of a heap (``place``), or above, where it belongs."""
    while place > 0 and times[(place - 1) // 2] > time:
        above = (place - 1) // 2
        times[place], rows[place] = times[above], rows[above]
        place = above
    times[place], rows[place] = time, row


@compiled
def sink(times: Ints, rows: Ints, size: int, time: int, row: int) -> None:
    """Put an entry in the place of a heap's first, or below, where it belongs."""
    place = 0
    while 2 * place + 1 < size:
        below = 2 * place + 1
        if below + 1 < size and times[below + 1] < times[below]:
            below += 1
        if times[below] >= time:
            break
        times[place], rows[place] = times[below], rows[below]
        place = below
    times[place], rows[place] = time, row
