"""The latent true physiology: set points, reflexes and gas exchange, for all patients at once.

Circulation, in logarithms of ratios to normal (a linear system with limits): mean pressure is
heart rate x stroke volume x resistance, where filling falls as the rate rises, so that pressure
follows rate to the power 0.4. The baroreflex answers a fallen pressure with rate within seconds
(vagal) and resistance within half a minute (sympathetic); both have limits, beyond which
compensation fails and pressure falls steeply. Ventilation answers carbon dioxide and hypoxia;
oxygen follows from the alveolar gas equation and Severinghaus' dissociation curve, whose flat top
hides a failing lung until late. Fever raises heart rate by 7.2 /min and respiratory rate by
1.4 /min per °C.

Time constants are textbook orders of magnitude. Reflexes are integrated by the implicit Euler
rule, which is stable at any reading interval and exact where the interval is long against them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.drives import Drives
from simulator.population import RESPIRATORY_QUOTIENT, WATER_VAPOUR, Population
from simulator.random_walks import OrnsteinUhlenbeck, lag
from vitalwatch.arrays import Floats

VAGAL = 4.0
SYMPATHETIC = 25.0
CARBON_DIOXIDE = 360.0
OXYGEN = 35.0
HEAT = 2400.0
"""Time constants in s: of the reflex on rate, on resistance, of the body's CO2 and O2 stores,
and of body temperature."""

FILLING = np.float32(0.6)
"""Stroke volume falls with heart rate to this power (diastole shortens)."""

RATE_REFLEX = (-0.20, 0.28)
TONE_REFLEX = (-0.20, 0.20)
"""Limits of relative pressure error that the reflexes answer: (pressure high, pressure low)."""

FEVER_HR = 7.2
FEVER_RR = 1.4

VARIATION: Final = {
    "rate": (0.022, 600.0),
    "rate_hours": (0.05, 7200.0),
    "stroke": (0.05, 1500.0),
    "resistance": (0.05, 1200.0),
    "setpoint": (0.035, 5400.0),
    "pressure_waves": (0.02, 7.0),
    "breathing": (0.06, 900.0),
    "shunt": (0.04, 2400.0),
    "fever": (0.12, 9000.0),
    "obstruction": (0.10, 40.0),
    "restlessness": (1.0, 240.0),
}
"""Standard deviation and correlation time in s of the spontaneous variations."""


def saturation(pressure: Floats) -> Floats:
    """Oxygen saturation in % at an arterial oxygen pressure in mmHg (Severinghaus 1979)."""
    cube = pressure * pressure * pressure + 150 * pressure
    return np.asarray(100 / (23400 / cube + 1), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Time of day, ``(B, N)``: ``sleep`` in [0, 1], ``daytime`` in [-1, 1] (highest at 17 h)."""

    sleep: Floats
    daytime: Floats


