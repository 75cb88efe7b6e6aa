"""From readings to alert events: safety limits, the network's budget, and who is in alarm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.alarms.bedside import HEALTHY, START, Bedside
from vitalwatch import config, vitals
from vitalwatch.alarms import Alarms
from vitalwatch.alarms.conditions import CONDITIONS
from vitalwatch.alarms.machine import Event
from vitalwatch.alarms.wording import WORDS
from vitalwatch.messages import PRIORITIES
from vitalwatch.state import Table


def test_a_critical_value_alarms_after_fifteen_seconds() -> None:
    assert Bedside().hold(0, 60, {"spo2": 78}) == ["15 raised spo2_low high"]


def test_a_value_beyond_its_limit_alarms_after_a_minute() -> None:
    assert Bedside().hold(0, 120, {"spo2": 84}) == ["60 raised spo2_low medium"]


def test_at_one_reading_a_minute_it_takes_two() -> None:
    assert Bedside().hold(0, 300, {"spo2": 40}, step=60) == ["60 raised spo2_low high"]


@pytest.mark.parametrize("vital", vitals.VITALS)
def test_the_limits_themselves_are_not_in_alarm(vital: vitals.Vital) -> None:
    for end in vital.limit:
        if end is not None:
            assert Bedside().hold(0, 300, {vital.name: end}) == []


@pytest.mark.parametrize("vital", vitals.VITALS)
def test_one_step_beyond_a_limit_is_medium_and_beyond_a_critical_one_high(
    vital: vitals.Vital,
) -> None:
    for side, sign in ((0, -1), (1, 1)):
        limit, critical = vital.limit[side], vital.critical[side]
        if limit is None or critical is None:
            continue
        name = f"{vital.name}_{'low' if side == 0 else 'high'}"
        beyond = {vital.name: limit + sign * vital.resolution}
        assert Bedside().hold(0, 61, beyond) == [f"60 raised {name} medium"]
        beyond = {vital.name: critical + sign * vital.resolution}
        assert Bedside().hold(0, 61, beyond) == [f"15 raised {name} high"]


def test_an_alarm_that_gets_worse_escalates_under_its_name() -> None:
    bed = Bedside()
    bed.hold(0, 70, {"hr": 145})
    assert bed.hold(70, 100, {"hr": 165}) == ["85 escalated hr_high high"]
    bed.hold(100, 200, {"hr": 90})
    assert [alert.event for alert in bed.alerts] == ["raised", "escalated", "cleared"]
    assert len({alert.alert_id for alert in bed.alerts}) == 1


def test_an_alarm_clears_only_well_inside_the_limit() -> None:
    bed = Bedside()
    bed.hold(0, 30, {"spo2": 78})
    assert bed.hold(30, 600, {"spo2": 87}) == []
    assert bed.hold(600, 700, {"spo2": 88}) == ["630 cleared spo2_low high"]


def test_the_same_limit_is_quiet_for_five_minutes_unless_it_is_worse() -> None:
    bed = Bedside()
    bed.hold(0, 61, {"hr": 145})
    assert bed.hold(61, 100, HEALTHY) == ["91 cleared hr_high medium"]
    fast = {**HEALTHY, "hr": 145}
    assert bed.hold(100, 391, fast) == []
    assert bed.hold(391, 400, fast) == ["391 raised hr_high medium"]
    bed.hold(400, 440, HEALTHY)
    assert bed.hold(440, 500, {**HEALTHY, "hr": 165}) == ["455 raised hr_high high"]


def test_a_critical_value_is_quiet_for_a_minute_at_most() -> None:
    bed = Bedside()
    bed.hold(0, 16, {"hr": 165})
    assert bed.hold(16, 50, HEALTHY) == ["46 cleared hr_high high"]
    assert bed.hold(50, 200, {**HEALTHY, "hr": 165}) == ["106 raised hr_high high"]


def test_a_value_that_is_not_measured_neither_clears_nor_raises() -> None:
    bed = Bedside()
    bed.hold(0, 10, {"spo2": 78})
    assert bed.hold(10, 60, {"rr": 16}) == []
    assert bed.read(60, {"spo2": 78, "rr": 16}) == ["raised spo2_low high"]
    assert bed.hold(61, 100, {"rr": 16}) == []


def test_an_artefact_ends_what_was_pending() -> None:
    bed = Bedside()
    bed.hold(0, 10, {"map": 165})
    bed.read(10, {"map": 300})
    assert bed.hold(11, 40, {"map": 165}) == ["35 raised map_high high"]


def test_what_is_as_rare_as_the_budget_allows_is_a_deterioration() -> None:
    bed = Bedside(budget=0.5)
    for second in range(0, 120, 10):
        assert bed.read(second, HEALTHY, rarity=2.0) == []
    assert bed.read(120, HEALTHY, rarity=2.0) == ["raised deterioration medium"]
    assert bed.alerts[0].rarity == 2.0
    bed = Bedside(budget=0.5)
    assert [bed.read(second, HEALTHY, rarity=1.99) for second in range(0, 300, 60)] == [[]] * 5


def rarities(bed: Bedside, *values: float, start: int = 0, step: int = 120) -> list[str]:
    """Readings with these rarities in patient-days; events with their place."""
    return [
        f"{place} {event}"
        for place, value in enumerate(values)
        for event in bed.read(start + place * step, HEALTHY, rarity=value)
    ]


def test_one_reading_below_the_level_interrupts_nothing_and_two_do() -> None:
    assert rarities(Bedside(), 2, 0.1, 2) == ["2 raised deterioration medium"]
    assert rarities(Bedside(), 2, 0.1, 0.1, 2, 2) == ["4 raised deterioration medium"]


def test_a_reading_that_cannot_be_scored_changes_nothing() -> None:
    assert rarities(Bedside(), 2, np.nan, np.nan, 2) == ["3 raised deterioration medium"]


def test_a_deterioration_is_over_when_it_is_four_times_below_the_level() -> None:
    bed = Bedside()
    assert rarities(bed, 2, 2, *[0.3] * 5) == ["1 raised deterioration medium"]
    assert rarities(bed, *[0.2] * 3, start=840) == ["1 cleared deterioration medium"]


def test_a_deterioration_thirty_times_rarer_is_of_high_priority() -> None:
    assert rarities(Bedside(), 2, 2, 31, 31) == [
        "1 raised deterioration medium",
        "3 escalated deterioration high",
    ]
    assert rarities(Bedside(), 31, 31) == ["1 raised deterioration high"]


def test_a_deterioration_is_not_raised_again_for_half_an_hour() -> None:
    bed = Bedside()
    rarities(bed, 2, 2, 0.1, 0.1, 0.1)
    assert bed.alerts[-1].event == "cleared"
    ended = (bed.alerts[-1].time - START) // 1000
    again = rarities(bed, *[2] * 40, start=ended + 120)
    assert again == ["14 raised deterioration medium"]


def test_patients_are_in_alarm_by_physiology_alone() -> None:
    bed = Bedside()
    bed.read(0, {"hr": 306, "spo2": 78})
    assert bed.alerts
    assert bed.alarms.in_alarm() == 0
    bed.hold(1, 30, {"spo2": 78})
    assert bed.alarms.in_alarm() == 1


def test_a_discharged_patient_takes_his_alarms_along() -> None:
    bed = Bedside()
    bed.hold(0, 30, {"spo2": 78})
    assert bed.discharge(100) == ["cleared spo2_low high"]
    assert bed.alerts[-1].alert_id == bed.alerts[0].alert_id
    assert bed.alarms.in_alarm() == 0
    assert bed.discharge(100) == []


def test_a_patient_is_lost_before_he_is_discharged() -> None:
    bed = Bedside()
    bed.read(0, HEALTHY)
    assert bed.discharge(90_000) == ["raised stale medium", "cleared stale medium"]
    assert [(alert.time - START) // 1000 for alert in bed.alerts] == [300, 90_000]


FRAMES = st.fixed_dictionaries(
    {},
    optional={
        vital.name: st.sampled_from(
            [0.0, -1.0, 999.0, vital.typical]
            + [end + step for end in (*vital.limit, *vital.critical) if end for step in (-1, 0, 1)]
        )
        for vital in vitals.VITALS
    },
)
HISTORY = st.lists(
    st.tuples(
        FRAMES,
        st.sampled_from([1, 7, 30, 60, 400]),
        st.sampled_from([np.nan, 0.01, 2.0, 50.0]),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=8,
)


@given(st.lists(HISTORY, min_size=1, max_size=5))
def test_a_patients_alarms_do_not_depend_on_who_else_is_in_the_round(
    histories: list[list[tuple[dict[str, float], int, float, int]]],
) -> None:
    courses = [
        [(frame, wait, rarity) for frame, wait, rarity, repeats in history for _ in range(repeats)]
        for history in histories
    ]
    table = Table()
    together = Alarms(table, config.Alarms(), "model")
    table.grow(len(courses))
    events: dict[int, list[Event]] = {row: [] for row in range(len(courses))}
    clocks = np.full(len(courses), START)
    for turn in range(max(map(len, courses))):
        rows = np.array([row for row, course in enumerate(courses) if turn < len(course)])
        frames, waits, rare = zip(*(courses[row][turn] for row in rows), strict=True)
        clocks[rows] += np.array(waits) * 1000
        values = np.array(
            [[frame.get(name, np.nan) for name in vitals.NAMES] for frame in frames],
            dtype=np.float32,
        )
        times = clocks[rows]
        assessment = together.assess(
            rows, times, values, times, np.zeros(len(rows), dtype=np.int64)
        )
        rarity = np.array(rare, dtype=np.float32)
        for event in together.advance(rows, times, assessment, rarity).events():
            assert rows[event.reading] == event.row
            events[event.row].append(event._replace(reading=0, row=0))
    for row, course in enumerate(courses):
        alone, clock, expected = Bedside(), 0, []
        for frame, wait, rare_one in course:
            clock += wait
            alone.read(clock, frame, rarity=rare_one)
        expected = [(a.event, a.condition, a.priority, a.time, a.onset) for a in alone.alerts]
        assert [told(event) for event in events[row]] == expected


def told(event: Event) -> tuple[str, str, str, int, int]:
    condition = CONDITIONS[event.condition].name
    return (
        WORDS[event.event],
        condition,
        PRIORITIES[event.priority - 1],
        event.time,
        event.onset,
    )


def test_patients_who_are_taken_over_go_on_where_they_were() -> None:
    left, right = Bedside(stale_seconds=60), Bedside(row=5, stale_seconds=60)
    left.hold(0, 30, {"spo2": 78})
    right.table.put(right.row, left.table.copy(left.row))
    right.alarms.adopt(right.row, 3)
    left.alarms.forget(left.row)
    left.table.clear(left.row)
    assert (left.alarms.in_alarm(), right.alarms.in_alarm()) == (0, 1)
    assert len(right.alarms.stale(0, START + 89_000)) == 0
    assert len(right.alarms.stale(3, START + 88_999)) == 0
    assert right.alarms.stale(3, START + 89_000).time.tolist() == [START + 89_000]
    assert left.stream(100) == []


@given(st.lists(st.tuples(st.integers(0, 4), FRAMES, st.integers(0, 30)), max_size=60))
def test_the_number_in_alarm_is_that_of_the_patients_with_a_physiological_alarm(
    course: list[tuple[int, dict[str, float], int]],
) -> None:
    table = Table()
    alarms = Alarms(table, config.Alarms(), "model")
    table.grow(5)
    beds = [Bedside(alarms, row) for row in range(5)]
    now, raised = 0, dict[int, set[str]]()
    for row, frame, leaves in course:
        seen = len(beds[row].alerts)
        for _ in range(3):
            now += 10
            beds[row].read(now, frame)
        if leaves == 0:
            beds[row].discharge(now)
        elif leaves == 1:
            alarms.forget(beds[row].row)
            table.clear(beds[row].row)
        for alert in beds[row].alerts[seen:]:
            if alert.kind == "physiological" and alert.event == "raised":
                raised.setdefault(row, set()).add(alert.condition)
            elif alert.kind == "physiological" and alert.event == "cleared":
                raised[row].discard(alert.condition)
        if leaves == 1:
            raised.pop(row, None)
        assert alarms.in_alarm() == sum(map(bool, raised.values()))
