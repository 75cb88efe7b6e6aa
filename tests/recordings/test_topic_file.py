import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.errors import RecordingError
from vitalwatch.recordings.topic_file import TopicFile
from vitalwatch.stream.broker import TopicPartition

AS_KCAT_WRITES: bytes = rb"""
{"topic":"t","partition":0,"offset":0,"tstype":"create","ts":1000,"broker":1,"headers":["h","\u0000@?q","n",""],"key":null,"payload":"v"}
{"topic":"t","partition":0,"offset":1,"tstype":"create","ts":2000,"broker":1,"key":"k","payload":null}
{"topic":"t","partition":1,"offset":0,"broker":1,"key":"","payload":"x"}
{"topic":"t","partition":2,"offset":7,"tstype":"create","ts":1000,"broker":1,"key":"e","payload":""}
{"topic":"t","partition":4,"offset":1,"ts":1,"broker":1,"key":"b","payload":"@@ \"\n"}
""".strip().replace(b"@", b"\xff")
"""What kcat 1.7.1 wrote, with a byte that is no UTF-8 for @."""

Row = tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes]]]


def line(offset: int, partition: int = 0, ts: int = 0, **more: Any) -> str:
    record = {"topic": "t", "partition": partition, "offset": offset, "ts": ts}
    return json.dumps({**record, "key": "k", "payload": f"{partition}/{offset}", **more})


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., TopicFile]:
    """Files with these lines each."""

    def make(*files: list[str]) -> TopicFile:
        paths = [tmp_path / f"{number}.jsonl" for number in range(len(files))]
        for path, lines in zip(paths, files, strict=True):
            path.write_text("".join(f"{text}\n" for text in lines))
        return TopicFile(paths)

    return make


def rows(file: TopicFile, partition: int, start: int = 0, end: int | None = None) -> list[Row]:
    return [
        row
        for batch in file.read(TopicPartition("t", partition), start, end)
        for row in zip(
            batch.offsets.tolist(),
            batch.timestamps.tolist(),
            batch.keys,
            batch.values,
            [list(headers) for headers in batch.headers],
            strict=True,
        )
    ]


def test_what_kcat_writes_is_read_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(AS_KCAT_WRITES)
    file = TopicFile([path])
    assert file.topic == "t"
    assert file.topics(["t", "u"]).keys() == {"t"}
    assert file.topics(["t"])["t"].partitions == 5
    assert rows(file, 0) == [
        (0, 1000, None, b"v", [("h", b"\x00\xff?q"), ("n", b"")]),
        (1, 2000, b"k", None, []),
    ]
    assert rows(file, 1) == [(0, -1, b"", b"x", [])]
    assert rows(file, 2) == [(7, 1000, b"e", b"", [])]
    assert rows(file, 3) == []
    assert rows(file, 4) == [(1, 1, b"b", b'\xff\xff "\n', [])]
    assert file.bounds(TopicPartition("t", 2)) == (7, 8)
    assert file.bounds(TopicPartition("t", 3)) == (0, 0)
    assert file.bounds(TopicPartition("u", 0)) == (0, 0)


@given(data=st.data())
def test_any_range_of_any_partition_is_found_in_any_number_of_files(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    offsets = {
        partition: sorted(data.draw(st.sets(st.integers(0, 60), max_size=20)))
        for partition in range(3)
    }
    order = [(p, o) for p, found in offsets.items() for o in found]
    mixed = data.draw(st.permutations([p for p, _ in order]))
    left = {p: list(found) for p, found in offsets.items()}
    lines = [line(left[p].pop(0), p) for p in mixed]
    if not lines:
        return
    cut = data.draw(st.integers(0, len(lines)))
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / "a.jsonl", folder / "b.jsonl"]
    for path, part in zip(paths, (lines[:cut], lines[cut:]), strict=True):
        path.write_text("\n".join(part))
    file = TopicFile(paths)
    start, end = data.draw(st.integers(0, 61)), data.draw(st.integers(0, 61))
    for partition, found in offsets.items():
        expected = [f"{partition}/{o}".encode() for o in found if start <= o < end]
        assert [value for *_, value, _ in rows(file, partition, start, end)] == expected


def test_long_stretches_of_one_partition_are_found(made: Callable[..., TopicFile]) -> None:
    file = made([line(offset, ts=10 * offset) for offset in range(10_000)])
    assert [row[0] for row in rows(file, 0, 4090, 4100)] == list(range(4090, 4100))
    source = TopicPartition("t", 0)
    assert file.offset_at(source, 81_921) == 8193
    assert file.offset_at(source, -5) == 0
    assert file.offset_at(source, 10**9) == 10_000


def test_times_need_not_ascend(made: Callable[..., TopicFile]) -> None:
    file = made([line(0, ts=50), line(1, ts=20), line(2, ts=70)])
    source = TopicPartition("t", 0)
    assert [file.offset_at(source, time) for time in (10, 20, 51, 71)] == [0, 0, 2, 3]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([['{"patient": "anna", "time": 1, "vitals": {}}']], "line 1: this is no record"),
        ([[line(0), "nonsense"]], "line 2: this is no record"),
        ([[line(0), "", line(0)]], "line 3: offset 0 of partition 0 does not come after"),
        ([[line(0), line(1)], [line(1)]], "line 1: offset 1 of partition 0 does not come after"),
        ([[line(0), line(1, topic="u")]], "line 2: a record of u after records of t"),
    ],
)
def test_what_is_no_such_recording_is_refused(
    files: list[list[str]], told: str, made: Callable[..., TopicFile]
) -> None:
    with pytest.raises(RecordingError, match=told):
        made(*files)


def test_a_topic_without_records_is_empty(made: Callable[..., TopicFile]) -> None:
    file = made([], [""])
    assert file.topic == ""
    assert file.topics([""])[""].partitions == 0


def test_a_payload_of_the_wrong_type_is_refused(made: Callable[..., TopicFile]) -> None:
    file = made([line(0), line(1, payload=7)])
    with pytest.raises(RecordingError, match="line 2"):
        rows(file, 0)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="Cannot read"):
        TopicFile([tmp_path / "none.jsonl"])
