"""Levels of the physiological conditions at a reading: safety limits, and rarity by the budget."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vitalwatch import vitals
from vitalwatch.alarms.conditions import DETERIORATION, HIGH, HIGH_VITALS, LOW_VITALS, MEDIUM, Rule
from vitalwatch.alarms.machine import UNKNOWN
from vitalwatch.arrays import Bools, Bytes8, Floats, Ints
from vitalwatch.compiled import AHEAD, compiled, fetch

HYSTERESIS_STEPS: Final = 3
"""A limit is over when the value is back inside it by so many steps of its device."""

HYSTERESIS: Final = 4
"""A deterioration is over when rarity is so many times below the level."""

ESCALATION: Final = 30
"""A deterioration so many times rarer than the budget asks for has high priority."""

_RULE: Final = ("vital", "side", "limit", "critical", "over")


def _rules() -> npt.NDArray[Any]:
    """Of each safety limit, in the order of the conditions: the vital it is for, and its ends.

    ``side`` is -1 for a low limit, whose ends and values are negated: beyond is always more.
    """
    margin = HYSTERESIS_STEPS * vitals.column("resolution")
    limits, criticals = vitals.bounds("limit"), vitals.bounds("critical")
    rules = []
    for side, columns, end in ((-1, LOW_VITALS, 0), (1, HIGH_VITALS, 1)):
        for vital in columns:
            outer = side * limits[end][vital]
            rules.append((vital, side, outer, side * criticals[end][vital], outer - margin[vital]))
    dtype = [(name, np.int64 if name == "vital" else np.float32) for name in _RULE]
    return np.array(rules, dtype=dtype)


_RULES: Final = _rules()


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


def judge(
    values: Floats,
    artefact: Bools,
    rarity: Floats,
    level_days: float,
    rows: Ints,
    dipped: Bools,
    level: Bytes8,
    clear: Bools,
) -> None:
    """Fill in the level of each physiological condition, and whether it is over, of n readings.

    ``values`` (n, V) usable values, NaN elsewhere; ``artefact`` (n, V) where a value belongs to
    an artefact, which ends what was pending: the way into the artefact looked like danger.

    ``rarity`` (n,) patient-days, NaN where nothing was scored; ``level_days`` is what the budget
    asks for. A single reading below that after one above it interrupts nothing; the second does.
    (Persistence of 2 in 3 readings did best on recordings of one reading a minute.) ``dipped``
    (R,) is the state of that, by ``rows`` (n,).

    ``level`` and ``clear`` (n, C), see :meth:`Machine.step`: other columns are left alone.
    """
    _judge(
        values, artefact, rarity, rows, dipped, _RULES, level, clear,
        np.float32(level_days),
        np.float32(ESCALATION * level_days),
        np.float32(level_days / HYSTERESIS),
    )  # fmt: skip


@compiled
def _judge(
    values: Floats,
    artefact: Bools,
    rarity: Floats,
    rows: Ints,
    dipped: Bools,
    rules: npt.NDArray[Any],
    level: Bytes8,
    clear: Bools,
    rare: np.float32,
    rarest: np.float32,
    usual: np.float32,
) -> None:
    for i in range(len(rows)):
        fetch(dipped, rows[min(i + AHEAD, len(rows) - 1)])
        for c in range(len(rules)):
            rule = rules[c]
            value = rule.side * values[i, rule.vital]
            if value > rule.critical:
                level[i, c] = HIGH
            elif value > rule.limit:
                level[i, c] = MEDIUM
            elif np.isnan(value) and not artefact[i, rule.vital]:
                level[i, c] = UNKNOWN
            else:
                level[i, c] = 0
            clear[i, c] = value <= rule.over  # not if NaN

        row, found = rows[i], rarity[i]
        clear[i, DETERIORATION] = found < usual
        if np.isnan(found):
            level[i, DETERIORATION] = UNKNOWN
            continue
        if found >= rarest:
            level[i, DETERIORATION] = HIGH
        elif found >= rare:
            level[i, DETERIORATION] = MEDIUM
        else:
            level[i, DETERIORATION] = 0 if dipped[row] else UNKNOWN
        dipped[row] = not found >= rare
