"""Readings in time order, whatever the order of the file, in bounded memory.

An external merge sort: runs of ``RUN`` rows are sorted in memory and, if there is more than
one, kept in a temporary file and merged. It is stable: of readings with the same time the one
that comes first in the file comes first.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final, Literal

import numpy as np

from vitalwatch.errors import RecordingError
from vitalwatch.recordings.rows import ROW, Rows

RUN: Final = 1 << 19  # rows; 55 MB


@dataclass
class Ordered:
    """All rows of a recording; iterate once for ``(n,)`` arrays of rows in time order.

    ``first`` and ``last`` are the times of the ends, in ms; 0 if there are no rows.
    """

    count: int
    first: int
    last: int
    parts: Iterator[Rows]


@contextmanager
def in_time_order(parts: Iterable[Rows], run: int = RUN) -> Iterator[Ordered]:
    """Take in all rows, at most ``run`` in memory at a time, and give them back in order.

    Raises RecordingError if the temporary file finds no room.
    """
    with tempfile.TemporaryFile() as spool:
        held: list[Rows] = []
        lengths: list[int] = []
        first, last = np.iinfo(np.int64).max, 0
        for part in parts:
            if len(part):
                first, last = min(first, part["time"].min()), max(last, part["time"].max())
            held.append(part)
            if sum(map(len, held)) >= run:
                lengths.append(_spill(_sorted(held), spool))
                held.clear()
        rows = _sorted(held)
        count = sum(lengths) + len(rows)
        if lengths:
            lengths.append(_spill(rows, spool))
            held.clear()
            ordered = _merged(spool, lengths, run)
        else:
            ordered = iter([rows])
        del rows
        yield Ordered(count, int(first) if count else 0, int(last), ordered)


def _sorted(parts: list[Rows]) -> Rows:
    rows: Rows = np.concatenate([np.empty(0, ROW), *parts])
    if (np.diff(rows["time"]) < 0).any():
        rows = rows[np.argsort(rows["time"], kind="stable")]
    return rows


def _spill(rows: Rows, spool: IO[bytes]) -> int:
    try:
        spool.write(rows.tobytes())
        spool.flush()
    except OSError as error:
        raise RecordingError(
            f"Cannot sort the recording in {tempfile.gettempdir()}: {error.strerror}. "
            "Set TMPDIR to a folder with more room."
        ) from None
    return len(rows)


class _Run:
    """One sorted run in the temporary file, of which a block is in memory."""

    def __init__(self, spool: IO[bytes], start: int, length: int, block: int) -> None:
        self._spool = spool
        self._next, self._end = start, start + length
        self._block = block
        self.rows: Rows = np.empty(0, ROW)

    @property
    def on_disk(self) -> bool:
        return self._next < self._end

    def refill(self) -> None:
        if len(self.rows) == 0 and self.on_disk:
            count = min(self._block, self._end - self._next)
            self._spool.seek(self._next * ROW.itemsize)
            self.rows = np.frombuffer(self._spool.read(count * ROW.itemsize), ROW)
            self._next += count

    def take(self, count: int) -> Rows:
        taken, self.rows = self.rows[:count], self.rows[count:]
        return taken


def _merged(spool: IO[bytes], lengths: list[int], run: int) -> Iterator[Rows]:
    """Merge the runs, a block of each at a time.

    What is still on disk comes after the block in memory, so all up to the earliest end of a
    block can go. Of equal times those of earlier runs go first.
    """
    block = max(run // len(lengths), 1)
    starts = np.cumsum([0, *lengths])
    runs = [
        _Run(spool, int(start), length, block)
        for start, length in zip(starts, lengths, strict=False)
    ]
    while True:
        for each in runs:
            each.refill()
        runs = [each for each in runs if len(each.rows)]
        open_ends = [(each.rows["time"][-1], at) for at, each in enumerate(runs) if each.on_disk]
        if not open_ends:
            yield _sorted([each.rows for each in runs])
            return
        end, limiting = min(open_ends)
        taken = []
        for at, each in enumerate(runs):
            side: Literal["left", "right"] = "right" if at <= limiting else "left"
            taken.append(each.take(int(np.searchsorted(each.rows["time"], end, side))))
        yield _sorted(taken)
