"""Whose row of state is which: from names, as they stand in records, to rows, and back.

For each partition a hash table over a block of name bytes, without a Python object a patient. The
same name in two partitions is two patients.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch.arrays import Buffer, Ints, Spans
from vitalwatch.compiled import compiled

NOBODY: Final = -1

_FIRST_SLOTS: Final = 64
_FIRST_BYTES: Final = 1024
_AT_ONCE: Final = 256
_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_PRIME: Final = np.uint64(0x100000001B3)
_HALF: Final = np.uint64(32)

# What a look-up compares lies side by side, four slots to a cache line.
_SLOT: Final = [("hash", np.uint32), ("row", np.int32), ("start", np.uint32), ("length", np.int32)]
_OWNER: Final = [("partition", np.int32), ("start", np.uint32), ("length", np.int32)]


class _Slots(NamedTuple):
    """A hash table (S,), S a power of 2, with linear probing; a slot is free where ``row`` is -1.

    ``start`` and ``length`` say where the name is.
    """

    hash: npt.NDArray[np.uint32]
    row: npt.NDArray[np.int32]
    start: npt.NDArray[np.uint32]
    length: npt.NDArray[np.int32]


class _Owners(NamedTuple):
    """By row (R,): the partition, -1 where the row is nobody's, and where the name is."""

    partition: npt.NDArray[np.int32]
    start: npt.NDArray[np.uint32]
    length: npt.NDArray[np.int32]


class _Partition:
    """The names of one partition; of ``end`` bytes written, ``used`` are of who is still here."""

    __slots__ = ("count", "end", "names", "slots", "used")

    def __init__(self) -> None:
        self.slots = _slots(_FIRST_SLOTS)
        self.names: Buffer = np.empty(_FIRST_BYTES, dtype=np.uint8)
        self.count = self.end = self.used = 0


class Register:
    """The patients of all partitions; a partition is a number that the caller gives it."""

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}
        self._owners = _owners(0)
        self.count = 0

    @property
    def nbytes(self) -> int:
        """Bytes that the register takes."""
        held = self._partitions.values()
        slots = sum(len(each.slots.row) * np.dtype(_SLOT).itemsize for each in held)
        names = sum(each.names.nbytes for each in held)
        return slots + names + len(self._owners.partition) * np.dtype(_OWNER).itemsize

    def rows(self, partition: int, patients: Spans) -> Ints:
        """The rows of these patients (n,), -1 for who is not known in the partition."""
        rows = np.full(len(patients), NOBODY)
        held = self._partitions.get(partition)
        if held is not None:
            _find(held.slots, held.names, patients.data, patients.starts, patients.lengths, rows)
        return rows

    def enter(self, partition: int, patients: Spans, rows: Ints) -> None:
        """Give ``rows`` (n,) to ``patients`` (n), none of whom is known, nor there twice."""
        held = self._partitions.setdefault(partition, _Partition())
        size = int(patients.lengths.sum())
        self._make_room(held, len(patients), size)
        highest = int(rows.max(initial=NOBODY))
        if highest >= len(self._owners.partition):
            owners = _owners(2 * (highest + 1))
            for old, new in zip(self._owners, owners, strict=True):
                new[: len(old)] = old
            self._owners = owners
        _enter(
            held.slots, held.names, held.end, self._owners, partition,
            patients.data, patients.starts, patients.lengths, rows,
        )  # fmt: skip
        held.end += size
        held.used += size
        held.count += len(rows)
        self.count += len(rows)

    def leave(self, rows: Ints) -> None:
        """Forget the patients of these rows (n,), all of one partition."""
        if len(rows):
            held = self._partitions[int(self._owners.partition[rows[0]])]
            held.used -= int(self._owners.length[rows].sum())
            held.count -= len(rows)
            self.count -= len(rows)
            _leave(held.slots, held.names, self._owners, rows)

    def close(self, partition: int) -> Ints:
        """Forget a partition; the rows (n,) that were its patients'."""
        rows = self.of(partition)
        self._owners.partition[rows] = NOBODY
        self._partitions.pop(partition, None)
        self.count -= len(rows)
        return rows

    def of(self, partition: int) -> Ints:
        """The rows of a partition's patients (n,), ascending."""
        return np.flatnonzero(self._owners.partition == partition)

    def partition(self, row: int) -> int:
        """Whose patient has this row."""
        return int(self._owners.partition[row])

    def name(self, row: int) -> str:
        """The name of the patient of this row."""
        partition, start, length = (int(column[row]) for column in self._owners)
        return self._partitions[partition].names[start : start + length].tobytes().decode()

    def names(self, rows: Ints) -> Spans:
        """The names of these rows (n,), all of one partition, one after the other."""
        if not len(rows):
            return Spans.of([])
        held = self._partitions[int(self._owners.partition[rows[0]])]
        starts = self._owners.start[rows].astype(np.int64)
        lengths = self._owners.length[rows].astype(np.int64)
        return Spans(held.names, starts, lengths).packed()

    def _make_room(self, held: _Partition, names: int, size: int) -> None:
        slots, room = len(held.slots.row), len(held.names)
        if 2 * (held.count + names) <= slots and held.end + size <= room:
            return
        while slots < 2 * (held.count + names):
            slots *= 2
        room = max(room, 2 * (held.used + size))
        old, held.slots = held.slots, _slots(slots)
        before, held.names = held.names, np.empty(room, dtype=np.uint8)
        held.end = _rebuild(old, before, held.slots, held.names, self._owners.start)


