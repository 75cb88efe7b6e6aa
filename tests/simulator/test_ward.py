import numpy as np
import pytest

from simulator import Ward
from vitalwatch.errors import UsageError
from vitalwatch.vitals import COUNT, INDEX, bounds, column

HOUR = 3600


def test_the_same_seed_gives_the_same_bits() -> None:
    first, second = Ward(50, seed=7), Ward(50, seed=7)
    times, values = first.read(300)
    again, same = second.read(300)
    assert times.tobytes() == again.tobytes()
    assert values.tobytes() == same.tobytes()
    assert first.truth == second.truth


def test_another_seed_gives_another_ward() -> None:
    first, second = Ward(5, seed=1).read(10)[1], Ward(5, seed=2).read(10)[1]
    assert not np.array_equal(first, second, equal_nan=True)


@pytest.mark.parametrize(("patients", "interval"), [(40, 2.0), (3, 1.0), (700, 60.0)])
def test_readings_do_not_depend_on_how_many_are_drawn_at_once(
    patients: int, interval: float
) -> None:
    whole = Ward(patients, 3, interval)
    times, values = whole.read(700)
    other = Ward(patients, 3, interval)
    parts = [other.read(1), other.read(299), *other.frames(3), other.read(397)]
    assert np.concatenate([part[0].reshape(-1, patients) for part in parts]).tobytes() == (
        times.tobytes()
    )
    pieces = [part[1].reshape(-1, patients, COUNT) for part in parts]
    assert np.concatenate(pieces).tobytes() == values.tobytes()
    assert other.truth == whole.truth


def test_every_patient_is_read_once_an_interval_at_a_moment_of_their_own() -> None:
    ward = Ward(100, seed=1, interval=5.0)
    times, _ = ward.read(50)
    assert (np.diff(times, axis=0) == 5000).all()
    moments = times[0] - ward.start_ms
    assert ((moments >= 0) & (moments < 5000)).all()
    assert len(np.unique(moments)) > 90


@pytest.mark.parametrize("interval", [1.0, 7.5, 60.0, HOUR])
def test_any_interval_from_a_second_up_gives_plausible_patients(interval: float) -> None:
    ward = Ward(300, 4, interval, scenarios=None)
    ward.read(25)
    typical, spread = column("typical"), column("spread")
    levels = ward.levels
    assert np.isfinite(levels).all()
    assert (np.abs(np.median(levels, axis=0) - typical) < 0.75 * spread).all()
    width = np.subtract(*np.percentile(levels, [75, 25], axis=0)) / 1.35
    assert (width > 0.3 * spread).all()
    assert (width < 1.5 * spread).all()


@pytest.fixture(scope="module")
def stable() -> Ward:
    """A ward after a day and a half in which nothing bad happened."""
    return Ward(400, 8, 30.0, scenarios=None)


def test_stable_patients_never_become_critical_whatever_they_do(stable: Ward) -> None:
    low, high = bounds("critical")
    for _ in stable.frames(36 * 120):
        assert (stable.levels >= low).all()
        assert (stable.levels <= high).all()
    events = {truth.event for truth in stable.truth}
    assert {"turning", "walking", "sleep", "coughing", "feeding", "pain"} <= events
    assert all(truth.benign and truth.critical is None for truth in stable.truth)


def test_heart_rate_and_pressure_go_together_over_the_day() -> None:
    # r about .54 in people with normal pressure
    ward = Ward(150, 9, 60.0, scenarios=None)
    levels = np.stack([ward.levels.copy() for _ in ward.frames(24 * 60)])
    means = levels.reshape(144, 10, 150, COUNT).mean(axis=1)
    hr, sbp = means[:, :, INDEX["hr"]], means[:, :, INDEX["sbp"]]
    r = [np.corrcoef(hr[:, row], sbp[:, row])[0, 1] for row in range(150)]
    assert 0.4 < np.median(r) < 0.7


