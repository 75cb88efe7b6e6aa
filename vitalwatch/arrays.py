"""What the rooms exchange: names for array types (shapes stand in each docstring), and spans."""

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bytes8 = npt.NDArray[np.int8]
Words16 = npt.NDArray[np.int16]
Bools = npt.NDArray[np.bool_]
Buffer = npt.NDArray[np.uint8]


class Spans(Sequence[bytes | None]):
    """Many short byte strings as stretches of one buffer; some may be missing (None).

    ``data`` (B,) uint8, seen as read-only; ``starts`` and ``lengths`` (n,), a length of -1 where
    there is none.
    """

    __slots__ = ("data", "lengths", "starts")

    def __init__(self, data: Buffer, starts: Ints, lengths: Ints) -> None:
        if data.flags.writeable:
            # Compiled loops take the two kinds for different types: bytes of a second kind would
            # have them all compiled once more, with readings waiting.
            data = data.view()
            data.flags.writeable = False
        self.data = data
        self.starts = starts
        self.lengths = lengths

    @classmethod
    def of(cls, items: Iterable[bytes | str | None]) -> "Spans":
        """From single ones; a text becomes UTF-8."""
        parts = [item.encode() if isinstance(item, str) else item for item in items]
        lengths = np.array([-1 if part is None else len(part) for part in parts], dtype=np.int64)
        ends = np.cumsum(np.maximum(lengths, 0))
        data = np.frombuffer(b"".join(part or b"" for part in parts), dtype=np.uint8)
        return cls(data, ends - np.maximum(lengths, 0), lengths)

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> bytes | None: ...
    @overload
    def __getitem__(self, place: slice) -> "Spans": ...
    def __getitem__(self, place: int | slice) -> "bytes | Spans | None":
        if isinstance(place, slice):
            return self.at(place)
        start, length = self.starts[place], self.lengths[place]
        return None if length < 0 else self.data[start : start + length].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        content = self.data.tobytes()
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            yield None if length < 0 else content[start : start + length]

    def at(self, places: slice | Ints | Bools) -> "Spans":
        """Those at ``places``, of the same buffer."""
        return Spans(self.data, self.starts[places], self.lengths[places])

    def packed(self) -> "Spans":
        """The same, one after the other in a buffer of their own."""
        sizes = np.maximum(self.lengths, 0)
        ends = np.cumsum(sizes)
        begins = ends - sizes
        places = np.repeat(self.starts - begins, sizes) + np.arange(sizes.sum())
        return Spans(self.data[places], begins, self.lengths)

    def texts(self) -> list[str]:
        """All as texts; a missing one becomes empty."""
        return [item.decode() if item else "" for item in self]
