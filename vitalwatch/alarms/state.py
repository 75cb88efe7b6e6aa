"""Per-patient state as preallocated arrays, one row a patient."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch.arrays import Ints

NEVER: Final = -(2**61)
"""A time that has not been: so far back that any delay since then is over, without overflow."""


class Field(NamedTuple):
    """One array of state: a row is ``width`` numbers (0: one number), ``initial`` at first."""

    dtype: npt.DTypeLike
    width: int
    initial: float


class Columns:
    """Arrays of state that grow and are cleared together; see ``fields`` for each."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self._fields = dict(fields)
        self._arrays: dict[str, npt.NDArray[Any]] = {
            name: self._blank(field, 0) for name, field in self._fields.items()
        }

    @staticmethod
    def _blank(field: Field, rows: int) -> npt.NDArray[Any]:
        shape = (rows, field.width) if field.width else (rows,)
        return np.full(shape, field.initial, dtype=field.dtype)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """The array itself, to be changed in place; grow() replaces it."""
        return self._arrays[name]

    @property
    def row_bytes(self) -> int:
        """What one patient takes."""
        blank = (self._blank(field, 1) for field in self._fields.values())
        return sum(array.nbytes for array in blank)

    def grow(self, capacity: int) -> None:
        """Have at least ``capacity`` rows; rows there are keep their content."""
        for name, field in self._fields.items():
            array = self._arrays[name]
            missing = capacity - len(array)
            if missing > 0:
                self._arrays[name] = np.concatenate([array, self._blank(field, missing)])

    def clear(self, rows: Ints) -> None:
        """Make these rows as new."""
        for name, field in self._fields.items():
            self._arrays[name][rows] = field.initial
