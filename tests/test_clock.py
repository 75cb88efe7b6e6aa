import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.arrays import Ints, Spans
from vitalwatch.clock import ANOTHER, IN_A_ROW, STEP_MS, Clock, advance
from vitalwatch.state import NEVER

HOUR = STEP_MS
READING = st.tuples(st.sampled_from("abc"), st.integers(0, 9 * HOUR))


def read(clock: Clock, readings: list[tuple[str, int]]) -> tuple[Clock, list[int]]:
    times: Ints = np.array([time for _, time in readings], dtype=np.int64)
    after, stream = advance(clock, times, Spans.of(name for name, _ in readings))
    return after, stream.tolist()


WARD = [("a", 0), ("b", 1000), ("c", 2000)]


def test_the_stream_is_where_its_patients_are() -> None:
    clock, stream = read(Clock(), [*WARD, ("a", 5000), ("b", 3000), ("c", 5500)])
    assert stream == [NEVER, 0, 2000, 5000, 5000, 5500]
    assert clock.time == 5500


def test_one_wrong_clock_does_not_move_the_stream_however_long_it_sends() -> None:
    clock, _ = read(Clock(), WARD)
    for second in range(3, 5000):
        sick, good = ("x", 10**13 + 1000 * second), ("a", 1000 * second)
        clock, stream = read(clock, [sick, good, sick])
    assert stream == [4998_000, 4999_000, 4999_000]


def test_many_wrong_clocks_do_not_move_it_while_others_are_right() -> None:
    clock, _ = read(Clock(), WARD)
    for second in range(3, 500):
        wrong = [(f"x{number}", 10**13 + 1000 * second) for number in range(10)]
        clock, stream = read(clock, [*wrong, ("a", 1000 * second)])
    assert stream[-1] == 499_000


def test_a_wrong_clock_at_the_very_start_does_not_set_the_stream() -> None:
    _, stream = read(Clock(), [("x", 10**13), ("a", 0), ("b", 1000), ("x", 10**13 + 1000)])
    assert stream == [NEVER, 0, 1000, 1000]


def test_after_a_gap_that_all_have_the_stream_goes_on() -> None:
    clock, _ = read(Clock(), WARD)
    names = itertools.cycle("abc")
    later = [(next(names), 8 * HOUR + 1000 * second) for second in range(20)]
    clock, stream = read(clock, later)
    needed = IN_A_ROW // ANOTHER
    assert stream[: needed - 1] == [2000] * (needed - 1)
    assert stream[needed - 1] == 8 * HOUR + 1000 * (needed - 2)
    assert stream[needed:] == [time for _, time in later[needed:]]


def test_who_is_left_alone_after_a_gap_moves_the_stream_in_the_end() -> None:
    clock, _ = read(Clock(), WARD)
    later = [("a", 8 * HOUR + 1000 * second) for second in range(IN_A_ROW)]
    clock, stream = read(clock, later)
    assert stream[:900] == [2000] * 900
    assert stream[-1] == later[-1][1]


def test_patients_who_are_seen_seldom_move_it_too() -> None:
    readings = [(name, 3 * HOUR * turn) for turn in range(60) for name in "ab"]
    clock, _ = read(Clock(), readings)
    assert clock.time >= 3 * HOUR * 58


@pytest.mark.parametrize("count", [1, 5, 3000])
def test_a_patient_alone_has_no_stream_until_there_is_a_second(count: int) -> None:
    readings = [("a", 1000 * second) for second in range(count)]
    clock, stream = read(Clock(), readings)
    assert stream[:900] == [NEVER] * min(count, 900)
    clock, stream = read(clock, [("b", 1000 * count)])
    assert stream[0] >= 1000 * (count - 1)


@given(st.lists(READING, max_size=80), st.sets(st.integers(0, 80)))
def test_the_stream_never_goes_back_and_the_cut_makes_no_difference(
    readings: list[tuple[str, int]], cuts: set[int]
) -> None:
    whole, expected = read(Clock(), readings)
    assert expected == sorted(expected)
    edges = [0, *sorted(cut for cut in cuts if cut < len(readings)), len(readings)]
    clock, stream = Clock(), []
    for begin, end in itertools.pairwise(edges):
        clock, part = read(clock, readings[begin:end])
        stream += part
    assert (clock, stream) == (whole, expected)
