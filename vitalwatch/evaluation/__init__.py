"""How good the alarms are, beside what else one could have: simulated people and recorded ones.

``ward`` measures the whole detector, safety limits and all, on a simulated ward (the README's
table). All else compares *detectors under test*: whatever turns a person's readings, one by one,
into a score. They get the same cleaned readings and one alarm logic, their thresholds are set on
people apart (``calibrate``) to the same rates of false alarms, and what they are judged by are
events and alarms of others again (``test``). The room uses the simulator, the scoring and the
alarms as they are; nothing here runs in the daemon.
"""

from typing import Final

HEADLINE: Final = "swinging"
"""The simulator's style that figures are told of: whoever needs no training catches less than 75 %
of it at one false alarm a day."""

EXPLAINED: Final = 500_000
"""So many seeds lie between the tables' patients and those whose alerts are explained."""
