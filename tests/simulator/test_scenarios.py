from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from simulator import Ward
from simulator.scenarios import NAMES, SCENARIOS
from vitalwatch.vitals import INDEX, VITALS

HOUR_MS = 3_600_000

# What rises (+) and falls (-) by at least so much, in the median patient, at full severity.
MOVES: dict[str, dict[str, float]] = {
    "sepsis": {"hr": 20, "rr": 5, "temp": 0.8, "map": -20, "sbp": -25, "spo2": -0.5},
    "haemorrhage": {"hr": 25, "rr": 4, "sbp": -30, "map": -20, "etco2": -8},
    "haemorrhage_blunted": {"rr": 2, "sbp": -30, "map": -25, "etco2": -8},
    "opioid_respiratory_depression": {"rr": -8, "spo2": -4, "etco2": 15, "hr": -3},
    "desaturation": {"spo2": -8, "hr": 3},
    "pneumothorax": {"hr": 20, "rr": 6, "sbp": -25, "spo2": -1},
    "svt": {"hr": 60},
    "vt": {"hr": 60, "map": -8, "etco2": -3},
    "af": {"hr": 25, "sbp": -4},
    "heart_block": {"hr": -35, "dbp": -10},
    "heart_failure": {"hr": 12, "rr": 4, "spo2": -5, "sbp": -20},
    "hypertensive_crisis": {"sbp": 45, "dbp": 30, "map": 35},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_moves_the_right_vitals_in_the_right_direction(
    name: str, course: Callable[[str], Any]
) -> None:
    seen = course(name)
    for vital, least in MOVES[name].items():
        change = seen.change(vital)
        assert change * np.sign(least) >= abs(least), (vital, change)


def test_every_scenario_is_expected_to_do_something() -> None:
    assert set(MOVES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_most_courses_become_critical_after_onset_and_before_the_end(
    name: str, course: Callable[[str], Any]
) -> None:
    truths = course(name).truth
    reached = [truth for truth in truths if truth.critical is not None]
    assert all(truth.onset <= truth.critical <= truth.end for truth in reached)
    assert all(truth.vital in SCENARIOS[name].harm for truth in reached)
    assert len(reached) >= (0.2 if name == "af" else 0.5) * len(truths)
    assert all(truth.vital is None for truth in truths if truth.critical is None)


@pytest.mark.parametrize("name", NAMES)
def test_the_critical_time_is_the_first_frame_in_which_a_true_level_is_critical(
    name: str, course: Callable[[str], Any]
) -> None:
    seen = course(name)
    harm = [INDEX[vital] for vital in SCENARIOS[name].harm]
    for truth in seen.truth:
        row = int(truth.patient.rsplit("-", 1)[1])
        beyond = np.zeros(len(seen.times), dtype=bool)
        for index in harm:
            low, high = VITALS[index].critical
            values = seen.levels[:, row, index]
            if index == INDEX["etco2"] and not seen.people.capnograph[row]:
                continue
            beyond |= (values < (-np.inf if low is None else low)) | (
                values > (np.inf if high is None else high)
            )
        times = np.rint(seen.times[:, row] * 1000) + seen.start_ms
        beyond &= (times >= truth.onset) & (times <= truth.end)
        expected = int(times[beyond.argmax()]) if beyond.any() else None
        assert truth.critical == expected


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sepsis", 3 * 60, 14 * 60),
        ("haemorrhage", 20, 180),
        ("haemorrhage_blunted", 15, 180),
        ("opioid_respiratory_depression", 15, 120),
        ("heart_failure", 4 * 60, 18 * 60),
        ("hypertensive_crisis", 15, 180),
        ("svt", 0, 1),
        ("vt", 0, 1),
    ],
)
def test_a_course_takes_as_long_as_real_ones(
    name: str, low: float, high: float, course: Callable[[str], Any]
) -> None:
    minutes = [
        (truth.critical - truth.onset) / 60_000
        for truth in course(name).truth
        if truth.critical is not None
    ]
    assert low <= np.median(minutes) <= high


