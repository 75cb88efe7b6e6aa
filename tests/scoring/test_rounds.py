import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.scoring.rounds import rounds

ROWS = st.lists(st.integers(0, 6), max_size=40)


@given(ROWS)
def test_every_reading_stands_in_exactly_one_round(rows: list[int]) -> None:
    places = [int(place) for turn in rounds(np.array(rows, dtype=np.int64)) for place in turn]
    assert sorted(places) == list(range(len(rows)))


@given(ROWS)
def test_round_k_holds_each_patients_kth_reading(rows: list[int]) -> None:
    for k, turn in enumerate(rounds(np.array(rows, dtype=np.int64))):
        for place in turn:
            assert rows[: int(place)].count(rows[int(place)]) == k


@given(ROWS)
def test_a_rounds_places_are_in_log_order(rows: list[int]) -> None:
    for turn in rounds(np.array(rows, dtype=np.int64)):
        assert list(turn) == sorted(turn)