class Physiology:
    """State of N patients; one call of :meth:`advance` is a block of frames."""

    def __init__(
        self,
        people: Population,
        interval: float,
        rng: np.random.Generator,
        variation: Mapping[str, tuple[float, float]] = VARIATION,
    ) -> None:
        """``interval`` is the time from frame to frame in s; ``variation`` as :data:`VARIATION`."""
        self._people = people
        count = len(people)
        self._size = {name: np.float32(size) for name, (size, _) in variation.items()}
        tau = [tau for _, tau in variation.values()]
        self._drifts = OrnsteinUhlenbeck(tau, count, interval, rng)
        self._vagal = np.float32(interval / VAGAL)
        self._sympathetic = np.float32(interval / SYMPATHETIC)
        self._carbon = np.float32(interval / CARBON_DIOXIDE)
        # A heavy person has less oxygen in the lungs and uses more of it.
        reserve = OXYGEN * (27 / people.bmi) ** 1.5
        self._oxygen = np.exp(-interval / reserve).astype(np.float32)
        self._heat = np.float32(np.exp(-interval / HEAT))
        self._rate = np.zeros(count, dtype=np.float32)
        self._tone = np.zeros(count, dtype=np.float32)
        self._co2 = np.zeros(count, dtype=np.float32)
        self._pao2 = people.pao2.copy()
        self._fever = np.zeros(count, dtype=np.float32)
        # between arterial and end-tidal CO2, larger in chronic lung disease
        self._gap = (3.0 + 4.0 * people.copd).astype(np.float32)

    def advance(self, drives: Drives, rhythm: Rhythm) -> Floats:
        """True vital signs of the next frames, ``(B, V, N)``, in the vitals' order and units."""
        people = self._people
        frames = len(drives.rate)
        path = self._drifts.advance(frames)
        drift = {name: path[:, row] * size for row, (name, size) in enumerate(self._size.items())}
        awake = 1 - rhythm.sleep
        restless = np.maximum(drift["restlessness"] - np.float32(0.8), 0) * (0.1 + 0.9 * awake)

        fever = drives.fever + drift["fever"] + 0.2 * rhythm.daytime - 0.1 * rhythm.sleep
        fever = lag(fever, self._fever, self._heat)

        setpoint = (
            drives.setpoint + drift["setpoint"] * (0.4 + 0.6 * awake) + 0.015 * rhythm.daytime
        )
        setpoint -= people.dip * rhythm.sleep
        setpoint += 0.03 * restless

        rate = drives.rate + drift["rate"] + drift["rate_hours"] + 0.02 * rhythm.daytime
        rate -= (0.35 * people.dip + 0.06) * rhythm.sleep
        rate += 0.05 * restless
        rate += np.log1p(np.maximum(FEVER_HR * fever / people.hr, -0.5))

        rate_reflex, tone_reflex, error = self._circulation(drives, drift, rate)
        free = 1 - drives.pace
        ln_rate = free * (rate + rate_reflex) + drives.pace * drives.pace_rate
        hr = people.hr * np.exp(ln_rate)
        mean = people.mean_pressure * np.exp(setpoint + error)
        stroke = drives.stroke + drift["stroke"] - FILLING * ln_rate
        pulse = people.pulse_pressure * np.exp(0.9 * stroke + 0.8 * setpoint + 0.4 * tone_reflex)
        pulse = np.minimum(pulse, 1.3 * mean)

        breathing = drives.breathing + drift["breathing"] * (1 - 0.4 * rhythm.sleep)
        breathing += np.log1p(np.maximum(FEVER_RR * fever / people.rr, -0.5))
        breathing += 0.06 * restless - 0.08 * rhythm.sleep
        rr, co2, pao2 = self._ventilation(drives, rhythm, drift, breathing)

        latent = np.empty((frames, 8, len(people)), dtype=np.float32)
        latent[:, 0] = hr
        latent[:, 1] = saturation(pao2)
        latent[:, 2] = rr
        latent[:, 3] = mean + pulse * (2 / 3)
        latent[:, 4] = mean - pulse * (1 / 3)
        latent[:, 5] = mean
        latent[:, 6] = people.temperature + fever
        # Little blood through the lungs carries little CO2 to the breath.
        flow = np.minimum(stroke + ln_rate, 0)
        latent[:, 7] = np.maximum(people.paco2 * np.exp(co2 + 0.5 * flow) - self._gap, 2)
        return latent

    def _circulation(
        self, drives: Drives, drift: dict[str, Floats], rate: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Reflex parts of rate and resistance, and the remaining error of ln pressure."""
        people = self._people
        free = 1 - drives.pace
        kept = 1 - drives.baro_loss
        disturbance: Floats = (1 - FILLING) * (free * rate + drives.pace * drives.pace_rate)
        disturbance += drives.stroke + drift["stroke"]
        disturbance += drives.resistance + drift["resistance"] + drift["pressure_waves"]
        rate_gain = people.rate_gain * kept
        loop_rate = (1 - FILLING) * free * rate_gain
        loop_tone = people.tone_gain * kept
        k1, k2 = self._vagal, self._sympathetic
        from_rate = loop_rate / (1 + k1)
        from_tone = loop_tone / (1 + k2)
        solved = 1 / (1 + k1 * from_rate + k2 * from_tone)
        keep1, keep2 = np.float32(1 / (1 + k1)), np.float32(1 / (1 + k2))
        low1, high1 = RATE_REFLEX
        low2, high2 = TONE_REFLEX
        rates = np.empty_like(disturbance)
        tones = np.empty_like(disturbance)
        vagal, tone = self._rate, self._tone
        for frame in range(len(disturbance)):
            error = disturbance[frame] + from_rate[frame] * vagal
            error += from_tone[frame] * tone
            error *= solved[frame]
            vagal = np.minimum(np.maximum((vagal - k1 * error) * keep1, low1), high1)
            tone = np.minimum(np.maximum((tone - k2 * error) * keep2, low2), high2)
            rates[frame] = vagal
            tones[frame] = tone
        self._rate, self._tone = vagal, tone
        error = disturbance + loop_rate * rates + loop_tone * tones
        rates *= rate_gain
        tones *= loop_tone
        return rates, tones, error

    def _ventilation(
        self, drives: Drives, rhythm: Rhythm, drift: dict[str, Floats], breathing: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Respiratory rate /min, ln ratio of arterial CO2 to normal, arterial O2 in mmHg."""
        people = self._people
        kept = (1 - drives.chemo_loss) * np.where(people.ventilated, 0, 1).astype(np.float32)
        chemo = people.chemo_gain * kept
        obstruction = np.maximum(drift["obstruction"] - np.float32(0.05), 0) * rhythm.sleep
        obstruction *= people.snores
        exchange = people.gas_exchange * np.exp(-drives.shunt - drift["shunt"] - obstruction)
        inspired = people.fio2 * np.float32(WATER_VAPOUR)
        driven = breathing + drives.depth
        k = self._carbon
        solved = 1 / (1 + k * (1 + chemo))
        carbon = (people.paco2 / np.float32(RESPIRATORY_QUOTIENT)).astype(np.float32)
        hypoxia = np.empty_like(breathing)
        co2s = np.empty_like(breathing)
        pressures = np.empty_like(breathing)
        co2, pao2 = self._co2, self._pao2
        for frame in range(len(breathing)):
            # 0 above 75 mmHg; the response steepens where saturation falls
            drive = np.maximum(75 - pao2, 0) * np.float32(0.012)
            drive *= kept[frame]
            co2 = (co2 - k * (driven[frame] + drive)) * solved[frame]
            target = (inspired - carbon * np.exp(co2)) * exchange[frame]
            target += drives.stores[frame] * (drives.stores_pressure[frame] - target)
            pao2 = target + (pao2 - target) * self._oxygen
            np.maximum(pao2, 24, out=pao2)
            hypoxia[frame] = drive
            co2s[frame] = co2
            pressures[frame] = pao2
        self._co2, self._pao2 = co2, pao2
        share = chemo * co2s
        share += hypoxia
        rr = people.rr * np.exp(breathing + np.float32(0.6) * share)
        return np.minimum(rr, 60), co2s, pressures
