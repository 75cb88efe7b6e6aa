import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.departures import Departures
from vitalwatch.state import NEVER

GONE = 100


@given(st.lists(st.tuples(st.integers(0, 199), st.integers(0, 40)), max_size=300))
def test_who_is_gone_is_who_was_not_heard_of_for_so_long(course: list[tuple[int, int]]) -> None:
    departures, last = Departures(GONE), np.full(200, NEVER)
    here = set[int]()
    stream = 0
    for row, time in course:
        stream = max(stream, stream + time - 20)
        heard = stream + 10 - time
        if row not in here:
            departures.expect(np.array([row]), np.array([heard]))
            here.add(row)
            last[row] = heard
        last[row] = max(last[row], heard)
        gone = sorted(row for row in here if last[row] + GONE <= stream)
        assert departures.due(stream, last).tolist() == gone
        here -= set(gone)
    assert departures.due(stream + 2 * GONE, last).tolist() == sorted(here)
