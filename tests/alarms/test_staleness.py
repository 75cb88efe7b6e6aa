"""Who is lost when: against looking at everybody each time, and without looking at everybody."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.alarms.staleness import FOREVER, Staleness
from vitalwatch.state import NEVER, Table

STALE_MS = 60_000
PATIENTS = 6
PARTITIONS = 2

READ = st.tuples(
    st.just("read"),
    st.integers(0, PATIENTS - 1),
    st.sampled_from([1, 1000, 15_000, 59_999, 60_000, 3_600_000]),
)
DUE = st.tuples(
    st.just("due"), st.integers(0, PARTITIONS - 1), st.sampled_from([0, 1, 60_000, 20_000_000])
)
LEAVE = st.tuples(st.just("leave"), st.integers(0, PATIENTS - 1), st.just(0))
MOVE = st.tuples(st.just("move"), st.integers(0, PATIENTS - 1), st.integers(0, PARTITIONS - 1))


def subject() -> tuple[Staleness, Table]:
    table = Table()
    staleness = Staleness(table, STALE_MS)
    table.grow(PATIENTS)
    return staleness, table


def note(staleness: Staleness, row: int, time: int, partition: int) -> None:
    rows, times = np.array([row]), np.array([time])
    staleness.note(rows, times, times, np.array([partition]))


@given(st.lists(st.one_of(READ, READ, READ, DUE, LEAVE, MOVE), max_size=80))
def test_who_is_lost_is_told_once_at_the_deadline_and_not_before(
    course: list[tuple[str, int, int]],
) -> None:
    staleness, table = subject()
    home = [row % PARTITIONS for row in range(PATIENTS)]
    awaited: set[int] = set()
    now = 1_700_000_000_000
    for what, which, amount in course:
        if what == "read":
            now += amount
            note(staleness, which, now, home[which])
            awaited.add(which)
        elif what == "leave":
            row = np.array([which])
            staleness.forget(row)
            table.clear(row)
            awaited.discard(which)
        elif what == "move":
            row = np.array([which])
            content = table.copy(row)
            staleness.forget(row)
            table.put(row, content)
            home[which] = amount
            staleness.adopt(row, amount)
            if staleness.deadlines(row)[0] < FOREVER:
                awaited.add(which)
        else:
            stream = now + amount
            rows = np.array(sorted(row for row in awaited if home[row] == which), dtype=np.int64)
            deadlines = staleness.deadlines(rows)
            late = deadlines <= stream
            found, when = staleness.due(which, stream)
            assert found.tolist() == rows[late].tolist()
            assert when.tolist() == deadlines[late].tolist()
            awaited -= set(found.tolist())


def test_a_partition_that_was_closed_makes_nobody_stale() -> None:
    staleness, table = subject()
    note(staleness, 0, 0, 0)
    staleness.forget(np.array([0]))
    staleness.close(0)
    table.clear(np.array([0]))
    assert staleness.due(0, 10**9)[0].tolist() == []
    note(staleness, 0, 10**9, 1)
    assert staleness.due(1, 10**9 + STALE_MS)[0].tolist() == [0]


def test_what_is_remembered_of_deadlines_does_not_grow_with_the_readings() -> None:
    staleness, _ = subject()
    now = 0
    for turn in range(5000):
        now += 3_600_000 if turn % 20 == 0 else 1000  # each return to seconds brings one forward
        note(staleness, turn % 2, now, 0)
    assert len(staleness._heaps[0].times) <= 200
    assert staleness.due(0, now + 10**9)[0].tolist() == [0, 1]


def test_the_state_of_a_patient_says_nothing_of_when_others_looked_at_it() -> None:
    rows = []
    for looks in (False, True):
        staleness, table = subject()
        for second in range(300):
            note(staleness, 0, second * 1000, int(looks))
            if looks:
                staleness.due(1, second * 1000)
        rows.append(table.copy(np.array([0])).tobytes())
    assert rows[0] == rows[1]


def test_a_blank_patient_has_no_deadline() -> None:
    staleness, table = subject()
    assert table["read"][0] == NEVER
    assert staleness.deadlines(np.array([0])).tolist() == [FOREVER]