@pytest.mark.parametrize(
    "name", ["sepsis", "haemorrhage", "opioid_respiratory_depression", "heart_failure"]
)
def test_a_gradual_course_leaves_the_safety_limits_late(
    name: str, course: Callable[[str], Any]
) -> None:
    seen = course(name)
    ends = [vital.limit for vital in VITALS]
    low = np.array([-np.inf if end[0] is None else end[0] for end in ends])
    high = np.array([np.inf if end[1] is None else end[1] for end in ends])
    beyond = ((seen.levels < low) | (seen.levels > high)).any(axis=2)
    elapsed = []
    for truth in seen.truth:
        if truth.critical is None:
            continue
        row = int(truth.patient.rsplit("-", 1)[1])
        times = np.rint(seen.times[:, row] * 1000) + seen.start_ms
        after = beyond[:, row] & (times >= truth.onset)
        whole = truth.critical - truth.onset
        elapsed.append((times[after.argmax()] - truth.onset) / whole)
    assert np.median(elapsed) > 0.5


def test_blood_loss_raises_the_heart_rate_of_some_and_not_of_others(
    course: Callable[[str], Any],
) -> None:
    assert course("haemorrhage").change("hr") > 25
    assert abs(course("haemorrhage_blunted").change("hr")) < 15


def test_beta_blockers_blunt_the_tachycardia_of_blood_loss(course: Callable[[str], Any]) -> None:
    seen = course("haemorrhage")
    rise = seen.worst("hr") - seen.before("hr")
    blocked = seen.people.beta_blocker
    assert np.median(rise[blocked]) < 0.7 * np.median(rise[~blocked])


def test_pressure_is_defended_before_it_falls_in_haemorrhage(course: Callable[[str], Any]) -> None:
    seen = course("haemorrhage")
    early = np.abs(seen.times - (3600 + 0.4 * (seen.peak[0] - 3600))) < 240
    pressure = np.nanmedian(np.where(early, seen.levels[:, :, INDEX["map"]], np.nan), axis=0)
    lost = 1 - pressure / seen.before("map")
    finally_lost = 1 - seen.worst("map") / seen.before("map")
    assert np.median(lost) < 0.5 * np.median(finally_lost)


def test_a_preoxygenated_apnoea_desaturates_later_in_the_slim(
    course: Callable[[str], Any],
) -> None:
    seen = course("desaturation")
    # 595 s in normal and 196 s in obese adults
    stopped = seen.worst("rr") < 5
    below = (seen.levels[:, :, INDEX["spo2"]] < 90) & (seen.times > 3600)
    seconds = seen.times[below.argmax(axis=0), np.arange(below.shape[1])] - 3600
    slim = stopped & (seen.people.bmi < 27)
    heavy = stopped & (seen.people.bmi > 35)
    assert 450 < np.median(seconds[slim]) < 750
    assert np.median(seconds[heavy]) < 0.75 * np.median(seconds[slim])


def test_half_of_the_breathing_patients_with_a_pneumothorax_keep_their_saturation(
    course: Callable[[str], Any],
) -> None:
    seen = course("pneumothorax")
    hypoxic = (seen.worst("spo2") < 90)[~seen.people.ventilated]
    assert 0.3 < hypoxic.mean() < 0.7


def test_atrial_fibrillation_is_irregular(course: Callable[[str], Any]) -> None:
    ward = Ward(60, 3, 5.0, scenarios="af", share=1.0, onset=(1800.0, 1800.0))
    _, values = ward.read(1080)
    hr = values[:, :, INDEX["hr"]]
    jumps = np.nanmean(np.abs(np.diff(hr, axis=0)), axis=1)
    assert np.median(jumps[500:]) > 2.5 * np.median(jumps[:350])
