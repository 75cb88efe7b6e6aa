"""What monitors make of the true vital signs: averages, errors, steps, cuffs and spot readings."""

import numpy as np

from simulator.population import Population
from simulator.random_walks import Averaged, OrnsteinUhlenbeck, lag
from vitalwatch.arrays import Bools, Doubles, Floats
from vitalwatch.vitals import INDEX

HR, SPO2, RR, ETCO2 = (INDEX[name] for name in ("hr", "spo2", "rr", "etco2"))
SBP, DBP, MAP, TEMP = (INDEX[name] for name in ("sbp", "dbp", "map", "temp"))

SHOWN = (HR, SPO2, RR, ETCO2)
"""Averaged by the device; the order of the fluctuations' axis."""

_TAU = np.array([4.5, 6.0, 13.0, 14.0], dtype=np.float32)
_SIZE = np.array([2.0, 0.42, 1.3, 1.0], dtype=np.float32)
"""Beat to beat and breath to breath fluctuations: correlation time in s and standard deviation."""

CUFF_INFLATION = 35.0
"""A cuff reading takes so many seconds."""


class Devices:
    """The monitors of N patients."""

    def __init__(self, people: Population, interval: float, rng: np.random.Generator) -> None:
        """``interval`` is the time from frame to frame in s."""
        count = len(people)
        self._people = people
        self._interval = interval
        # SpO2 is averaged over 8 to 16 s; an exponential average of half the window lags alike.
        window = np.empty((4, count), dtype=np.float32)
        window[0] = rng.uniform(2.5, 6, count)
        window[1] = rng.uniform(4.1, 7.9, count)
        window[2] = rng.uniform(8, 15, count)
        window[3] = rng.uniform(2, 5, count)
        individual = np.exp(0.4 * rng.standard_normal((4, count))).clip(0.5, 1.8)
        size = (_SIZE[:, None] * individual).astype(np.float32)
        size[2] *= np.where(people.ventilated, 0.25, 1)
        self._size = size
        self._fluctuation = Averaged(
            np.broadcast_to(_TAU[:, None], window.shape), window, interval, rng
        )
        self._keep = np.exp(-interval / window).astype(np.float32)
        self._shown: Floats | None = None
        self._drift = OrnsteinUhlenbeck([1800.0, 1800.0, 3600.0], count, interval, rng)
        self._bias = self._biases(people, rng)
        self._phase = rng.random((2, count)) * [people.cuff_period, people.temperature_period]
        self._ectopy = np.cumsum(np.exp(rng.standard_normal(count)))
        self._rng = rng

    @staticmethod
    def _biases(people: Population, rng: np.random.Generator) -> Floats:
        """Constant errors ``(V, N)``: pulse +-3, SpO2 +-2 (two deviations), cuff mean +-3."""
        bias = rng.standard_normal((8, len(people))).astype(np.float32)
        size = np.array([0.5, 1.1, 0.8, 3, 3, 3, 0.1, 2], dtype=np.float32)[:, None]
        bias *= size
        bias[SBP:TEMP] *= np.where(people.arterial_line, 0.5, 1)
        return bias

    def average(self, latent: Floats, irregular: Floats) -> Floats:
        """What the devices' averages show of the true ``latent`` levels, each ``(B, V, N)``.

        With it come the fluctuations from beat to beat and breath to breath around the levels;
        ``irregular (B, N)`` rhythms have more of them.
        """
        shown = latent.copy()
        averaged = latent[:, SHOWN]
        if self._shown is None:
            self._shown = averaged[0].copy()
        lag(averaged, self._shown, self._keep)
        mean = self._fluctuation.advance(len(latent))
        mean *= self._size
        # In atrial fibrillation no beat follows the last one's time.
        mean[:, 0] *= 1 + 4 * irregular
        mean[:, 2] *= np.minimum(latent[:, RR] / self._people.rr, 1)
        mean += averaged
        shown[:, SHOWN] = mean
        return shown

    def measure(self, shown: Floats, times: Doubles) -> tuple[Floats, Bools]:
        """Readings ``(B, V, N)`` in place of ``shown``, not yet rounded, NaN where none is due.

        Also ``(B, N)``: whether the cuff is inflating. ``times (B, N)`` are s since the start.
        """
        people = self._people
        drift = self._drift.advance(len(shown))
        shown += self._bias
        shown[:, SPO2] += 0.7 * drift[:, 0] + self._skin(shown[:, SPO2])
        shown[:, RR] += 1.2 * drift[:, 1] * np.where(people.ventilated, 0.2, 1).astype(np.float32)
        shown[:, TEMP] += 0.05 * drift[:, 2]
        self._miscount(shown)
        due, inflating = self._due(times, people.cuff_period, self._phase[0], CUFF_INFLATION)
        line = people.arterial_line
        inflating &= ~line
        due &= ~line
        rows, patients = np.nonzero(due)
        # Cuff error at most 5 +- 8 mmHg; its parts err together.
        error = self._rng.standard_normal((4, len(rows)), dtype=np.float32)
        for part, vital in enumerate((SBP, DBP, MAP)):
            shown[rows, vital, patients] += 4 * error[3] + 3 * error[part]
        cuff = np.flatnonzero(~line)
        missing = ~due[:, cuff]
        for vital in (SBP, DBP, MAP):
            values = shown[:, vital, cuff]
            values[missing] = np.nan
            shown[:, vital, cuff] = values
        spot, _ = self._due(times, people.temperature_period, self._phase[1], 0.0)
        shown[:, TEMP][~(spot | people.temperature_probe)] = np.nan
        shown[:, ETCO2][:, ~people.capnograph] = np.nan
        np.minimum(shown[:, SPO2], 100, out=shown[:, SPO2])
        np.maximum(shown, 0, out=shown)
        return shown, inflating

    def _miscount(self, shown: Floats) -> None:
        """An early beat or a missed breath shows for one reading; more often in some patients."""
        frames, _, count = shown.shape
        burden = self._ectopy / self._ectopy[-1]
        for vital, chance, size in ((HR, 0.006, 3.5), (RR, 0.003, 2.5)):
            number = self._rng.poisson(chance * frames * count)
            rows = self._rng.integers(0, frames, number)
            who = np.searchsorted(burden, self._rng.random(number))
            shown[rows, vital, who] += size * self._rng.standard_normal(number, dtype=np.float32)

    def _due(
        self, times: Doubles, period: Floats, phase: Doubles, before: float
    ) -> tuple[Bools, Bools]:
        """Whether a periodic event fell since the frame before; whether it is ``before`` s off."""
        since = (times - phase) % period
        due = since < self._interval
        return due, since >= period - before

    def _skin(self, saturation: Floats) -> Floats:
        """Over-reading in darker skin, larger at low saturation; about 1 % at 95, 2.5 % at 80."""
        dark = ((self._people.skin_tone - 2) / 4).clip(0, 1).astype(np.float32)
        low = np.minimum(np.maximum((100 - saturation) * np.float32(0.11), 0), 3)
        return np.asarray(dark * (0.3 + low), dtype=np.float32)


def rounded(values: Floats) -> Floats:
    """To the steps in which devices report, in place; ``(B, V, N)``."""
    tenths = np.rint(values[:, TEMP] * 10) / 10
    np.rint(values, out=values)
    values[:, TEMP] = tenths
    return values
