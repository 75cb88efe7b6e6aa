import json
import math
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vitalwatch.arrays import Floats, Spans
from vitalwatch.messages import ScoreBlock
from vitalwatch.readings import Detection, Readings
from vitalwatch.stream.score_blocks import BLOCK_READINGS, blocks, read
from vitalwatch.stream.topics import LARGEST_RECORD
from vitalwatch.vitals import COUNT, INDEX, NAMES

TIME = 1_700_000_000_000
TABLES = ("surprise", "expected", "low", "high")


def batch(
    tables: Floats, rarity: Floats | None = None, patients: list[str] | None = None
) -> tuple[Readings, Detection]:
    """Readings of which (4, n, V) scores are known, none of them late."""
    n = tables.shape[1]
    names = [f"p{i}" for i in range(n)] if patients is None else patients
    days = np.ones(n, dtype=np.float32) if rarity is None else rarity
    times, offsets = TIME + np.arange(n) * 1000, 7 + np.arange(n) * 2
    readings = Readings("vitals.readings", 3, Spans.of(names), times, tables[0], offsets)
    late = np.zeros(n, dtype=np.bool_)
    return readings, Detection(late, days, tables[0], tables[1], tables[2], tables[3], [])


def alike(n: int, value: float) -> Floats:
    return np.full((4, n, COUNT), value, dtype=np.float32)


def block(readings: Readings, detection: Detection) -> ScoreBlock:
    """What is written in one block."""
    (record,) = blocks(readings, detection, "model", "block")
    json.loads(record.value.decode(), parse_constant=pytest.fail)  # what NaN would be
    return read(record.value)


def rounded(value: float, decimals: int) -> float:
    """As written: to the nearest, half to even; a zero has no sign."""
    exact = Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)
    return float(exact) + 0.0


def test_a_block_holds_what_was_scored_in_columns() -> None:
    tables = alike(2, math.nan)
    tables[:, 0, INDEX["hr"]] = 1.234, 81.26, 70.0, 92.55
    tables[:, 1, INDEX["temp"]] = 12.0, 36.912, 36.0, 38.5
    readings, detection = batch(tables, np.array([0.012345, 365.25], dtype=np.float32), ["a", "b"])
    (record,) = blocks(readings, detection, "f00d", "block")
    assert (record.key, record.timestamp) == (b"3", TIME + 1000)
    assert record.value == (
        b'{"topic":"vitals.readings","partition":3,"model":"f00d","offsets":[7,9],'
        b'"patients":["a","b"],"times":[1700000000000,1700000001000],"rarity":[0.01235,365.2],'
        b'"surprise":{"hr":[1.23,null],"temp":[null,12.00]},'
        b'"expected":{"hr":[81.3,null],"temp":[null,36.91]},'
        b'"low":{"hr":[70.0,null],"temp":[null,36.00]},'
        b'"high":{"hr":[92.6,null],"temp":[null,38.50]},"v":1}'
    )


def test_a_block_is_a_message_like_any_other() -> None:
    written = block(*batch(alike(3, 80.0)))
    assert msgspec.json.decode(msgspec.json.encode(written), type=ScoreBlock) == written


def test_late_readings_are_left_out() -> None:
    readings, detection = batch(alike(4, 80.0))
    detection.late[:] = True, False, True, False
    written = block(readings, detection)
    assert (written.offsets, written.patients) == ([9, 13], ["p1", "p3"])
    assert written.expected["hr"] == [80.0, 80.0]
    detection.late[:] = True
    assert list(blocks(readings, detection, "m", "block")) == []


def test_a_record_s_time_is_that_of_its_latest_reading() -> None:
    readings, detection = batch(alike(3, 80.0))
    readings.times[1] += 5_000
    assert [r.timestamp for r in blocks(readings, detection, "m", "block")] == [TIME + 6_000]


def test_one_record_for_each_reading_is_keyed_by_the_patient() -> None:
    readings, detection = batch(alike(3, 80.0))
    records = list(blocks(readings, detection, "m", "reading"))
    assert [record.key for record in records] == [b"p0", b"p1", b"p2"]
    assert [read(record.value).patients for record in records] == [["p0"], ["p1"], ["p2"]]
    assert [record.timestamp for record in records] == readings.times.tolist()


def test_nothing_is_emitted_if_nobody_wants_it() -> None:
    assert list(blocks(*batch(alike(3, 80.0)), "m", "none")) == []


def test_a_large_batch_comes_in_several_blocks() -> None:
    readings, detection = batch(alike(BLOCK_READINGS + 5, 80.0))
    detection.late[3] = True
    parts = [read(record.value) for record in blocks(readings, detection, "m", "block")]
    assert [len(part.offsets) for part in parts] == [BLOCK_READINGS, 4]
    assert [offset for part in parts for offset in part.offsets] == [
        offset for offset in readings.offsets.tolist() if offset != 13
    ]


def test_a_block_fits_into_a_record_whatever_is_in_it() -> None:
    names = ["\x1f" * 256] * BLOCK_READINGS
    days = np.full(BLOCK_READINGS, -1.2345e-40, dtype=np.float32)
    readings, detection = batch(alike(BLOCK_READINGS, -1.23456789e-38), days, names)
    for table in (detection.surprise, detection.expected, detection.low, detection.high):
        table[:] = -1.2345678e38
    (record,) = blocks(readings, detection, "m", "block")
    assert len(record.value) < LARGEST_RECORD - 2**20
    assert read(record.value).patients == names


