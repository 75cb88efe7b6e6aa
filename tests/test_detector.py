import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator import Ward
from vitalwatch import config, vitals
from vitalwatch.arrays import Floats, Ints, Spans
from vitalwatch.detector import Detector
from vitalwatch.messages import Alert
from vitalwatch.model import checkpoint
from vitalwatch.readings import Detection, Readings
from vitalwatch.snapshot import Snapshot

SETTINGS = config.Alarms(stale_seconds=60, discharge_hours=0.5, budget=20)
MINUTE = 60_000
FIELDS = ("late", "rarity", "surprise", "expected", "low", "high")


@functools.cache
def detector_model() -> checkpoint.Model:
    return checkpoint.load()


def readings(
    patients: Sequence[str], times: Sequence[int], partition: int = 0, **values: Sequence[float]
) -> Readings:
    table = np.full((len(patients), vitals.COUNT), np.nan, dtype=np.float32)
    for name, column in values.items():
        table[:, vitals.INDEX[name]] = column
    return Readings(
        "vitals.readings",
        partition,
        Spans.of(patients),
        np.array(times, dtype=np.int64),
        table,
        np.arange(len(patients), dtype=np.int64),
    )


def cut(log: Readings, begin: int, end: int) -> Readings:
    span = slice(begin, end)
    return Readings(
        log.topic,
        log.partition,
        log.patients[span],
        log.times[span],
        log.values[span],
        log.offsets[span],
    )


@functools.cache
def log(partition: int) -> Readings:
    """A log with everything in it: gaps, discharges, late and repeated readings, artefacts."""
    ward = Ward(patients=7, seed=20 + partition, interval=5, onset=(60, 600))
    times, values = ward.read(240)
    generator = np.random.default_rng(partition)
    order = np.argsort(times.ravel() + generator.integers(-4000, 4000, times.size), kind="stable")
    keep = order[generator.random(times.size) > 0.05]
    flat_times, flat_values = times.ravel()[keep], values.reshape(-1, vitals.COUNT)[keep]
    who = keep % 7
    # One patient is away for four minutes, one for more than the discharge period.
    away = (who == 1) & (flat_times - flat_times[0] > 5 * MINUTE)
    away &= flat_times - flat_times[0] < 9 * MINUTE
    gone = (who == 2) & (flat_times - flat_times[0] > 4 * MINUTE)
    flat_times = np.where(gone, flat_times + 40 * MINUTE, flat_times)
    stay = ~away
    order = np.argsort(np.where(gone, flat_times, 0)[stay], kind="stable")
    flat_times, flat_values, who = (
        flat_times[stay][order],
        flat_values[stay][order],
        who[stay][order],
    )
    return Readings(
        "vitals.readings",
        partition,
        Spans.of(f"p{partition}-{number}" for number in who),
        flat_times,
        flat_values,
        100 + 2 * np.arange(len(who), dtype=np.int64),
    )


def joined(parts: Sequence[Detection]) -> tuple[list[Any], list[Alert]]:
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS]
    return columns, [alert for part in parts for alert in part.alerts]


@functools.cache
def whole(partition: int) -> tuple[list[Any], list[Alert]]:
    return joined(Detector(detector_model(), SETTINGS).process([log(partition)]))


def test_the_log_of_these_tests_has_everything_in_it() -> None:
    columns, alerts = whole(0)
    assert columns[0].sum() > 5, "late readings"
    happened = {(alert.condition, alert.event) for alert in alerts}
    assert {("stale", "raised"), ("stale", "cleared")} <= happened
    assert {alert.kind for alert in alerts} == {"physiological", "technical"}


