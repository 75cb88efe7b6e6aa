"""Laying committed scores beside recomputed ones, as both flow by.

Scores are as many as the readings, so neither side is ever held: of one partition both come in
the order of the readings' offsets, however they are cut into records, and what has been compared
is let go. What comes again, after a higher offset, is said to be twice.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitalwatch.arrays import Bools, Doubles, Ints
from vitalwatch.audit.report import HIDDEN, Counts, Difference, Field, Part, Place
from vitalwatch.stream import score_blocks
from vitalwatch.vitals import NAMES

_WORDS = "(hidden)"

_RARITY = "rarity"
_TABLES = ("surprise", "expected", "low", "high")
_NAMES = dict.fromkeys((_RARITY, *(f"{table}.{vital}" for table in _TABLES for vital in NAMES)))


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one partition's readings, (n,) or (F, n) each, as they stand in one record.

    ``figures`` has a row for each of ``names``, NaN where null is written.
    """

    record: Place | None
    partition: int
    topic: str
    model: str
    offsets: Ints
    patients: list[str]
    times: Ints
    names: tuple[str, ...]
    figures: Doubles

    def __len__(self) -> int:
        return len(self.offsets)

    def at(self, places: Ints | Bools) -> "Scores":
        """Those at ``places`` (indices, or a mask)."""
        indices = np.arange(len(self))[places]
        if len(indices) == len(self):
            return self
        return Scores(
            self.record,
            self.partition,
            self.topic,
            self.model,
            self.offsets[places],
            [self.patients[index] for index in indices.tolist()],
            self.times[places],
            self.names,
            self.figures[:, places],
        )


def read(value: bytes, record: Place | None = None) -> Scores:
    """One record's scores; raises ValueError for what is no score block."""
    block = score_blocks.read(value)
    count = len(block.offsets)
    columns: dict[str, Sequence[float | None]] = {_RARITY: block.rarity}
    for table in _TABLES:
        by_vital: dict[str, list[float | None]] = getattr(block, table)
        columns |= {f"{table}.{vital}": column for vital, column in by_vital.items()}
    lengths = {len(block.patients), len(block.times), *map(len, columns.values())}
    if lengths != {count}:
        raise ValueError("its columns are not of one length")
    # What no reading of a block measured is left out; with it, all records have equal columns.
    names = (*_NAMES, *sorted(columns.keys() - _NAMES))
    figures = np.full((len(names), count), np.nan)
    for row, name in enumerate(names):
        if name in columns:
            figures[row] = columns[name]
    return Scores(
        record,
        block.partition,
        block.topic,
        block.model,
        np.array(block.offsets, dtype=np.int64),
        block.patients,
        np.array(block.times, dtype=np.int64),
        names,
        figures,
    )


def compare(
    recomputed: Iterable[Scores],
    committed: Iterable[Scores],
    model: str,
    part: Part,
    first_retained: int,
) -> None:
    """Count in ``part`` what is equal and what is not, and keep the first difference.

    Both sides are of one partition, and within its range. Committed scores of another model than
    ``model`` are counted, and not compared. What is missing below the offset ``first_retained``
    is not there any more, and no fault.
    """
    comparison = _Comparison(iter(recomputed), model, part, first_retained)
    for scores in committed:
        comparison.take(scores)
    comparison.finish()


