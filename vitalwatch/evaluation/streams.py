"""What detectors under test are given, and what they are judged by: readings and events."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.alarms.technical import Watch
from vitalwatch.arrays import Bools, Doubles, Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.evaluation.baselines import LastSeen
from vitalwatch.state import Table
from vitalwatch.training.people import Side

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_HELD_MS: Final = round(LastSeen.MAX_AGE * 1000)


class Streams:
    """The readings of R records, one record after the other.

    ``edges`` (R + 1,) where each begins; ``times`` (n,) ms, rising within a record; ``values``
    (n, V) as received, NaN where not measured.
    """

    def __init__(self, edges: Ints, times: Ints, values: Floats) -> None:
        self.edges, self.times, self.values = edges, times, values

    @classmethod
    def joined(cls, records: Iterable[tuple[Ints, Floats]]) -> "Streams":
        """From times (m,) and values (m, V) of each record; of equal times the first counts."""
        times, values = [], []
        for at, what in records:
            order = np.argsort(at, kind="stable")
            keep = order[np.diff(at[order], prepend=-1) > 0]
            times.append(at[keep])
            values.append(what[keep])
        edges = np.cumsum([0, *map(len, times)])
        if not times:
            return cls(edges, np.empty(0, np.int64), np.empty((0, vitals.COUNT), np.float32))
        return cls(edges, np.concatenate(times), np.concatenate(values))

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def lengths(self) -> Ints:
        """Readings of each record, (R,)."""
        return np.diff(self.edges)

    @cached_property
    def record(self) -> Ints:
        """The record of each reading, (n,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def since(self) -> Ints:
        """Time of each reading since its record's first, (n,) ms."""
        return self.times - self.times[self.edges[:-1]][self.record]

    def select(self, records: Ints) -> "Streams":
        """Only these records, in this order."""
        return Streams.joined(
            (self.times[begin:end], self.values[begin:end])
            for begin, end in zip(self.edges[records], self.edges[records + 1], strict=True)
        )

    def rounds(self) -> Iterator[tuple[Ints, Ints]]:
        """Rows and places of the k-th reading of every record that has one, for each k.

        Rows are records by length, so that each round's are the first ones.
        """
        order = np.argsort(-self.lengths, kind="stable")
        starts, lengths = self.edges[:-1][order], self.lengths[order]
        for k in range(int(lengths.max(initial=0))):
            count = int(np.searchsorted(-lengths, -k))  # those longer than k
            yield np.arange(count), starts[:count] + k

    @cached_property
    def clean(self) -> Floats:
        """``values`` with NaN where the daemon would not believe them either, (n, V)."""
        table = Table()
        watch = Watch(table, stale_ms=300 * SECOND)
        table.grow(max(len(self), 1))
        partition = np.zeros(len(self), dtype=np.int64)
        clean = np.empty_like(self.values)
        for rows, places in self.rounds():
            times = self.times[places]
            found = watch.assess(rows, times, self.values[places], times, partition[rows])
            clean[places] = found.clean
        return clean

    @cached_property
    def age(self) -> Floats:
        """Seconds since each vital was last measured, (n, V); infinite if it never was."""
        age = np.empty(self.values.shape, dtype=np.float32)
        _hold(self.edges, self.times, self.clean, age, np.empty_like(age))
        return age

    @cached_property
    def held(self) -> Floats:
        """The last clean value of each vital while people would go by it, (n, V)."""
        held = np.empty(self.values.shape, dtype=np.float32)
        _hold(self.edges, self.times, self.clean, np.empty_like(held), held)
        return held


@compiled
def _hold(edges: Ints, times: Ints, clean: Floats, age: Floats, held: Floats) -> None:
    for record in range(len(edges) - 1):
        for v in range(clean.shape[1]):
            last, at = np.float32(np.nan), -1
            for i in range(edges[record], edges[record + 1]):
                if not np.isnan(clean[i, v]):
                    last, at = clean[i, v], times[i]
                gone = times[i] - at
                age[i, v] = np.float32(np.inf) if at < 0 else np.float32(gone / 1000)
                held[i, v] = last if at >= 0 and gone <= _HELD_MS else np.float32(np.nan)


class Event(NamedTuple):
    """Something that happened in a record; times in ms.

    An alarm raised from ``begin`` on belongs to it. It is caught by one up to ``late``, and early
    by one up to ``early``; ``onset`` is what leads are counted to. Until ``end`` no alarm is
    false. What is not ``counted`` need not be caught: there, alarms are neither right nor wrong.
    Of what comes too ``sudden`` for a warning, which is not counted, it is asked apart whether an
    alarm answers it up to ``late``.
    """

    record: int
    kind: str
    begin: int
    early: int
    onset: int
    late: int
    end: int
    counted: bool = True
    sudden: bool = False


class Benign(NamedTuple):
    """Something that passes and harms nobody, or an artefact: times in ms."""

    record: int
    kind: str
    begin: int
    end: int


@dataclass(frozen=True)
class DataSet:
    """Records of people, what happened in them, and which people may be used for what.

    ``person`` (R,) is each record's place in ``names`` and ``sides``; ``groups`` gives for an
    attribute each person's group, by the same places. A reading stands for the time to the next,
    but at most for ``longest`` ms. ``matched`` is the stretch before an onset, ms (from, to), in
    which scores are compared at equal times since the start; None where that says nothing.
    ``benign`` is what is known to have been no reason for an alarm; ``note`` tells whoever
    reads the figures what they mean here.
    """

    name: str
    title: str
    streams: Streams
    person: Ints
    names: list[str]
    sides: list[Side]
    events: list[Event]
    longest: int
    matched: tuple[int, int] | None = None
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    benign: list[Benign] = field(default_factory=list)
    note: str = ""

    def select(self, side: Side) -> "DataSet":
        """Only the people of one side."""
        kept = np.flatnonzero(np.array(self.sides) == side)
        records = np.flatnonzero(np.isin(self.person, kept))
        place = {record: new for new, record in enumerate(records.tolist())}
        return replace(
            self,
            streams=self.streams.select(records),
            person=np.searchsorted(kept, self.person[records]),
            names=[self.names[k] for k in kept],
            sides=[side] * len(kept),
            events=[e._replace(record=place[e.record]) for e in self.events if e.record in place],
            groups={name: [group[k] for k in kept] for name, group in self.groups.items()},
            benign=[b._replace(record=place[b.record]) for b in self.benign if b.record in place],
        )

    @cached_property
    def duration(self) -> Doubles:
        """Days that each reading stands for, (n,)."""
        gap = np.diff(self.streams.times, append=0).astype(np.float64)
        ends = self.streams.edges[1:][self.streams.lengths > 0] - 1
        gap[ends] = 0
        return np.minimum(gap, self.longest) / DAY

    @cached_property
    def quiet(self) -> Bools:
        """Whether an alarm at a reading would be false, (n,)."""
        quiet = np.ones(len(self.streams.times), dtype=np.bool_)
        for event in self.events:
            quiet[self._span(event.record, event.begin, event.end)] = False
        return quiet

    @cached_property
    def due(self) -> Bools:
        """Whether a reading lies between the begin of an event that counts and its onset, (n,)."""
        due = np.zeros(len(self.streams.times), dtype=np.bool_)
        for event in self.events:
            if event.counted:
                due[self._span(event.record, event.begin, event.onset)] = True
        return due

    @cached_property
    def elapsed(self) -> Doubles:
        """Days that all readings before each stand for, and at last all of them, (n + 1,)."""
        return np.concatenate(([0.0], np.cumsum(self.duration)))

    @cached_property
    def watched(self) -> Doubles:
        """Days of each person, and those of them on which alarms are false, (2, P)."""
        whose, people = self.person[self.streams.record], len(self.names)
        return np.stack(
            [
                np.bincount(whose, weights=weights, minlength=people)
                for weights in (self.duration, self.duration * self.quiet)
            ]
        )

    def _span(self, record: int, begin: int, end: int) -> slice:
        """Where the readings of a record from ``begin`` to ``end`` lie."""
        first, last = self.streams.edges[record : record + 2].tolist()
        times = self.streams.times[first:last]
        return slice(
            first + int(np.searchsorted(times, begin)),
            first + int(np.searchsorted(times, end, side="right")),
        )
