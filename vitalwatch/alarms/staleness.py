"""Who has not been heard of for too long, by the stream time of the patient's partition.

A patient's deadline moves on with every reading, so nobody keeps a list of deadlines up to date.
Each partition has a heap of times at which to look at somebody again, never after his deadline:
when that time comes he is either lost, or is looked at again at the deadline that he has by then.
So a patient is looked at about once in the time after which he would be lost, and no reading
costs more the more patients there are.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.compiled import AHEAD, compiled, fetch
from vitalwatch.heap import rise, sink
from vitalwatch.state import NEVER, Field, Table

LOST_INTERVALS: Final = np.float32(5)
"""A signal, of a patient or of one vital, may stay away for so many of its usual intervals."""

SMOOTHING: Final = np.float32(0.25)
"""How far the usual interval moves towards the last one."""

FOREVER: Final = -NEVER

_FIRST_SIZE: Final = 64


_PLAN: Final = np.dtype([("look", np.int64), ("partition", np.int64)])
"""When to look at a patient again, and in which partition's heap that stands."""


class _Presence(NamedTuple):
    """By row (R,): the last reading, the usual ms between readings, and what is planned."""

    read: Ints
    pace: Floats
    plans: npt.NDArray[Any]


class _Heap:
    """Times and whom to look at then, the earliest first; what lies beyond ``size`` is room.

    An entry counts only if it is what is planned for the patient.
    """

    __slots__ = ("rows", "size", "times")

    def __init__(self) -> None:
        self.times = np.empty(_FIRST_SIZE, dtype=np.int64)
        self.rows = np.empty(_FIRST_SIZE, dtype=np.int64)
        self.size = 0


class Staleness:
    """When each patient was last heard of, and who is lost."""

    def __init__(self, table: Table, stale_ms: int) -> None:
        self._stale_ms = np.float32(stale_ms)
        self._heaps: dict[int, _Heap] = {}  # by partition
        self._plans: npt.NDArray[Any] = np.empty(0, dtype=_PLAN)  # by row; not part of its state
        self._state = table
        table.declare({"read": Field(np.int64, 0, NEVER), "pace": Field(np.float32, 0, np.nan)})

    def note(
        self, rows: Ints, times: Ints, stream: Ints, partition: Ints
    ) -> tuple[Ints, Ints, Bools]:
        """Remember a reading of each of n patients; see :meth:`Alarms.assess`.

        What was before it: the last reading's time (n,) ms, NEVER if there was none; the patient's
        deadline (n,) ms; and whether the stream had reached that (n,).
        """
        count = len(rows)
        before, deadline = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        stale = np.empty(count, dtype=np.bool_)
        sooner = np.empty(count, dtype=np.int64)
        found = _note(
            rows, times, stream, partition, self._presence(), self._stale_ms,
            before, deadline, stale, sooner,
        )  # fmt: skip
        if found:
            sooner = sooner[:found]
            for number in np.unique(partition[sooner]).tolist():
                self._look(rows[sooner[partition[sooner] == number]], number)
        return before, deadline, stale

    def adopt(self, rows: Ints, partition: int) -> None:
        """Expect readings of these patients (n,), of whom the table knows, in this partition."""
        plans = self._presence().plans
        plans["look"][rows], plans["partition"][rows] = self.deadlines(rows), partition
        self._look(rows, partition)

    def forget(self, rows: Ints) -> None:
        """Expect nothing of these patients (n,) any more."""
        self._presence().plans["look"][rows] = FOREVER

    def close(self, partition: int) -> None:
        """Let go of a partition, all of whose patients are forgotten."""
        self._heaps.pop(partition, None)

    def deadlines(self, rows: Ints) -> Ints:
        """When the signals of these patients (n,) count as lost, (n,) ms.

        A patient who is charted once an hour has not lost his signal after five minutes.
        """
        deadlines = np.empty(len(rows), dtype=np.int64)
        _deadlines(rows, self._presence(), self._stale_ms, deadlines)
        return deadlines

    def due(self, partition: int, stream: int) -> tuple[Ints, Ints]:
        """Rows of a partition whose signal is lost at its stream time, and their deadlines.

        In order of row. Each is told once, until there is a reading again.
        """
        heap = self._heaps.get(partition)
        if heap is None or not heap.size or heap.times[0] > stream:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        end = heap.size
        heap.size, found = _due(
            heap.times, heap.rows, heap.size, stream, partition, self._presence(), self._stale_ms
        )
        order = np.argsort(heap.rows[end - found : end])
        return heap.rows[end - found : end][order], heap.times[end - found : end][order]

    def _presence(self) -> _Presence:
        read = self._state["read"]
        if len(self._plans) < len(read):
            plans = np.empty(len(read), dtype=_PLAN)
            plans["look"], plans["partition"] = FOREVER, -1
            plans[: len(self._plans)] = self._plans
            self._plans = plans
        return _Presence(read, self._state["pace"], self._plans)

    def _look(self, rows: Ints, partition: int) -> None:
        """Enter what is planned for these patients (n,) into the heap of their partition."""
        heap = self._heaps.setdefault(partition, _Heap())
        presence = self._presence()
        if heap.size + len(rows) > len(heap.times):
            heap.size = _tidy(heap.times, heap.rows, heap.size, partition, presence)
            room = 2 * (heap.size + len(rows))
            if room > len(heap.times):
                heap.times = np.resize(heap.times, room)
                heap.rows = np.resize(heap.rows, room)
        heap.size = _enter(heap.times, heap.rows, heap.size, rows, presence)


