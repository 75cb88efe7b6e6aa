import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.people import data_set, event, minutely
from vitalwatch.arrays import Doubles
from vitalwatch.evaluation import metrics
from vitalwatch.evaluation.logic import Raised
from vitalwatch.evaluation.streams import MINUTE, Benign, DataSet


def alarms(data: DataSet, *at: tuple[int, int, int]) -> Raised:
    """Alarms of a record, from a reading to before another."""
    edges = data.streams.edges.tolist()
    columns = zip(*((r, edges[r] + begin, edges[r] + end) for r, begin, end in at), strict=True)
    return Raised(*(np.array(column, dtype=np.int64) for column in columns))


NONE = Raised(*(np.empty(0, dtype=np.int64) for _ in range(3)))


def test_alarms_are_caught_early_true_and_false_by_when_they_are_raised() -> None:
    data = data_set([minutely(601), minutely(601), minutely(601)], [event(0, 300), event(1, 300)])
    raised = alarms(
        data,
        (0, 100, 105),  # false
        (0, 260, 270),  # 20 minutes after the begin, 40 before the onset: early
        (0, 305, 310),  # true, though it is caught already
        (1, 295, 300),  # by the onset, but not early
        (1, 330, 340),  # neither: the event is over, its aftermath is not
        (2, 10, 20),  # false
    )
    found = metrics.judge(data, raised)
    assert found.events.tolist() == [1, 1, 0]
    assert found.caught.tolist() == [1, 1, 0]
    assert found.early.tolist() == [1, 0, 0]
    assert found.alarms.tolist() == [3, 2, 1]
    assert found.true.tolist() == [2, 1, 0]
    assert found.false.tolist() == [1, 0, 1]
    assert (found.delay / MINUTE).tolist() == [20, 55]
    assert (found.lead / MINUTE).tolist() == [40, 5]
    assert found.days * 1440 == pytest.approx([600, 600, 600])
    assert found.quiet * 1440 == pytest.approx([600 - 121, 600 - 121, 600])
    assert found.in_alarm * 1440 == pytest.approx([20, 15, 10])


def test_an_alarm_that_was_raised_before_an_event_is_none_of_it() -> None:
    data = data_set([minutely(600)], [event(0, 300)])
    found = metrics.judge(data, alarms(data, (0, 200, 400)))
    assert found.caught.tolist() == [0]
    assert found.false.tolist() == [1]


def test_what_does_not_count_is_neither_missed_nor_a_false_alarm() -> None:
    data = data_set([minutely(600)], [event(0, 300, counted=False)])
    found = metrics.judge(data, alarms(data, (0, 280, 290)))
    assert (found.events.sum(), found.false.sum(), found.true.sum()) == (0, 0, 0)


