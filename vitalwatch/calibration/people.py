"""A site's recordings as the people who are in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.adjustment import GAP_MS
from vitalwatch.arrays import Bools, Doubles, Floats, Ints
from vitalwatch.calibration import units
from vitalwatch.compiled import compiled
from vitalwatch.errors import RecordingError
from vitalwatch.evaluation.streams import DAY, HOUR, Streams
from vitalwatch.recordings.recording import Recording
from vitalwatch.recordings.rows import Rows

Bar = Callable[[str, float], Callable[[float], None]]
"""Starts a progress bar: what of, and how much in all; its result is told how much is done."""

AROUND_MS: Final = HOUR
"""So long around a critical value nobody is quiet: an alarm then may well be a true one."""


@dataclass(frozen=True)
class People:
    """Readings, a record a person and file; who of ``names`` each of the R is, ``person`` (R,).

    ``said`` (n, 4) is what readings say of their patients, as in :mod:`vitalwatch.context`.
    """

    streams: Streams
    person: Ints
    names: list[str]
    said: Floats

    def select(self, wanted: Bools) -> "People":
        """Only the people (N,) who are ``wanted``; the others' names stay."""
        records = np.flatnonzero(wanted[self.person])
        streams = self.streams
        places = np.concatenate(
            [np.empty(0, np.int64)]
            + [np.arange(streams.edges[r], streams.edges[r + 1]) for r in records.tolist()]
        )
        edges = np.concatenate(([0], np.cumsum(streams.lengths[records])))
        chosen = Streams(edges, streams.times[places], streams.values[places])
        return People(chosen, self.person[records], self.names, self.said[places])

    def days(self, quiet: Bools) -> Doubles:
        """Days of each person's (N,) between readings that are both ``quiet`` (n,)."""
        watched = np.zeros(len(self.names), dtype=np.int64)
        _watched(self.streams.edges, self.streams.times, quiet, self.person, GAP_MS, watched)
        return watched / DAY

    def quiet(self) -> Bools:
        """Readings (n,) that are not near one with a critical value, by the clean values."""
        low, high = vitals.bounds("critical")
        clean = self.streams.clean
        critical: Bools = np.any((clean < low) | (clean > high), axis=1)
        quiet = np.ones(len(critical), dtype=np.bool_)
        _around(self.streams.edges, self.streams.times, critical, AROUND_MS, quiet)
        return quiet


def read(recordings: Sequence[Recording], bar: Bar, say: Callable[[str], None]) -> People:
    """Everybody in ``recordings``, with what cannot be used told to ``say`` and left out.

    A name stands for one person in all files. Raises RecordingError if nothing is left.
    """
    parts: list[Rows] = []
    persons: list[int] = []
    names: dict[str, int] = {}
    for recording in recordings:
        try:
            with recording.stream(bar(f"reading {recording.name}", recording.size)) as stream:
                rows = np.concatenate(list(stream.parts))
        except RecordingError as error:
            say(f"{error} It is left out.")
            continue
        doubts = units.doubts(rows["values"])
        if doubts:
            say(f"{recording.path}: {'; '.join(doubts)}. It is left out: convert it first.")
            continue
        for note in (str(recording.dropped) if recording.dropped.counts else "", recording.ignored):
            if note:
                say(f"{recording.name}: {note}")
        order = np.argsort(rows["patient"], kind="stable")
        patients, begins = np.unique(rows["patient"][order], return_index=True)
        for who, part in zip(patients.tolist(), np.split(rows[order], begins[1:]), strict=True):
            if _measured(part["values"]):
                parts.append(part)
                persons.append(names.setdefault(stream.names[who], len(names)))
            else:
                say(f"{recording.name}: of one patient nothing was measured, who is left out.")
    if not parts:
        raise RecordingError("None of the recordings can be used.")
    edges = np.cumsum([0, *map(len, parts)])
    rows = np.concatenate(parts)
    streams = Streams(edges, rows["time"].copy(), rows["values"].astype(np.float32))
    return People(streams, np.array(persons), list(names), rows["context"].copy())


def _measured(values: Floats) -> bool:
    """Whether any of these (n, V) can be a value at all: days without one are nobody's."""
    low, high = vitals.bounds("plausible")
    return bool(((values >= low) & (values <= high)).any())


@compiled
def _watched(
    edges: Ints, times: Ints, quiet: Bools, person: Ints, most: int, watched: Ints
) -> None:
    for record in range(len(edges) - 1):
        for i in range(edges[record] + 1, edges[record + 1]):
            if quiet[i] and quiet[i - 1]:
                watched[person[record]] += min(times[i] - times[i - 1], most)


@compiled
def _around(edges: Ints, times: Ints, critical: Bools, around: int, quiet: Bools) -> None:
    for record in range(len(edges) - 1):
        begin, end = edges[record], edges[record + 1]
        for i in range(begin, end):
            if not critical[i]:
                continue
            k = i
            while k >= begin and times[i] - times[k] <= around and (k == i or not critical[k]):
                quiet[k] = False
                k -= 1
            k = i
            while k < end and times[k] - times[i] <= around and (k == i or not critical[k]):
                quiet[k] = False
                k += 1
