import numpy as np
import pytest

from vitalwatch import config, vitals
from vitalwatch.arrays import Floats
from vitalwatch.evaluation import baselines, ward
from vitalwatch.messages import Truth
from vitalwatch.model import checkpoint

MINUTE = 60_000


def row(**values: float) -> Floats:
    table = np.full((1, vitals.COUNT), np.nan, dtype=np.float32)
    for name, value in values.items():
        table[0, vitals.INDEX[name]] = value
    return table


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ({"rr": 8}, 3),
        ({"rr": 9}, 1),
        ({"rr": 12}, 0),
        ({"rr": 21}, 2),
        ({"rr": 25}, 3),
        ({"spo2": 91}, 3),
        ({"spo2": 92}, 2),
        ({"spo2": 95}, 1),
        ({"spo2": 96}, 0),
        ({"sbp": 90}, 3),
        ({"sbp": 100}, 2),
        ({"sbp": 110}, 1),
        ({"sbp": 219}, 0),
        ({"sbp": 220}, 3),
        ({"hr": 40}, 3),
        ({"hr": 41}, 1),
        ({"hr": 90}, 0),
        ({"hr": 91}, 1),
        ({"hr": 111}, 2),
        ({"hr": 131}, 3),
        ({"temp": 35.0}, 3),
        ({"temp": 35.1}, 1),
        ({"temp": 38.0}, 0),
        ({"temp": 38.1}, 1),
        ({"temp": 39.1}, 2),
        ({}, 0),
        ({"rr": 26, "spo2": 90, "sbp": 85, "hr": 135, "temp": 39.5}, 14),
    ],
)
def test_news2_scores_as_in_the_royal_colleges_table(values: dict[str, float], points: int) -> None:
    assert baselines.news2(row(**values)).tolist() == [points]


def test_last_values_are_held_for_hours_and_no_longer() -> None:
    last = baselines.LastSeen(1)
    rows = np.array([0])
    last.see(rows, np.array([0]), row(temp=39))
    temp = vitals.INDEX["temp"]
    assert last.see(rows, np.array([3 * 60 * MINUTE]), row())[0, temp] == 39
    assert np.isnan(last.see(rows, np.array([5 * 60 * MINUTE]), row())[0, temp])


def test_an_alarm_counts_as_early_only_between_onset_and_the_critical_time() -> None:
    truths = [
        Truth("a", "sepsis", False, 60 * MINUTE, 200 * MINUTE, 120 * MINUTE, "map"),
        Truth("b", "sepsis", False, 60 * MINUTE, 200 * MINUTE, 120 * MINUTE, "map"),
        Truth("c", "sepsis", False, 60 * MINUTE, 200 * MINUTE, None),
    ]
    alarms = [
        ("a", 90 * MINUTE),
        ("a", 100 * MINUTE),
        ("b", 130 * MINUTE),  # true, but too late
        ("b", 10 * MINUTE),  # false
        ("c", 70 * MINUTE),  # true
        ("d", 70 * MINUTE),  # false
    ]
    result = ward._judge("x", alarms, truths, ["a", "b", "c", "d"], days=2)
    assert (result.caught, result.critical) == (1, 2)
    assert result.leads.tolist() == [30]
    assert result.false_per_day == 1
    assert result.alarms_per_day == 3
    assert result.by_event == {"sepsis": (1, 2)}


def test_an_evaluation_is_the_same_every_time_and_covers_all_methods() -> None:
    def once() -> ward.Evaluation:
        return ward.evaluate(
            checkpoint.load(),
            config.Alarms(),
            patients=20,
            hours=1.5,
            interval=30,
            seed=5,
            report=lambda share: None,
        )

    first, second = once(), once()
    assert [result.method for result in first.results] == list(ward.METHODS)
    for one, other in zip(first.results, second.results, strict=True):
        assert (one.caught, one.critical) == (other.caught, other.critical)
        assert one.alarms_per_day == other.alarms_per_day


def test_what_is_critical_within_a_minute_is_not_counted() -> None:
    truths = [
        Truth("a", "vt", False, 60 * MINUTE, 200 * MINUTE, 61 * MINUTE, "hr"),
        Truth("b", "vt", False, 60 * MINUTE, 200 * MINUTE, 61 * MINUTE + 1, "hr"),
    ]
    result = ward._judge("x", [("a", 60 * MINUTE)], truths, ["a", "b"], days=2)
    assert (result.caught, result.critical, result.false_per_day) == (0, 1, 0)
