import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.arrays import Doubles
from vitalwatch.calibration import conformal
from vitalwatch.calibration.conformal import MOST, days_per_alarm, rarities

LEVELS = np.linspace(0, 6, 61)


def ward(generator: np.random.Generator, patients: int) -> tuple[Doubles, Doubles]:
    """Alarms (K, N) and days (N,): people differ, a few alarm much, stays last hours to days."""
    days = generator.lognormal(-0.3, 0.8, patients)
    rates = 30 * generator.gamma(0.5, 2.0, patients)
    beyond = np.exp(-LEVELS)
    between = beyond - np.append(beyond[1:], 0)  # so many of the alarms end below the next level
    counts = generator.poisson(between[:, None] * rates * days)
    alarms = counts[::-1].cumsum(axis=0)[::-1]
    return alarms.astype(np.float64), days


def chosen(levels: Doubles, found: Doubles, budget: float) -> int:
    return int(np.argmax(found >= 1 / budget)) if (found >= 1 / budget).any() else len(levels) - 1


@pytest.mark.parametrize("budget", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("patients", [20, 100])
def test_a_new_patient_has_on_average_no_more_alarms_than_the_budget_allows(
    budget: float, patients: int
) -> None:
    generator = np.random.default_rng(7)
    excess = []
    for _ in range(600):
        alarms, days = ward(generator, patients + 1)
        found = days_per_alarm(alarms[:, :-1], days[:-1])
        level = chosen(LEVELS, found, budget)
        over = alarms[level, -1] - budget * days[-1]
        excess.append(min(over, MOST * (1 + budget)))
    error = np.std(excess) / np.sqrt(len(excess))
    assert np.mean(excess) <= 2.5 * error


def test_with_many_patients_the_budget_is_used() -> None:
    generator = np.random.default_rng(8)
    alarms, days = ward(generator, 800)
    level = chosen(LEVELS, days_per_alarm(alarms, days), 1.0)
    others, watched = ward(generator, 4000)
    assert 0.8 < others[level].sum() / watched.sum() < 1.25


@given(
    st.lists(st.tuples(st.integers(0, 40), st.floats(0.1, 30)), min_size=1, max_size=30),
    st.floats(0.05, 50),
)
def test_a_budget_is_granted_if_and_only_if_the_rule_holds_for_it(
    patients: list[tuple[int, float]], budget: float
) -> None:
    alarms, days = np.array(patients, dtype=np.float64).T
    bound = MOST * (1 + budget)
    total = np.minimum(alarms - budget * days, bound).sum() + bound
    found = days_per_alarm(alarms[None], days)[0]
    if abs(total) > 1e-6 * (1 + bound) * len(patients):
        assert (found * budget >= 1) == (total <= 0)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_more_evidence_is_never_less_rare(seed: int, patients: int) -> None:
    generator = np.random.default_rng(seed)
    alarms = generator.poisson(5 * np.exp(-LEVELS)[:, None], (len(LEVELS), patients))
    try:
        table = rarities(LEVELS, alarms.astype(np.float64), np.full(patients, 1.0), 0.0)
    except ValueError:
        return
    assert (np.diff(table.levels) > 0).all()
    assert (np.diff(table.log_days) >= 0).all()
    assert np.isfinite(table.log_days).all()


def test_one_patient_who_always_alarms_does_not_use_up_everybodys_budget() -> None:
    alarms = np.exp(-LEVELS)[:, None] * np.full(200, 4.0)
    quiet = days_per_alarm(alarms, np.ones(200))
    alarms[:, 0] = 500
    assert days_per_alarm(alarms, np.ones(200))[20] > 0.85 * quiet[20]


def test_beyond_the_promise_rarity_goes_on_as_the_alarms_do() -> None:
    # A tenth of the alarms a level, without any chance in it.
    alarms = np.repeat(1000 * 10.0 ** -LEVELS[:, None] / 200, 200, axis=1)
    table = rarities(LEVELS, alarms, np.ones(200), -1.0)
    slopes = np.diff(table.log_days[1:]) / np.diff(table.levels[1:])
    assert slopes[-1] == pytest.approx(1.0, abs=1e-6)
    assert 10 < table.promised < 200 / MOST


def test_alarms_that_grow_again_with_the_level_count_at_lower_levels_too() -> None:
    alarms = np.full((len(LEVELS), 50), 1.0)
    alarms[10] = 3.0
    table = rarities(LEVELS, alarms, np.full(50, 2.0), -1.0)
    assert table.levels[1] == LEVELS[10]
    assert table.log_days[2] > table.log_days[1] > table.log_days[0]


def test_below_the_level_of_most_alarms_rarity_goes_on_falling() -> None:
    # At low levels alarms never end, and so are few.
    alarms = np.repeat(10 * np.exp(-np.abs(LEVELS - 2))[:, None], 100, axis=1)
    table = rarities(LEVELS, alarms, np.ones(100), -4.0)
    assert table.levels[1] == pytest.approx(2)
    falling = (table.log_days[1] - table.log_days[0]) / (table.levels[1] - table.levels[0])
    assert falling == pytest.approx(np.log10(np.e), rel=0.1)


def test_what_is_usual_in_quiet_ends_an_alarm_of_any_level() -> None:
    alarms = np.repeat(10 * np.exp(-np.abs(LEVELS - 2))[:, None], 100, axis=1)
    table = rarities(LEVELS, alarms, np.ones(100), 1.9)
    assert np.interp(1.9, table.levels, table.log_days) < table.log_days[1] - np.log10(4)


def test_what_says_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="too little"):
        rarities(LEVELS, np.full((len(LEVELS), 2), 4.0), np.full(2, 0.01), 0.0)
    with pytest.raises(ValueError, match="too little"):
        rarities(LEVELS, np.zeros((len(LEVELS), 20)), np.full(20, 1.0), 0.0)
    assert conformal.days_per_alarm(np.zeros((1, 3)), np.full(3, 0.1))[0] == 0
