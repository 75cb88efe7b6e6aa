"""The table of rarities from the alarms that the machine raises on people who were watched.

Where an alarm clears is a matter of the table itself (a quarter of the rarity), so it is made a few
times, each with the one before.
"""

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from vitalwatch.alarms.limits import HYSTERESIS
from vitalwatch.arrays import Bools, Doubles, Floats, Ints
from vitalwatch.calibration import conformal
from vitalwatch.evaluation.logic import Threshold, alarms
from vitalwatch.evaluation.streams import Streams
from vitalwatch.scoring.evidence import Calibration

_LEVELS: Final = 60
_TURNS: Final = 3


class Watched(NamedTuple):
    """People and what they showed: R records in ``streams``, n readings.

    ``person`` (R,) which of N each record is of; ``scored`` (n,) evidence, NaN where nothing was
    measured; ``quiet`` (n,) where an alarm is false; ``days`` (N,) in quiet of each.
    """

    streams: Streams
    person: Ints
    scored: Floats
    quiet: Bools
    days: Doubles


def made(start: Calibration, watched: Watched, prior_days: float) -> tuple[Calibration, float]:
    """``start`` with rarities that these people show, mixed with its own, which weigh so many days.

    And the days per alarm that are promised; 0, and the rarities as they are, where there were too
    few alarms to tell.
    """
    told = watched.scored[watched.quiet & ~np.isnan(watched.scored)]
    usual = float(np.median(told))
    lowest = min(usual, float(start.sums[1]))
    highest = max(float(told.max()) + 0.01, float(start.sums[-1]))
    levels = np.linspace(lowest, highest, _LEVELS)
    before = log_days(start, levels)
    total = float(watched.days.sum())
    share = total / (total + prior_days)
    found, promised = start, 0.0
    for _ in range(_TURNS):
        try:
            table = conformal.rarities(levels, raised(found, watched, levels), watched.days, usual)
        except ValueError:
            break
        own = log_days(replace(start, sums=table.levels, log_days=table.log_days), levels)
        # Ever so little more at each level: what cannot be told apart would have no inverse.
        mixed = np.maximum.accumulate(share * own + (1 - share) * before)
        mixed += 1e-4 * np.arange(_LEVELS)
        found, promised = replace(start, sums=levels, log_days=mixed), table.promised
    return found, promised


def raised(tables: Calibration, watched: Watched, levels: Doubles) -> Doubles:
    """Alarms (K, N) that the machine raises in quiet at each of ``levels`` (K,)."""
    counted = np.empty((len(levels), len(watched.days)))
    clearing = evidence(tables, log_days(tables, levels) - np.log10(HYSTERESIS))
    for place, (level, clear) in enumerate(zip(levels.tolist(), clearing.tolist(), strict=True)):
        found = alarms(watched.streams, watched.scored, Threshold(level, min(level, clear)))
        false = watched.quiet[found.begin]
        who = watched.person[found.record[false]]
        counted[place] = np.bincount(who, minlength=len(watched.days))
    return counted


def at_budget(tables: Calibration, watched: Watched, budget: float) -> Doubles:
    """Alarms of each of the N people at a ``budget`` of so many a day."""
    level = evidence(tables, np.array([-np.log10(budget)]))
    counted: Doubles = raised(tables, watched, level)[0]
    return counted


def log_days(tables: Calibration, levels: Doubles) -> Doubles:
    """log10 of the patient-days per alarm at each of ``levels`` of evidence (K,)."""
    found: Doubles = np.interp(levels, *_curve(tables))
    return found


def evidence(tables: Calibration, wanted: Doubles) -> Doubles:
    """The evidence from which on it is as rare as ``wanted`` (K,), log10 of patient-days."""
    levels, rising = _curve(tables)
    found: Doubles = np.interp(wanted, rising, levels)
    return found


def _curve(tables: Calibration) -> tuple[Doubles, Doubles]:
    """Evidence and log10 of days, both rising, as far on either side as anybody asks."""
    beyond = np.linspace(0.1, 20, 200)
    slope = tables.tables().days_beyond
    below = (tables.log_days[1] - tables.log_days[0]) / (tables.sums[1] - tables.sums[0])
    return (
        np.concatenate((tables.sums[0] - beyond[::-1], tables.sums, tables.sums[-1] + beyond)),
        np.concatenate(
            (
                tables.log_days[0] - beyond[::-1] * below,
                tables.log_days,
                tables.log_days[-1] + beyond * slope,
            )
        ),
    )
