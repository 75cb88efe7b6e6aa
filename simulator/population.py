"""Who is on the ward: persons that differ, their set points, and what they are monitored with.

Distributions are those of adults in hospital, chosen so that the readings' medians and spreads
are near ``typical`` and ``spread`` of :data:`vitalwatch.vitals.VITALS`. No figure describes a
real person.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vitalwatch.arrays import Bools, Doubles, Floats, Ints

WATER_VAPOUR = 713.0
"""Barometric less water vapour pressure at sea level, mmHg (alveolar gas equation)."""

RESPIRATORY_QUOTIENT = 0.8

ROOM_AIR = np.float32(0.21)

CONTEXT = ("age", "female", "oxygen", "beta_blocker", "copd", "skin_tone")
"""What a hospital may know of a patient beside the readings; 0 and 1 stand for no and yes."""


@dataclass(frozen=True, slots=True)
class Population:
    """Columnar attributes, each ``(N,)``.

    Persons: ``age`` in years, ``female``, ``bmi`` in kg/m2, ``copd``, ``hypertension``,
    ``beta_blocker``, ``skin_tone`` (Fitzpatrick 1 to 6), ``fitness`` (standard deviations),
    ``mobile`` (walks), ``ventilated``. Sleep: ``bedtime`` and ``waking`` in hours of the day,
    ``dip`` the share by which mean pressure falls at night (10 to 20 % in most), ``snores`` whether
    breathing is obstructed in sleep, so that saturation dips.

    Set points awake at rest: ``hr`` /min, ``mean_pressure`` and ``pulse_pressure`` mmHg, ``rr``
    /min, ``temperature`` °C, ``paco2`` and ``pao2`` mmHg at the inspired oxygen share ``fio2``,
    ``gas_exchange`` the ratio of arterial to alveolar oxygen pressure.

    Reflexes: ``rate_gain`` and ``tone_gain``, relative rise of heart rate and of vascular
    resistance per relative fall of mean pressure; ``chemo_gain``, relative rise of ventilation
    per relative rise of arterial CO2.

    Devices: ``arterial_line``, ``capnograph``, ``temperature_probe`` (continuous), ``cuff_period``
    and ``temperature_period`` in s, ``cuff_on_probe_arm``.
    """

    age: Floats
    female: Bools
    bmi: Floats
    copd: Bools
    hypertension: Bools
    beta_blocker: Bools
    skin_tone: Ints
    fitness: Floats
    mobile: Bools
    ventilated: Bools
    bedtime: Floats
    waking: Floats
    dip: Floats
    snores: Bools
    hr: Floats
    mean_pressure: Floats
    pulse_pressure: Floats
    rr: Floats
    temperature: Floats
    paco2: Floats
    pao2: Floats
    fio2: Floats
    gas_exchange: Floats
    rate_gain: Floats
    tone_gain: Floats
    chemo_gain: Floats
    arterial_line: Bools
    capnograph: Bools
    temperature_probe: Bools
    cuff_period: Floats
    temperature_period: Floats
    cuff_on_probe_arm: Bools

    def __len__(self) -> int:
        return len(self.age)

    @property
    def oxygen(self) -> Bools:
        """Who breathes added oxygen, ``(N,)``."""
        return self.fio2 > ROOM_AIR


class Setting(NamedTuple):
    """Whom a kind of ward has, and what they are monitored with.

    ``age`` is mean, standard deviation and limits in years. ``ill`` scales the shares of chronic
    disease, ``reflex`` the baroreflex, which sedation and sepsis blunt, ``pulse`` and ``breaths``
    the resting heart and respiratory rate, ``dip`` the fall of pressure at night, which intensive
    care lessens; ``pressure`` and ``pulsation`` are added to mean and pulse pressure in mmHg. All
    else are shares: ``oxygen`` and ``arterial_line`` of those who breathe without a ventilator, or
    more, and ``oxygen`` of those without chronic lung disease, or more.
    """

    age: tuple[float, float, float, float] = (64, 17, 18, 97)
    ill: float = 1.0
    reflex: float = 1.0
    pulse: float = 1.0
    breaths: float = 1.0
    dip: float = 1.0
    pressure: float = 0.0
    pulsation: float = 0.0
    ventilated: float = 0.05
    oxygen: float = 0.2
    mobile: float = 0.6
    arterial_line: float = 0.15
    capnograph: float = 0.12
    temperature_probe: float = 0.2
    cuff_on_probe_arm: float = 0.3


GENERAL = Setting()
"""Adults on a general ward."""


def draw(patients: int, rng: np.random.Generator, setting: Setting = GENERAL) -> Population:
    """A population of ``patients`` persons."""

    def normal(mean: float, deviation: float, low: float, high: float) -> Floats:
        return (mean + deviation * rng.standard_normal(patients)).clip(low, high).astype(np.float32)

    def chance(share: float | Floats | Doubles) -> Bools:
        return rng.random(patients) < share

    age = normal(*setting.age)
    female = chance(0.48)
    bmi = np.exp(normal(3.3, 0.2, 2.8, 4.0))
    copd = chance(setting.ill * np.where(age > 50, 0.15, 0.03).astype(np.float32))
    hypertension = chance(setting.ill * ((age - 20) / 110).clip(0.05, 0.6))
    beta_blocker = chance(setting.ill * np.where(hypertension, 0.4, 0.12).astype(np.float32))
    skin_tone = rng.choice(6, patients, p=[0.12, 0.26, 0.24, 0.14, 0.12, 0.12]) + 1
    fitness = (normal(0, 1, -2.5, 2.5) - 0.5 * copd - 0.01 * (age - 64)).clip(-2.5, 2.5)
    ventilated = chance(setting.ventilated)
    given = np.where(copd, max(0.4, setting.oxygen), setting.oxygen).astype(np.float32)
    oxygen = chance(given) | ventilated

    fio2 = np.where(oxygen, normal(0.31, 0.05, 0.24, 0.5), ROOM_AIR).astype(np.float32)
    paco2 = normal(39, 2.5, 33, 45) + copd * normal(5, 4, 0, 14)
    pao2 = np.where(copd, normal(65, 5, 58, 78), normal(93, 6, 76, 112) - 0.25 * (age - 55))
    pao2 = (pao2 + np.where(oxygen & ~copd, 12, 0)).clip(58, 125).astype(np.float32)
    alveolar = fio2 * WATER_VAPOUR - paco2 / RESPIRATORY_QUOTIENT

    ln_hr = np.log(83) - 0.04 * fitness - 0.14 * beta_blocker + 0.03 * female + 0.05 * copd
    ln_hr = ln_hr - 0.001 * (age - 64) + normal(0, 0.14, -0.4, 0.4)
    mean_pressure = 83 + 0.1 * (age - 64) + 8 * hypertension + normal(0, 8, -20, 20)
    pulse_pressure = 48 + 0.4 * (age - 64) + normal(0, 8, -20, 20)
    rr = np.where(ventilated, normal(14.5, 1.5, 12, 20), normal(17.0, 2.8, 11, 24) + 1.5 * copd)
    rate_gain = setting.reflex * (1.1 - 0.007 * (age - 40)).clip(0.55, 1.25)

    return Population(
        age=age,
        female=female,
        bmi=bmi,
        copd=copd,
        hypertension=hypertension,
        beta_blocker=beta_blocker,
        skin_tone=skin_tone,
        fitness=fitness,
        mobile=chance(setting.mobile) & ~ventilated,
        ventilated=ventilated,
        bedtime=normal(22.3, 0.7, 20.5, 24),
        waking=normal(6.6, 0.6, 5, 8.5),
        dip=np.float32(setting.dip) * normal(0.12, 0.04, 0.0, 0.19),
        snores=chance(((bmi - 22) / 30).clip(0.05, 0.5)),
        hr=(setting.pulse * np.exp(ln_hr).clip(57, 104)).astype(np.float32),
        mean_pressure=np.maximum(mean_pressure.clip(75, 104) + setting.pressure, 75).astype(
            np.float32
        ),
        pulse_pressure=(pulse_pressure.clip(30, 75) + setting.pulsation).astype(np.float32),
        rr=(setting.breaths * rr.clip(12, 24)).astype(np.float32),
        temperature=normal(36.9, 0.3, 36.1, 37.7),
        paco2=paco2.astype(np.float32),
        pao2=pao2,
        fio2=fio2,
        gas_exchange=(pao2 / alveolar).astype(np.float32),
        rate_gain=(rate_gain * np.where(beta_blocker, 0.4, 1)).astype(np.float32)
        * np.exp(normal(0, 0.2, -0.4, 0.4)),
        tone_gain=np.float32(1.5) * np.exp(normal(0, 0.2, -0.4, 0.4)),
        chemo_gain=np.where(copd, 1.2, 2.5).astype(np.float32),
        arterial_line=chance(
            np.where(ventilated, max(0.8, setting.arterial_line), setting.arterial_line).astype(
                np.float32
            )
        ),
        capnograph=chance(setting.capnograph) | ventilated,
        temperature_probe=chance(setting.temperature_probe),
        cuff_period=rng.choice(
            np.array([300, 600, 900, 1800, 3600], dtype=np.float32),
            patients,
            p=[0.1, 0.1, 0.25, 0.3, 0.25],
        ),
        temperature_period=rng.choice(np.array([3600, 7200, 14400], dtype=np.float32), patients),
        cuff_on_probe_arm=chance(setting.cuff_on_probe_arm),
    )
