from dataclasses import replace

import numpy as np
import pytest

from simulator import population
from simulator.drives import Drives
from simulator.physiology import Physiology, Rhythm, saturation
from simulator.population import Population
from vitalwatch.arrays import Bools, Floats
from vitalwatch.vitals import INDEX

PATIENTS = 400


@pytest.fixture(scope="module")
def people() -> Population:
    return population.draw(PATIENTS, np.random.default_rng(1))


def settled(people: Population, minutes: float = 300, **drives: float) -> Floats:
    """Levels ``(N, V)`` of those people after some time under constant drives, awake at noon."""
    frames = int(minutes / 2)
    acting = Drives.none(frames, len(people))
    for name, value in drives.items():
        getattr(acting, name)[:] = value
    still = np.zeros((frames, len(people)), dtype=np.float32)
    body = Physiology(people, 120.0, np.random.default_rng(2))
    return np.asarray(body.advance(acting, Rhythm(still, still))[-1].T)


def effect(people: Population, vital: str, who: Bools | None, **drives: float) -> float:
    """Median change of a vital in some, or all, by drives; the variation is the same in both."""
    chosen = np.ones(len(people), dtype=bool) if who is None else who
    change = settled(people, **drives)[:, INDEX[vital]] - settled(people)[:, INDEX[vital]]
    return float(np.median(change[chosen]))


def test_fever_raises_heart_rate_and_breathing_by_the_known_amounts(people: Population) -> None:
    # 7.2 /min and 1.4 /min per degree; reflexes give a little of it back
    assert effect(people, "temp", None, fever=1.0) == pytest.approx(1, abs=0.05)
    assert 4.5 < effect(people, "hr", None, fever=1.0) < 8
    assert 0.6 < effect(people, "rr", None, fever=1.0) < 1.6


def test_the_baroreflex_answers_a_fall_of_pressure_with_heart_rate(people: Population) -> None:
    assert effect(people, "map", None, stroke=-0.2) < -2
    assert effect(people, "hr", None, stroke=-0.2) > 3
    assert effect(people, "hr", None, resistance=0.2) < -2


def test_the_baroreflex_halves_a_disturbance_of_pressure(people: Population) -> None:
    reflex = effect(people, "map", None, resistance=-0.2)
    none = effect(people, "map", None, resistance=-0.2, baro_loss=1.0)
    assert none < 2 * reflex < 0


def test_compensation_has_an_end(people: Population) -> None:
    half, whole = (effect(people, "map", None, stroke=-loss) for loss in (0.45, 0.9))
    assert whole - half < 1.5 * half < 0


def test_a_beta_blocker_blunts_the_reflex_on_heart_rate(people: Population) -> None:
    blocked = people.beta_blocker
    free = effect(people, "hr", ~blocked, stroke=-0.3)
    assert effect(people, "hr", blocked, stroke=-0.3) < 0.6 * free


def test_too_little_breathing_raises_carbon_dioxide_and_lowers_saturation(
    people: Population,
) -> None:
    free = ~people.ventilated
    assert effect(people, "etco2", free, breathing=-0.7, chemo_loss=0.9) > 15
    assert effect(people, "spo2", free, breathing=-0.7, chemo_loss=0.9) < -3
    assert effect(people, "rr", free, breathing=-0.7, chemo_loss=0.9) < -5


def test_oxygen_hides_too_little_breathing_from_the_oximeter(people: Population) -> None:
    on_air = effect(people, "spo2", None, breathing=-0.7, chemo_loss=0.9)
    treated = replace(people, fio2=people.fio2 + np.float32(0.2))
    on_oxygen = effect(treated, "spo2", None, breathing=-0.7, chemo_loss=0.9)
    assert on_oxygen > on_air + 3


def test_carbon_dioxide_drives_breathing(people: Population) -> None:
    free = ~people.ventilated
    with_drive = effect(people, "etco2", free, breathing=-0.4)
    without = effect(people, "etco2", free, breathing=-0.4, chemo_loss=1.0)
    assert with_drive < 0.6 * without


