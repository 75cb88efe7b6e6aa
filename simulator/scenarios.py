"""Deteriorations: what they do to the latent physiology, and how fast.

Each scenario has a severity that rises from 0 at onset to its size (around 1) over a random time,
stays there, and falls again when treatment works. Effects are on the drives of the physiology, so
that reflexes answer, compensate and fail as they would; nothing is written into readings. Courses
follow the project's clinical sources: ATLS classes with tachycardia in only some haemorrhages,
PRODIGY's respiratory depression, desaturation times of preoxygenated apnoea, tension pneumothorax
over hours if breathing and over minutes if ventilated, sepsis over hours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from simulator.drives import Drives
from simulator.population import Population
from vitalwatch.arrays import Floats, Ints

MINUTE: Final = 60.0
HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Course:
    """Some patients in one scenario during a block, K of them.

    ``who (K,)`` are rows of the ward; ``severity (B, K)``; ``since (B, K)`` s since onset;
    ``swing (B, K)`` a slow random variation of unit variance; ``form`` and ``strength (K,)``
    uniform in [0, 1) and constant for a patient.
    """

    who: Ints
    severity: Floats
    since: Floats
    swing: Floats
    form: Floats
    strength: Floats
    people: Population
    drives: Drives


class Scenario(NamedTuple):
    """``rise`` (low, high) is the time from onset to full severity in s, log-uniform; ``stay`` and
    ``recovery`` likewise; ``power`` (low, high) bends the rise: above 1 it starts slowly.
    ``harm`` are the vitals whose ``critical`` range (:data:`vitalwatch.vitals.VITALS`) the true
    level must leave for the event to be critical: what kills in it, not what merely accompanies.
    """

    name: str
    rise: tuple[float, float]
    stay: tuple[float, float]
    recovery: tuple[float, float]
    power: tuple[float, float]
    harm: tuple[str, ...]
    act: Callable[[Course], None]


def _sepsis(c: Course) -> None:
    s, d, k = c.severity, c.drives, c.who
    early = np.minimum(2.0 * s, 1)
    cold = c.form < 0.15
    d.fever[:, k] += early * np.where(cold, -1.6, 1.2 + 1.2 * c.strength).astype(np.float32)
    blunt = np.where(c.people.beta_blocker[k], 0.4, 1).astype(np.float32)
    d.rate[:, k] += 0.12 * s * blunt
    # lactic acid drives breathing beyond what carbon dioxide asks for
    d.breathing[:, k] += 0.60 * s
    d.shunt[:, k] += 0.22 * s
    d.resistance[:, k] -= 0.85 * s
    d.stroke[:, k] += 0.10 * early - 0.45 * np.maximum(s - 0.6, 0)
    d.baro_loss[:, k] += 0.3 * np.minimum(s, 1)


def _bleeding(c: Course, tachycardia: bool) -> None:
    # severity 1 is a loss of about 40 % of the blood volume (ATLS class III to IV)
    s, d, k = c.severity, c.drives, c.who
    d.stroke[:, k] -= 0.85 * s + 0.35 * np.maximum(s - 0.8, 0)
    d.breathing[:, k] += (0.60 if tachycardia else 0.35) * s
    d.depth[:, k] -= 0.06 * s
    d.fever[:, k] -= 0.5 * s
    if tachycardia:
        d.rate[:, k] += 0.22 * s * np.where(c.people.beta_blocker[k], 0.3, 1).astype(np.float32)
    else:
        # the reflex on rate fails, as in most real patients: vagal withdrawal is missing
        d.rate[:, k] -= 0.30 * s
        d.baro_loss[:, k] += 0.25 * np.minimum(s, 1)


def _haemorrhage(c: Course) -> None:
    _bleeding(c, tachycardia=True)


def _haemorrhage_blunted(c: Course) -> None:
    _bleeding(c, tachycardia=False)


def _opioid(c: Course) -> None:
    s, d, k = c.severity, c.drives, c.who
    d.breathing[:, k] -= s * (1.15 + 0.12 * c.swing)
    d.depth[:, k] += 0.45 * s
    d.chemo_loss[:, k] += np.minimum(0.95 * s, 0.97)
    d.rate[:, k] -= 0.10 * s
    d.setpoint[:, k] -= 0.06 * s
    d.shunt[:, k] += 0.10 * s


APNOEA: Final = 0.3
"""Share of desaturations that are an apnoea after breathing oxygen."""


def _desaturation(c: Course) -> None:
    s, d, k = c.severity, c.drives, c.who
    apnoea = c.form < APNOEA
    worse = s * np.where(apnoea, 0, 1).astype(np.float32)
    d.shunt[:, k] += 0.80 * worse
    d.breathing[:, k] += 0.22 * worse
    d.rate[:, k] += 0.12 * worse
    # Preoxygenated apnoea reaches 90 % (60 mmHg) after 595 s in normal, 196 s in obese adults.
    stopped = (np.minimum(c.since / 20, 1) * (s > 0) * apnoea).astype(np.float32)
    still = stopped * (s >= 0.01)
    obesity = ((c.people.bmi[k] - 27) / 16).clip(0, 1)
    # The body's own stores add to it, for which these are 45 s less.
    until_90 = (550 * (1 - obesity) + 170 * obesity) * (0.8 + 0.4 * c.strength)
    pressure = np.maximum(400 - (400 - 60) * c.since / until_90, 28)
    d.stores[:, k] += still
    d.stores_pressure[:, k] += pressure.astype(np.float32) * apnoea
    # carbon dioxide rises by about 5 mmHg a minute then, as if a few breaths were deep
    d.breathing[:, k] -= 1.9 * still
    d.depth[:, k] += 0.9 * still
    d.chemo_loss[:, k] += 0.95 * still
    d.rate[:, k] += 0.10 * still * np.minimum(c.since / until_90, 1.2)


def _pneumothorax(c: Course) -> None:
    s, d, k = c.severity, c.drives, c.who
    ventilated = c.people.ventilated[k]
    # Breathing patients keep their pressure until late and only half become hypoxic.
    hypoxic = c.strength < np.where(ventilated, 0.92, 0.5)
    late = np.where(ventilated, s, np.maximum(s - 0.65, 0) * 2.6).astype(np.float32)
    d.shunt[:, k] += s * np.where(hypoxic, 0.65, 0.14).astype(np.float32)
    d.breathing[:, k] += 0.55 * s * np.where(ventilated, 0.1, 1).astype(np.float32)
    d.depth[:, k] -= 0.35 * s
    d.rate[:, k] += 0.30 * s
    d.stroke[:, k] -= 1.15 * late


def _tachycardia(c: Course, rate: Floats, stroke: float) -> None:
    d, k = c.drives, c.who
    on = np.minimum(c.severity, 1)
    d.pace[:, k] += on
    d.pace_rate[:, k] += np.log(rate / c.people.hr[k]).astype(np.float32)
    d.stroke[:, k] += stroke * on


def _svt(c: Course) -> None:
    _tachycardia(c, 150 + 70 * c.strength, -0.05)
    c.drives.breathing[:, c.who] += 0.12 * np.minimum(c.severity, 1)


def _vt(c: Course) -> None:
    # the heart tires: stroke volume goes on falling for minutes
    tired = 1 - np.exp(-c.since / 240)
    _tachycardia(c, 150 + 60 * c.strength, -0.45)
    c.drives.stroke[:, c.who] -= (0.45 * tired * np.minimum(c.severity, 1)).astype(np.float32)
    c.drives.breathing[:, c.who] += 0.15 * np.minimum(c.severity, 1)


def _af(c: Course) -> None:
    d, k = c.drives, c.who
    on = np.minimum(c.severity, 1)
    settled = 1 - np.exp(-c.since / 1200)
    slow = np.where(c.people.beta_blocker[k], 0.85, 1)
    rate = (100 + 55 * c.strength) * slow * (1 + 0.12 * settled) * (1 + 0.05 * c.swing)
    d.pace[:, k] += on
    d.pace_rate[:, k] += np.log(np.maximum(rate / c.people.hr[k], 1.05)).astype(np.float32)
    d.irregular[:, k] += on
    d.stroke[:, k] -= 0.18 * on


def _heart_block(c: Course) -> None:
    d, k = c.drives, c.who
    s = c.severity
    # second degree at first, every so many beats dropped; then an escape rhythm
    dropped = np.log1p(-0.38 * np.minimum(1.6 * s, 1) * (0.75 + 0.25 * np.tanh(2 * c.swing)))
    escape = np.log((20 + 14 * c.strength) / c.people.hr[k])
    complete = 1 / (1 + np.exp(-(s - 0.65) * 18))
    d.pace[:, k] += np.minimum(s * 5, 1)
    d.pace_rate[:, k] += (dropped * (1 - complete) + escape * complete).astype(np.float32)
    d.irregular[:, k] += (0.5 * np.minimum(2 * s, 1) * (1 - complete)).astype(np.float32)
    d.stroke[:, k] -= (0.10 * complete).astype(np.float32)


def _heart_failure(c: Course) -> None:
    s, d, k = c.severity, c.drives, c.who
    wet = np.float32(0.45) + np.float32(0.35) * c.strength  # lungs or pressure go first
    d.stroke[:, k] -= s * (1.35 - wet)
    d.shunt[:, k] += s * wet
    d.breathing[:, k] += 0.50 * s
    d.depth[:, k] -= 0.12 * s
    d.rate[:, k] += 0.14 * s * np.where(c.people.beta_blocker[k], 0.4, 1).astype(np.float32)


def _hypertensive_crisis(c: Course) -> None:
    s, d, k = c.severity, c.drives, c.who
    d.setpoint[:, k] += s * (0.42 + 0.16 * c.strength)
    d.resistance[:, k] += 0.15 * s
    d.rate[:, k] += 0.05 * s
    d.breathing[:, k] += 0.08 * s


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("sepsis", (4 * HOUR, 14 * HOUR), (HOUR, 3 * HOUR), (4 * HOUR, 12 * HOUR),
                 (1.2, 2.2), ("sbp", "map"), _sepsis),
        Scenario("haemorrhage", (25 * MINUTE, 3 * HOUR), (10 * MINUTE, 30 * MINUTE),
                 (HOUR, 3 * HOUR), (0.8, 1.6), ("sbp", "map"), _haemorrhage),
        Scenario("haemorrhage_blunted", (25 * MINUTE, 3 * HOUR), (10 * MINUTE, 30 * MINUTE),
                 (HOUR, 3 * HOUR), (0.8, 1.6), ("sbp", "map"), _haemorrhage_blunted),
        Scenario("opioid_respiratory_depression", (20 * MINUTE, 2 * HOUR),
                 (10 * MINUTE, 30 * MINUTE), (5 * MINUTE, 20 * MINUTE), (0.8, 1.8),
                 ("rr", "spo2", "etco2"), _opioid),
        Scenario("desaturation", (8 * MINUTE, 4 * HOUR), (5 * MINUTE, 20 * MINUTE),
                 (5 * MINUTE, 30 * MINUTE), (0.8, 1.8), ("spo2",), _desaturation),
        Scenario("pneumothorax", (HOUR, 5 * HOUR), (5 * MINUTE, 20 * MINUTE),
                 (5 * MINUTE, 20 * MINUTE), (0.8, 1.6), ("spo2", "sbp", "map"), _pneumothorax),
        Scenario("svt", (3, 15), (5 * MINUTE, 90 * MINUTE), (3, 15), (1, 1), ("hr",), _svt),
        Scenario("vt", (3, 15), (2 * MINUTE, 15 * MINUTE), (3, 15), (1, 1),
                 ("hr", "sbp", "map"), _vt),
        Scenario("af", (5, 60), (HOUR, 8 * HOUR), (30, 300), (1, 1), ("hr",), _af),
        Scenario("heart_block", (10 * MINUTE, 90 * MINUTE), (10 * MINUTE, 40 * MINUTE),
                 (5 * MINUTE, 20 * MINUTE), (0.7, 1.4), ("hr", "sbp", "map"), _heart_block),
        Scenario("heart_failure", (5 * HOUR, 18 * HOUR), (HOUR, 3 * HOUR), (3 * HOUR, 8 * HOUR),
                 (1.0, 2.0), ("spo2", "sbp", "map"), _heart_failure),
        Scenario("hypertensive_crisis", (20 * MINUTE, 3 * HOUR), (15 * MINUTE, 60 * MINUTE),
                 (30 * MINUTE, 2 * HOUR), (0.8, 1.6), ("sbp", "dbp", "map"), _hypertensive_crisis),
    )
}  # fmt: skip
"""By name. Both haemorrhages lose blood alike; the blunted one does so without tachycardia."""

NAMES: Final = tuple(SCENARIOS)