@settings(max_examples=15)
@given(st.lists(st.integers(0, 1600), max_size=12), st.booleans())
def test_scores_and_alerts_do_not_depend_on_how_the_log_is_cut(
    cuts: list[int], together: bool
) -> None:
    detector = Detector(detector_model(), SETTINGS)
    parts: dict[int, list[Detection]] = {0: [], 1: []}
    edges = [0, *sorted(cuts), 10**6]
    for begin, end in itertools.pairwise(edges):
        batch = [cut(log(partition), begin, end) for partition in (0, 1)]
        batch = [part for part in batch if len(part.patients)]
        found = (
            detector.process(batch) if together else [detector.process([part])[0] for part in batch]
        )
        for part, detection in zip(batch, found, strict=True):
            parts[part.partition].append(detection)
    for partition in (0, 1):
        columns, alerts = joined(parts[partition])
        expected, expected_alerts = whole(partition)
        for name, got, wanted in zip(FIELDS, columns, expected, strict=True):
            assert np.array_equal(got, wanted, equal_nan=name != "late"), name
        assert alerts == expected_alerts


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 80)), min_size=2, max_size=10),
    st.sets(st.integers(1, 9)),
)
@example([("a", 0), ("b", 40), ("a", 0)], {2})  # a repetition of what was discharged since
@example([("a", 0), ("b", 10), ("a", 0)], {2})  # a repetition after the signal was lost
@example([("b", 70), ("a", 0), ("b", 71)], {1})  # a clock behind by more than the discharge period
@example(
    [("a", 0), ("b", 0), ("b", 7), ("a", 37), ("a", 42)], {4}
)  # gone before the signal is lost
def test_the_cut_makes_no_difference_whatever_the_clocks_show(
    seen: list[tuple[str, int]], cuts: set[int]
) -> None:
    patients, minutes = zip(*seen, strict=True)
    log = readings(patients, [minute * MINUTE for minute in minutes], hr=[80] * len(seen))
    expected, expected_alerts = joined(Detector(detector_model(), SETTINGS).process([log]))
    detector = Detector(detector_model(), SETTINGS)
    edges = [0, *sorted(at for at in cuts if at < len(seen)), len(seen)]
    columns, alerts = joined(
        [detector.process([cut(log, *edge)])[0] for edge in itertools.pairwise(edges)]
    )
    for name, got, wanted in zip(FIELDS, columns, expected, strict=True):
        assert np.array_equal(got, wanted, equal_nan=name != "late"), name
    assert alerts == expected_alerts


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 400)), min_size=2, max_size=40),
    st.sets(st.integers(1, 39)),
    st.integers(0, 40),
)
@example([("abc"[k % 3], 150 * (k > 3) + k) for k in range(40)], {10, 18, 19, 20}, 15)
@example([("abc"[k % 2], 90 * k) for k in range(40)], {1, 17, 18, 30}, 25)
def test_neither_cut_nor_snapshot_makes_a_difference_when_time_jumps_by_hours(
    seen: list[tuple[str, int]], cuts: set[int], taken: int
) -> None:
    patients, minutes = zip(*seen, strict=True)
    log = readings(patients, [minute * MINUTE for minute in minutes], hr=[80] * len(seen))
    expected, expected_alerts = joined(Detector(detector_model(), SETTINGS).process([log]))
    detector, parts = Detector(detector_model(), SETTINGS), []
    edges = sorted({0, min(taken, len(seen)), *(at for at in cuts if at < len(seen)), len(seen)})
    for begin, end in itertools.pairwise(edges):
        if begin == taken:
            other = busy()
            other.restore("vitals.readings", 0, detector.snapshot("vitals.readings", 0))
            detector = other
        parts += detector.process([cut(log, begin, end)])
    columns, alerts = joined(parts)
    for name, got, wanted in zip(FIELDS, columns, expected, strict=True):
        assert np.array_equal(got, wanted, equal_nan=name != "late"), name
    assert alerts == expected_alerts


def test_a_reading_from_before_its_patient_would_be_gone_is_late_and_makes_nobody() -> None:
    detector = Detector(detector_model(), SETTINGS)
    times = [0, 1000, 50 * MINUTE, 51 * MINUTE, 51 * MINUTE - 1_800_000, 52 * MINUTE - 1_799_999]
    found = detector.process([readings([*"ababxy"], times, hr=[80] * 6)])[0]
    assert found.late.tolist() == [False] * 4 + [True, False]
    assert not any(alert.patient == "x" for alert in found.alerts)
    again = detector.process([readings(["x", "b"], [5000, 52 * MINUTE], hr=[80] * 2)])[0]
    assert again.late.tolist() == [True, False]
    assert detector.patients == 3