def test_less_blood_flow_brings_less_carbon_dioxide_to_the_breath(people: Population) -> None:
    assert effect(people, "etco2", None, stroke=-0.6) < -3


def test_lungs_that_fail_hide_behind_the_flat_top_of_the_dissociation_curve(
    people: Population,
) -> None:
    well = ~people.copd
    first = effect(people, "spo2", well, shunt=0.2)
    second = effect(people, "spo2", well, shunt=0.4) - first
    third = effect(people, "spo2", well, shunt=0.6) - first - second
    assert 0 > first > second > third


def test_saturation_follows_the_dissociation_curve() -> None:
    # Severinghaus 1979
    pressure = np.array([27, 40, 60, 100], dtype=np.float32)
    assert saturation(pressure) == pytest.approx([50.5, 74.8, 90.7, 97.7], abs=0.5)


def test_mean_pressure_lies_between_diastolic_and_systolic(people: Population) -> None:
    levels = settled(people, stroke=-0.4)
    low, mean, high = (levels[:, INDEX[name]] for name in ("dbp", "map", "sbp"))
    assert (low < mean).all()
    assert (mean < high).all()
    assert mean == pytest.approx(low + (high - low) / 3, rel=1e-4)


def test_people_differ_as_their_diseases_say(people: Population) -> None:
    def median(field: str, who: Bools) -> float:
        return float(np.median(getattr(people, field)[who]))

    levels = settled(people)
    copd, blocked = people.copd, people.beta_blocker
    assert np.median(levels[copd, INDEX["spo2"]]) < np.median(levels[~copd, INDEX["spo2"]]) - 3
    assert median("hr", blocked) < median("hr", ~blocked) - 5
    fit = people.fitness > 0.5
    assert median("hr", fit) < median("hr", ~fit)
    old = people.age > 70
    assert median("pulse_pressure", old) > median("pulse_pressure", people.age < 50) + 5
    assert median("rate_gain", old) < median("rate_gain", people.age < 50)
    assert 0.3 < people.female.mean() < 0.7
    assert set(people.skin_tone.tolist()) == {1, 2, 3, 4, 5, 6}


def test_sleep_lowers_heart_rate_pressure_and_breathing(people: Population) -> None:
    acting = Drives.none(60, PATIENTS)
    sleep = np.ones((60, PATIENTS), dtype=np.float32)
    body = Physiology(people, 120.0, np.random.default_rng(2))
    asleep = np.asarray(body.advance(acting, Rhythm(sleep, 0 * sleep))[-1].T)
    awake = settled(people, minutes=120)
    change = np.median(asleep / awake - 1, axis=0)
    assert change[INDEX["hr"]] < -0.05
    assert -0.2 < change[INDEX["map"]] < -0.08
    assert change[INDEX["rr"]] < -0.02


def test_those_who_snore_desaturate_in_sleep(people: Population) -> None:
    acting = Drives.none(400, PATIENTS)
    sleep = np.ones((400, PATIENTS), dtype=np.float32)

    def lowest(snores: bool) -> float:
        group = replace(people, snores=np.full(PATIENTS, snores))
        body = Physiology(group, 10.0, np.random.default_rng(2))
        levels = body.advance(acting, Rhythm(sleep, 0 * sleep))
        return float(np.median(levels[:, INDEX["spo2"]].min(axis=0)))

    assert lowest(snores=True) < lowest(snores=False) - 1


def test_levels_at_a_long_interval_are_those_of_short_steps(people: Population) -> None:
    def median(interval: float, frames: int) -> Floats:
        acting = Drives.none(frames, PATIENTS)
        acting.stroke[:] = -0.5
        acting.shunt[:] = 0.3
        still = np.zeros((frames, PATIENTS), dtype=np.float32)
        body = Physiology(people, interval, np.random.default_rng(2))
        return np.asarray(np.median(body.advance(acting, Rhythm(still, still))[-1], axis=1))

    assert median(600.0, 40) == pytest.approx(median(5.0, 4800), rel=0.03)
