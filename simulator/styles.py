"""Styles of monitoring: who is watched, by what, and so what can be seen of them.

Each is one record of settings for the rooms beside this one. ``ward`` is a general ward as a
whole; the others are set so that the figures of their streams (:mod:`simulator.figures`) lie
within those of recordings of real patients. `vitalwatch compare` prints both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from simulator import swings
from simulator.charting import Charting
from simulator.devices import PLAIN, Monitor
from simulator.episodes import ARTEFACTS, BENIGN, HOUR, MINUTE, Kind, everyone, with_line
from simulator.physiology import VARIATION
from simulator.population import GENERAL, Setting
from vitalwatch.errors import UsageError
from vitalwatch.vitals import NAMES


@dataclass(frozen=True, slots=True)
class Style:
    """``interval`` is the usual time between readings in s; ``vitals`` are those shown.

    ``variation`` are standard deviation and correlation time in s of the body's spontaneous
    variations. Daily life raises the logarithm of the heart rate by ``exertion`` at most, that of
    pressure by half of it, and that of the respiratory rate by ``panting``. ``charting`` is None
    where readings come as the monitor shows them.
    """

    name: str
    about: str
    interval: float = 5.0
    vitals: tuple[str, ...] = NAMES
    people: Setting = GENERAL
    variation: Mapping[str, tuple[float, float]] = field(default_factory=lambda: VARIATION)
    exertion: float = 0.26
    panting: float = np.inf
    monitor: Monitor = PLAIN
    benign: tuple[Kind, ...] = BENIGN
    faults: tuple[Kind, ...] = ARTEFACTS
    charting: Charting | None = None


_WARD: Final = Style("ward", "a general ward: monitors, cuffs, spot temperatures")

_SWINGING: Final = replace(
    _WARD,
    name="swinging",
    about="the general ward, with benign swings beyond the limits, as on real ones",
    benign=(*BENIGN, *swings.KINDS),
)

_INTENSIVE: Final = Setting(
    pulse=1.03,
    breaths=1.08,
    ventilated=0.3,
    oxygen=0.6,
    mobile=0.0,
    arterial_line=0.8,
    reflex=0.35,
    dip=0.6,
    pressure=-7.0,
    pulsation=7.0,
)

_NURSED: Final = (
    Kind("turning", 2.0 * HOUR, 60, 0.5, False, everyone),
    Kind("coughing", 1.5 * HOUR, 25, 0.6, False, everyone),
    Kind("care", 25 * MINUTE, 90, 0.9, False, everyone),
    Kind("pain", 12.0 * HOUR, 1500, 0.6, False, everyone),
)

_UNREST: Final = dict(VARIATION) | {
    "rate": (0.01, 600.0),
    "restlessness": (0.5, 240.0),
    "breathing": (0.06, 900.0),
    "rate_hours": (0.035, 7200.0),
    "pressure_waves": (0.006, 7.0),
    "stroke": (0.10, 1800.0),
    "setpoint": (0.028, 3600.0),
    "resistance": (0.09, 520.0),
}

_BEDSIDE: Final = Style(
    "bedside",
    "intensive care, as its monitors show or store it",
    interval=1.0,
    people=_INTENSIVE,
    variation=_UNREST,
    panting=0.48,
    monitor=Monitor(
        averages=True, size=(1.7, 0.38, 1.6, 1.0), tau=(3.5, 6.0, 8.0, 14.0), assisted=0.6
    ),
    benign=_NURSED,
    faults=(
        *ARTEFACTS,
        Kind("damped", 38 * MINUTE, 125, 0.5, False, with_line),
        Kind("closed", 1.6 * HOUR, 150, 0.7, False, with_line),
    ),
)

_SEDATION: Final = Style(
    "sedation",
    "an oximeter during procedures under sedation",
    interval=1.0,
    vitals=("hr", "spo2"),
    people=Setting(ventilated=0.0, oxygen=1.0, mobile=0.0, pulse=0.8),
    monitor=Monitor(refresh=4.0, size=(2.0, 0.68, 1.3, 1.0), tau=(28.0, 26.0, 13.0, 14.0)),
    benign=(Kind("stimulus", 4.5 * MINUTE, 40, 0.8, False, everyone),),
    faults=(
        Kind("motion", 12 * MINUTE, 25, 0.9, False, everyone),
        *ARTEFACTS[1:],
        Kind("no_pulse", 8 * MINUTE, 10, 0.8, False, everyone),
    ),
)

_CHARTED: Final = Style(
    "charted",
    "intensive care as charted by nurses, about hourly",
    interval=60.0,
    people=_INTENSIVE._replace(pulse=1.0, ventilated=0.2, arterial_line=0.2, cuff_on_probe_arm=0.0),
    variation=_UNREST
    | {
        "rate": (0.025, 600.0),
        "pressure_waves": (0.04, 7.0),
        "restlessness": (1.6, 900.0),
        "resistance": (0.065, 600.0),
        "setpoint": (0.022, 3600.0),
        "stroke": (0.11, 1800.0),
        "breathing": (0.09, 5400.0),
        "shunt": (0.07, 7200.0),
        "fever": (0.42, 9000.0),
    },
    exertion=0.16,
    panting=0.4,
    monitor=Monitor(
        size=(2.0, 0.4, 2.1, 1.0), drift=(1.25, 2.0, 0.05), cuff=(7.0, 4.0), on_demand=True
    ),
    benign=_NURSED,
    charting=Charting(),
)

_WEARABLE: Final = Style(
    "wearable",
    "healthy, active people with a wrist oximeter",
    interval=1.0,
    vitals=("hr", "spo2", "rr"),
    people=Setting(
        age=(38, 12, 18, 70), ill=0.3, ventilated=0.0, oxygen=0.0, mobile=1.0, pulse=0.88
    ),
    variation=dict(VARIATION) | {"rate_hours": (0.035, 7200.0)},
    exertion=0.4,
    panting=0.55,
    monitor=Monitor(size=(2.9, 0.85, 1.3, 1.0), tau=(6.0, 45.0, 13.0, 14.0)),
    benign=(
        Kind("exercise", 21 * MINUTE, 330, 0.4, True, everyone),
        Kind("excitement", 12 * MINUTE, 100, 0.6, True, everyone),
    ),
    faults=(
        *ARTEFACTS,
        Kind("frozen", 20 * MINUTE, 25, 0.4, False, everyone),
        Kind("taken_off", 6 * HOUR, HOUR, 1.0, True, everyone),
    ),
)

STYLES: Final = {
    style.name: style for style in (_WARD, _SWINGING, _BEDSIDE, _SEDATION, _CHARTED, _WEARABLE)
}
"""By name."""


def style(name: str) -> Style:
    """The style of that name. Raises UsageError if there is none."""
    if name not in STYLES:
        raise UsageError(f"There is no style {name!r}; there are: {', '.join(STYLES)}.")
    return STYLES[name]
