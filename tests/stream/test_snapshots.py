import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.adjustment import Adjustment
from vitalwatch.arrays import Spans
from vitalwatch.clock import Clock
from vitalwatch.snapshot import Snapshot
from vitalwatch.stream import snapshots
from vitalwatch.stream.broker import Broker, TopicPartition, TopicSpec
from vitalwatch.stream.memory import MemoryBroker
from vitalwatch.stream.snapshots import FIRST, Found, Search, Turn, Writing, find

READINGS = TopicPartition("vitals.readings", 0)
PREFIX = snapshots.prefix("group", READINGS)
ALL = 10**9


def snapshot(patients: int, seed: int = 0, row_bytes: int = 2048, layout: str = "rows") -> Snapshot:
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, 256, (patients, row_bytes), dtype=np.uint8)
    names = Spans.of(f"p{seed}-{'é' * (number % 5)}{number}" for number in range(patients))
    clock, adjustment = Clock(1000 + seed, 3, -(2**40), 7), Adjustment(seed, 0.1 + seed, 10**12, 3)
    return Snapshot("model", layout, clock, adjustment, names, rows)


def equal(found: Found | None, wanted: Snapshot, offset: int) -> bool:
    assert found is not None
    got = found.snapshot
    return (
        (got.model, got.layout, got.clock, got.adjustment, found.offset)
        == (wanted.model, wanted.layout, wanted.clock, wanted.adjustment, offset)
        and list(got.patients) == list(wanted.patients)
        and np.array_equal(got.rows, wanted.rows)
    )


