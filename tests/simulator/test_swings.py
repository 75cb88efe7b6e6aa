import numpy as np
import pytest

from simulator import Ward
from simulator.swings import KINDS, SWINGS
from vitalwatch.arrays import Bools
from vitalwatch.messages import Truth
from vitalwatch.vitals import INDEX, bounds

INTERVAL = 10.0
VITAL = {
    "standing": "map",
    "plug": "spo2",
    "straining": "hr",
    "palpitations": "hr",
    "panic": "rr",
}


class Shift:
    """Ten hours of 250 stable patients, and what of them is beyond limits, ``(T, N, V)``."""

    def __init__(self) -> None:
        ward = Ward(250, 5, INTERVAL, scenarios=None, style="swinging")
        low, high = bounds("limit")
        worst, best = bounds("critical")
        beyond, critical, times = [], [], []
        for moment, _ in ward.frames(10 * 360):
            beyond.append((ward.levels < low) | (ward.levels > high))
            critical.append(((ward.levels < worst) | (ward.levels > best)).any(axis=1))
            times.append(moment)
        self.beyond: Bools = np.array(beyond)
        self.critical: Bools = np.array(critical)
        self.times = np.array(times)
        self.truth: list[Truth] = ward.truth


@pytest.fixture(scope="module")
def shift() -> Shift:
    return Shift()


def test_every_kind_of_swing_can_happen() -> None:
    assert {kind.name for kind in KINDS} == set(SWINGS) == set(VITAL)


@pytest.mark.parametrize("kind", SWINGS)
def test_a_swing_leaves_the_limits_and_comes_back(kind: str, shift: Shift) -> None:
    vital = INDEX[VITAL[kind]]
    during, after = [], []
    for truth in shift.truth:
        if truth.event == kind and truth.end + 300_000 < shift.times[-1].min():
            assert truth.benign
            row = int(truth.patient.rsplit("-", 1)[1])
            own = shift.times[:, row]
            on = (own >= truth.onset) & (own < truth.end + 30_000)
            later = (own >= truth.end + 180_000) & (own < truth.end + 300_000)
            during.append(shift.beyond[on, row, vital].any())
            after.append(shift.beyond[later, row, vital].any())
    assert len(during) > 40
    assert np.mean(during) > 0.35
    assert np.mean(after) < 0.05


def test_a_swing_is_hardly_ever_critical(shift: Shift) -> None:
    assert shift.critical.any(axis=0).mean() <= 0.04


def test_limits_are_left_more_often_than_on_the_plain_ward(shift: Shift) -> None:
    plain = Ward(250, 5, INTERVAL, scenarios=None)
    low, high = bounds("limit")
    left: Bools = np.zeros(250, dtype=bool)
    for _ in plain.frames(10 * 360):
        left |= np.logical_or.reduce((plain.levels < low) | (plain.levels > high), axis=1)
    swung = shift.beyond.any(axis=(0, 2)).mean()
    assert swung > 2 * left.mean()


def test_whoever_deteriorates_does_not_swing_as_well() -> None:
    ward = Ward(200, 5, 30.0, scenarios="sepsis", share=1.0, onset=(1.0, 1.0), style="swinging")
    slowest = min(float(ward.levels[:, INDEX["hr"]].min()) for _ in ward.frames(480))
    # straining takes the heart rate of anybody to 37
    assert slowest > 42
    assert not {truth.event for truth in ward.truth} & set(SWINGS)
