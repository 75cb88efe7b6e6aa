"""Patients' state: one record a patient, in one block of memory.

Every room that remembers something of a patient declares its fields here and sees each as an
array with one row a patient. The fields of one patient lie side by side, so a reading of one among
a million patients touches a few consecutive cache lines and not one line in each of thirty arrays;
and a patient's state can be copied out, and put back elsewhere, as one row of bytes.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch.arrays import Floats, Ints

NEVER: Final = -(2**61)
"""A time (ms) that has not been: so far back that any delay since then is over, no overflow."""

_FIRST_ROWS: Final = 64
_CACHE_LINE: Final = 64


class Field(NamedTuple):
    """A row's part: ``width`` numbers (0: one number), ``initial`` at first (one, or ``width``).

    ``of`` names what the numbers are of, such as the vitals.
    """

    dtype: npt.DTypeLike
    width: int
    initial: Any
    of: tuple[str, ...] = ()


class Table:
    """Rows of state, handed out by :meth:`take` and given back by :meth:`free`.

    All fields are declared before the first row is asked for. Arrays that were got before a row
    was taken, or the table grew, may not be the table's any more.
    """

    def __init__(self) -> None:
        self._fields: dict[str, Field] = {}
        self._views: dict[str, npt.NDArray[Any]] = {}
        self._raw: npt.NDArray[np.uint8] = np.empty((0, 0), dtype=np.uint8)
        self._blank: npt.NDArray[np.uint8] = np.empty(0, dtype=np.uint8)
        self._words: Floats = np.empty(0, dtype=np.float32)
        self._stretches: dict[tuple[str, ...], np.uint64] = {}
        self._free: list[int] = []

    def declare(self, fields: Mapping[str, Field]) -> None:
        """Add fields to every row; ValueError for a name that is taken, or when rows exist."""
        if self.capacity or self._fields.keys() & fields.keys():
            raise ValueError(f"fields cannot be declared: {', '.join(fields)}")
        self._fields.update(fields)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """One field of all rows, ``(R,)`` or ``(R, width)``, to be changed in place."""
        if not self._views:
            self.grow(_FIRST_ROWS)
        return self._views[name]

    def words(self, names: tuple[str, ...]) -> tuple[Floats, np.uint64, np.uint64]:
        """Several float32 fields as one stretch of numbers, for loops that move them at once.

        Gives all rows end to end, as numbers; how many numbers a row has; and at which of them
        the fields begin. Raises ValueError unless the fields lie side by side in this order, as
        those of one declaration do.
        """
        if not self._views:
            self.grow(_FIRST_ROWS)
        if names not in self._stretches:
            parts = [self._dtype().fields[name] for name in names]  # type: ignore[index]
            begins, ends = [p[1] for p in parts], [p[1] + p[0].itemsize for p in parts]
            if begins[1:] != ends[:-1] or any(p[0].base != np.float32 for p in parts):
                raise ValueError(f"fields that are no stretch of numbers: {', '.join(names)}")
            self._stretches[names] = np.uint64(begins[0] // 4)
        return self._words, np.uint64(self._raw.shape[1] // 4), self._stretches[names]

    @property
    def capacity(self) -> int:
        """Rows that exist, in use or not."""
        return len(self._raw)

    @property
    def row_bytes(self) -> int:
        """Bytes of state a patient."""
        return self._dtype().itemsize

    @property
    def layout(self) -> str:
        """Twelve hexadecimal digits that stand for the fields: rows of equal layout fit.

        What the numbers are of counts too: as many conditions as before, in another order, would
        fit and be taken for each other.
        """
        text = repr([(name, f.dtype, f.width, f.of) for name, f in self._fields.items()])
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

    def take(self) -> int:
        """A blank row."""
        if not self._free:
            self.grow(max(_FIRST_ROWS, 2 * self.capacity))
        return self._free.pop()

    def free(self, rows: Ints) -> None:
        """Give rows back, blank."""
        self.clear(rows)
        self._free.extend(rows.tolist())

    def clear(self, rows: Ints) -> None:
        """Make these rows as new."""
        self._raw[rows] = self._blank

    def copy(self, rows: Ints) -> npt.NDArray[np.uint8]:
        """The content of these rows, ``(n, row_bytes)``."""
        if not len(rows):  # perhaps there is no row yet
            return np.empty((0, self.row_bytes), dtype=np.uint8)
        copied: npt.NDArray[np.uint8] = self._raw[rows]
        return copied

    def put(self, rows: Ints, content: npt.NDArray[np.uint8]) -> None:
        """Overwrite these rows with what :meth:`copy` gave, here or in a table of equal layout."""
        if len(rows):
            self._raw[rows] = content

    def grow(self, capacity: int) -> None:
        """Have at least ``capacity`` rows; rows that exist keep their content."""
        old = self.capacity
        if capacity <= old:
            return
        dtype = self._dtype()
        if not old:
            self._blank = self._initial(dtype)
        raw = np.empty((capacity, dtype.itemsize), dtype=np.uint8)
        if old:
            raw[:old] = self._raw
        raw[old:] = self._blank
        self._raw = raw
        self._words = raw.reshape(-1).view(np.float32)
        records = raw.reshape(-1).view(dtype)
        self._views = {name: records[name] for name in self._fields}
        self._free.extend(range(capacity - 1, old - 1, -1))

    def _dtype(self) -> np.dtype[Any]:
        """One record: the widest numbers first, so that all are aligned."""
        order = sorted(self._fields.items(), key=lambda item: -np.dtype(item[1].dtype).itemsize)
        names = [name for name, _ in order]
        formats = [(f.dtype, (f.width,)) if f.width else f.dtype for _, f in order]
        offsets = np.cumsum([0, *(np.dtype(f).itemsize for f in formats)])
        size = -(-int(offsets[-1]) // _CACHE_LINE) * _CACHE_LINE
        parts = {"names": names, "formats": formats, "offsets": offsets[:-1], "itemsize": size}
        return np.dtype(parts)  # type: ignore[call-overload, no-any-return]

    def _initial(self, dtype: np.dtype[Any]) -> npt.NDArray[np.uint8]:
        blank = np.zeros(1, dtype=dtype)
        for name, field in self._fields.items():
            blank[name] = field.initial
        return blank.view(np.uint8)
