"""Where patients' state lies: dense arrays, one row a patient, grown by doubling."""

import numpy as np

from vitalwatch.arrays import Bytes8, Floats, Ints
from vitalwatch.scoring.features import Memory

UNSEEN = np.iinfo(np.int64).min
"""``times`` of a row whose patient has not been seen yet."""


class Slab:
    """State rows: ``hidden``, ``cell`` (R, H), ``memory`` (R, 6 V), ``times`` (R,); and ``held``,
    ``cause``, ``outside`` (R, V).

    ``held`` is each vital's last part in the evidence, valid while the vital is fresh, and
    ``cause`` the term that gave most of it; ``outside`` signed seconds outside of the usual;
    ``times`` (R,) ms of the patient's last reading, UNSEEN if none. Rows are handed out by
    :meth:`take` and given back by :meth:`free`.
    """

    def __init__(self, hidden: int, vitals: int, capacity: int = 64) -> None:
        self.hidden: Floats = np.zeros((capacity, hidden), dtype=np.float32)
        self.cell: Floats = np.zeros((capacity, hidden), dtype=np.float32)
        self.memory: Floats = Memory.blank(capacity)
        self.held: Floats = np.zeros((capacity, vitals), dtype=np.float32)
        self.cause: Bytes8 = np.zeros((capacity, vitals), dtype=np.int8)
        self.outside: Floats = np.zeros((capacity, vitals), dtype=np.float32)
        self.times: Ints = np.full(capacity, UNSEEN, dtype=np.int64)
        self._free = list(range(capacity - 1, -1, -1))

    @property
    def capacity(self) -> int:
        """Rows that exist, in use or not."""
        return len(self.times)

    @property
    def row_bytes(self) -> int:
        """Bytes of state a patient."""
        floats = (self.hidden, self.cell, self.memory, self.held, self.outside)
        others = self.cause.nbytes + self.times.nbytes
        return (sum(array.nbytes for array in floats) + others) // self.capacity

    def take(self) -> int:
        """A blank row for a new patient."""
        if not self._free:
            self._grow()
        return self._free.pop()

    def free(self, rows: Ints) -> None:
        """Give rows back, blank."""
        self.blank(rows)
        self._free.extend(int(row) for row in rows)

    def blank(self, rows: Ints) -> None:
        """Forget all about these rows' patients."""
        self.hidden[rows] = 0
        self.cell[rows] = 0
        self.memory[rows] = Memory.blank(1)
        self.held[rows] = 0
        self.cause[rows] = 0
        self.outside[rows] = 0
        self.times[rows] = UNSEEN

    def _grow(self) -> None:
        old = self.capacity
        self.hidden = np.concatenate((self.hidden, np.zeros_like(self.hidden)))
        self.cell = np.concatenate((self.cell, np.zeros_like(self.cell)))
        self.memory = np.concatenate((self.memory, Memory.blank(old)))
        self.held = np.concatenate((self.held, np.zeros_like(self.held)))
        self.cause = np.concatenate((self.cause, np.zeros_like(self.cause)))
        self.outside = np.concatenate((self.outside, np.zeros_like(self.outside)))
        self.times = np.concatenate((self.times, np.full(old, UNSEEN, dtype=np.int64)))
        self._free = list(range(2 * old - 1, old - 1, -1))