@compiled
def _deadline(read: int, pace: np.float32, stale_ms: np.float32) -> int:
    """See :meth:`Staleness.deadlines`."""
    if read == NEVER:
        return FOREVER
    patience = LOST_INTERVALS * pace
    return read + int(patience if patience > stale_ms else stale_ms)  # the latter if NaN


@compiled
def _deadlines(rows: Ints, presence: _Presence, stale_ms: np.float32, deadlines: Ints) -> None:
    for i in range(len(rows)):
        row = rows[i]
        deadlines[i] = _deadline(presence.read[row], presence.pace[row], stale_ms)


@compiled
def _note(
    rows: Ints,
    times: Ints,
    stream: Ints,
    partition: Ints,
    presence: _Presence,
    stale_ms: np.float32,
    before: Ints,
    deadline: Ints,
    stale: Bools,
    sooner: Ints,
) -> int:
    """Fill the last four; ``sooner`` with who is to be looked at earlier than planned: how many."""
    found = 0
    for i in range(len(rows)):
        coming = rows[min(i + AHEAD, len(rows) - 1)]
        fetch(presence.plans, coming)
        fetch(presence.read, coming)
        fetch(presence.pace, coming)
        row, now = rows[i], times[i]
        read, pace = presence.read[row], presence.pace[row]
        before[i] = read
        deadline[i] = _deadline(read, pace, stale_ms)
        stale[i] = stream[i] >= deadline[i]

        if read != NEVER:
            gap = np.float32(now - read)
            if np.isnan(pace):
                pace = gap
            else:
                # One long gap is an absence, not a new pace.
                pace += SMOOTHING * (min(gap, np.float32(2) * pace) - pace)
        presence.read[row] = now
        presence.pace[row] = pace

        look, plan = _deadline(now, pace, stale_ms), presence.plans[row]
        if look < plan.look or plan.partition != partition[i]:
            plan.look, plan.partition = look, partition[i]
            sooner[found] = i
            found += 1
    return found


@compiled
def _due(
    times: Ints,
    rows: Ints,
    size: int,
    stream: int,
    partition: int,
    presence: _Presence,
    stale_ms: np.float32,
) -> tuple[int, int]:
    """Look at all whose time has come: the heap's new size, and the number of those who are lost.

    They, and their deadlines, take the places that become free at the heap's old end.
    """
    end, found = size, 0
    while size > 0 and times[0] <= stream:
        time, row = times[0], rows[0]
        plan = presence.plans[row]
        counts = plan.look == time and plan.partition == partition
        deadline = _deadline(presence.read[row], presence.pace[row], stale_ms)
        if counts and stream < deadline < FOREVER:
            plan.look = deadline
            sink(times, rows, size, deadline, row)
            continue
        size -= 1
        sink(times, rows, size, times[size], rows[size])
        if counts:
            plan.look = FOREVER
            if deadline <= stream:
                found += 1
                times[end - found], rows[end - found] = deadline, row
    return size, found


@compiled
def _tidy(times: Ints, rows: Ints, size: int, partition: int, presence: _Presence) -> int:
    """Keep the entries that count; the heap's new size."""
    kept = 0
    for place in range(size):
        time, row = times[place], rows[place]
        if presence.plans[row].look == time and presence.plans[row].partition == partition:
            rise(times, rows, kept, time, row)
            kept += 1
    return kept


@compiled
def _enter(times: Ints, rows: Ints, size: int, new: Ints, presence: _Presence) -> int:
    """The heap's new size."""
    for i in range(len(new)):
        rise(times, rows, size, presence.plans[new[i]].look, new[i])
        size += 1
    return size
