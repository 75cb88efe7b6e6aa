import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.scoring import elementary


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(float(np.float32(low)), float(np.float32(high)), width=32)


def off(found: np.float32, wanted: float) -> float:
    """By how many units in the last place of a float32."""
    return abs(float(found) - wanted) / float(np.spacing(np.float32(abs(wanted))))


@given(numbers(-87, 88))
def test_exp_is_right_to_two_units_in_the_last_place(x: float) -> None:
    assert off(elementary.exp(np.float32(x)), math.exp(x)) <= 2


@given(numbers(1e-37, 3e38))
def test_log_is_right_to_three_units_in_the_last_place(x: float) -> None:
    assert off(elementary.log(np.float32(x)), math.log(x)) <= 3


@given(numbers(0, 1e9))
def test_log1p_is_right_also_where_its_argument_is_small(x: float) -> None:
    if x < 1e-37:
        assert elementary.log1p(np.float32(x)) == pytest.approx(0, abs=1e-37)
    else:
        assert off(elementary.log1p(np.float32(x)), math.log1p(x)) <= 4


@given(numbers(-87, 87))
def test_sigmoid_and_softplus_are_right_to_four_units_in_the_last_place(x: float) -> None:
    assert off(elementary.sigmoid(np.float32(x)), 1 / (1 + math.exp(-x))) <= 4
    assert off(elementary.softplus(np.float32(x)), max(x, 0) + math.log1p(math.exp(-abs(x)))) <= 4


@given(numbers(-1e30, 1e30))
def test_tanh_is_right_to_seven_digits(x: float) -> None:
    assert abs(float(elementary.tanh(np.float32(x))) - math.tanh(x)) <= 2e-7


@pytest.mark.parametrize(
    ("function", "ends"),
    [(elementary.sigmoid, (0, 1)), (elementary.tanh, (-1, 1))],
)
def test_far_out_they_are_where_they_tend_to(
    function: Callable[[np.float32], np.float32], ends: tuple[float, float]
) -> None:
    for x, end in zip((-1e38, 1e38), ends, strict=True):
        assert float(function(np.float32(x))) == pytest.approx(end, abs=1e-30)
