"""The state machine against a slow, obvious one, and what must hold whatever comes in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from vitalwatch.alarms import conditions
from vitalwatch.alarms.conditions import CONDITIONS, HIGH, INDEX
from vitalwatch.alarms.machine import CLEARED, ESCALATED, RAISED, UPDATED, Event, Machine
from vitalwatch.state import Table

WATCHED = ("spo2_low", "deterioration", "map_implausible", "hr_no_signal", "no_breathing", "stale")
"""One condition of each rule."""

COLUMNS = [INDEX[name] for name in WATCHED]


class Sign(NamedTuple):
    """What a reading says of one condition: unknown, clear, between, at its level, at its top."""

    word: str

    def level(self, condition: int) -> int:
        entry = CONDITIONS[condition]
        levels = {"unknown": -1, "clear": 0, "between": 0, "base": entry.priority}
        return levels.get(self.word, entry.top or entry.priority)


@dataclass
class Step:
    """One reading of one patient, ``wait`` ms after the one before."""

    patient: int
    wait: int
    signs: list[Sign]


SIGNS = st.sampled_from([Sign(w) for w in ("unknown", "clear", "between", "base", "top")])
WAITS = st.sampled_from(
    [1, 1000, 5000, 15_000, 30_000, 60_000, 120_000, 600_000, 2_000_000, 20_000_000]
)
RUNS = st.lists(
    st.tuples(
        st.integers(0, 3),
        WAITS,
        st.lists(SIGNS, min_size=len(WATCHED), max_size=len(WATCHED)),
        st.integers(1, 5),
    ),
    max_size=12,
)
STEPS = RUNS.map(
    lambda runs: [
        Step(patient, wait, signs) for patient, wait, signs, repeats in runs for _ in range(repeats)
    ]
)
"""Signs last for some readings, or nothing would ever be raised."""


def times(steps: Sequence[Step]) -> list[int]:
    clock = [1_700_000_000_000] * 4
    result = []
    for step in steps:
        clock[step.patient] += step.wait
        result.append(clock[step.patient])
    return result


def run(steps: Sequence[Step], rows: Sequence[int] = (0, 1, 2, 3), cut: int = 1000) -> list[Event]:
    """All events in log order (``reading`` is the step's place), from batches of ``cut``."""
    table = Table()
    subject = Machine(table)
    table.grow(8)
    moments = times(steps)
    events: list[Event] = []
    for start in range(0, len(steps), cut):
        waiting = list(range(start, min(start + cut, len(steps))))
        while waiting:
            places: list[int] = []
            for place in waiting:
                if steps[place].patient not in [steps[other].patient for other in places]:
                    places.append(place)
            waiting = [place for place in waiting if place not in places]
            level = np.full((len(places), conditions.COUNT), -1, dtype=np.int8)
            clear = np.zeros(level.shape, dtype=np.bool_)
            for reading, place in enumerate(places):
                for condition, sign in zip(COLUMNS, steps[place].signs, strict=True):
                    level[reading, condition] = sign.level(condition)
                    clear[reading, condition] = sign.word == "clear"
            transitions = subject.step(
                np.array([rows[steps[place].patient] for place in places]),
                np.array([moments[place] for place in places]),
                level,
                clear,
            )
            assert len(transitions) == len(list(transitions.events()))
            for event in transitions.pointing(np.array(places)).events():
                patient = list(rows).index(event.row)
                events.append(event._replace(row=patient))
    return sorted(events)


def reference(steps: Sequence[Step]) -> list[Event]:
    """The same rules for one patient and one condition at a time, written for the reader."""
    events = []
    for patient in range(4):
        for position, column in enumerate(COLUMNS):
            rule = CONDITIONS[column]
            onset: int | None = None  # since when at a level
            peak: int | None = None  # since when at the top level
            calm: int | None = None  # since when clear
            raised: int | None = None  # when the active alarm was raised
            ended = -(10**18)  # when the last alarm ended
            told = -(10**18)  # when it was last spoken of
            priority = 0  # of the active or the last alarm
            for place, (step, now) in enumerate(zip(steps, times(steps), strict=True)):
                sign = step.signs[position]
                if step.patient != patient or sign.word == "unknown":
                    continue
                level = sign.level(column)
                if level == 0:
                    peak = None
                    if raised is None:
                        onset = None
                else:
                    onset = now if onset is None else onset
                    if not rule.top or level < rule.top:
                        peak = None
                    elif peak is None:
                        peak = now
                if sign.word != "clear":
                    calm = None
                elif calm is None:
                    calm = now
                top = peak is not None and now - peak >= rule.top_delay
                what: int | None = None
                if raised is None and onset is not None:
                    base = now - onset >= rule.delay
                    wanted = rule.top if top else rule.priority if base else 0
                    rest = rule.top_refractory if top else rule.refractory
                    if wanted and (wanted > priority or now - ended >= rest):
                        what, raised, priority = RAISED, now, wanted
                elif raised is not None and top and priority < rule.top:
                    what, priority = ESCALATED, rule.top
                elif raised is not None and rule.renewal and level and now - told >= rule.renewal:
                    what = UPDATED
                elif raised is not None and calm is not None and now - calm >= rule.hold:
                    what = CLEARED
                if what is None:
                    continue
                told = now
                assert raised is not None
                assert onset is not None
                events.append(Event(place, patient, column, what, priority, now, onset, raised))
                if what == CLEARED:
                    raised, ended, onset, peak = None, now, None, None
    return sorted(events)


@given(STEPS, st.integers(1, 12))
def test_it_does_what_the_obvious_machine_does_however_the_log_is_cut(
    steps: list[Step], cut: int
) -> None:
    assert run(steps, cut=cut) == reference(steps)


@given(STEPS, st.permutations([0, 1, 2, 3, 4, 5, 6, 7]))
def test_the_rows_that_patients_have_make_no_difference(steps: list[Step], rows: list[int]) -> None:
    assert run(steps, rows=rows[:4]) == run(steps)


@given(STEPS)
def test_the_company_of_other_patients_makes_no_difference(steps: list[Step]) -> None:
    together = run(steps)
    for patient in range(4):
        alone = [step for step in steps if step.patient == patient]
        expected = [e._replace(reading=0) for e in together if e.row == patient]
        assert sorted(e._replace(reading=0) for e in run(alone)) == sorted(expected)


@given(STEPS, st.data())
def test_an_unmeasured_vital_changes_nothing(steps: list[Step], data: st.DataObject) -> None:
    # Readings that say nothing are put in between, without moving the others in time.
    unknown = [Sign("unknown")] * len(WATCHED)
    longer: list[Step] = []
    kept: list[int] = []
    for step in steps:
        early = data.draw(st.integers(0, step.wait - 1))
        if early:
            longer.append(Step(step.patient, early, unknown))
        kept.append(len(longer))
        longer.append(Step(step.patient, step.wait - early, step.signs))
    assert run(longer) == [e._replace(reading=kept[e.reading]) for e in run(steps)]


@given(STEPS)
def test_the_events_of_a_condition_are_raised_perhaps_escalated_and_updated_then_cleared(
    steps: list[Step],
) -> None:
    for events in by_condition(run(steps)).values():
        story = "".join("recu"[event.event] for event in events)
        assert re.fullmatch("(ru*(eu*)?c)*(ru*(eu*)?)?", story)


def test_an_alarm_that_lasts_is_told_anew_every_eight_hours() -> None:
    waits = [60_000] * (18 * 60)
    steps = [Step(0, wait, [Sign("base")] * len(WATCHED)) for wait in waits]
    told = [e for e in run(steps) if e.event in (RAISED, UPDATED)]
    deterioration = [e for e in told if e.condition == INDEX["deterioration"]]
    assert [e.event for e in deterioration] == [RAISED, UPDATED, UPDATED]
    assert np.diff([e.time for e in deterioration]).tolist() == [8 * 3_600_000] * 2
    assert len({e.raised for e in deterioration}) == 1
    assert not [e for e in told if e.event == UPDATED and e not in deterioration]


@given(STEPS)
def test_nothing_is_raised_before_its_delay(steps: list[Step]) -> None:
    for event in run(steps):
        rule = CONDITIONS[event.condition]
        if event.event == RAISED:
            shortest = min(rule.delay, rule.top_delay) if rule.top else rule.delay
            assert event.time - event.onset >= shortest
            if event.priority < HIGH:
                assert event.time - event.onset >= rule.delay


@given(STEPS)
def test_nothing_is_raised_again_in_the_refractory_time_unless_it_is_worse(
    steps: list[Step],
) -> None:
    for (_, condition), events in by_condition(run(steps)).items():
        rule = CONDITIONS[condition]
        ends = [event for event in events if event.event == CLEARED]
        begins = [event for event in events if event.event == RAISED][1:]
        for end, begin in zip(ends, begins, strict=False):
            top = rule.top and begin.priority == rule.top
            rest = rule.top_refractory if top else rule.refractory
            assert begin.priority > end.priority or begin.time - end.time >= rest


@given(st.lists(st.integers(1, 90_000), min_size=1, max_size=100), st.sampled_from(["base", "top"]))
@example([15_000, 1], "top")
def test_a_constant_dangerous_value_alarms_within_its_delay_and_one_reading(
    waits: list[int], word: str
) -> None:
    steps = [Step(0, wait, [Sign(word)] * len(WATCHED)) for wait in waits]
    moments = times(steps)
    for column in COLUMNS:
        rule = CONDITIONS[column]
        delay = rule.top_delay if word == "top" and rule.top else rule.delay
        due = [moment for moment in moments if moment - moments[0] >= delay]
        raised = [e.time for e in run(steps) if e.condition == column and e.event == RAISED]
        assert raised == due[:1]


@given(STEPS)
def test_all_alarms_of_a_patient_who_leaves_are_cleared_once(steps: list[Step]) -> None:
    table = Table()
    subject = Machine(table)
    table.grow(1)
    events: list[Event] = []
    for step, moment in zip(steps, times(steps), strict=True):
        level = np.full((1, conditions.COUNT), -1, dtype=np.int8)
        clear = np.zeros(level.shape, dtype=np.bool_)
        for condition, sign in zip(COLUMNS, step.signs, strict=True):
            level[0, condition] = sign.level(condition)
            clear[0, condition] = sign.word == "clear"
        if step.patient == 0:
            rows = np.array([0])
            events.extend(subject.step(rows, np.array([moment]), level, clear).events())
    gone = 1_800_000_000_000
    last = list(subject.end(np.array([0]), np.array([gone])).events())
    stories = by_condition([*events, *last])
    assert all(story[-1].event == CLEARED for story in stories.values())
    assert all(event.time == gone and event.reading == -1 for event in last)
    assert not list(subject.end(np.array([0]), np.array([gone])).events())


def by_condition(events: Sequence[Event]) -> dict[tuple[int, int], list[Event]]:
    stories: dict[tuple[int, int], list[Event]] = {}
    for event in events:
        stories.setdefault((event.row, event.condition), []).append(event)
    return stories


def test_a_high_safety_limit_is_never_silent_for_more_than_a_minute() -> None:
    limits = [c for c in CONDITIONS if c.rule in ("low", "high")]
    assert limits
    assert all(c.top == HIGH and c.top_refractory <= 60_000 for c in limits)
