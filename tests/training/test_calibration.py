"""Alarms on calibration patients are false outside of deteriorations, and are counted there."""

import numpy as np

from vitalwatch.training import calibration
from vitalwatch.training.calibration import _Course
from vitalwatch.training.data import ward


def test_nobody_is_quiet_while_deteriorating_and_everybody_else_is() -> None:
    people = ward("calibrate", 77, 20, 60.0, "mixed", style=calibration.STYLE)
    people.read(600)
    times = calibration._times(people, np.arange(600), 60.0)
    quiet = calibration._quiet(people, times)
    spells = [truth for truth in people.truth if not truth.benign]
    assert spells
    wanted = np.ones_like(quiet)
    for truth in spells:
        for frame, time in enumerate(times.tolist()):
            if truth.onset <= time <= truth.end:
                wanted[frame, people.patients.index(truth.patient)] = False
    assert np.array_equal(quiet, wanted)


def test_days_are_those_in_quiet() -> None:
    times = np.arange(4) * 21_600_000
    evidence = np.arange(8, dtype=np.float32).reshape(4, 2)
    quiet = np.array([[True, True], [True, False], [True, False], [True, True]])
    found = calibration._watched([_Course(times, evidence, quiet)] * 2)
    assert found.days.tolist() == [1.0, 0.5, 1.0, 0.5]
    assert found.scored.tolist() == [0, 2, 4, 6, 1, 3, 5, 7] * 2
    assert found.quiet.sum() == 12
    assert found.streams.lengths.tolist() == [4] * 4
