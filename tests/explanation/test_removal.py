"""Removing what is blamed: who is faithful, and who is not."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from vitalwatch import vitals
from vitalwatch.arrays import Doubles
from vitalwatch.explanation.course import Course
from vitalwatch.explanation.removal import LEAST_MS, SIGNS, VITALS, Case, How, removals, without
from vitalwatch.model import layout

HR, MAP, SBP, RR = (vitals.INDEX[name] for name in ("hr", "map", "sbp", "rr"))
USUAL = np.array([80, 97, 15, 120, 70, 88, 36.84, 38], dtype=np.float32)
MINUTE = 60_000


def case(
    blamed: dict[int, float], stretch: int = 20 * MINUTE, measured: tuple[int, ...] = ()
) -> Case:
    """An hour at a reading a minute; heart rate up by 40 and mean pressure down by 10 at last."""
    values = np.full((60, vitals.COUNT), np.nan, dtype=np.float32)
    own = list(measured or (HR, MAP, RR))
    values[:, own] = USUAL[own]
    if HR in own:
        values[-20:, HR] += 40
    if MAP in own:
        values[-20:, MAP] -= 10
    times = np.arange(60) * MINUTE
    part = np.zeros(vitals.COUNT)
    part[list(blamed)] = list(blamed.values())
    context = np.zeros((60, len(layout.CONTEXT_NAMES)), dtype=np.float32)
    return Case(Course(times, values, context), USUAL, part, stretch)


def away(courses: Sequence[Course]) -> Doubles:
    """A score that goes by how far the last values are from the usual ones."""
    last = [
        np.where(course.seen, course.values[course.source()[-1], range(vitals.COUNT)], USUAL)
        for course in courses
    ]
    return np.asarray(np.abs(np.array(last, dtype=np.float64) - USUAL).sum(axis=1))


@pytest.mark.parametrize("how", ["missing", "baseline"])
def test_the_score_falls_most_without_what_is_rightly_blamed(how: How) -> None:
    found = removals(away, [case({HR: 0.8, MAP: 0.2}), case({MAP: 0.8, HR: 0.2})], how)
    assert found.right.tolist() == [True, False]
    assert found.share == 0.5
    assert found.luck == pytest.approx(1 / 3)
    assert found.fall[0, HR] == pytest.approx(40)
    assert found.fall[0, MAP] == pytest.approx(10)
    assert found.fall[0, RR] == pytest.approx(0)
    assert np.isnan(found.fall[0, SBP])
    assert found.fallen == pytest.approx(25)


def test_a_score_that_does_not_fall_without_what_is_blamed_was_not_explained() -> None:
    found = removals(lambda courses: np.zeros(len(courses)), [case({HR: 1.0})])
    assert found.share == 0


def test_signs_are_removed_whole() -> None:
    of_line = case({SBP: 0.4, MAP: 0.3, HR: 0.3}, measured=(HR, SBP, MAP))
    found = removals(away, [of_line], things=SIGNS)
    assert found.fall.shape == (1, len(SIGNS))
    assert found.part[0, 3] == pytest.approx(0.7)
    assert found.fall[0, 3] == pytest.approx(10)
    assert not found.right[0]


def test_only_what_was_measured_in_the_stretch_is_touched() -> None:
    whole = case({HR: 1.0}, stretch=LEAST_MS)
    whole.course.values[-3, HR] = np.nan
    missing = without(whole, [HR], "missing").values
    usual = without(whole, [HR], "baseline").values
    late = whole.course.times >= whole.course.times[-1] - LEAST_MS
    assert late.sum() == 16
    assert np.isnan(missing[late, HR]).all()
    assert np.isnan(usual[-3, HR])
    assert (usual[late, HR][~np.isnan(usual[late, HR])] == 80).all()
    for values in (missing, usual):
        np.testing.assert_array_equal(values[~late], whole.course.values[~late])
        np.testing.assert_array_equal(values[:, MAP], whole.course.values[:, MAP])


def test_the_usual_value_is_put_in_the_devices_steps() -> None:
    temp = vitals.INDEX["temp"]
    put = without(case({temp: 1.0}, measured=(temp,)), [temp], "baseline")
    assert put.values[-1, temp] == pytest.approx(36.8)


def test_of_no_alerts_nothing_is_said() -> None:
    found = removals(away, [])
    assert len(found) == 0
    assert math.isnan(found.share)
    assert math.isnan(found.luck)
    assert math.isnan(found.fallen)
    assert len(VITALS) == vitals.COUNT
