"""The table of rarities, so that a budget holds for patients who are not in it.

Conformal risk control (Angelopoulos, Bates, Fisch, Lei, Schuster 2022, arXiv:2208.02814): for n
calibration patients, losses L_i(level) that never grow with the level and never exceed B, and the
lowest level at which ``n / (n + 1) mean(L) + B / (n + 1) <= a``, the expected loss of one more
patient is at most a, whatever the distribution, if the patients are exchangeable.

A patient's loss here is the excess over a budget: alarms raised less ``budget`` times the days
watched, of which at most ``B = MOST (1 + budget)`` counts, and a is 0. So the rule is

    sum_i min(alarms_i - budget days_i, B) + B <= 0

and patients weigh as long as they are watched, as they do in a ward's rate. It is solved once, for
every level, for the smallest budget that satisfies it, whose inverse is the level's rarity; then
``rarity >= 1 / budget`` is the rule for every budget.

What is promised: drawing the calibration patients and then a new one of the same kind, he has on
average no more alarms than the budget allows for the time that he is watched, where his excess
counts up to B. What is not: that each patient keeps within it (some have many alarms, most none),
nor the rate of one patient over time, which nothing can promise without assumptions (Lin,
Trivedi, Sun 2022), nor patients of another kind: for those there are a site's own recordings and
the adjustment to the realised rate.
"""

from typing import Final, NamedTuple

import numpy as np

from vitalwatch.arrays import Doubles

MOST: Final = 3.0
"""Alarms beyond the budget that count in one patient, of a budget of none; B at other budgets is
in proportion to 1 + budget. A larger figure promises more and costs budget: at one alarm a day it
costs twice this number of patient-days of the days that were watched."""

_FEWEST: Final = 2
"""A level with fewer alarms says nothing of the slope."""

_BISECTIONS: Final = 60
_QUARTER: Final = 0.7  # and a little more, as a logarithm
_DECADES: Final = 3.0  # for which the table goes on below what was counted


class Rarities(NamedTuple):
    """``log_days`` (K,) log10 of patient-days per alarm at each of ``levels`` (K,), both rising.

    ``promised`` is the largest number of days per alarm for which the promise holds; beyond it the
    table goes on as the alarms that were counted do.
    """

    levels: Doubles
    log_days: Doubles
    promised: float


def days_per_alarm(alarms: Doubles, days: Doubles) -> Doubles:
    """The inverse of the smallest budget that the rule allows at each level, (K,).

    ``alarms`` (K, N), by level and patient, not growing with the level; ``days`` (N,) watched.
    0 where fewer days were watched than any budget needs.
    """
    low, high = np.zeros(len(alarms)), np.full(len(alarms), days.sum() / MOST)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        # The rule, divided by the budget: it never falls with the days per alarm.
        bound = MOST * (middle + 1)
        excess = np.minimum(alarms * middle[:, None] - days, bound[:, None])
        kept = excess.sum(axis=1) + bound <= 0
        low, high = np.where(kept, middle, low), np.where(kept, high, middle)
    return low


def rarities(levels: Doubles, alarms: Doubles, days: Doubles, usual: float) -> Rarities:
    """The table from what calibration patients raised.

    ``levels`` (K,) rising; ``alarms`` (K, N) raised at each by each patient; ``days`` (N,)
    watched; ``usual`` is the evidence of a usual reading in quiet, at which alarms are to end.
    Raises ValueError where days and alarms are too few for any table.
    """
    # An alarm that never ends is one alarm: at lower levels there may be fewer. A loss that is
    # never less at a lower level is what the promise rests on.
    worst = np.maximum.accumulate(alarms[::-1], axis=0)[::-1].astype(np.float64)
    total, watched = worst.sum(axis=1), float(days.sum())
    told = total >= _FEWEST
    found = days_per_alarm(worst, days)
    if told.sum() < 2 or found[0] <= 0:
        raise ValueError(f"{total[0]:g} alarms in {watched:.1f} patient-days say too little")
    plain = watched / np.maximum(total, _FEWEST)
    # Where the bound counts for more than the alarms do, their own course is the better guess.
    held = total >= MOST
    last = int(np.flatnonzero(held)[-1]) if held.any() else 0
    table = np.where(held, found, plain * (found[last] / plain[last]))
    log_days = np.maximum.accumulate(np.log10(np.maximum(table[told], 1e-9)))
    return Rarities(*_continued(levels[told], log_days, usual), float(found[last]))


def _continued(levels: Doubles, log_days: Doubles, usual: float) -> tuple[Doubles, Doubles]:
    """With a line for the lowest levels, at which alarms are few because they do not end.

    There, counted alarms say that what is ever more usual is no more so: a budget would be spent
    on alarms that last for days, and none would clear, as it does at a quarter of the rarity. So
    where the table is less than half as steep as on the whole, a line as steep as that goes on
    from it, or a steeper one that falls to a quarter before what is ``usual``. The promise holds
    there too, with alarms to spare.
    """
    first = int(np.flatnonzero(log_days == log_days[0])[-1])
    levels, log_days = levels[first:], log_days[first:]
    rise, run = float(log_days[-1] - log_days[0]), float(levels[-1] - levels[0])
    slope = rise / run if rise > 0 else 1.0
    knee = int(np.argmin(log_days - slope / 2 * levels))
    levels, log_days = levels[knee:], log_days[knee:]
    if usual < levels[0]:
        slope = max(slope, _QUARTER / (float(levels[0]) - usual))
    return (
        np.concatenate(([levels[0] - _DECADES / slope], levels)),
        np.concatenate(([log_days[0] - _DECADES], log_days)),
    )
