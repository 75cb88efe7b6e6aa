"""Levels of the physiological conditions at a reading: safety limits, and rarity by the budget."""

from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.alarms.conditions import HIGH, HIGH_VITALS, LOW_VITALS, MEDIUM, Rule
from vitalwatch.alarms.machine import UNKNOWN
from vitalwatch.arrays import Bools, Bytes8, Floats, Ints

HYSTERESIS_STEPS: Final = 3
"""A limit is over when the value is back inside it by so many steps of its device."""

HYSTERESIS: Final = 4
"""A deterioration is over when rarity is so many times below the level."""

ESCALATION: Final = 30
"""A deterioration so many times rarer than the budget asks for has high priority."""

_LIMIT_LOW, _LIMIT_HIGH = vitals.bounds("limit")
_CRITICAL_LOW, _CRITICAL_HIGH = vitals.bounds("critical")
_MARGIN: Final = HYSTERESIS_STEPS * vitals.column("resolution")


def limit(vital: int, side: Rule, priority: int) -> float:
    """The safety limit that an alarm of this priority is beyond, in the vital's unit."""
    row = vitals.VITALS[vital]
    ends = row.critical if priority == HIGH else row.limit
    end = ends[0] if side == "low" else ends[1]
    if end is None:
        raise LookupError(f"{row.name} has no {side} limit")
    return end


def nearest(vital: int, value: float) -> float | None:
    """The safety limit that a value is nearest to, counted from the typical value; None if none.

    Towards the side on which the value lies, in the vital's unit.
    """
    row = vitals.VITALS[vital]
    return row.limit[0] if value < row.typical else row.limit[1]


def lows(values: Floats, artefact: Bools) -> tuple[Bytes8, Bools]:
    """Levels (n, L) of the conditions ``<vital>_low``, and where they are over (n, L).

    ``values`` (n, V) usable values, NaN elsewhere; ``artefact`` (n, V) where a value belongs to
    an artefact, which ends what was pending: the way into the artefact looked like danger.
    """
    return _levels(-values, -_LIMIT_LOW, -_CRITICAL_LOW, artefact, LOW_VITALS)


def highs(values: Floats, artefact: Bools) -> tuple[Bytes8, Bools]:
    """Like :func:`lows`, of the conditions ``<vital>_high``."""
    return _levels(values, _LIMIT_HIGH, _CRITICAL_HIGH, artefact, HIGH_VITALS)


def _levels(
    values: Floats, limits: Floats, critical: Floats, artefact: Bools, columns: Ints
) -> tuple[Bytes8, Bools]:
    value = values[:, columns]
    beyond = np.where(value > limits[columns], MEDIUM, 0)
    beyond[value > critical[columns]] = HIGH
    unknown = np.isnan(value) & ~artefact[:, columns]
    level = np.where(unknown, UNKNOWN, beyond).astype(np.int8)
    return level, value <= (limits - _MARGIN)[columns]


def deterioration(rarity: Floats, level_days: float, dipped: Bools) -> tuple[Bytes8, Bools, Bools]:
    """Level (n,) and end (n,) of the network's condition, and the new ``dipped`` (n,).

    ``rarity`` (n,) patient-days, NaN where nothing was scored. A single reading below the level
    after one above it interrupts nothing; the second does. (Persistence of 2 in 3 readings did
    best on recordings of one reading a minute.)
    """
    known = ~np.isnan(rarity)
    level = np.where(rarity >= level_days, MEDIUM, 0)
    level[rarity >= ESCALATION * level_days] = HIGH
    below = known & (level == 0)
    level[~known | (below & ~dipped)] = UNKNOWN
    return level.astype(np.int8), rarity < level_days / HYSTERESIS, np.where(known, below, dipped)