class _Comparison:
    """Where the two sides are; ``held`` is recomputed and not yet compared."""

    def __init__(
        self, recomputed: Iterator[Scores], model: str, part: Part, first_retained: int
    ) -> None:
        self._recomputed = recomputed
        self._held: Scores | None = None
        self._model = model
        self._part = part
        self._first_retained = first_retained
        self._counts = part.counts["score"] = Counts()
        self._other_model = False  # at work with the last score
        self._reached = -1  # the highest source offset among what was committed so far

    def take(self, scores: Scores) -> None:
        """Compare one committed record."""
        highest = np.maximum.accumulate(np.concatenate(([self._reached], scores.offsets)))
        again = scores.offsets <= highest[:-1]
        self._alone("twice", scores.at(again))
        fresh = scores.at(~again)
        if not len(fresh):
            return
        self._reached = int(fresh.offsets[-1])
        ours = self._up_to(int(fresh.offsets[0]), self._reached)
        if ours is None:
            self._alone("unexpected", fresh)
            return
        places = np.searchsorted(ours.offsets, fresh.offsets)
        both = ours.offsets[np.minimum(places, len(ours) - 1)] == fresh.offsets
        self._alone("unexpected", fresh.at(~both))
        lone = np.ones(len(ours), dtype=np.bool_)
        lone[places[both]] = False
        self._alone("missing", ours.at(lone))
        self._pair(ours.at(places[both]), fresh.at(both))

    def finish(self) -> None:
        """Whatever was recomputed and not committed by now is missing."""
        if self._held is not None:
            self._alone("missing", self._held)
        for scores in self._recomputed:
            self._alone("missing", scores)

    def _up_to(self, first: int, last: int) -> Scores | None:
        """Recomputed scores up to offset ``last``; those before ``first`` are missing."""
        parts = [] if self._held is None else [self._held]
        while not parts or parts[-1].offsets[-1] < last:
            more = next(self._recomputed, None)
            if more is None:
                break
            if more.offsets[-1] < first:
                for each in (*parts, more):
                    self._alone("missing", each)
                parts.clear()
            else:
                parts.append(more)
        if not parts:
            self._held = None
            return None
        whole = _joined(parts)
        below = whole.offsets <= last
        self._held = whole.at(~below) if not below.all() else None
        return whole.at(below) if below.any() else None

    def _pair(self, ours: Scores, theirs: Scores) -> None:
        """Compare scores of the same readings."""
        if not len(ours):
            return
        if theirs.model != self._model:
            self._counts.other_model += len(theirs)
            first, last = int(theirs.offsets[0]), int(theirs.offsets[-1])
            self._part.saw(theirs.model, first, last, goes_on=self._other_model)
            self._other_model = True
            return
        self._other_model = False
        names = tuple(dict.fromkeys((*ours.names, *theirs.names)))
        ours, theirs = _aligned(ours, names), _aligned(theirs, names)
        both_null = np.isnan(ours.figures) & np.isnan(theirs.figures)
        differs = ((ours.figures != theirs.figures) & ~both_null).any(axis=0)
        differs |= ours.times != theirs.times
        if ours.patients != theirs.patients:
            pairs = zip(ours.patients, theirs.patients, strict=True)
            differs |= np.array([one != other for one, other in pairs])
        count = int(differs.sum())
        self._counts.different += count
        self._counts.equal += len(ours) - count
        if count:
            place = int(differs.argmax())
            self._differ("different", theirs, place, _fields(theirs, ours, place))

    def _alone(self, what: Any, scores: Scores) -> None:
        """Count scores that one side has alone."""
        if what == "missing":
            gone = int((scores.offsets < self._first_retained).sum())
            self._counts.gone += gone
            scores = scores.at(np.arange(gone, len(scores)))
        if len(scores):
            setattr(self._counts, what, getattr(self._counts, what) + len(scores))
            fields = _fields(None, scores, 0) if what == "missing" else _fields(scores, None, 0)
            self._differ(what, scores, 0, fields)

    def _differ(self, what: Any, scores: Scores, place: int, fields: list[Field]) -> None:
        offset = int(scores.offsets[place])
        source = Place(scores.topic, scores.partition, offset)
        self._part.differ(Difference("score", what, source, scores.record, fields))


def _joined(parts: list[Scores]) -> Scores:
    first = parts[0]
    if len(parts) == 1:
        return first
    return Scores(
        None,
        first.partition,
        first.topic,
        first.model,
        np.concatenate([part.offsets for part in parts]),
        list(itertools.chain.from_iterable(part.patients for part in parts)),
        np.concatenate([part.times for part in parts]),
        first.names,
        np.concatenate([part.figures for part in parts], axis=1),
    )


def _aligned(scores: Scores, names: tuple[str, ...]) -> Scores:
    """With these figures, in this order; what it does not have is as if null."""
    if scores.names == names:
        return scores
    figures = np.full((len(names), len(scores)), np.nan)
    for row, name in enumerate(names):
        if name in scores.names:
            figures[row] = scores.figures[scores.names.index(name)]
    return Scores(
        scores.record,
        scores.partition,
        scores.topic,
        scores.model,
        scores.offsets,
        scores.patients,
        scores.times,
        names,
        figures,
    )


def _fields(committed: Scores | None, recomputed: Scores | None, place: int) -> list[Field]:
    """The fields in which one score differs; all that are not null where one side is None."""
    sides = [_row(committed, place), _row(recomputed, place)]
    names = dict.fromkeys((*sides[1], *sides[0]))
    fields = []
    for name in names:
        one, other = (side.get(name) for side in sides)
        if one != other:
            hidden = name in HIDDEN
            fields.append(Field(name, *(_WORDS if hidden and v else v for v in (one, other))))
    return fields


def _row(scores: Scores | None, place: int) -> dict[str, Any]:
    if scores is None:
        return {}
    figures = {
        name: None if np.isnan(value) else value
        for name, value in zip(scores.names, scores.figures[:, place].tolist(), strict=True)
    }
    time = int(scores.times[place])
    return {"patient": scores.patients[place], "time": time, **figures}
