"""What nurses write down of what monitors show: in rounds, vital by vital, now and then wrong."""

from typing import Final, NamedTuple

import numpy as np

from simulator.devices import DBP, ETCO2, HR, MAP, RR, SBP, SPO2, TEMP
from vitalwatch.arrays import Bools, Doubles, Floats, Ints
from vitalwatch.vitals import COUNT, bounds

GROUPS: Final = ((HR, SPO2, RR, ETCO2), (SBP, DBP, MAP), (TEMP,), (HR, SPO2, RR))
"""Read from the monitor, by the cuff, with a thermometer; and single values between the rounds."""

MONITOR, CUFF, THERMOMETER, BETWEEN = range(len(GROUPS))

LATE: Final = 0.1
"""Share of rounds that come up to ten minutes late."""

_LOW, _HIGH = bounds("plausible")


class Charting(NamedTuple):
    """Times in s, and shares of what a round would have.

    A patient's rounds are ``every`` so long apart, one of these with the ``shares``; temperature is
    taken ``temperature`` apart, with the shares ``temperatures``, single values on average
    ``between``. In up to ``apart`` of
    the rounds, more in some patients, the cuff is read some minutes after the monitor; ``omitted``
    vitals are not written down, and ``mistaken`` ones are not what was seen.
    """

    every: tuple[float, ...] = (900.0, 1800.0, 3600.0)
    shares: tuple[float, ...] = (0.06, 0.08, 0.86)
    temperature: tuple[float, ...] = (3600.0, 7200.0, 14_400.0)
    temperatures: tuple[float, ...] = (0.15, 0.2, 0.65)
    between: float = 50_000.0
    apart: float = 0.55
    omitted: float = 0.05
    mistaken: float = 3e-4


class Charts:
    """The charts of N patients; what is due between two frames comes with the second."""

    def __init__(self, patients: int, charting: Charting, rng: np.random.Generator) -> None:
        self._rng = rng
        self._charting = charting
        self._period = np.empty((len(GROUPS), patients))
        self._period[:] = rng.choice(charting.every, patients, p=charting.shares)
        self._period[THERMOMETER] = rng.choice(
            charting.temperature, patients, p=charting.temperatures
        )
        self._period[BETWEEN] = np.inf
        self._apart = charting.apart * rng.random(patients) ** 1.5
        # Of some patients hardly anything is forgotten, of others much.
        forgetting = np.exp(0.7 * rng.standard_normal((COUNT, patients))).clip(0.2, 5)
        forgetting[RR] *= 2  # which has to be counted
        self._omitted = charting.omitted * forgetting
        self._round = np.zeros(self._period.shape)
        # with a round, but not of everybody in the same one
        hours = np.floor(rng.random(patients) * self._period[THERMOMETER] / 3600)
        self._round[THERMOMETER] = 3600 * hours
        self._due = self._round.copy()
        self._due[BETWEEN] = rng.exponential(charting.between, patients)

    def chart(self, values: Floats, times: Doubles) -> None:
        """Leave of ``values (B, V, N)`` what is written down, in place; ``times (B, N)`` in s."""
        written: Bools = np.zeros(values.shape, dtype=bool)
        for frame, now in enumerate(times):
            while (due := self._due <= now).any():
                for group, vitals in enumerate(GROUPS):
                    who = np.flatnonzero(due[group])
                    if len(who):
                        self._write(written[frame], group, vitals, who)
                        self._renew(group, who)
        low, high = _LOW[:, None], _HIGH[:, None]
        written &= (values >= low) & (values <= high)  # who charts looks at what it says
        values[~written] = np.nan
        self._mistake(values)

    def _write(self, written: Bools, group: int, vitals: tuple[int, ...], who: Ints) -> None:
        """Take down a group's vitals of some patients in one frame's ``written (V, N)``."""
        rows = np.array(vitals)[:, None]
        if group == BETWEEN:
            rows = rows[self._rng.integers(0, len(vitals), len(who)), 0]
            written[rows, who] = True
            return
        # one look at the cuff gives all of its pressures
        draws = 1 if group == CUFF else len(vitals)
        chance = self._rng.random((draws, len(who)))
        written[rows, who] |= chance >= self._omitted[rows[:draws], who]

    def _renew(self, group: int, who: Ints) -> None:
        """When the group is due next."""
        if group == BETWEEN:
            self._due[group, who] += self._rng.exponential(self._charting.between, len(who))
            return
        self._round[group, who] += self._period[group, who]
        chance, later = self._rng.random((2, len(who)))
        if group == MONITOR:
            delay = np.where(chance < LATE, 600 * later, 0)
        elif group == CUFF:
            delay = np.where(chance < self._apart[who], 60 + 180 * later**2, 0)
        else:
            delay = np.zeros(len(who))
        self._due[group, who] = self._round[group, who] + delay

    def _mistake(self, values: Floats) -> None:
        """Slips of the pen."""
        places = np.nonzero(np.isfinite(values))
        slips = self._rng.random(len(places[0])) < self._charting.mistaken
        frames, vitals, who = (place[slips] for place in places)
        seen = values[frames, vitals, who]
        wrong = np.where(vitals == TEMP, 32 + 1.8 * seen, 10 * seen)  # °F, or a digit too many
        values[frames, vitals, who] = np.where(vitals == HR, 0, wrong)
