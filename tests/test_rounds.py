import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.arrays import Ints
from vitalwatch.rounds import Plan, Planner
from vitalwatch.state import NEVER

GONE = 100
READINGS = st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 250)), max_size=40)


def planned(planner: Planner, readings: list[tuple[int, int]], last: Ints) -> Plan:
    rows = np.array([row for row, _ in readings], dtype=np.int64)
    times = np.array([time for _, time in readings], dtype=np.int64)
    stream = np.maximum.accumulate(times) if len(times) else times
    return planner.plan(rows, times, stream, last)


def rounds(plan: Plan) -> list[list[int]]:
    return [
        plan.places[begin:end].tolist()
        for begin, end in zip(plan.edges[:-1], plan.edges[1:], strict=True)
    ]


@given(st.lists(READINGS, max_size=4))
def test_round_k_holds_each_patients_kth_reading_that_counts_in_log_order(
    batches: list[list[tuple[int, int]]],
) -> None:
    planner, last = Planner(GONE), np.full(6, NEVER)
    for readings in batches:
        plan = planned(planner, readings, last)
        seen: dict[int, list[int]] = {}
        back = []
        stream = NEVER
        for place, (row, time) in enumerate(readings):
            stream = max(stream, time)
            heard = readings[seen[row][-1]][1] if seen.get(row) else int(last[row])
            gone = row >= 0 and heard != NEVER and stream >= heard + GONE
            if row >= 0 and stream < time + GONE and (gone or time > heard):
                assert plan.previous[place] == (seen[row][-1] if row in seen else -1)
                seen.setdefault(row, []).append(place)
                back += [place] if gone else []
        counted = sorted(place for places in seen.values() for place in places)
        assert np.flatnonzero(~plan.late).tolist() == counted
        assert list(zip(plan.rows, plan.times, strict=True)) == [readings[i] for i in plan.places]
        assert np.flatnonzero(plan.back).tolist() == back
        assert [turn == sorted(turn) for turn in rounds(plan)] == [True] * len(rounds(plan))
        for k, turn in enumerate(rounds(plan)):
            assert set(turn) == {places[k] for places in seen.values() if len(places) > k}
        for row in range(6):
            assert planner.latest(row) == (seen[row][-1] if row in seen else -1)
            if row in seen:
                last[row] = readings[seen[row][-1]][1]


def test_a_patient_who_was_away_by_his_own_time_alone_is_a_new_patient_too() -> None:
    plan = Planner(GONE).plan(
        np.array([0, 0]), np.array([5, 5 + GONE]), np.array([NEVER, NEVER]), np.full(1, NEVER)
    )
    assert plan.reached.tolist() == [5, 5 + GONE]
    assert (plan.back.tolist(), plan.late.tolist()) == ([False, True], [False, False])


def test_a_plan_knows_more_rows_when_there_are_more() -> None:
    planner = Planner(GONE)
    planned(planner, [(0, 1), (0, 2)], np.full(1, NEVER))
    plan = planned(planner, [(0, 3), (700, 4)], np.full(1000, NEVER))
    assert rounds(plan) == [[0, 1]]