def test_a_reading_takes_at_most_250_bytes_as_a_rule() -> None:
    rng = np.random.default_rng(1)
    tables = rng.normal(100, 30, (4, 1000, COUNT)).astype(np.float32)
    tables[0] = np.abs(rng.normal(0, 8, (1000, COUNT)))
    patients = [f"patient-{number}" for number in range(1000)]
    days = np.exp(rng.normal(-2, 3, 1000)).astype(np.float32)
    (record,) = blocks(*batch(tables, days, patients), "m", "block")
    assert len(record.value) <= 250_000


def test_a_vital_that_nobody_had_is_left_out() -> None:
    tables = alike(3, math.nan)
    tables[:, 1, INDEX["rr"]] = 16
    written = block(*batch(tables))
    for name in TABLES:
        assert getattr(written, name) == {"rr": [None, 16.0, None]}
    empty = block(*batch(alike(2, math.nan)))
    assert [getattr(empty, name) for name in TABLES] == [{}] * 4
    assert empty.rarity == [1.0, 1.0]


any_float = st.floats(width=32)
usual = st.floats(-300, 1200, width=32) | st.integers(-200, 20_000).map(lambda i: i / 16)


@given(arrays(np.float32, (4, 3, COUNT), elements=usual | any_float))
def test_any_value_is_written_to_the_nearest_decimal(tables: Floats) -> None:
    with np.errstate(invalid="ignore"):
        written = block(*batch(tables))
    for place, table in enumerate(TABLES):
        columns = getattr(written, table)
        for vital, name in enumerate(NAMES):
            decimals = 2 if table == "surprise" or name == "temp" else 1
            cells = columns.get(name, [None] * 3)
            for cell, value in zip(cells, tables[place, :, vital].tolist(), strict=True):
                if not math.isfinite(value):
                    assert cell is None
                elif abs(value) * 10**decimals < 1e9 - 1:
                    assert cell == rounded(value, decimals)
                else:
                    assert cell == pytest.approx(value, rel=5.1e-9)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.25, "0.2"), (0.75, "0.8"), (-0.25, "-0.2"), (-0.05, "-0.1"), (-0.04, "0.0"), (-0.0, "0.0"),
     (999.94, "999.9"), (999.96, "1000.0"), (1000.3, "1000.3"), (-12.3, "-12.3"),
     (9999999.0, "9999999.0"), (1e8, "100000000"), (1.5e9, "1.50000000e9"),
     (-3.4e38, "-3.39999995e38")],
)  # fmt: skip
def test_how_a_value_is_written(value: float, written: str) -> None:
    (record,) = blocks(*batch(alike(1, value)), "m", "block")
    assert b'"expected":{"hr":[' + written.encode() + b"]" in record.value


@pytest.mark.parametrize(
    ("days", "written"),
    [(0.0, "0"), (1.0, "1.000"), (365.25, "365.2"), (9999.4, "9999"), (9999.6, "1.000e4"),
     (0.1, "0.1000"), (0.00123456, "0.001235"), (0.000123456, "0.0001235"),
     (0.0000123456, "1.235e-5"), (1e30, "1.000e30"), (1e-45, "1.401e-45"), (0.99996, "1.000"),
     (-2.5, "-2.500")],
)  # fmt: skip
def test_how_a_rarity_is_written(days: float, written: str) -> None:
    (record,) = blocks(*batch(alike(1, 80.0), np.array([days], dtype=np.float32)), "m", "block")
    assert b'"rarity":[' + written.encode() + b"]" in record.value


@given(arrays(np.float32, 5, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_any_rarity_is_written_in_four_digits(days: Floats) -> None:
    written = block(*batch(alike(5, 80.0), days))
    assert written.rarity == [pytest.approx(value, rel=5.0001e-4, abs=0) for value in days.tolist()]


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(st.lists(names, min_size=1, max_size=5), st.data())
def test_any_name_comes_back(patients: list[str], data: st.DataObject) -> None:
    readings, detection = batch(alike(len(patients), 80.0), None, patients)
    topic = data.draw(names)
    readings = Readings(
        topic, 3, readings.patients, readings.times, readings.values, readings.offsets
    )
    written = block(readings, detection)
    assert (written.topic, written.patients) == (topic, patients)


@given(arrays(np.float32, (4, 6, COUNT), elements=usual | st.just(math.nan)), st.integers(0, 6))
def test_a_reading_is_written_alike_in_any_block(tables: Floats, cut: int) -> None:
    def cells(block: ScoreBlock, place: int) -> list[dict[str, Any]]:
        columns = [getattr(block, name) for name in TABLES]
        return [{n: c[place] for n, c in t.items() if c[place] is not None} for t in columns]

    readings, detection = batch(tables)
    whole = block(readings, detection)
    for late in (np.arange(6) < cut, np.arange(6) >= cut):
        detection.late[:] = late
        for record in blocks(readings, detection, "model", "block"):
            part = read(record.value)
            for place, offset in enumerate(part.offsets):
                assert cells(part, place) == cells(whole, whole.offsets.index(offset))


def test_what_is_no_block_is_not_read() -> None:
    with pytest.raises(ValueError, match="missing required field"):
        read(b"{}")