def test_one_device_with_a_wrong_clock_makes_nobody_else_look_lost_or_gone() -> None:
    detector, alerts = Detector(detector_model(), SETTINGS), []
    for step in range(40):
        now, wrong = step * 20_000, 10**12 + step * 20_000
        batch = readings([*"abx"], [now, now + 1000, wrong], hr=[80, 81, 82])
        found = detector.process([batch])[0]
        assert not found.late.any()
        alerts += [alert for alert in found.alerts if alert.condition != "deterioration"]
    assert detector.patients == 3
    assert alerts == []


def test_a_patient_alone_is_lost_by_his_own_time_and_said_so_when_he_is_back() -> None:
    detection = Detector(detector_model(), SETTINGS).process(
        [readings(["a", "a", "a"], [0, 1000, 600_000], hr=[80, 80, 80])]
    )[0]
    stale = [alert for alert in detection.alerts if alert.condition == "stale"]
    assert [(alert.event, alert.time, alert.origin.offset) for alert in stale] == [
        ("raised", 61_000, 2),
        ("cleared", 600_000, 2),
    ]


def test_a_reading_not_after_the_patients_last_is_late_and_changes_nothing() -> None:
    times = [0, 10, 5, 10, 20]
    detection = Detector(detector_model(), SETTINGS).process(
        [readings(["a"] * 5, [time * 1000 for time in times], hr=[80, 81, 200, 200, 82])]
    )[0]
    clean = Detector(detector_model(), SETTINGS).process(
        [readings(["a"] * 3, [0, 10_000, 20_000], hr=[80, 81, 82])]
    )[0]
    assert detection.late.tolist() == [False, False, True, True, False]
    assert np.array_equal(detection.rarity[~detection.late], clean.rarity)
    assert np.isnan(detection.rarity[detection.late]).all()


def test_a_lost_signal_is_raised_at_its_deadline_when_the_stream_gets_there() -> None:
    detection = Detector(detector_model(), SETTINGS).process(
        [readings(["a", "b", "b", "a"], [0, 30_000, 75_000, 90_000], hr=[80, 80, 80, 80])]
    )[0]
    stale = [alert for alert in detection.alerts if alert.condition == "stale"]
    assert [(alert.patient, alert.event, alert.time) for alert in stale] == [
        ("a", "raised", 60_000),
        ("a", "cleared", 90_000),
    ]
    assert [alert.origin.offset for alert in stale] == [2, 3]


def test_a_patient_who_comes_back_after_the_discharge_period_is_a_new_patient() -> None:
    hours = 3_600_000
    back = Detector(detector_model(), SETTINGS).process(
        [readings(["a", "a"], [0, hours], hr=[120, 80])]
    )[0]
    new = Detector(detector_model(), SETTINGS).process([readings(["a"], [hours], hr=[80])])[0]
    assert np.array_equal(back.surprise[1], new.surprise[0], equal_nan=True)


def test_the_state_of_discharged_patients_is_freed() -> None:
    detector = Detector(detector_model(), SETTINGS)
    for hour in range(5):
        names = [f"p{hour}-{number}" for number in range(50)]
        detector.process([readings(names, [hour * 3_600_000] * 50, hr=[80] * 50)])
        assert detector.patients <= 50


def test_dropping_a_partition_forgets_its_patients_and_no_others() -> None:
    detector = Detector(detector_model(), SETTINGS)
    detector.process([readings(["a"], [0], 0, hr=[80]), readings(["b"], [0], 1, hr=[80])])
    detector.drop("vitals.readings", 0)
    assert detector.patients == 1
    again = detector.process([readings(["a"], [0], 0, hr=[80])])[0]
    assert not again.late[0]


def test_a_dangerous_value_alarms_even_if_the_network_expects_it() -> None:
    seconds = np.arange(0, 600, 5)
    detection = Detector(detector_model(), config.Alarms(budget=1e-3)).process(
        [readings(["a"] * len(seconds), (seconds * 1000).tolist(), spo2=[70] * len(seconds))]
    )[0]
    raised = [alert for alert in detection.alerts if alert.event == "raised"]
    assert (raised[0].condition, raised[0].priority) == ("spo2_low", "high")
    assert raised[0].time - raised[0].onset <= 60_000


