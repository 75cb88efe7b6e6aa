import numpy as np
import pytest

from vitalwatch.state import NEVER, Field, Table


def table() -> Table:
    made = Table()
    made.declare({"flag": Field(np.int8, 0, 3), "memory": Field(np.float32, 3, [1, 2, 3])})
    made.declare({"time": Field(np.int64, 0, NEVER)})
    return made


def test_a_new_row_is_blank_and_so_is_one_that_was_given_back() -> None:
    rows = table()
    row = rows.take()
    rows["memory"][row] = 9
    rows["time"][row] = 5
    rows.free(np.array([row]))
    assert rows.take() == row
    assert rows["memory"][row].tolist() == [1, 2, 3]
    assert (rows["time"][row], rows["flag"][row]) == (NEVER, 3)


def test_growing_keeps_what_rows_hold_and_no_row_is_handed_out_twice() -> None:
    rows = table()
    taken = []
    for number in range(1000):
        row = rows.take()
        rows["time"][row] = number
        taken.append(row)
    assert len(set(taken)) == 1000
    assert rows["time"][taken].tolist() == list(range(1000))


def test_a_row_can_be_carried_to_another_table_of_equal_layout() -> None:
    here, there = table(), table()
    row = here.take()
    here["memory"][row] = [0.5, np.nan, -0.0]
    here["time"][row] = 77
    assert here.layout == there.layout
    other = [there.take() for _ in range(2)][1]
    there.put(np.array([other]), here.copy(np.array([row])))
    assert there["memory"][other].tobytes() == here["memory"][row].tobytes()
    assert there["time"][other] == 77


def test_no_rows_can_be_carried_between_tables_without_any() -> None:
    none = np.empty(0, dtype=np.int64)
    content = table().copy(none)
    assert content.shape == (0, table().row_bytes)
    table().put(none, content)


def test_another_width_or_name_is_another_layout() -> None:
    wider = Table()
    wider.declare({"flag": Field(np.int8, 0, 3), "memory": Field(np.float32, 4, 0)})
    wider.declare({"time": Field(np.int64, 0, NEVER)})
    assert wider.layout != table().layout


def test_numbers_of_other_things_are_another_layout() -> None:
    one, other = Table(), Table()
    one.declare({"phase": Field(np.int8, 2, 0, ("hr_low", "hr_high"))})
    other.declare({"phase": Field(np.int8, 2, 0, ("hr_high", "hr_low"))})
    assert one.layout != other.layout


def test_a_field_cannot_be_declared_twice_or_once_rows_exist() -> None:
    rows = table()
    with pytest.raises(ValueError, match="flag"):
        rows.declare({"flag": Field(np.int8, 0, 0)})
    rows.take()
    with pytest.raises(ValueError, match="more"):
        rows.declare({"more": Field(np.int8, 0, 0)})


def test_fields_that_were_declared_together_are_one_stretch_of_numbers() -> None:
    rows = Table()
    rows.declare({"a": Field(np.float32, 2, 1), "b": Field(np.float32, 3, [2, 3, 4])})
    rows.declare({"time": Field(np.int64, 0, NEVER), "c": Field(np.float32, 1, 5)})
    for capacity in (1, 100):
        rows.grow(capacity)
        words, stride, start = rows.words(("a", "b"))
        table = words.reshape(-1, stride)
        assert len(table) == rows.capacity
        assert (table[:, start : start + 5] == [1, 1, 2, 3, 4]).all()
        table[-1, start + 1] = 9
        assert rows["a"][-1].tolist() == [1, 9]
        rows.clear(np.array([len(table) - 1]))


@pytest.mark.parametrize("names", [("b", "a"), ("a", "c"), ("a", "flag"), ("flag",)])
def test_other_fields_are_no_stretch_of_numbers(names: tuple[str, ...]) -> None:
    rows = Table()
    rows.declare({name: Field(np.float32, 2, 0) for name in "abc"})
    rows.declare({"flag": Field(np.int8, 2, 0)})
    with pytest.raises(ValueError, match="no stretch"):
        rows.words(names)