def test_a_gap_counts_as_watched_for_no_longer_than_the_longest_hold() -> None:
    data = data_set([minutely(11)], [], longest=MINUTE // 2)
    assert data.duration.sum() * 1440 == pytest.approx(5)


def test_chance_is_the_share_of_stretches_that_hold_an_alarm() -> None:
    # Of the 550 minutes at which a stretch of 50 could begin, 50 hold the one alarm.
    data = data_set([minutely(601)], [event(0, 300)])
    assert metrics.chance(data, alarms(data, (0, 200, 201)), early=True) == pytest.approx(
        50 / 551, abs=2e-3
    )
    # Two alarms in one bunch hold hardly more, two far apart twice as many.
    close = metrics.chance(data, alarms(data, (0, 200, 201), (0, 201, 202)), early=True)
    apart = metrics.chance(data, alarms(data, (0, 200, 201), (0, 400, 401)), early=True)
    assert close == pytest.approx(51 / 551, abs=2e-3)
    assert apart == pytest.approx(100 / 551, abs=2e-3)
    assert metrics.chance(data, NONE, early=True) == 0


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_chance_is_what_events_at_random_would_be_caught(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    data = data_set([minutely(1001)], [event(0, 300)])
    places = np.sort(rng.choice(1000, count, replace=False)).tolist()
    raised = alarms(data, *((0, place, place + 1) for place in places))
    begins = rng.uniform(0, 950, 20_000)
    hit = [np.any((places >= begin) & (places <= begin + 50)) for begin in begins]
    assert metrics.chance(data, raised, early=True) == pytest.approx(np.mean(hit), abs=0.02)


def test_average_precision_is_that_computed_by_hand() -> None:
    labels = np.array([True, False, True, False, False])
    scores = np.array([5, 4, 3, 2, np.nan], dtype=np.float32)
    assert metrics.average_precision(labels, scores) == pytest.approx((1 / 1 + 2 / 3) / 2)
    level = np.ones(5, dtype=np.float32)
    assert metrics.average_precision(labels, level) == pytest.approx(2 / 5)  # the prevalence
    assert np.isnan(metrics.average_precision(~labels & labels, scores))


@given(st.integers(0, 1000))
def test_a_clock_has_a_matched_auroc_of_one_half_and_turning_scores_round_mirrors_it(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    data = data_set([minutely(200 + 10 * k) for k in range(8)], [event(0, 150), event(3, 190)])
    clock = data.streams.since.astype(np.float32)
    assert metrics.matched(data, clock).auroc()[0] == 0.5
    scores = rng.normal(size=len(clock)).astype(np.float32)
    there = metrics.matched(data, scores).auroc()[0]
    assert metrics.matched(data, -scores).auroc()[0] == pytest.approx(1 - there)
    assert metrics.matched(data, np.exp(scores)).auroc()[0] == pytest.approx(there)


def test_matched_auroc_is_that_computed_by_hand() -> None:
    # In its 51 readings before the onset the case ranks above one control, and below the other.
    data = data_set([minutely(400), minutely(400), minutely(400)], [event(0, 300)])
    scores = np.repeat(np.array([2, 1, 3], dtype=np.float32), 400)
    found = metrics.matched(data, scores)
    assert found.above.tolist() == [[1.0, 0.0]]
    assert found.auroc()[0] == 0.5
    # People drawn anew: without the second control the case is always above.
    weights = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
    drawn = found.auroc(weights)
    assert drawn[0] == 1
    assert np.isnan(drawn[1])  # no case


def test_who_is_watched_no_longer_or_has_an_event_is_no_control() -> None:
    data = data_set(
        [minutely(400), minutely(100), minutely(400)],
        [event(0, 300), event(2, 300, counted=False)],
    )
    assert np.isnan(metrics.matched(data, np.ones(900, dtype=np.float32)).above).all()


def test_the_share_of_the_worst_tenth_is_that_of_the_people_with_most_alarms() -> None:
    assert metrics.worst_share(np.array([10.0] + [1.0] * 10)) == pytest.approx(0.5)
    assert np.isnan(metrics.worst_share(np.zeros(5)))


def test_misses_are_later_than_any_delay() -> None:
    delays = np.array([1.0, 2.0, np.nan, np.nan]) * MINUTE
    assert metrics.quartiles(delays, np.inf) == (1, 2, np.inf)
    assert metrics.quartiles(delays) == (1, 1, 2)
    assert np.isnan(metrics.quartiles(np.array([np.nan]))).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=5, max_size=40))
def test_an_interval_holds_the_figure_and_that_of_a_difference_with_itself_is_nothing(
    counts: list[tuple[int, int]],
) -> None:
    top, bottom = (np.array(column, dtype=np.float64) for column in zip(*counts, strict=True))
    weights = metrics.draws(len(counts))
    assert (weights.sum(axis=1) == len(counts)).all()
    samples: Doubles = metrics.ratio(top, bottom, weights)
    low, high = metrics.interval(samples)
    slack = 1e-9 + 0.15 * (high - low)
    assert low - slack <= top.sum() / bottom.sum() <= high + slack
    assert metrics.interval(samples - samples) == (0, 0)


def test_alarms_are_put_down_to_the_benign_event_in_which_they_are_raised() -> None:
    data = data_set([minutely(601), minutely(601)], [event(0, 300)])
    begin = int(data.streams.times[0])
    spells = [(0, "walk", 100, 110), (0, "walk", 280, 290), (1, "walk", 100, 110), (1, "nap", 0, 9)]
    data.benign.extend(
        Benign(r, kind, begin + first * MINUTE, begin + last * MINUTE)
        for r, kind, first, last in spells
    )
    raised = alarms(
        data,
        (0, 112, 120),  # soon after the first walk
        (0, 285, 290),  # within an event: not false
        (1, 50, 60),  # in none
    )
    assert metrics.per_hundred(data, raised) == {"nap": 0, "walk": pytest.approx(100 / 3)}
