"""Benign swings: a vital sign leaves the safety limits for a minute or three, and comes back.

Real wards are full of them: the alarms of fixed limits, most of which nobody has to answer. Each
is as deep in everybody, whatever the resting level: beyond the limit, and short of critical.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from simulator.drives import Drives
from simulator.episodes import HOUR, Episode, Kind, everyone
from simulator.population import Population
from vitalwatch.arrays import Bools, Doubles, Floats


class Swing(NamedTuple):
    """Within ``rise`` s ``drive`` reaches what takes the vital to ``depth (N,)``, a logarithm of a
    ratio; ``beside`` are other drives at their full size.
    """

    rise: float
    drive: str
    depth: Callable[[Population], Floats]
    beside: dict[str, float]


def _mobile(people: Population) -> Bools:
    return people.mobile


SWINGS: Final = {
    # blood stays in the legs, and the reflex is late
    "standing": Swing(
        10,
        "resistance",
        lambda people: np.log(62 / people.mean_pressure) - np.float32(0.06),
        {"baro_loss": 0.85, "motion": 0.3},
    ),
    # phlegm, until it is coughed up
    "plug": Swing(
        8, "shunt", lambda people: np.log(people.pao2 / 47.5), {"rate": 0.08, "chemo_loss": 0.3}
    ),
    # the vagus nerve, on straining or retching
    "straining": Swing(
        4, "pace_rate", lambda people: np.log(36.5 / people.hr), {"pace": 1.0, "motion": 0.1}
    ),
    # a run of beats that ends by itself
    "palpitations": Swing(
        3, "pace_rate", lambda people: np.log(147 / people.hr), {"pace": 1.0, "stroke": -0.08}
    ),
    "panic": Swing(
        20,
        "breathing",
        lambda people: np.log(36.8 / people.rr),
        {"rate": 0.15, "setpoint": 0.06, "chemo_loss": 0.7},
    ),
}

KINDS: Final = (
    Kind("standing", 6 * HOUR, 110, 0.4, True, _mobile),
    Kind("plug", 9 * HOUR, 150, 0.4, True, everyone),
    Kind("straining", 20 * HOUR, 90, 0.4, True, everyone),
    Kind("palpitations", 24 * HOUR, 100, 0.5, True, everyone),
    Kind("panic", 20 * HOUR, 160, 0.4, True, lambda people: ~people.ventilated),
)


def swing(name: str, episode: Episode, times: Doubles, people: Population, drives: Drives) -> None:
    """Let one kind's swings act; ``times (B, K)`` in s are those patients' own."""
    who = episode.patients
    rise, drive, depth, beside = SWINGS[name]
    # One that takes the reflexes or the rhythm away comes alone.
    alone = 1 - np.minimum(drives.baro_loss[:, who] + drives.pace[:, who], 1)
    on = episode.envelope(times, rise) * alone
    full = depth(people)[who] * (np.float32(0.94) + np.float32(0.06) * episode.choice)
    getattr(drives, drive)[:, who] += on * full.astype(np.float32)
    for other, size in beside.items():
        getattr(drives, other)[:, who] += size * on
