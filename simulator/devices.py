"""What monitors make of the true vital signs: averages, errors, steps, cuffs and spot readings."""

from typing import NamedTuple

import numpy as np

from simulator.population import Population
from simulator.random_walks import Averaged, OrnsteinUhlenbeck, lag
from vitalwatch.arrays import Bools, Doubles, Floats, Ints
from vitalwatch.vitals import INDEX

HR, SPO2, RR, ETCO2 = (INDEX[name] for name in ("hr", "spo2", "rr", "etco2"))
SBP, DBP, MAP, TEMP = (INDEX[name] for name in ("sbp", "dbp", "map", "temp"))

SHOWN = (HR, SPO2, RR, ETCO2)
"""Averaged by the device; the order of the fluctuations' axis."""

LONG = 30.0
"""Over a longer interval in s a monitor that averages stores means."""

WITHIN = 0.08
"""A stored mean of SpO2 is one of whole numbers, which scatter so within the minute (in %, the
scale of a logistic curve): mostly it is a whole number itself."""

CUFF_INFLATION = 35.0
"""A cuff reading takes so many seconds."""


class Monitor(NamedTuple):
    """Settings of one make of monitor; what has four parts is for :data:`SHOWN`.

    ``tau`` in s and ``size`` are correlation time and standard deviation of the fluctuations from
    beat to beat and breath to breath, ``differ`` how far patients differ in them (of the
    logarithm), ``assisted`` the share of them that a ventilator leaves in breathing. ``cuff`` are
    the errors in mmHg that the pressures of one reading share, and that each has. ``drift`` are the
    standard deviations of slow errors of SpO2, respiratory rate and temperature. The numbers are
    renewed every ``refresh`` s. A monitor that ``averages`` stores means over the interval, in
    tenths, where that is longer than its own averages. ``on_demand`` cuff and thermometer are used
    whenever somebody wants to know, not at times of their own.
    """

    tau: tuple[float, float, float, float] = (4.5, 6.0, 13.0, 14.0)
    size: tuple[float, float, float, float] = (2.0, 0.42, 1.3, 1.0)
    differ: float = 0.4
    drift: tuple[float, float, float] = (0.7, 1.2, 0.05)
    assisted: float = 0.25
    cuff: tuple[float, float] = (4.0, 3.0)
    refresh: float = 1.0
    averages: bool = False
    on_demand: bool = False


PLAIN = Monitor()
"""The monitor of a general ward."""


class Devices:
    """The monitors of N patients."""

    def __init__(
        self,
        people: Population,
        interval: float,
        rng: np.random.Generator,
        monitor: Monitor = PLAIN,
    ) -> None:
        """``interval`` is the time from frame to frame in s."""
        count = len(people)
        self._people = people
        self._monitor = monitor
        self._interval = interval
        # SpO2 is averaged over 8 to 16 s; an exponential average of half the window lags alike.
        window = np.empty((4, count), dtype=np.float32)
        window[0] = rng.uniform(2.5, 6, count)
        window[1] = rng.uniform(4.1, 7.9, count)
        window[2] = rng.uniform(8, 15, count)
        window[3] = rng.uniform(2, 5, count)
        self.averages = monitor.averages and interval > LONG
        if self.averages:
            np.maximum(window, interval / 2, out=window)
        individual = np.exp(monitor.differ * rng.standard_normal((4, count))).clip(0.5, 1.8)
        size = (np.array(monitor.size, dtype=np.float32)[:, None] * individual).astype(np.float32)
        size[2] *= np.where(people.ventilated, monitor.assisted, 1)
        self._size = size
        tau = np.broadcast_to(np.array(monitor.tau, dtype=np.float32)[:, None], window.shape)
        self._fluctuation = Averaged(tau, window, interval, rng)
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
        drift, error = self._drift.advance(len(shown)), self._monitor.drift
        shown += self._bias
        shown[:, SPO2] += error[0] * drift[:, 0] + self._skin(shown[:, SPO2])
        shown[:, RR] += (
            error[1] * drift[:, 1] * np.where(people.ventilated, 0.2, 1).astype(np.float32)
        )
        shown[:, TEMP] += error[2] * drift[:, 2]
        self._miscount(shown)
        due, inflating = self._due(times, people.cuff_period, self._phase[0], CUFF_INFLATION)
        if self._monitor.on_demand:
            due[:], inflating[:] = True, False
        line = people.arterial_line
        inflating &= ~line
        due &= ~line
        rows, patients = np.nonzero(due)
        # Cuff error at most 5 +- 8 mmHg; its parts err together.
        together, apart = self._monitor.cuff
        noise = self._rng.standard_normal((4, len(rows)), dtype=np.float32)
        for part, vital in enumerate((SBP, DBP, MAP)):
            shown[rows, vital, patients] += together * noise[3] + apart * noise[part]
        cuff = np.flatnonzero(~line)
        missing = ~due[:, cuff]
        for vital in (SBP, DBP, MAP):
            values = shown[:, vital, cuff]
            values[missing] = np.nan
            shown[:, vital, cuff] = values
        spot, _ = self._due(times, people.temperature_period, self._phase[1], 0.0)
        spot |= people.temperature_probe | self._monitor.on_demand
        shown[:, TEMP][~spot] = np.nan
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


class Display:
    """Renews what it shows of the averaged vitals every ``refresh`` s, and holds it between."""

    def __init__(
        self, patients: int, interval: float, refresh: float, rng: np.random.Generator
    ) -> None:
        self._every = max(1, round(refresh / interval))
        self._age: Ints = rng.integers(0, self._every, patients)
        self._held: Floats | None = None

    def hold(self, values: Floats) -> None:
        """Show ``values (B, V, N)``, in place."""
        if self._every == 1:
            return
        frames = np.arange(len(values))[:, None]
        source = frames - (frames + self._age) % self._every
        self._age = (self._age + len(values)) % self._every
        who = np.arange(values.shape[2])
        for vital in SHOWN:
            shown = values[np.maximum(source, 0), vital, who]
            if self._held is not None:
                shown = np.where(source < 0, self._held[vital], shown)
            values[:, vital] = shown
        self._held = values[-1].copy()


def _logistic(z: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-z)))


def rounded(values: Floats, tenths: bool = False) -> Floats:
    """To the steps in which devices report, in place; ``(B, V, N)``. Stored means have tenths."""
    if tenths:
        whole = np.rint(values[:, SPO2])
        part = values[:, SPO2] - whole
        up, down = _logistic((part - 0.5) / WITHIN), _logistic((-part - 0.5) / WITHIN)
        values[:, SPO2] = np.minimum(whole + up - down, 100)
        values *= 10
        np.rint(values, out=values)
        values /= 10
        return values
    temperature = np.rint(values[:, TEMP] * 10) / 10
    np.rint(values, out=values)
    values[:, TEMP] = temperature
    return values
