import dataclasses
import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitalwatch import adjustment, config, vitals
from vitalwatch.adjustment import DAY_MS, LARGEST, STEP_MS, Adjustment
from vitalwatch.arrays import Doubles, Spans
from vitalwatch.detector import Detector
from vitalwatch.model import checkpoint
from vitalwatch.readings import Detection, Readings
from vitalwatch.state import NEVER, Table

MINUTE = 60_000
FIELDS = ("late", "rarity", "surprise", "expected", "low", "high")
SETTINGS = config.Alarms(budget=2, stale_seconds=7200, adjust=True)


def site(patients: int, times_promised: float, budget: float, weeks: int, seed: int = 1) -> Doubles:
    """Realised over promised in each week, (weeks,), of a ward that alarms so many times too often.

    People differ (the worst tenth has some 40 % of the alarms), and their alarms are a tenth of
    what they were where rarities are divided by 10.
    """
    generator = np.random.default_rng(seed)
    found, now = Adjustment(), 0.0
    table = Table()
    table.declare(adjustment.FIELDS)
    for _ in range(patients):
        table.take()
    counts = np.zeros((weeks, 28))
    for number in range(28 * weeks):
        if number % 12 == 0:  # three days a stay
            each = generator.gamma(0.6, 1 / 0.6, patients)
        found = found.reached(number, budget)
        rates = each * budget * times_promised * 10**-found.log_factor * STEP_MS / DAY_MS
        raised = generator.poisson(rates)
        rows = np.repeat(np.arange(patients), raised)
        times = np.sort(generator.integers(0, STEP_MS, len(rows)) + round(now))
        counted = sum(
            len(adjustment.count(table, rows[k : k + 1], times[k : k + 1], budget))
            for k in range(len(rows))
        )
        found = found.having(patients * STEP_MS, counted)
        counts[number // 28, number % 28] = raised.sum()
        now += STEP_MS
    return np.asarray(counts.sum(axis=1) / (budget * patients * 7))


@pytest.mark.parametrize("times_promised", [3.0, 1 / 3])
@pytest.mark.parametrize("patients", [20, 500])
def test_a_site_that_alarms_thrice_or_a_third_comes_to_what_is_promised(
    times_promised: float, patients: int
) -> None:
    ratios = site(patients, times_promised, 1.0, weeks=6)
    assert 0.8 < ratios[2:].mean() < 1.25
    assert abs(math.log(ratios[0])) < abs(math.log(times_promised))


@pytest.mark.parametrize("patients", [20, 500])
def test_a_site_that_keeps_the_promise_stays_there(patients: int) -> None:
    ratios = site(patients, 1.0, 1.0, weeks=8)
    assert 0.8 < ratios.mean() < 1.25


def test_with_few_patients_and_a_small_budget_nothing_moves_for_weeks() -> None:
    found = Adjustment()
    for step in range(28 * 2):
        found = found.reached(step, 0.1).having(2 * STEP_MS, 0)
    assert abs(found.log_factor) < 0.05


def test_the_factor_keeps_within_a_quarter_and_four() -> None:
    up = down = Adjustment()
    for step in range(400):
        up = up.reached(step, 1.0).having(100 * STEP_MS, 3000)
        down = down.reached(step, 1.0).having(100 * STEP_MS, 0)
    assert up.log_factor == LARGEST
    assert down.log_factor == -LARGEST
    assert float(up.factor) == pytest.approx(4)
    assert float(down.factor) == pytest.approx(0.25)


def test_it_takes_more_than_two_days_to_double() -> None:
    found = Adjustment()
    for step in range(8):
        found = found.reached(step, 1.0).having(1000 * STEP_MS, 500)  # of 250
    assert found.factor < 2


def test_one_patient_who_alarms_without_end_counts_four_times_in_a_quarter_of_a_day() -> None:
    table = Table()
    table.declare(adjustment.FIELDS)
    rows = np.array([table.take()])
    half_hours = range(0, DAY_MS, 30 * MINUTE)
    for budget, counts in ((0.25, 16), (1.0, 16), (8.0, 32), (100.0, 48)):
        table.clear(rows)
        found = [len(adjustment.count(table, rows, np.array([at]), budget)) for at in half_hours]
        assert sum(found) == counts


def test_gaps_are_watched_for_a_quarter_of_a_day_at_most() -> None:
    watched = np.zeros(2, dtype=np.int64)
    last = np.array([0, NEVER, 1000, 0], dtype=np.int64)
    rows = np.arange(4)
    times = np.array([MINUTE, 5, 1000 + 10 * DAY_MS, 7], dtype=np.int64)
    adjustment.watch(rows, times, last, np.array([0, 0, 1, 1]), watched)
    assert watched.tolist() == [MINUTE, adjustment.GAP_MS + 7]


@functools.cache
def model(days: float) -> checkpoint.Model:
    """The shipped one, but for everything being so many decades rarer."""
    shipped = checkpoint.load()
    tables = dict(shipped.calibration)
    tables["log_days"] = tables["log_days"] + days
    return dataclasses.replace(shipped, calibration=tables)


@functools.cache
def log() -> Readings:
    """Five patients for three days, some of whom alarm; one comes and goes."""
    generator = np.random.default_rng(3)
    patients, times = 5, np.arange(0, 3 * DAY_MS, 10 * MINUTE)
    values = np.full((len(times) * patients, vitals.COUNT), np.nan, dtype=np.float32)
    names = ("hr", "spo2", "rr", "sbp", "map")
    centre = np.array([vitals.VITALS[vitals.INDEX[name]].typical for name in names])
    ill = (generator.random((len(times) // 6, patients)) < 0.15).repeat(6, axis=0).ravel()[:, None]
    shown = centre + ill * np.array([45, -9, 14, -35, -25])
    shown = shown + generator.normal(0, 2, (len(values), len(names)))
    for column, name in enumerate(names):
        values[:, vitals.INDEX[name]] = np.round(shown[:, column])
    values[:, vitals.INDEX["spo2"]] = values[:, vitals.INDEX["spo2"]].clip(max=100)
    who = np.tile(np.arange(patients), len(times))
    at = np.repeat(times, patients) + 1000 * who
    there = (who != 4) | (at % DAY_MS < DAY_MS // 3)
    return Readings(
        "vitals.readings",
        0,
        Spans.of(f"p{number}" for number in who[there]),
        at[there],
        values[there],
        np.arange(there.sum(), dtype=np.int64),
    )


@functools.cache
def whole() -> Detection:
    return Detector(model(-0.5), SETTINGS).process([log()])[0]


@settings(max_examples=12)
@given(st.lists(st.integers(0, 2000), max_size=10), st.integers(0, 10))
def test_neither_cut_nor_restart_makes_a_difference_to_it(cuts: list[int], restart: int) -> None:
    detector, parts = Detector(model(-0.5), SETTINGS), []
    edges = [0, *sorted(cuts), len(log().times)]
    for turn, (begin, end) in enumerate(itertools.pairwise(edges)):
        if turn == restart:
            taken = detector.snapshot("vitals.readings", 0)
            detector = Detector(model(-0.5), SETTINGS)
            detector.restore("vitals.readings", 0, taken)
        parts += detector.process([log().part(begin, end)])
    found, wanted = Detection.joined(parts), whole()
    for name in FIELDS:
        got, expected = getattr(found, name), getattr(wanted, name)
        assert np.array_equal(got, expected, equal_nan=name != "late"), name
    assert found.alerts == wanted.alerts
    assert found.watched == wanted.watched


def test_rarity_is_divided_by_what_the_log_has_shown_and_alarms_go_by_it() -> None:
    adjusted = whole()
    detector = Detector(model(-0.5), SETTINGS)
    detector.process([log()])
    plain = Detector(
        model(-0.5), config.Alarms(budget=2, stale_seconds=7200, adjust=False)
    ).process([log()])[0]
    ratio = plain.rarity / adjusted.rarity
    first = log().times < STEP_MS
    assert (ratio[first] == 1).all()
    raised = [a for a in adjusted.alerts if a.condition == "deterioration" and a.event == "raised"]
    assert len(raised) > 10, "the log alarms"
    factor = detector.snapshot("vitals.readings", 0).adjustment.factor
    assert factor > 1.02
    assert np.nanmedian(ratio[-50:]) == pytest.approx(float(factor), rel=0.02)
    for alert in raised:
        assert alert.rarity is not None
        assert alert.rarity >= 0.5


def test_another_model_begins_without_what_the_last_ones_alarms_have_shown() -> None:
    before = Detector(model(-0.5), SETTINGS)
    before.process([log()])
    taken = before.snapshot("vitals.readings", 0)
    assert taken.adjustment.log_factor > 0
    after = Detector(model(-0.5), SETTINGS)
    after.overlay("vitals.readings", 0, taken)
    assert after.snapshot("vitals.readings", 0).adjustment == Adjustment()


def test_the_time_watched_is_that_of_all_patients() -> None:
    days = whole().watched / DAY_MS
    assert days == pytest.approx(4 * 3 + 3 * 1 / 3 + 2 * 0.25, rel=0.02)
