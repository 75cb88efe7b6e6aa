from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import Ward
from tests.evaluation.people import data_set, event, minutely, record
from vitalwatch import config, vitals
from vitalwatch.arrays import Floats, Spans
from vitalwatch.detector import Detector as WholeDetector
from vitalwatch.evaluation import detectors, learned, logic, network, own, run
from vitalwatch.evaluation.detectors import Detector
from vitalwatch.evaluation.streams import DataSet, Streams
from vitalwatch.model import checkpoint
from vitalwatch.readings import Readings


def row(**values: float) -> Floats:
    return record([0], **{name: [value] for name, value in values.items()})[1]


@pytest.fixture(scope="module")
def simulated() -> DataSet:
    ward = Ward(patients=4, seed=3, interval=60, onset=(1800, 3600))
    times, values = ward.read(300)
    return data_set(
        [(times[:, k], values[:, k]) for k in range(4)],
        [event(0, 100), event(1, 200)],
    )


def make() -> list[Detector]:
    report = run.Report(lambda _: None, lambda _: None)
    return run.under_test(checkpoint.load(), 1.0, [], report)


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ({"rr": 8}, 2),
        ({"rr": 9}, 0),
        ({"rr": 15}, 1),
        ({"rr": 21}, 2),
        ({"rr": 30}, 3),
        ({"sbp": 70}, 3),
        ({"sbp": 71}, 2),
        ({"sbp": 100}, 1),
        ({"sbp": 101}, 0),
        ({"sbp": 200}, 2),
        ({"hr": 39}, 2),
        ({"hr": 40}, 1),
        ({"hr": 51}, 0),
        ({"hr": 101}, 1),
        ({"hr": 111}, 2),
        ({"hr": 130}, 3),
        ({"temp": 34.9}, 2),
        ({"temp": 35.0}, 0),
        ({"temp": 38.5}, 2),
        ({}, 0),
        ({"rr": 31, "sbp": 65, "hr": 135, "temp": 39}, 11),
    ],
)
def test_mews_scores_as_published(values: dict[str, float], points: int) -> None:
    assert detectors.mews(row(**values)).tolist() == [points]


def test_limits_are_at_one_where_they_ship_and_move_in_proportion() -> None:
    limits: detectors.Limits = {"hr": (50, 120), "spo2": (90, None)}
    typical = vitals.VITALS[vitals.INDEX["hr"]].typical
    assert detectors.beyond_limits(row(hr=120), limits) == pytest.approx(1)
    assert detectors.beyond_limits(row(hr=50), limits) == pytest.approx(1)
    assert detectors.beyond_limits(row(hr=typical, spo2=90), limits) == pytest.approx(1)
    assert detectors.beyond_limits(row(hr=typical), limits) == 0
    assert np.isnan(detectors.beyond_limits(row(temp=40), limits)).all()


def test_one_sided_limits_do_not_mind_high_pressures_and_saturation() -> None:
    high = row(hr=82, spo2=100, sbp=250, dbp=140, map=190)
    assert detectors.beyond_limits(high, detectors.ONE_SIDED) <= 0.0
    assert detectors.beyond_limits(row(map=59), detectors.ONE_SIDED) > 1


def test_auto_limits_are_those_of_the_first_half_hour() -> None:
    rate = [80.0] * 31 + [100.0, 101.0, 64.0, 60.0]
    scores = own.auto_limits(Streams.joined([record(np.arange(35), hr=rate)]))
    assert np.isnan(scores[:31]).all()
    assert scores[31:] == pytest.approx([1, 21 / 20, 1, 20 / 16])


def test_a_deviation_is_measured_against_the_past_without_the_reading() -> None:
    rate = [80.0] * 500 + [96.0]
    streams = Streams.joined([record(np.arange(501), hr=rate)])
    scores = own.largest_deviation(streams)
    assert scores[0] == 0
    assert scores[499] == pytest.approx(0, abs=1e-3)
    assert scores[500] > 5


def test_mahalanobis_minds_a_broken_correlation_and_the_largest_deviation_does_not() -> None:
    rng = np.random.default_rng(1)
    both = rng.normal(size=600)
    rate, rr = 80 + 10 * both, 18 + 4 * both
    rate[-1], rr[-1] = 95, 12
    streams = Streams.joined([record(np.arange(600), hr=rate.tolist(), rr=rr.tolist())])
    assert own.largest_deviation(streams)[-1] < 2.5
    assert own.mahalanobis(streams)[-1] == own.mahalanobis(streams).max()


