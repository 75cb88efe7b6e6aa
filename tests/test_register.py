import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vitalwatch.arrays import Spans
from vitalwatch.register import Register, hashed

NAMES = st.one_of(st.sampled_from(["a", "b", "ab", "ä", "é", "p1", "p2", "p10"]), st.text("ab"))


def rows(register: Register, partition: int, names: list[str]) -> list[int]:
    found: list[int] = register.rows(partition, Spans.of(names)).tolist()
    return found


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("enter"), st.integers(0, 2), st.lists(NAMES, max_size=60)),
            st.tuples(st.just("leave"), st.integers(0, 2), st.lists(NAMES, max_size=60)),
            st.tuples(st.just("close"), st.integers(0, 2), st.just([])),
        ),
        max_size=15,
    )
)
def test_a_register_knows_who_is_there_whoever_came_and_went(
    course: list[tuple[str, int, list[str]]],
) -> None:
    register = Register()
    expected: dict[tuple[int, str], int] = {}
    free = list(range(500, 0, -1))
    asked = ["a", "b", "ab", "", "ä", "é", "p1", "p2", "p10"]
    for what, partition, names in course:
        asked += names
        if what == "enter":
            new = [name for name in dict.fromkeys(names) if (partition, name) not in expected]
            given = [free.pop() for _ in new]
            register.enter(partition, Spans.of(new), np.array(given, dtype=np.int64))
            expected |= {(partition, name): row for name, row in zip(new, given, strict=True)}
        elif what == "leave":
            here = [name for name in dict.fromkeys(names) if (partition, name) in expected]
            left = [expected.pop((partition, name)) for name in here]
            register.leave(np.array(left, dtype=np.int64))
            free += left
        else:
            gone = [key for key in expected if key[0] == partition]
            closed = register.close(partition)
            assert closed.tolist() == sorted(expected.pop(key) for key in gone)
            free += closed.tolist()
        assert register.count == len(expected)
        for number in range(3):
            there = sorted(row for (of, _), row in expected.items() if of == number)
            assert register.of(number).tolist() == there
            wanted = [expected.get((number, name), -1) for name in asked]
            assert rows(register, number, asked) == wanted
            packed = register.names(np.array(there, dtype=np.int64)).texts()
            assert [expected[number, name] for name in packed] == there
        for (partition, name), row in expected.items():
            assert (register.partition(row), register.name(row)) == (partition, name)


def test_names_with_the_same_hash_are_told_apart() -> None:
    names = [f"patient-{number:06d}" for number in range(300_000)]
    register = Register()
    register.enter(0, Spans.of(names), np.arange(len(names)))
    assert rows(register, 0, names) == list(range(len(names)))
    spans = Spans.of(names)
    hashes = [
        int(hashed(spans.data, int(start), int(length)))
        for start, length in zip(spans.starts, spans.lengths, strict=True)
    ]
    assert len(set(hashes)) < len(names), "there are some"


def test_a_name_is_known_by_its_own_bytes_alone() -> None:
    register = Register()
    register.enter(0, Spans.of(["abc"]), np.array([3]))
    assert rows(register, 0, ["abc", "ab", "abcd", "", "abd"]) == [3, -1, -1, -1, -1]
    inside = Spans(np.frombuffer(b"xxabcxx", np.uint8), np.array([2, 1]), np.array([3, 3]))
    assert register.rows(0, inside).tolist() == [3, -1]


def test_coming_and_going_does_not_fill_the_memory() -> None:
    register = Register()
    for day in range(200):
        names = Spans.of(f"day-{day}-{number}" for number in range(100))
        register.enter(0, names, np.arange(100))
        size = register.nbytes
        register.leave(np.arange(100))
        assert size < 30_000
    assert register.count == 0