def test_a_fall_the_network_did_not_expect_is_explained_by_the_vital_that_fell() -> None:
    seconds = np.arange(0, 7200, 10)
    generator = np.random.default_rng(2)
    hr = np.round(78 + generator.normal(0, 1.0, len(seconds)))
    spo2 = np.round(97 + generator.normal(0, 0.3, len(seconds)))
    spo2[-60:] = 79
    detection = Detector(detector_model(), config.Alarms()).process(
        [
            readings(
                ["a"] * len(seconds), (seconds * 1000).tolist(), hr=hr.tolist(), spo2=spo2.tolist()
            )
        ]
    )[0]
    first = next(alert for alert in detection.alerts if alert.condition == "deterioration")
    assert first.time >= int(seconds[-60]) * 1000
    assert first.drivers[0].vital == "spo2"
    assert first.drivers[0].share > 0.5
    assert "SpO2 79 % (expected 9" in first.sentence


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 17, 100, 1000])
def test_a_patients_scores_have_the_same_bits_in_any_company(count: int) -> None:
    def stream(size: int) -> tuple[Ints, Floats]:
        generator = np.random.default_rng(9)
        values = np.round(generator.normal(80, 5, (20, 1, vitals.COUNT))).astype(np.float32)
        others = np.round(generator.normal(80, 9, (20, size - 1, vitals.COUNT)))
        return np.arange(20) * 1000, np.concatenate((values, others.astype(np.float32)), axis=1)

    def rarities(size: int) -> list[bytes]:
        times, values = stream(size)
        detector = Detector(detector_model(), SETTINGS)
        bits = []
        for time, frame in zip(times, values, strict=True):
            names = Spans.of(f"p{number}" for number in range(size))
            part = Readings(
                "t", 0, names, np.full(size, time), frame, np.arange(size, dtype=np.int64)
            )
            found = detector.process([part])[0]
            bits.append(found.surprise[0].tobytes() + found.rarity[:1].tobytes())
        return bits

    assert rarities(count) == rarities(4)


OF_THE_NETWORK = ("network", "foretold", "foretold_at", "held", "risks", "cause")


def other_model() -> checkpoint.Model:
    """One that thinks otherwise, with the same fields."""
    model = detector_model()
    weights = {name: np.float32(1.05) * weight for name, weight in model.weights.items()}
    return dataclasses.replace(model, weights=weights, fingerprint="another")


def busy() -> Detector:
    """A detector that holds other partitions already."""
    detector = Detector(detector_model(), SETTINGS)
    detector.process([readings(["x", "p0-1"], [5, 6], 7, hr=[80, 81])])
    detector.process([cut(log(1), 0, 50)])
    detector.drop("vitals.readings", 7)
    detector.process([readings(["p0-1"], [9], 0, hr=[90])])
    return detector


@settings(max_examples=15)
@given(st.integers(0, 1600), st.integers(0, 200))
def test_a_detector_that_takes_over_a_snapshot_goes_on_as_the_one_that_was_cut(
    at: int, step: int
) -> None:
    first = Detector(detector_model(), SETTINGS)
    parts = first.process([cut(log(0), 0, at)])
    taken = first.snapshot("vitals.readings", 0)
    first.drop("vitals.readings", 0)
    second = busy()
    second.restore("vitals.readings", 0, taken)
    parts += second.process([cut(log(0), at, at + step)])
    parts += second.process([cut(log(0), at + step, 10**6)])
    columns, alerts = joined(parts)
    expected, expected_alerts = whole(0)
    for name, got, wanted in zip(FIELDS, columns, expected, strict=True):
        assert np.array_equal(got, wanted, equal_nan=name != "late"), name
    assert alerts == expected_alerts


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 80)), min_size=2, max_size=10),
    st.integers(0, 9),
)
def test_a_snapshot_makes_no_difference_whatever_the_clocks_show(
    seen: list[tuple[str, int]], at: int
) -> None:
    patients, minutes = zip(*seen, strict=True)
    log = readings(patients, [minute * MINUTE for minute in minutes], hr=[80] * len(seen))
    expected, expected_alerts = joined(Detector(detector_model(), SETTINGS).process([log]))
    first, second = Detector(detector_model(), SETTINGS), busy()
    parts = first.process([cut(log, 0, at)])
    second.restore("vitals.readings", 0, first.snapshot("vitals.readings", 0))
    columns, alerts = joined(parts + second.process([cut(log, at, len(seen))]))
    for name, got, wanted in zip(FIELDS, columns, expected, strict=True):
        assert np.array_equal(got, wanted, equal_nan=name != "late"), name
    assert alerts == expected_alerts


