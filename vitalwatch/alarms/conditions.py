"""The fixed table of alarm conditions: priorities, delays, hysteresis, refractory times.

Where the times come from: a delay of 14 s removes half of the alarms that nobody acts on and
19 s two thirds (Görges 2009), hence 15 s for a critical value; step-down units ask for
persistence of minutes beyond an ordinary limit (Pittsburgh: 80 % of 5 min), hence 60 s, which
at one reading a minute is two readings. A trend that is already alarmed is not alarmed again
for 30 min unless it gets worse. One that lasts is told anew every eight hours, a nursing shift: who
takes over must hear of it, and an alarm that never ends would otherwise be silent about whatever
comes on top.
"""

from typing import Final, Literal, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Ints
from vitalwatch.messages import Kind

LOW: Final = 1
MEDIUM: Final = 2
HIGH: Final = 3
"""Priorities as numbers; 0 is none. IEC 60601-1-8: prompt response, immediate response."""

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND


Rule = Literal[
    "low",
    "high",
    "deterioration",
    "implausible",
    "no_signal",
    "no_breathing",
    "no_heartbeat",
    "stale",
]


class Condition(NamedTuple):
    """One condition that can be in alarm for a patient: a rule, perhaps of one vital; times in ms.

    It is raised with ``priority`` after ``delay`` at a level of at least that, or with ``top``
    after ``top_delay`` at that level; ``top`` is 0 where there is no second priority. It is
    cleared after ``hold`` of being clear. After that it is silent at the same or a lower
    priority for ``refractory`` (at ``top`` priority: ``top_refractory``). While it lasts it is told
    anew after every ``renewal``, or never if that is 0; one condition alone has that.
    """

    rule: Rule
    kind: Kind
    priority: int
    vital: int | None = None
    delay: int = 0
    top: int = 0
    top_delay: int = 0
    hold: int = 0
    refractory: int = 0
    top_refractory: int = 0
    renewal: int = 0

    @property
    def name(self) -> str:
        """Name on the wire: the rule, after the vital's name if it can hold for several."""
        if self.vital is None or self.rule in ("no_breathing", "no_heartbeat"):
            return self.rule
        return f"{vitals.NAMES[self.vital]}_{self.rule}"


def _limit(vital: int, rule: Rule) -> Condition:
    return Condition(
        rule,
        "physiological",
        MEDIUM,
        vital,
        delay=60 * SECOND,
        top=HIGH,
        top_delay=15 * SECOND,
        hold=30 * SECOND,
        refractory=5 * MINUTE,
        top_refractory=60 * SECOND,
    )


def _table() -> tuple[Condition, ...]:
    lows = [_limit(i, "low") for i, vital in enumerate(vitals.VITALS) if vital.limit[0] is not None]
    highs = [
        _limit(i, "high") for i, vital in enumerate(vitals.VITALS) if vital.limit[1] is not None
    ]
    # What has to stand for two minutes may be alarmed at a lower level for the same rate of false
    # alarms, and so is alarmed earlier.
    deterioration = Condition(
        "deterioration",
        "physiological",
        MEDIUM,
        delay=120 * SECOND,
        top=HIGH,
        top_delay=120 * SECOND,
        hold=60 * SECOND,
        refractory=30 * MINUTE,
        top_refractory=30 * MINUTE,
        renewal=8 * 60 * MINUTE,
    )
    # Flushing a line takes several bursts; one alarm covers them.
    implausible = [
        Condition("implausible", "technical", LOW, i, hold=60 * SECOND) for i in range(vitals.COUNT)
    ]
    no_signal = [
        Condition("no_signal", "technical", LOW, i, refractory=5 * MINUTE)
        for i in range(vitals.COUNT)
    ]
    # Apnoea alarms of monitors wait 20 to 30 s; opioid studies (PRODIGY) take more than 30 s.
    no_breathing = Condition(
        "no_breathing",
        "technical",
        MEDIUM,
        vitals.INDEX["rr"],
        delay=30 * SECOND,
        hold=10 * SECOND,
        refractory=60 * SECOND,
    )
    # Asystole, or electrodes and oximeter both off; HIGH where an arterial line is flat as well.
    no_heartbeat = Condition(
        "no_heartbeat",
        "technical",
        MEDIUM,
        vitals.INDEX["hr"],
        delay=15 * SECOND,
        top=HIGH,
        top_delay=15 * SECOND,
        hold=10 * SECOND,
        refractory=60 * SECOND,
        top_refractory=60 * SECOND,
    )
    stale = Condition("stale", "technical", MEDIUM)
    unsure = (no_breathing, no_heartbeat)
    return (*lows, *highs, deterioration, *implausible, *no_signal, *unsure, stale)


CONDITIONS: Final = _table()
COUNT: Final = len(CONDITIONS)
INDEX: Final = {condition.name: position for position, condition in enumerate(CONDITIONS)}


def _columns(rule: Rule) -> tuple[slice, Ints]:
    """Columns of a rule that several vitals have (they are contiguous), and the vitals'."""
    found = [i for i, condition in enumerate(CONDITIONS) if condition.rule == rule]
    return slice(found[0], found[-1] + 1), np.array([CONDITIONS[i].vital for i in found])


LOWS, LOW_VITALS = _columns("low")
HIGHS, HIGH_VITALS = _columns("high")
IMPLAUSIBLE, _ = _columns("implausible")
NO_SIGNAL, _ = _columns("no_signal")
DETERIORATION: Final = INDEX["deterioration"]
NO_BREATHING: Final = INDEX["no_breathing"]
NO_HEARTBEAT: Final = INDEX["no_heartbeat"]
STALE: Final = INDEX["stale"]
PHYSIOLOGICAL: Final = slice(0, DETERIORATION + 1)
"""Columns of all physiological conditions; the others are technical."""
