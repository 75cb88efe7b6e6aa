"""Who of a partition has not been heard of for so long that he is gone, by its stream time."""

from typing import Final

import numpy as np

from vitalwatch.arrays import Ints
from vitalwatch.compiled import compiled
from vitalwatch.heap import rise, sink

_FIRST_SIZE: Final = 64


class Departures:
    """For each patient a time, not after he is gone, at which to look at him again.

    So a patient is looked at about once in the time after which he would be gone, however many
    readings and patients there are.
    """

    def __init__(self, gone_ms: int) -> None:
        """A patient is gone ``gone_ms`` after the last reading."""
        self._gone_ms = gone_ms
        self._times = np.empty(_FIRST_SIZE, dtype=np.int64)
        self._rows = np.empty(_FIRST_SIZE, dtype=np.int64)
        self._size = 0

    def expect(self, rows: Ints, times: Ints) -> None:
        """Look out for new patients (n,), who were heard of at ``times`` (n,) ms, or later."""
        room = self._size + len(rows)
        if room > len(self._times):
            self._times = np.resize(self._times, 2 * room)
            self._rows = np.resize(self._rows, 2 * room)
        _enter(self._times, self._rows, self._size, rows, times, self._gone_ms)
        self._size += len(rows)

    def due(self, stream: int, last: Ints) -> Ints:
        """Rows (n,), ascending, of who is gone at this stream time; they are let go of.

        ``last`` (R,) is by row: the time of the patient's last reading, ms.
        """
        if not self._size or self._times[0] > stream:
            return np.empty(0, dtype=np.int64)
        end = self._size
        self._size = _due(self._times, self._rows, end, stream, last, self._gone_ms)
        return np.sort(self._rows[self._size : end])


@compiled
def _enter(times: Ints, rows: Ints, size: int, new: Ints, heard: Ints, gone_ms: int) -> None:
    for i in range(len(new)):
        rise(times, rows, size + i, heard[i] + gone_ms, new[i])


@compiled
def _due(times: Ints, rows: Ints, size: int, stream: int, last: Ints, gone_ms: int) -> int:
    """The heap's new size; who is gone takes the places that become free at its end."""
    while size > 0 and times[0] <= stream:
        row = rows[0]
        gone = last[row] + gone_ms
        if gone > stream:
            sink(times, rows, size, gone, row)
        else:
            size -= 1
            sink(times, rows, size, times[size], rows[size])
            rows[size] = row
    return size