def _slots(size: int) -> _Slots:
    table: npt.NDArray[Any] = np.zeros(size, dtype=_SLOT)
    table["row"] = NOBODY
    return _Slots(*(table[name] for name, _ in _SLOT))


def _owners(size: int) -> _Owners:
    table: npt.NDArray[Any] = np.zeros(size, dtype=_OWNER)
    table["partition"] = NOBODY
    return _Owners(*(table[name] for name, _ in _OWNER))


@compiled
def hashed(data: Buffer, start: int, length: int) -> np.uint32:
    """A hash of bytes, the same everywhere and always: FNV-1a of 64 bits, folded."""
    value = _OFFSET
    for place in range(start, start + length):
        value = (value ^ np.uint64(data[place])) * _PRIME
    return np.uint32(value ^ (value >> _HALF))


@compiled
def _find(
    slots: _Slots, names: Buffer, data: Buffer, starts: Ints, lengths: Ints, rows: Ints
) -> None:
    """In three passes over a few names each, so that memory is waited for side by side."""
    last, count = len(slots.row) - 1, len(starts)
    hashes, found = np.empty(_AT_ONCE, dtype=np.uint32), np.empty(_AT_ONCE, dtype=np.int64)
    for begin in range(0, count, _AT_ONCE):
        end = min(begin + _AT_ONCE, count)
        for i in range(begin, end):
            hashes[i - begin] = hashed(data, starts[i], lengths[i])
        for i in range(begin, end):
            wanted = hashes[i - begin]
            slot = int(wanted) & last
            while slots.row[slot] != NOBODY and slots.hash[slot] != wanted:
                slot = (slot + 1) & last
            found[i - begin] = slot
        for i in range(begin, end):
            slot, start, length = found[i - begin], starts[i], lengths[i]
            while slots.row[slot] != NOBODY:  # seldom more than once: other names of equal hash
                same = slots.hash[slot] == hashes[i - begin] and slots.length[slot] == length
                if same:
                    first = int(slots.start[slot])
                    for place in range(length):
                        same &= names[first + place] == data[start + place]
                if same:
                    break
                slot = (slot + 1) & last
            rows[i] = slots.row[slot]


@compiled
def _enter(
    slots: _Slots,
    names: Buffer,
    end: int,
    owners: _Owners,
    partition: int,
    data: Buffer,
    starts: Ints,
    lengths: Ints,
    rows: Ints,
) -> None:
    last = len(slots.row) - 1
    for i in range(len(rows)):
        start, length, row = starts[i], lengths[i], rows[i]
        wanted = hashed(data, start, length)
        slot = int(wanted) & last
        while slots.row[slot] != NOBODY:
            slot = (slot + 1) & last
        slots.hash[slot], slots.row[slot] = wanted, row
        slots.start[slot], slots.length[slot] = end, length
        owners.partition[row] = partition
        owners.start[row], owners.length[row] = end, length
        for place in range(length):
            names[end + place] = data[start + place]
        end += length


@compiled
def _leave(slots: _Slots, names: Buffer, owners: _Owners, rows: Ints) -> None:
    last = len(slots.row) - 1
    for row in rows:
        wanted = hashed(names, int(owners.start[row]), int(owners.length[row]))
        free = int(wanted) & last
        while slots.row[free] != row:
            free = (free + 1) & last
        # Whoever was put further on because of this one moves up, or a look-up would stop here.
        slot = free
        while True:
            slot = (slot + 1) & last
            if slots.row[slot] == NOBODY:
                break
            home = int(slots.hash[slot]) & last
            if (slot - home) & last >= (slot - free) & last:
                slots.hash[free], slots.row[free] = slots.hash[slot], slots.row[slot]
                slots.start[free], slots.length[free] = slots.start[slot], slots.length[slot]
                free = slot
        slots.row[free] = NOBODY
        owners.partition[row] = NOBODY


@compiled
def _rebuild(
    old: _Slots,
    before: Buffer,
    slots: _Slots,
    names: Buffer,
    starts: npt.NDArray[np.uint32],
) -> int:
    """Fill a blank table, and the block of names without gaps; ``starts`` is by row. Its end."""
    last, end = len(slots.row) - 1, 0
    for place in range(len(old.row)):
        row = old.row[place]
        if row == NOBODY:
            continue
        slot = int(old.hash[place]) & last
        while slots.row[slot] != NOBODY:
            slot = (slot + 1) & last
        slots.hash[slot], slots.row[slot] = old.hash[place], row
        slots.start[slot], slots.length[slot] = end, old.length[place]
        starts[row] = end
        begin = int(old.start[place])
        for byte in range(old.length[place]):
            names[end + byte] = before[begin + byte]
        end += old.length[place]
    return end
