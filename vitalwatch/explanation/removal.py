"""Is what an explanation blames what made the score? Take it away, and see.

What a vital has shown over the stretch that is blamed is made missing, or put at the patient's own
baseline, and the course is scored again. If the explanation is faithful, the evidence falls more
than when the same is done to any other vital over the same stretch.

Pressures come from one line and say much the same, so that with one of them gone the others still
tell: beside vitals alone, *signs* are removed, the three pressures together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Bools, Doubles, Floats, Ints
from vitalwatch.explanation.course import Course
from vitalwatch.explanation.scores import Scored

How = Literal["missing", "baseline"]

LEAST_MS: Final = 15 * 60_000
"""A stretch is at least so long: a level lasts, however sudden the change to it was."""

SIGNS: Final = (("hr",), ("spo2",), ("rr",), ("sbp", "dbp", "map"), ("temp",), ("etco2",))
"""Vitals that are one measurement."""

VITALS: Final = tuple((name,) for name in vitals.NAMES)

_AT_ONCE: Final = 1800  # courses


Score = Callable[[Sequence[Course]], Doubles]
"""What is explained: a number, in powers of ten, for the last reading of each course."""


@dataclass(frozen=True, slots=True)
class Case:
    """One score and its explanation: the last reading of ``course``.

    ``usual (V,)`` the patient's own baseline, in the vitals' units; ``part (V,)`` what is blamed on
    each vital, of which the most is blamed on the last ``stretch`` ms.
    """

    course: Course
    usual: Floats
    part: Doubles
    stretch: int


@dataclass(frozen=True, slots=True)
class Removals:
    """What removing did to k scores, of G things to remove each: vitals, or signs.

    ``part (k, G)`` that was blamed on each, ``fall (k, G)`` of the evidence without it, NaN where
    the patient has no such thing.
    """

    part: Doubles
    fall: Doubles

    def __len__(self) -> int:
        return len(self.fall)

    @property
    def blamed(self) -> Ints:
        """The thing that is blamed most, (k,)."""
        return np.asarray(np.argmax(np.where(np.isnan(self.fall), -np.inf, self.part), axis=1))

    @property
    def right(self) -> Bools:
        """Whether the score falls most without what is blamed most, (k,), and falls at all."""
        fall = self.fall[np.arange(len(self)), self.blamed]
        return np.asarray((fall >= np.nanmax(self.fall, axis=1)) & (fall > 0))

    @property
    def share(self) -> float:
        """Share of the scores for which that is so; NaN if there are none."""
        return float(self.right.mean()) if len(self) else float("nan")

    @property
    def luck(self) -> float:
        """What that share would be if the blamed one were drawn by lot."""
        if not len(self):
            return float("nan")
        return float((1 / (~np.isnan(self.fall)).sum(axis=1)).mean())

    @property
    def fallen(self) -> float:
        """Median fall without what is blamed most."""
        if not len(self):
            return float("nan")
        return float(np.median(self.fall[np.arange(len(self)), self.blamed]))


def by_share(course: Course, found: Scored) -> Case:
    """What the shares in an alert say: the top vital, for as long as it has been outside."""
    share = found.reasons.share.astype(np.float64)
    outside = abs(float(found.reasons.outside[int(share.argmax())]))
    return Case(course, found.reasons.usual, share, max(LEAST_MS, round(1000 * outside)))


def without(case: Case, which: Sequence[int], how: How) -> Course:
    """The course with ``which`` vitals removed over the stretch that is blamed."""
    course, values = case.course, case.course.values.copy()
    late = course.times >= course.times[-1] - case.stretch
    for vital in which:
        there = late & ~np.isnan(values[:, vital])
        step = vitals.VITALS[vital].resolution
        usual = np.round(case.usual[vital] / step) * step
        values[there, vital] = np.nan if how == "missing" else usual
    return Course(course.times, values, course.context)


def removals(
    score: Score,
    cases: Sequence[Case],
    how: How = "baseline",
    things: Sequence[Sequence[str]] = VITALS,
) -> Removals:
    """Remove each of ``things`` from each case over its blamed stretch, and score it again."""
    places = [[vitals.INDEX[name] for name in names] for names in things]
    part = np.array([[case.part[some].sum() for some in places] for case in cases])
    fall = np.full((len(cases), len(places)), np.nan)
    before = score([case.course for case in cases]) if cases else np.empty(0)
    variants: list[Course] = []
    slots: list[tuple[int, int]] = []
    for number, case in enumerate(cases):
        seen = case.course.seen
        for thing, some in enumerate(places):
            if seen[some].any():
                slots.append((number, thing))
                variants.append(without(case, some, how))
        if len(variants) >= _AT_ONCE or number == len(cases) - 1:
            rows, columns = np.array(slots, dtype=np.int64).reshape(-1, 2).T
            fall[rows, columns] = before[rows] - score(variants)
            variants, slots = [], []
    return Removals(part.reshape(len(cases), len(places)), fall)