def test_a_snapshot_is_a_copy_that_later_readings_do_not_change() -> None:
    detector = Detector(detector_model(), SETTINGS)
    detector.process([cut(log(0), 0, 300)])
    taken = detector.snapshot("vitals.readings", 0)
    before = taken.rows.tobytes()
    detector.process([cut(log(0), 300, 600)])
    assert taken.rows.tobytes() == before


def test_under_another_model_alarms_and_baselines_go_on_and_the_network_begins_anew() -> None:
    at = 800
    old = Detector(detector_model(), SETTINGS)
    old.process([cut(log(0), 0, at)])
    taken = old.snapshot("vitals.readings", 0)
    new, again = Detector(other_model(), SETTINGS), Detector(other_model(), SETTINGS)
    again.process([cut(log(0), 0, at)])
    new.process([cut(log(0), 0, at), readings(["stranger"], [0], 1, hr=[80])])
    new.overlay("vitals.readings", 0, taken)
    own, made = again.snapshot("vitals.readings", 0), new.snapshot("vitals.readings", 0)
    assert (made.model, made.clock) == ("another", taken.clock)
    assert new.in_alarm == old.in_alarm
    for name in new._state._fields:
        kept = own if name in OF_THE_NETWORK else taken
        if name != "partition":
            assert field(new, made, name) == field(new, kept, name), name


def test_a_patient_whom_the_other_model_has_not_seen_begins_with_a_blank_network() -> None:
    old, new = Detector(detector_model(), SETTINGS), Detector(other_model(), SETTINGS)
    old.process([readings(["a", "b"], [0, 1000], hr=[80, 90])])
    new.process([readings(["b", "only here"], [1000, 1000], hr=[90, 90])])
    new.overlay("vitals.readings", 0, old.snapshot("vitals.readings", 0))
    assert new.patients == 2
    network = dict(field(new, new.snapshot("vitals.readings", 0), "network"))
    assert not np.frombuffer(network["a"], np.float32).any()
    assert np.frombuffer(network["b"], np.float32).any()
    late = new.process([readings(["a", "b"], [0, 1000], hr=[80, 80])])[0].late
    assert late.all()


@pytest.mark.parametrize("changed", [{"stale_seconds": 10}, {"discharge_hours": 0.01}])
def test_what_is_due_under_new_settings_waits_for_a_reading(changed: dict[str, float]) -> None:
    before = Detector(detector_model(), config.Alarms())
    both = [second * 1000 for second in range(60) for _ in range(2)]
    alone = [second * 1000 for second in range(60, 120)]
    before.process([readings(["anna", "berta"] * 60, both, hr=[200, 80] * 60)])
    before.process([readings(["berta"] * 60, alone, hr=[80] * 60)])
    after = Detector(detector_model(), config.Alarms(**changed))  # type: ignore[arg-type]
    after.restore("vitals.readings", 0, before.snapshot("vitals.readings", 0))
    (nothing,) = after.process([readings([], [])])  # what came in was no reading
    assert nothing.alerts == []
    (found,) = after.process([readings(["berta"], [120_000], hr=[80])])
    assert {alert.patient for alert in found.alerts} == {"anna"}
    assert {alert.origin.offset for alert in found.alerts} == {0}


def test_a_snapshot_of_another_model_or_layout_is_refused() -> None:
    detector = Detector(detector_model(), SETTINGS)
    taken = detector.snapshot("vitals.readings", 0)
    with pytest.raises(ValueError, match="another"):
        Detector(other_model(), SETTINGS).restore("vitals.readings", 0, taken)
    with pytest.raises(ValueError, match="layout"):
        detector.restore("vitals.readings", 0, dataclasses.replace(taken, layout="0"))


def field(detector: Detector, taken: Snapshot, name: str) -> list[tuple[str, bytes]]:
    """A field of each patient in a snapshot, by name."""
    rows = taken.rows.reshape(-1).view(detector._state._dtype())[name]
    return sorted(zip(taken.patients.texts(), [row.tobytes() for row in rows], strict=True))