@given(st.lists(st.integers(0, 7), min_size=1, max_size=9))
def test_rounds_hold_every_reading_once_and_in_order(lengths: list[int]) -> None:
    streams = Streams.joined([minutely(length) for length in lengths])
    seen: dict[int, list[int]] = {}
    for rows, places in streams.rounds():
        assert len(set(rows.tolist())) == len(rows)
        for line, place in zip(rows.tolist(), places.tolist(), strict=True):
            seen.setdefault(line, []).append(place)
    assert sorted(p for places in seen.values() for p in places) == list(range(sum(lengths)))
    for own_places in seen.values():
        assert own_places == list(range(own_places[0], own_places[0] + len(own_places)))
        assert len(set(streams.record[own_places].tolist())) == 1


def test_a_value_is_held_for_four_hours() -> None:
    streams = Streams.joined([record([0, 200, 239, 241], hr=[80, np.nan, np.nan, np.nan])])
    held = streams.held[:, vitals.INDEX["hr"]]
    assert held[:3].tolist() == [80, 80, 80]
    assert np.isnan(held[3])
    assert streams.age[2, vitals.INDEX["hr"]] == 239 * 60


def test_a_score_does_not_know_what_comes_later_or_who_else_is_there(simulated: DataSet) -> None:
    whole = simulated.streams
    half = Streams.joined(
        (whole.times[begin : begin + 150], whole.values[begin : begin + 150])
        for begin in whole.edges[:-1].tolist()[:2]
    )
    for detector in make():
        detector.learn(simulated)
        if detector.name == "random":
            continue
        before, after = detector.score(half), detector.score(whole)
        for k in range(2):
            assert np.allclose(
                before[150 * k : 150 * (k + 1)],
                after[300 * k : 300 * k + 150],
                equal_nan=True,
            ), detector.name


def test_alarms_at_the_shipped_setting_are_those_of_the_whole_detector() -> None:
    ward = Ward(patients=30, seed=11, interval=30, onset=(1800, 7200))
    times, values = ward.read(960)
    streams = Streams.joined((times[:, k], values[:, k]) for k in range(30))
    ours = network.vitalwatch(checkpoint.load(), 1.0)
    assert ours.setting is not None
    found = logic.alarms(streams, ours.score(streams), ours.setting)
    mine = {
        (str(r), int(streams.times[place]))
        for r, place in zip(found.record.tolist(), found.begin.tolist(), strict=True)
    }

    order = np.argsort(streams.times, kind="stable")
    whole = WholeDetector(checkpoint.load(), config.Alarms(budget=1.0))
    names = Spans.of(str(r) for r in streams.record[order].tolist())
    readings = Readings(
        "t", 0, names, streams.times[order], streams.values[order], np.arange(len(order))
    )
    theirs = {
        (alert.patient, alert.time)
        for alert in whole.process([readings])[0].alerts
        if alert.event == "raised" and alert.condition == "deterioration"
    }
    assert len(theirs) > 5
    # An alarm that gets more urgent may come again within the refractory time: only there.
    assert len(mine - theirs) <= len(theirs) // 10
    assert len(theirs - mine) <= len(theirs) // 5


@pytest.mark.parametrize(
    ("library", "build"), [("sklearn", learned.Trees), ("river", learned.HalfSpaceTrees)]
)
def test_trees_learn_what_comes_before_events(library: str, build: Callable[[], Detector]) -> None:
    pytest.importorskip(library)
    rng = np.random.default_rng(2)
    records, events = [], []
    for k in range(20):
        rate = 80 + rng.normal(size=600)
        rate[240:300] += 40
        records.append(record(np.arange(600), hr=rate.tolist()))
        events.append(event(k, 300))
    data = data_set(records, events)
    detector = build()
    detector.learn(data)
    scores = detector.score(data.streams)
    assert scores[data.due].mean() > scores[data.quiet].mean()


def test_trees_that_saw_no_event_tell_nothing() -> None:
    pytest.importorskip("sklearn")
    data = data_set([minutely(300)], [])
    detector = learned.Trees()
    detector.learn(data)
    assert np.isnan(detector.score(data.streams)).all()
