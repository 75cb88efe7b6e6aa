"""What an audit found. Patients are named by partition and offset of a reading alone."""

from typing import Any, Final, Literal

import msgspec

Kind = Literal["score", "alert", "dead letter"]
KINDS: Final[tuple[Kind, ...]] = ("score", "alert", "dead letter")

What = Literal["different", "missing", "unexpected", "twice"]

HIDDEN: Final = frozenset({"patient", "key"})
"""Fields that hold or show a patient's identifier: that they differ is said, not how."""


class Place(msgspec.Struct, frozen=True):
    """One record of a topic."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}, partition {self.partition}, offset {self.offset}"


class Field(msgspec.Struct, frozen=True):
    """One field on both sides; None where there is none."""

    name: str
    committed: Any
    recomputed: Any


class Difference(msgspec.Struct, frozen=True):
    """One score, alert or dead letter that is not as it should be.

    ``source`` is the reading's record, ``record`` the committed one that says it, if there is one;
    ``name`` tells alerts of one reading apart. ``fields`` are those that differ, or all where only
    one side has them.
    """

    kind: Kind
    what: What
    source: Place
    record: Place | None
    fields: list[Field]
    name: str = ""


class Counts(msgspec.Struct):
    """How many of one kind were equal, and how many not, and why not.

    ``unexpected`` are committed but not recomputed; ``twice`` were committed before already;
    ``other_model`` bear another model's fingerprint and were not compared; ``gone`` lie before
    what their topic still retains.
    """

    equal: int = 0
    different: int = 0
    missing: int = 0
    unexpected: int = 0
    twice: int = 0
    other_model: int = 0
    gone: int = 0

    @property
    def faults(self) -> int:
        """Those that are not as they should be."""
        return self.different + self.missing + self.unexpected + self.twice

    @property
    def total(self) -> int:
        """All that either side has."""
        return self.faults + self.equal + self.other_model + self.gone


class Stretch(msgspec.Struct):
    """Where another model was at work: source offsets ``first`` to ``last``, with both."""

    model: str
    first: int
    last: int


class Part(msgspec.Struct):
    """What was found of one partition of the readings.

    Compared were readings from ``start`` to below ``end``; the state was built from ``history``
    on, and is exact where that is 0, the beginning of all.
    """

    partition: int
    history: int
    start: int
    end: int
    counts: dict[Kind, Counts]
    models: list[Stretch] = []
    differences: list[Difference] = []

    def differ(self, difference: Difference) -> None:
        """Keep the first of each kind, by offset of the reading."""
        for place, known in enumerate(self.differences):
            if known.kind == difference.kind:
                if difference.source.offset < known.source.offset:
                    self.differences[place] = difference
                return
        self.differences.append(difference)

    def saw(self, model: str, first: int, last: int, *, goes_on: bool) -> None:
        """Note that another model was at work; ``goes_on`` if it was also with the score before."""
        if goes_on and self.models and self.models[-1].model == model:
            self.models[-1].last = last
        else:
            self.models.append(Stretch(model, first, last))


class Report(msgspec.Struct):
    """The whole audit.

    ``unreadable`` counts records of the outputs that are not what they must be, the first of which
    is ``first_unreadable``.
    """

    topic: str
    model: str
    parts: list[Part]
    unreadable: int = 0
    first_unreadable: Place | None = None

    def cannot_read(self, record: Place) -> None:
        """Count a record that is not what it must be."""
        self.unreadable += 1
        self.first_unreadable = self.first_unreadable or record

    @property
    def totals(self) -> dict[Kind, Counts]:
        """Of all partitions together; only the kinds that were compared."""
        names = Counts.__struct_fields__
        return {
            kind: Counts(
                *(sum(getattr(part.counts[kind], name) for part in self.parts) for name in names)
            )
            for kind in KINDS
            if all(kind in part.counts for part in self.parts)
        }

    @property
    def equal(self) -> bool:
        """Whether all is as it should be, and was made by the model that was run again."""
        faults = any(counts.faults or counts.other_model for counts in self.totals.values())
        return not faults and not self.unreadable

    @property
    def first(self) -> Difference | None:
        """The first difference: the lowest partition's, by offset of the reading."""
        found = [difference for part in self.parts for difference in part.differences]
        return min(
            found,
            key=lambda each: (each.source.partition, each.source.offset, KINDS.index(each.kind)),
            default=None,
        )
