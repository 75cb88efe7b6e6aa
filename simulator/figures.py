"""What a stream of vital signs looks like, in figures: the same for simulated and recorded ones.

A stream is ``times (n,)`` in s, ascending, and ``values (n, V)`` in the vitals' order and units,
NaN where a row does not hold the vital. All figures of a vital's course are of its *clean*
readings: those within the plausible range, of which 0, a sensor that is off, is never one.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from vitalwatch.arrays import Bools, Doubles, Ints
from vitalwatch.vitals import VITALS

FEWEST: Final = 8
"""Of fewer readings, or pairs of them, no figure is told."""

TOLERANCE: Final = 0.2
"""Two readings count as a lag apart if they are so to this share of it: charting is irregular."""

PAIRS: Final = (("hr", "map"), ("hr", "rr"))
"""Vitals whose changes are correlated."""


class Figure(NamedTuple):
    """``of`` is the vital, or two of them; ``what`` says which figure it is."""

    of: str
    what: str


def clean(values: Doubles, vital: int) -> Doubles:
    """One vital's readings ``(n,)``, NaN where implausible or not measured."""
    low, high = VITALS[vital].plausible
    column = values[:, vital]
    return np.where((column >= low) & (column <= high), column, np.nan)


def apart(times: Doubles, lag: float) -> tuple[Ints, Ints]:
    """Places of pairs of readings about ``lag`` s apart, ``(k,)`` each: the nearest to it."""
    wanted = times + lag
    after = np.searchsorted(times, wanted).clip(0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    nearer = wanted - times[before] <= times[after] - wanted
    found = np.where(nearer, before, after)
    fits = (np.abs(times[found] - wanted) <= TOLERANCE * lag) & (found > np.arange(len(times)))
    fits &= (
        wanted <= times.max(initial=-np.inf) + 1e-6
    )  # or all at the end would be paired with the last
    first = np.flatnonzero(fits)
    return first, found[first]


def autocorrelation(times: Doubles, course: Doubles, lag: float) -> float:
    """Of clean readings ``course (n,)`` a lag apart; NaN if they are few or never change."""
    first, second = apart(times, lag)
    if len(first) < FEWEST or not np.ptp(course):
        return np.nan
    centred = course - course.mean()
    return float((centred[first] * centred[second]).mean() / (centred**2).mean())


def runs(course: Doubles) -> tuple[float, float]:
    """Share of consecutive readings that are equal, and how many the longest run of equals has."""
    changes = np.flatnonzero(np.diff(course))
    unchanged = 1 - len(changes) / (len(course) - 1)
    ends = np.concatenate([[-1], changes, [len(course) - 1]])
    return float(unchanged), float(np.diff(ends).max())


def changes_together(times: Doubles, one: Doubles, other: Doubles, lag: float) -> float:
    """Correlation of two vitals' changes over ``lag`` s; ``one`` and ``other`` are ``(n,)``.

    Of the rows that hold both. NaN if they are few, or one never changes.
    """
    both = np.isfinite(one) & np.isfinite(other)
    first, second = apart(times[both], lag)
    if len(first) < FEWEST:
        return np.nan
    steps = [vital[both][second] - vital[both][first] for vital in (one, other)]
    if not all(np.ptp(step) for step in steps):
        return np.nan
    one, other = (step - step.mean() for step in steps)
    return float((one * other).mean() / (one.std() * other.std()))


def figures(
    times: Doubles, values: Doubles, lags: Sequence[float], step: float
) -> dict[Figure, float]:
    """All figures of one stream; NaN what cannot be told.

    ``lags`` of the autocorrelations and ``step``, over which changes are taken, are in s.
    """
    found: dict[Figure, float] = {}
    courses = {}
    for place, vital in enumerate(VITALS):
        column = values[:, place]
        measured: Bools = np.isfinite(column)
        if not measured.any():
            continue
        course = courses[vital.name] = clean(values, place)
        kept = np.isfinite(course)
        own, seen = times[kept], course[kept]
        enough = len(seen) >= FEWEST
        found[Figure(vital.name, "level")] = float(np.median(seen)) if enough else np.nan
        found[Figure(vital.name, "spread")] = float(seen.std()) if enough else np.nan
        for lag in lags:
            memory = autocorrelation(own, seen, lag) if enough else np.nan
            found[Figure(vital.name, f"autocorrelation {spelt(lag)}")] = memory
        unchanged, longest = runs(seen) if enough else (np.nan, np.nan)
        found[Figure(vital.name, "unchanged")] = unchanged
        found[Figure(vital.name, "longest run")] = longest
        found[Figure(vital.name, "missing")] = float(1 - measured.mean())
        found[Figure(vital.name, "artefact")] = float((measured & ~kept).sum() / measured.sum())
    for one, other in PAIRS:
        if one in courses and other in courses:
            together = changes_together(times, courses[one], courses[other], step)
            found[Figure(f"{one}-{other}", f"changes in {spelt(step)}")] = together
    return found


def spelt(seconds: float) -> str:
    """``5 s``, ``15 min`` or ``4 h``."""
    for size, unit in ((7200, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / {'h': 3600, 'min': 60}[unit]:g} {unit}"
    return f"{seconds:g} s"


def stretches(times: Doubles, length: float) -> list[slice]:
    """Where a stream can be cut into stretches of ``length`` s, each at least nine tenths full.

    A stretch begins with a row; where its rows end too early, another begins after the silence.
    """
    found, start = [], 0
    while start < len(times):
        end = int(np.searchsorted(times, times[start] + length))
        if times[end - 1] - times[start] >= 0.9 * length - 1e-9:
            found.append(slice(start, end))
        start = end
    return found
