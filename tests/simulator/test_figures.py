import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.figures import (
    Figure,
    apart,
    autocorrelation,
    changes_together,
    figures,
    runs,
    spelt,
    stretches,
)
from vitalwatch.arrays import Doubles
from vitalwatch.vitals import COUNT, INDEX

LAGS = (5.0, 30.0)


def stream(count: int, **vitals: Doubles | float) -> tuple[Doubles, Doubles]:
    """A stream of one row a second."""
    values = np.full((count, COUNT), np.nan)
    for name, course in vitals.items():
        values[:, INDEX[name]] = course
    return np.arange(count, dtype=float), values


def test_the_spread_is_the_standard_deviation_of_clean_readings() -> None:
    course = np.tile([70.0, 80.0], 50)
    course[[3, 7]] = [0, 900]  # off, and nobody's heart rate
    found = figures(*stream(100, hr=course), LAGS, 60.0)
    assert found[Figure("hr", "spread")] == pytest.approx(5, rel=0.01)
    assert found[Figure("hr", "artefact")] == pytest.approx(0.02)
    assert found[Figure("hr", "missing")] == 0


def test_what_is_not_measured_is_missing_and_no_artefact() -> None:
    course = np.full(100, 97.0)
    course[:25] = np.nan
    found = figures(*stream(100, spo2=course), LAGS, 60.0)
    assert found[Figure("spo2", "missing")] == 0.25
    assert found[Figure("spo2", "artefact")] == 0
    assert not any(figure.of == "hr" for figure in found)


@given(st.floats(0.3, 0.95), st.integers(0, 2**32 - 1))
def test_the_autocorrelation_of_a_first_order_process_is_its_coefficient(
    coefficient: float, seed: int
) -> None:
    noise = np.random.default_rng(seed).standard_normal(20_000)
    course = np.empty_like(noise)
    course[0] = noise[0]
    for place in range(1, len(course)):
        course[place] = coefficient * course[place - 1] + noise[place]
    times = np.arange(len(course), dtype=float)
    for lag in (1, 3):
        found = autocorrelation(times, course, lag)
        assert found == pytest.approx(coefficient**lag, abs=0.07)


def test_a_sine_is_its_own_opposite_half_a_period_on() -> None:
    times = np.arange(1200.0)
    course = np.sin(times * (2 * np.pi / 60))
    assert autocorrelation(times, course, 60) == pytest.approx(1)
    assert autocorrelation(times, course, 30) == pytest.approx(-1)


def test_a_course_that_never_changes_and_a_short_one_have_no_autocorrelation() -> None:
    times = np.arange(100.0)
    assert np.isnan(autocorrelation(times, np.full(100, 97.0), 5))
    assert np.isnan(autocorrelation(times[:10], times[:10], 5))


@given(
    st.lists(st.floats(0.5, 100), min_size=2, max_size=60),
    st.floats(1, 300),
)
def test_pairs_are_the_nearest_to_the_lag_and_within_a_fifth_of_it(
    gaps: list[float], lag: float
) -> None:
    times = np.cumsum(gaps)
    first, second = apart(times, lag)
    distance = times[second] - times[first]
    assert (np.abs(distance - lag) <= 0.2 * lag).all()
    for place in range(len(times)):
        error = np.abs(times - times[place] - lag)
        if place in first:
            assert error[second[first == place][0]] == pytest.approx(error.min())
        elif times[place] + lag <= times[-1]:
            assert error[place + 1 :].min(initial=np.inf) >= 0.2 * lag * (1 - 1e-9)


@given(st.lists(st.tuples(st.integers(40, 140), st.integers(1, 9)), min_size=1, max_size=30))
def test_runs_are_counted_as_they_were_made(parts: list[tuple[int, int]]) -> None:
    merged: list[list[int]] = []
    for value, length in parts:
        if merged and merged[-1][0] == value:
            merged[-1][1] += length
        else:
            merged.append([value, length])
    course = np.repeat([float(value) for value, _ in merged], [length for _, length in merged])
    if len(course) < 2:
        return
    unchanged, longest = runs(course)
    assert longest == max(length for _, length in merged)
    assert unchanged == pytest.approx(1 - (len(merged) - 1) / (len(course) - 1))


@pytest.mark.parametrize(("sign", "correlation"), [(1, 1), (-1, -1)])
def test_changes_that_go_together_are_correlated(sign: int, correlation: int) -> None:
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.standard_normal(2000))
    times = np.arange(2000.0)
    other = sign * 0.5 * walk + 80
    other[::7] = np.nan
    assert changes_together(times, walk, other, 60) == pytest.approx(correlation)
    assert abs(changes_together(times, walk, rng.standard_normal(2000), 60)) < 0.1
    assert np.isnan(changes_together(times, walk, np.full(2000, 80.0), 60))


def test_both_correlations_of_changes_are_told() -> None:
    walk = np.cumsum(np.random.default_rng(2).standard_normal(2000)) * 0.1 + 80
    found = figures(*stream(2000, hr=walk, map=walk, rr=40 - walk / 4), LAGS, 60.0)
    assert found[Figure("hr-map", "changes in 1 min")] == pytest.approx(1)
    assert found[Figure("hr-rr", "changes in 1 min")] == pytest.approx(-1)


@given(
    st.lists(st.floats(0.1, 30), min_size=1, max_size=200),
    st.floats(5, 100),
)
def test_stretches_are_disjoint_in_order_and_long_enough(gaps: list[float], length: float) -> None:
    times = np.cumsum(gaps)
    end = 0
    for cut in stretches(times, length):
        assert cut.start >= end
        end = cut.stop
        lasts = times[end - 1] - times[cut.start]
        assert 0.9 * length - 1e-6 <= lasts < length


def test_a_silence_parts_two_stretches() -> None:
    times = np.concatenate([np.arange(100.0), 10_000 + np.arange(100.0)])
    assert stretches(times, 100) == [slice(0, 100), slice(100, 200)]


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (60, "1 min"), (3600, "60 min"), (14_400, "4 h")]
)
def test_times_are_spelt_as_people_say_them(seconds: float, words: str) -> None:
    assert spelt(seconds) == words
