import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.people import START, data_set, event, minutely
from vitalwatch import vitals
from vitalwatch.alarms import conditions, limits, machine
from vitalwatch.arrays import Floats
from vitalwatch.evaluation import logic
from vitalwatch.evaluation.logic import Threshold
from vitalwatch.evaluation.streams import Streams
from vitalwatch.evaluation.thresholds import Quiet
from vitalwatch.state import Field, Table


def raised(scores: list[float], level: float, clear: float | None = None) -> list[tuple[int, int]]:
    """Places at which alarms begin and end, of a reading a minute."""
    streams = Streams.joined([minutely(len(scores))])
    found = logic.alarms(
        streams, np.array(scores, dtype=np.float32), Threshold(level, clear or level)
    )
    return list(zip(found.begin.tolist(), found.end.tolist(), strict=True))


def test_what_is_beyond_the_level_for_two_minutes_is_raised() -> None:
    assert raised([0, 5, 5, 0, 0, 0], 3) == []
    assert raised([0, 5, 5, 5, 0, 0, 0], 3) == [(3, 6)]


def test_of_readings_days_apart_each_tells_the_alarm_anew() -> None:
    days = 5000
    times = START + 86_400_000 * np.arange(days)
    streams = Streams.joined([(times, np.zeros((days, vitals.COUNT), dtype=np.float32))])
    found = logic.alarms(streams, np.full(days, 5, dtype=np.float32), Threshold(3, 3))
    assert found.begin.tolist() == list(range(1, days))
    assert found.end.tolist() == list(range(2, days + 1))


def test_a_single_dip_interrupts_nothing_and_two_do() -> None:
    assert raised([5, 0, 5, 0, 0, 0], 3) == [(2, 5)]
    assert raised([5, 0, 0, 5, 0, 0], 3) == []


def test_an_alarm_goes_on_until_it_is_clear_or_the_record_ends() -> None:
    assert raised([5, 5, 5, 2, 2, 2, 2], 3, clear=1) == [(2, 7)]
    assert raised([5, 5, 5, 0, 0, 0, 0], 3, clear=1) == [(2, 5)]


def test_after_an_alarm_there_is_silence_for_half_an_hour() -> None:
    found = raised([5, 5, 5, 0, 0, 0] * 12, 3)
    starts = [begin for begin, _ in found]
    assert len(starts) == 2
    assert 30 <= starts[1] - found[0][1] <= 36


def test_a_score_that_is_not_known_changes_nothing() -> None:
    assert raised([5, np.nan, np.nan, 5, 0, 0, 0], 3) == [(3, 6)]


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(1, 40),
                st.sampled_from([0.0, 0.2, 0.3, 0.9, 1.0, 2.0, 20.0, float("nan")]),
            ),
            min_size=1,
            max_size=60,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_alarms_are_those_of_the_machines_own_condition(
    courses: list[list[tuple[int, float]]],
) -> None:
    records = []
    for course in courses:
        times = START + 10_000 * np.cumsum([gap for gap, _ in course])
        records.append((times, np.zeros((len(course), vitals.COUNT), dtype=np.float32)))
    scores = np.array([score for course in courses for _, score in course], dtype=np.float32)
    streams = Streams.joined(records)
    found = logic.alarms(streams, scores, Threshold(1, 1 / limits.HYSTERESIS))

    assert sorted(zip(found.record.tolist(), found.begin.tolist(), strict=True)) == sorted(
        _by_the_machine(streams, scores)
    )


def _by_the_machine(streams: Streams, scores: Floats) -> list[tuple[int, int]]:
    table = Table()
    states = machine.Machine(table)
    table.declare({"dipped": Field(np.bool_, 0, False)})
    table.grow(len(streams))
    begun = []
    for place, (record, time) in enumerate(
        zip(streams.record.tolist(), streams.times.tolist(), strict=True)
    ):
        level = np.full((1, conditions.COUNT), machine.UNKNOWN, dtype=np.int8)
        clear = np.zeros((1, conditions.COUNT), dtype=np.bool_)
        limits.judge(
            np.full((1, vitals.COUNT), np.nan, dtype=np.float32),
            np.zeros((1, vitals.COUNT), dtype=np.bool_),
            scores[place : place + 1],
            1.0,
            np.array([record]),
            table["dipped"],
            level,
            clear,
        )
        happened = states.step(np.array([record]), np.array([time]), level, clear)
        begun += [(record, place)] * int(
            np.isin(happened.event, (machine.RAISED, machine.UPDATED)).sum()
        )
    return begun


@given(st.integers(0, 1000))
def test_thresholds_keep_the_promised_rate_where_they_are_set(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = data_set([minutely(1440)] * 6, [event(0, 700, counted=False)])
    scores = rng.exponential(1, 6 * 1440).astype(np.float32)
    quiet = Quiet(data, scores)
    targets = (0.25, 0.5, 1.0, 2.0, 5.0)
    rates = [quiet.rate(threshold.level) for threshold in quiet.frozen(targets)]
    assert all(rate <= target for rate, target in zip(rates, targets, strict=True))
    assert rates == sorted(rates)
    assert rates[-1] > 0


def test_an_alarm_clears_at_the_score_that_is_reached_four_times_as_often() -> None:
    data = data_set([minutely(1000)], [])
    quiet = Quiet(data, np.arange(1000, dtype=np.float32))
    assert quiet.threshold(990) == Threshold(990, 960)
    assert quiet.threshold(600) == Threshold(600, 500)  # no lower than the median


@pytest.mark.parametrize("scores", [np.full(100, 3.0), np.full(100, np.nan)])
def test_scores_that_are_all_alike_tell_nothing(scores: Floats) -> None:
    assert not Quiet(data_set([minutely(100)], []), scores.astype(np.float32)).tells


def test_alarms_within_an_events_time_are_not_false() -> None:
    data = data_set([minutely(600)], [event(0, 300)])
    scores = np.zeros(600, dtype=np.float32)
    scores[[250, 251, 252, 100, 101, 102]] = 5
    quiet = Quiet(data, scores)
    days = float(data.duration[data.quiet].sum())
    assert quiet.rate(3) * days == pytest.approx(1)
    assert days == pytest.approx((599 - 121) / 1440)


def test_a_threshold_at_which_alarms_never_end_is_not_set() -> None:
    data = data_set([minutely(1440)] * 4, [event(k, 700) for k in range(4)])
    scores = np.zeros(4 * 1440, dtype=np.float32)
    scores[np.isin(data.streams.since // 60_000, np.arange(660, 690))] = 5
    # On at 0, everybody has one false alarm, at once and for good.
    thresholds = Quiet(data, scores).frozen((0.5, 2.0))
    assert all(0 < threshold.level <= 5 for threshold in thresholds)
