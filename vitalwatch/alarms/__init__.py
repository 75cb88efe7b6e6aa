"""Alarms: from readings and their rarity to alert events, raised, escalated and cleared.

The room holds the fixed table of conditions (safety limits, the network's rarity against the
budget, technical conditions), the one state machine through which all of them go, the watch
over signals (probe off, implausible, stale), and the wording of alerts. Its state lies in the
table of all patients' state; whoever calls gives the rows. It is a pure function of the readings:
it reads no clock, and must know nothing of Kafka, of torch, or of files.
"""

from vitalwatch.alarms.alarms import Alarms
from vitalwatch.alarms.explain import Explanation
from vitalwatch.alarms.machine import Transitions
from vitalwatch.alarms.technical import Assessment

__all__ = ["Alarms", "Assessment", "Explanation", "Transitions"]