def test_pressure_dips_at_night() -> None:
    ward = Ward(200, 9, 300.0, scenarios=None, start_ms=1_767_225_600_000)  # midnight
    levels = np.stack([ward.levels.copy() for _ in ward.frames(12 * 20)])[:, :, INDEX["map"]]
    night, day = np.median(levels[24:48], axis=0), np.median(levels[120:], axis=0)
    assert 0.06 < np.median(1 - night / day) < 0.20


def test_only_the_wanted_share_deteriorates_and_only_in_the_wanted_span() -> None:
    ward = Ward(500, 2, 60.0, share=0.3, onset=(600.0, 1200.0))
    ward.read(30)
    onsets = [truth.onset - ward.start_ms for truth in ward.truth if not truth.benign]
    assert 100 < len(onsets) < 200
    assert all(600_000 <= onset <= 1_200_000 for onset in onsets)


def test_patients_can_be_struck_again_on_later_days() -> None:
    ward = Ward(30, 2, 600.0, scenarios="svt", share=1.0, onset=(600.0, 900.0), every=6.0 * HOUR)
    ward.read(6 * 24)
    struck = [truth.patient for truth in ward.truth if not truth.benign]
    assert len(struck) == 4 * 30


def test_truth_is_told_once_and_again_when_it_becomes_critical() -> None:
    ward = Ward(60, 4, 10.0, share=1.0, onset=(60.0, 600.0))
    told = []
    for _ in ward.frames(1500):
        told += ward.news()
    final = {(truth.patient, truth.event, truth.onset): truth for truth in told}
    assert sorted(final.values(), key=repr) == sorted(ward.truth, key=repr)
    critical = sum(truth.critical is not None for truth in ward.truth)
    later = sum(
        truth.critical is not None and truth.critical > truth.onset + 10_000 for truth in ward.truth
    )
    assert later > 0
    assert len(ward.truth) < len(told) <= len(ward.truth) + critical


@pytest.mark.parametrize(
    ("patients", "interval", "scenario"), [(0, 5.0, "mixed"), (1, 0.5, "mixed"), (1, 5.0, "plague")]
)
def test_what_cannot_be_simulated_is_a_usage_error(
    patients: int, interval: float, scenario: str
) -> None:
    with pytest.raises(UsageError):
        Ward(patients, 1, interval, scenarios=scenario)


def test_twins_do_not_change_a_bit_of_what_is_read() -> None:
    alone, beside = Ward(40, 7, 10.0), Ward(40, 7, 10.0, twins=True)
    one, other = alone.read(700), beside.read(700)
    assert one[0].tobytes() == other[0].tobytes()
    assert one[1].tobytes() == other[1].tobytes()
    assert all(truth.moved is None for truth in alone.truth)


def test_the_truth_names_the_vitals_that_a_deterioration_has_moved_by_now() -> None:
    ward = Ward(
        30, 5, 10.0, scenarios="hypertensive_crisis", share=1.0, onset=(600, 600), twins=True
    )
    ward.read(60)
    assert all(not truth.moved for truth in ward.truth)
    ward.read(1200)
    told = [truth for truth in ward.truth if not truth.benign]
    assert len(told) == 30
    for truth in told:
        assert truth.moved
        assert {"sbp", "map"} & set(truth.moved)
        assert "spo2" not in truth.moved
        assert all(truth.onset <= since <= truth.end for since in truth.moved.values())
    # What is critical has been moved on the way there.
    critical = [truth for truth in told if truth.critical is not None]
    assert critical
    assert all(
        truth.moved is not None
        and truth.critical is not None
        and truth.moved[str(truth.vital)] <= truth.critical + 60_000
        for truth in critical
    )


def test_nothing_is_moved_where_nobody_deteriorates() -> None:
    ward = Ward(20, 5, 10.0, scenarios=None, twins=True)
    ward.read(700)
    assert all(truth.moved is None for truth in ward.truth)