class State:
    """The state topic of one partition, written as the daemon writes it."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.broker = broker
        self.source = TopicPartition(topic, 0)
        self.turn = FIRST
        self._sink = broker.sink(f"writer-{topic}")

    def append(self, records: Sequence[snapshots.Record]) -> None:
        for key, value in records:
            self._sink.begin()
            self._sink.append(self.source.topic, key, value, partition=0)
            self._sink.commit({}, None)

    def write(self, taken: Snapshot, offset: int, records: int | None = None) -> Writing:
        """Write a snapshot, or only its first so many records."""
        writing = Writing(PREFIX, taken, offset, self.turn)
        self.append(list(writing)[:records])
        self.turn = writing.next_turn
        return writing

    def find(self, committed: int = ALL, layout: str | None = None) -> Search:
        return find(self.broker, self.source, PREFIX, committed, layout)


@pytest.fixture
def state(broker: Broker, make_topic: Callable[..., str]) -> State:
    return State(broker, make_topic())


def on_memory() -> State:
    broker = MemoryBroker()
    broker.create([TopicSpec("state", 1)])
    return State(broker, "state")


def test_what_was_written_is_found_again_in_many_parts_or_one(state: State) -> None:
    assert state.write(snapshot(3000), 70).parts == 7
    found = state.find()
    assert equal(found.found, snapshot(3000), 70)
    assert found.passed == []
    assert state.write(snapshot(1, 1), 71).parts == 1
    assert equal(state.find().found, snapshot(1, 1), 71)


def test_a_search_lets_itself_be_ended(state: State) -> None:
    state.write(snapshot(3000), 70)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        find(state.broker, state.source, PREFIX, ALL, going_on=stop)


def test_a_partition_without_patients_has_a_snapshot_too(state: State) -> None:
    state.write(snapshot(0), 5)
    assert equal(state.find().found, snapshot(0), 5)


def test_nothing_is_found_on_an_empty_topic_and_the_first_generation_is_next(state: State) -> None:
    assert state.find() == Search(None, FIRST, [])


def test_the_last_complete_snapshot_stays_while_the_next_is_under_way(state: State) -> None:
    state.write(snapshot(1200, 1), 10)
    state.write(snapshot(1200, 2), 20, records=2)
    found = state.find()
    assert equal(found.found, snapshot(1200, 1), 10)
    assert found.passed == ["generation 1: it is incomplete"]


def test_the_next_writer_takes_the_slot_of_what_was_not_finished(state: State) -> None:
    state.write(snapshot(1200, 1), 10)
    state.write(snapshot(1200, 2), 20, records=2)
    turn = state.find().turn
    assert turn.generation > 1
    again = Writing(PREFIX, snapshot(1200, 3), 30, turn)
    assert [key for key, _ in again] == [f"{PREFIX}/1/{part}".encode() for part in range(3)]


def test_one_that_is_ahead_of_what_is_committed_is_passed_over(state: State) -> None:
    state.write(snapshot(10, 1), 10)
    state.write(snapshot(10, 2), 20)
    assert equal(state.find(committed=20).found, snapshot(10, 2), 20)
    found = state.find(committed=19)
    assert equal(found.found, snapshot(10, 1), 10)
    assert found.passed == ["generation 1: it is ahead of what is committed"]
    assert found.turn.generation % 2 == 1


def test_one_of_another_group_is_not_taken_for_ones_own_whatever_its_name() -> None:
    state = on_memory()
    group = f"{PREFIX}/0"  # a group may be called anything
    foreign = snapshots.prefix(group, TopicPartition("vitals.readings", 0))
    state.append(list(Writing(foreign, snapshot(10), 20, FIRST)))
    assert state.find().found is None


def test_one_of_another_layout_is_passed_over(state: State) -> None:
    state.write(snapshot(10, 1), 10)
    state.write(snapshot(10, 2, layout="new"), 20)
    found = state.find(layout="rows")
    assert equal(found.found, snapshot(10, 1), 10)
    assert found.passed == ["generation 1: its rows are of layout new"]


def test_snapshots_of_other_groups_and_partitions_are_not_looked_at(state: State) -> None:
    state.write(snapshot(10, 1), 10)
    for prefix in ("group/vitals.readings/01", "group2/vitals.readings/0", "0/0"):
        state.append(list(Writing(prefix, snapshot(10, 9), 90, FIRST)))
    state.append([(b"foreign", b"anything"), (PREFIX.encode(), b"x")])
    found = state.find()
    assert equal(found.found, snapshot(10, 1), 10)
    assert found.passed == []


def test_a_part_under_the_key_of_another_is_noticed(state: State) -> None:
    state.write(snapshot(10, 1), 10)
    (_, value), *_ = Writing("group/other/0", snapshot(10, 2), 20, Turn(1, (0, 0)))
    state.append([(f"{PREFIX}/1/0".encode(), value)])
    found = state.find()
    assert equal(found.found, snapshot(10, 1), 10)
    assert found.passed == ["part 1/0: damaged"]


def test_what_a_larger_generation_left_in_the_slot_is_removed(state: State) -> None:
    state.write(snapshot(2000, 1), 10)
    state.write(snapshot(10, 2), 20)
    records = list(Writing(PREFIX, snapshot(10, 3), 30, state.find().turn))
    gone = [key for key, value in records if value is None]
    assert gone == [f"{PREFIX}/0/{part}".encode() for part in range(1, 5)]
    assert records[-1][1] is not None
    state.append(records)
    assert equal(state.find().found, snapshot(10, 3), 30)
    assert state.find().turn == Turn(3, (1, 1))


def test_what_a_larger_generation_left_is_known_even_if_its_removal_was_cut_short(
    state: State,
) -> None:
    state.write(snapshot(2000, 1), 10)
    state.write(snapshot(10, 2), 20)
    state.write(snapshot(700, 3), 30, records=2)
    assert state.find().turn == Turn(4, (5, 1))


def test_a_snapshot_far_before_the_end_is_found(state: State) -> None:
    state.write(snapshot(2000, 1), 10)
    state.append([(b"other", b"%d" % number) for number in range(150)])
    assert equal(state.find().found, snapshot(2000, 1), 10)


def test_no_more_is_read_than_must_be() -> None:
    state = on_memory()
    for offset in range(40):
        state.write(snapshot(2000, offset), offset)
    read: list[tuple[int, int]] = []
    plain = state.broker.read

    def counted(source: TopicPartition, start: int, end: int | None = None) -> Iterator[object]:
        read.append((start, end or 0))
        return plain(source, start, end)

    state.broker.read = counted  # type: ignore[method-assign,assignment]
    assert equal(state.find().found, snapshot(2000, 39), 39)
    assert sum(end - start for start, end in read) == snapshots.STRIDE


CHANGES = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(1, 255)), min_size=1, max_size=3, unique=True
)


@pytest.mark.parametrize(
    "lie",
    [
        {"patients": -1},
        {"patients": 4},
        {"patients": 10**12},
        {"part": -1},
        {"part": 1},
        {"reach": [0, 10**9]},
        {"reach": [0, -1]},
        {"whole": {"generation": 2**63 - 1}},
        {"whole": {"parts": 0}},
        {"whole": {"parts": -1}},
        {"whole": {"offset": -1}},
        {"whole": {"row_bytes": 0}},
        {"whole": {"row_bytes": 2**40}},
        {"whole": {"model": b"\xff"}},
    ],
)
def test_a_part_that_is_not_what_its_header_says_is_passed_over(lie: dict[str, Any]) -> None:
    state = on_memory()
    taken = snapshot(3)
    state.write(taken, 5)
    ((key, value),) = Writing(PREFIX, snapshot(3, 1), 6, state.turn)
    assert value is not None
    begin = 4 + int.from_bytes(value[:4], "little")
    header = msgspec.json.decode(value[4:begin])
    header = {**header, **lie, "whole": {**header["whole"], **lie.get("whole", {})}}
    text = msgspec.json.encode(header).replace(b'"/w=="', b'"\xff"')
    content = len(text).to_bytes(4, "little") + text + value[begin:-16]
    state.append([(key, content + hashlib.blake2b(key + content, digest_size=16).digest())])
    search = find(state.broker, state.source, PREFIX, ALL)
    assert equal(search.found, taken, 5)
    assert len(search.passed) == 1


@given(CHANGES, st.integers(0, 2))
def test_any_bytes_that_change_in_any_part_are_noticed(
    changes: list[tuple[int, int]], part: int
) -> None:
    state = on_memory()
    state.write(snapshot(20, 1), 10)
    records = list(Writing(PREFIX, snapshot(120, 2, row_bytes=20_000), 20, state.turn))
    key, value = records[part]
    assert value is not None
    damaged = bytearray(value)
    for place, flip in changes:
        damaged[place % len(damaged)] ^= flip
    records[part] = key, bytes(damaged)
    if bytes(damaged) == value:
        return
    state.append(records)
    found = state.find()
    assert equal(found.found, snapshot(20, 1), 10)
    assert f"part 1/{part}: damaged" in found.passed


@given(st.integers(0, 2), st.integers(0, 10**9), st.booleans())
def test_a_part_that_was_cut_short_or_padded_is_noticed(
    part: int, length: int, padded: bool
) -> None:
    state = on_memory()
    state.write(snapshot(20, 1), 10)
    records = list(Writing(PREFIX, snapshot(120, 2, row_bytes=20_000), 20, state.turn))
    key, value = records[part]
    assert value is not None
    records[part] = key, value + b"\0" if padded else value[: length % len(value)]
    state.append(records)
    assert equal(state.find().found, snapshot(20, 1), 10)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=8), st.integers(0, 9))
def test_the_newest_complete_snapshot_is_found_whatever_came_before_and_after(
    written: list[tuple[int, bool]], committed: int
) -> None:
    """Writers come and go: each goes on from what it finds."""
    state = on_memory()
    complete = list[tuple[int, Snapshot]]()
    for offset, (size, cut) in enumerate(written):
        taken = snapshot(500 * size, offset)
        state.turn = state.find().turn
        writing = Writing(PREFIX, taken, offset, state.turn)
        records = list(writing)
        cut = cut and len(records) > 1
        state.append(records[:-1] if cut else records)
        if not cut:
            complete.append((offset, taken))
    usable = [(offset, taken) for offset, taken in complete if offset <= committed]
    found = state.find(committed).found
    if usable:
        assert equal(found, usable[-1][1], usable[-1][0])
    else:
        assert found is None


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=8))
def test_compaction_never_takes_the_last_complete_snapshot(written: list[tuple[int, bool]]) -> None:
    state = on_memory()
    last: tuple[int, Snapshot] | None = None
    for offset, (size, cut) in enumerate(written):
        taken = snapshot(500 * size, offset)
        records = list(Writing(PREFIX, taken, offset, state.find().turn))
        cut = cut and len(records) > 1
        state.append(records[:-1] if cut else records)
        if not cut:
            last = offset, taken
        state = compacted(state)
    found = state.find().found
    assert (found is None) if last is None else equal(found, last[1], last[0])


def compacted(state: State) -> State:
    """The same topic with the last record of each key alone."""
    last: dict[bytes, bytes | None] = {}
    for batch in state.broker.read(state.source, 0):
        for key, value in zip(batch.keys, batch.values, strict=True):
            assert key is not None
            last.pop(key, None)
            last[key] = value
    fresh = on_memory()
    fresh.append([(key, value) for key, value in last.items() if value is not None])
    return fresh


def test_names_of_patients_are_in_no_reason(state: State) -> None:
    state.write(snapshot(10, 1), 10)
    records = list(Writing(PREFIX, snapshot(10, 2), 20, state.turn))
    state.append([(key, value[:-1]) for key, value in records if value])
    assert not any("p2" in reason for reason in state.find().passed)
