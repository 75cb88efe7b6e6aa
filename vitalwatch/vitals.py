"""The one table of vital signs.

Every array with a vital axis uses the order of :data:`VITALS`. Codes and units are those of
LOINC and UCUM as fixed by the FHIR vital-signs profiles. ``plausible`` is what a living
patient's monitor can show: a value outside is an artefact (a flushed or zeroed pressure line
shows -60 or 330 mmHg), never a physiological alarm. ``limit`` and ``critical`` are the safety
limits: step-down limits of the CMU/Pittsburgh studies (HR 40 to 140, RR 8 to 36, SBP 80 to
200, DBP below 110, SpO2 above 85) and, further out, values that call for immediate action
(PRODIGY: RR <= 5; telemetry desaturation: SpO2 < 80). Limits are exclusive: a value *beyond*
the limit is in alarm.
"""

from typing import Final, NamedTuple

import numpy as np

from vitalwatch.arrays import Floats


class Vital(NamedTuple):
    """One vital sign; values are in ``unit``.

    ``resolution`` is the step in which devices report it. ``typical`` is the population's
    median and ``spread`` a robust standard deviation between adults at rest in hospital; they
    only scale the network's inputs.
    """

    name: str
    label: str
    loinc: str
    ucum: str
    unit: str
    resolution: float
    plausible: tuple[float, float]
    limit: tuple[float | None, float | None]
    critical: tuple[float | None, float | None]
    typical: float
    spread: float
    colour: str


VITALS: Final = (
    Vital("hr", "HR", "8867-4", "/min", "/min", 1, (15, 300), (40, 140), (30, 160), 82, 16, "green"),
    Vital("spo2", "SpO2", "59408-5", "%", "%", 1, (20, 100), (85, None), (80, None), 97, 2.5, "cyan"),
    Vital("rr", "RR", "9279-1", "/min", "/min", 1, (1, 90), (8, 36), (5, 45), 18, 4.5, "yellow"),
    Vital("sbp", "SBP", "8480-6", "mm[Hg]", "mmHg", 1, (30, 290), (80, 200), (70, 230), 122, 20, "red"),
    Vital("dbp", "DBP", "8462-4", "mm[Hg]", "mmHg", 1, (10, 200), (None, 110), (None, 130), 68, 12, "red"),
    Vital("map", "MAP", "8478-0", "mm[Hg]", "mmHg", 1, (20, 200), (60, 130), (50, 160), 86, 14, "red"),
    Vital("temp", "Temp", "8310-5", "Cel", "°C", 0.1, (28, 43), (35, 39.5), (33, 41), 36.9, 0.6, "white"),
    Vital("etco2", "EtCO2", "19891-1", "mm[Hg]", "mmHg", 1, (4, 120), (20, 60), (12, 75), 37, 6, "yellow"),
)  # fmt: skip

NAMES: Final = tuple(vital.name for vital in VITALS)
INDEX: Final = {name: position for position, name in enumerate(NAMES)}
COUNT: Final = len(VITALS)


def column(field: str) -> Floats:
    """One numeric field of the table as a ``(COUNT,)`` float32 array."""
    return np.array([getattr(vital, field) for vital in VITALS], dtype=np.float32)


def bounds(field: str) -> tuple[Floats, Floats]:
    """Low and high ends of a range field, each ``(COUNT,)``; an open end is infinite."""
    low = [getattr(vital, field)[0] for vital in VITALS]
    high = [getattr(vital, field)[1] for vital in VITALS]
    return (
        np.array([-np.inf if end is None else end for end in low], dtype=np.float32),
        np.array([np.inf if end is None else end for end in high], dtype=np.float32),
    )
