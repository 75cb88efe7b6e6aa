import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.messages import REJECTIONS, SEXES, Reading, epoch_ms
from vitalwatch.stream.broker import RecordBatch, TopicPartition
from vitalwatch.stream.decode import END_OF_TIME, MAX_BEHIND_MS, Decoded, Decoder, Rejected
from vitalwatch.vitals import INDEX, NAMES

NOW = 1_700_000_000_000
GOOD = b'{"patient":"p1","time":1700000000000,"vitals":{"hr":81,"spo2":97.5}}'


def batch(
    values: list[bytes | None], keys: list[bytes | None] | None = None, timestamp: int = NOW
) -> RecordBatch:
    n = len(values)
    offsets = list(range(100, 100 + 2 * n, 2))
    return RecordBatch.of(
        TopicPartition("vitals.readings", 3),
        offsets,
        [timestamp] * n,
        [b"p1"] * n if keys is None else keys,
        values,
        [()] * n,
        100 + 2 * n,
    )


def reading(**fields: Any) -> bytes:
    return json.dumps({"patient": "p1", "time": NOW, "vitals": {"hr": 80}} | fields).encode()


def vitals(text: str) -> bytes:
    return b'{"patient":"p1","time":1700000000000,"vitals":' + text.encode() + b"}"


def outcome(value: bytes | None, key: bytes | None = b"p1", timestamp: int = NOW) -> str | None:
    """The reason for which one record is rejected, or None if it is read."""
    decoded = Decoder().decode(batch([value], [key], timestamp))
    assert len(decoded.rejected) + len(decoded.readings.patients) == 1
    return decoded.rejected[0].reason if decoded.rejected else None


def test_readings_come_out_in_columns_with_their_offsets() -> None:
    other = b'{"patient":"p2","time":"2023-11-14T22:13:20.250Z","vitals":{"temp":36.9,"hr":null}}'
    decoded = Decoder().decode(batch([GOOD, other], [b"p1", b"p2"]))
    readings = decoded.readings
    assert (readings.topic, readings.partition) == ("vitals.readings", 3)
    assert readings.patients.texts() == ["p1", "p2"]
    assert readings.times.tolist() == [NOW, NOW + 250]
    assert readings.offsets.tolist() == [100, 102]
    assert readings.values.dtype == np.float32
    expected = np.full((2, len(NAMES)), np.nan, dtype=np.float32)
    expected[0, INDEX["hr"]], expected[0, INDEX["spo2"]], expected[1, INDEX["temp"]] = (
        81,
        97.5,
        36.9,
    )
    np.testing.assert_array_equal(readings.values, expected)
    assert decoded.rejected == []
    assert decoded.unknown_vitals == 0


def test_an_empty_batch_gives_empty_columns() -> None:
    readings = Decoder().decode(batch([])).readings
    assert readings.values.shape == (0, len(NAMES))
    assert len(readings.times) == len(readings.offsets) == len(readings.patients) == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not_json"),
        (b"hello", "not_json"),
        (b'{"patient":"p1"', "not_json"),
        (GOOD + b" {}", "not_json"),
        (b"\xef\xbb\xbf" + GOOD, "not_json"),
        (GOOD.replace(b"p1", b"p\xff"), "not_json"),
        (vitals('{"hr": NaN}'), "not_json"),
        (vitals('{"hr": Infinity}'), "not_json"),
        (b'{"patient": 7, "time": ', "not_json"),
        (b"[]", "invalid"),
        (b"null", "invalid"),
        (b'"text"', "invalid"),
        (b"{}", "invalid"),
        (reading(patient=7), "invalid"),
        (reading(patient=""), "invalid"),
        (reading(patient="p" * 257), "invalid"),
        (reading(patient=None), "invalid"),
        (reading(time=1.5), "invalid"),
        (reading(time=True), "invalid"),
        (reading(time="yesterday"), "invalid"),
        (reading(time="2023-11-14T22:13:20"), "invalid"),
        (reading(time="2023-02-30T00:00:00Z"), "invalid"),
        (reading(vitals=[80]), "invalid"),
        (vitals('{"hr": "80"}'), "invalid"),
        (vitals('{"hr": true}'), "invalid"),
        (vitals('{"hr": 1e999}'), "invalid"),
        (vitals('{"hr": 1e39}'), "invalid"),
        (vitals('{"hr": -1e39}'), "invalid"),
        (vitals('{"hr": ' + "9" * 5000 + "}"), "invalid"),
        (reading(v="1"), "invalid"),
        (reading(v=0), "invalid"),
        (reading(x=[]).replace(b"[]", b"[" * 5000 + b"]" * 5000), "invalid"),
        (b"[" * 5000 + b"]" * 5000, "invalid"),
        (reading(age=-1), "invalid"),
        (reading(age=131), "invalid"),
        (reading(age="64"), "invalid"),
        (reading(age=True), "invalid"),
        (reading(sex="F"), "invalid"),
        (reading(sex=1), "invalid"),
        (reading(oxygen="2 L"), "invalid"),
        (reading(oxygen=-2), "invalid"),
        (reading(beta_blocker=1), "invalid"),
        (reading(v=2), "version"),
        (b'{"v": 2, "subject": "p1"}', "version"),
        (reading(v=2, vitals={"mood": 3}), "version"),
        (reading(device="x" * (1 << 20)), "too_large"),
        (None, "tombstone"),
        (reading(patient="p2"), "foreign_key"),
        (vitals('{"mood": 3}'), "no_vitals"),
        (vitals('{"mood": null}'), "no_vitals"),
        (reading(time=-1), "bad_time"),
        (reading(time="1969-12-31T23:59:59Z"), "bad_time"),
        (reading(time=END_OF_TIME), "bad_time"),
        (reading(time=10**30), "bad_time"),
        (reading(time=NOW + 600_001), "bad_time"),
        (reading(time=NOW - MAX_BEHIND_MS - 1), "bad_time"),
        (reading(time=5), "bad_time"),
        (reading(time="0001-01-01T00:00:00+14:00"), "bad_time"),
    ],
)
def test_what_is_not_a_reading_is_rejected_with_its_reason(
    value: bytes | None, reason: str
) -> None:
    assert outcome(value) == reason
    assert reason in REJECTIONS


@pytest.mark.parametrize(
    "value",
    [
        reading(time=NOW - MAX_BEHIND_MS),
        reading(time=NOW + 600_000),
        reading(time="2023-11-14T22:13:20+05:30"),
        reading(colour="blue", nested={"deep": [1, 2]}),
        vitals("{}"),
        vitals('{"hr": null, "spo2": null}'),
        vitals('{"hr": 0}'),
        vitals('{"hr": 3e38}'),
        vitals('{"hr": 70, "hr": 80}'),
    ],
)
def test_what_is_odd_but_a_reading_is_read(value: bytes) -> None:
    assert outcome(value) is None


def test_a_key_is_asked_for_on_a_topic_and_not_in_a_file() -> None:
    assert outcome(GOOD, key=None) == "no_key"
    assert outcome(GOOD, key=b"") == "foreign_key"
    assert Decoder(keyed=False).decode(batch([GOOD], [None])).rejected == []


def test_a_record_without_a_timestamp_sets_no_bound_on_the_time() -> None:
    assert outcome(reading(time=END_OF_TIME - 1), timestamp=-1) is None
    assert outcome(reading(time=END_OF_TIME - 1), timestamp=0) == "bad_time"


def test_limits_are_those_given() -> None:
    decoder = Decoder(max_bytes=len(GOOD), max_ahead_ms=5)
    values: list[bytes | None] = [GOOD, GOOD + b" "]
    assert [r.reason for r in decoder.decode(batch(values)).rejected] == ["too_large"]
    assert decoder.decode(batch([GOOD], timestamp=NOW - 5)).rejected == []
    assert [r.reason for r in decoder.decode(batch([GOOD], timestamp=NOW - 6)).rejected] == [
        "bad_time"
    ]


def test_unknown_vitals_are_counted_and_the_known_ones_read() -> None:
    values: list[bytes | None] = [
        vitals('{"hr": 80, "mood": 3, "icp": 9}'),
        vitals('{"mood": 3}'),
        vitals('{"hr": null, "mood": 3}'),
        GOOD,
    ]
    decoded = Decoder().decode(batch(values))
    assert decoded.unknown_vitals == 4
    assert decoded.rejected == [Rejected(1, "no_vitals", "none of its vitals is known")]
    assert decoded.readings.values[0, INDEX["hr"]] == 80
    assert decoded.readings.offsets.tolist() == [100, 104, 106]


def test_zero_stays_zero_and_null_is_missing() -> None:
    readings = Decoder().decode(batch([vitals('{"hr": 0, "spo2": null}')])).readings
    assert readings.values[0, INDEX["hr"]] == 0
    assert math.isnan(readings.values[0, INDEX["spo2"]])


def test_rejections_are_in_log_order() -> None:
    values: list[bytes | None] = [vitals('{"hr": 1e39}'), b"x", GOOD, vitals('{"hr": 1e39}'), None]
    decoded = Decoder().decode(batch(values))
    assert [(r.index, r.reason) for r in decoded.rejected] == [
        (0, "invalid"),
        (1, "not_json"),
        (3, "invalid"),
        (4, "tombstone"),
    ]
    assert decoded.readings.offsets.tolist() == [104]


@pytest.mark.parametrize(
    "value",
    [
        reading(patient=["mrn-4711"]),
        reading(vitals={"mrn-4711": "x"}),
        reading(time="mrn-4711"),
        reading(v="mrn-4711"),
        reading(v=4711),
        reading(age=4711),
        reading(age="mrn-4711"),
        reading(sex="mrn-4711"),
        reading(oxygen="mrn-4711"),
        reading(beta_blocker="mrn-4711"),
        b"mrn-4711",
        b'{"mrn-4711\xff": 1}',
        reading(patient="mrn-4711"),
        vitals('{"mrn-4711": 1}'),
    ],
)
def test_a_detail_repeats_nothing_of_the_payload(value: bytes) -> None:
    (rejected,) = Decoder().decode(batch([value])).rejected
    assert "4711" not in rejected.detail


@pytest.mark.parametrize(
    ("field", "detail"),
    [
        ({"age": 131}, "Expected `float` <= 130.0 - at `$.age`"),
        ({"sex": "F"}, "must be one of female, male, other, unknown - at `$.sex`"),
        ({"oxygen": -1}, "Expected `float` >= 0.0 - at `$.oxygen`"),
        ({"beta_blocker": 1}, "Expected `bool | null`, got `int` - at `$.beta_blocker`"),
    ],
)
def test_what_is_wrong_in_what_is_known_of_the_patient_is_said(
    field: dict[str, Any], detail: str
) -> None:
    (rejected,) = Decoder().decode(batch([reading(**field)])).rejected
    assert (rejected.reason, rejected.detail) == ("invalid", detail)


def test_a_field_of_the_wrong_type_is_named_by_its_path() -> None:
    (rejected,) = Decoder().decode(batch([vitals('{"hr": "80"}')])).rejected
    assert "`$.vitals[...]`" in rejected.detail


names = st.one_of(st.sampled_from(NAMES), st.text(max_size=5))
numbers = st.one_of(st.none(), st.floats(width=32, allow_nan=False, allow_infinity=False))
times = st.one_of(
    st.integers(0, END_OF_TIME - 1),
    st.builds(
        lambda ms, minutes: (
            datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
        ).astimezone(timezone(timedelta(minutes=minutes))),
        st.integers(86_400_000, END_OF_TIME - 2 * 86_400_000),
        st.integers(-1439, 1439),
    ),
)
any_reading = st.builds(
    Reading,
    patient=st.text(min_size=1, max_size=256),
    time=times,
    vitals=st.dictionaries(names, numbers, max_size=10),
    seq=st.none() | st.integers(-(2**63), 2**63),
    device=st.none() | st.text(),
    quality=st.none() | st.dictionaries(names, st.floats(0, 1), max_size=3),
    oxygen=st.none() | st.booleans() | st.floats(0, 15),
    age=st.none() | st.floats(0, 130),
    sex=st.none() | st.sampled_from(SEXES),
    beta_blocker=st.none() | st.booleans(),
)


@given(st.lists(any_reading, max_size=5))
def test_any_reading_survives_the_wire(expected: list[Reading]) -> None:
    values: list[bytes | None] = [msgspec.json.encode(one) for one in expected]
    keys: list[bytes | None] = [one.patient.encode() for one in expected]
    decoded = Decoder().decode(batch(values, keys, timestamp=-1))
    accepted = [one for one in expected if not one.vitals or one.vitals.keys() & set(NAMES)]
    assert decoded.readings.patients.texts() == [one.patient for one in accepted]
    assert decoded.readings.times.tolist() == [epoch_ms(one.time) for one in accepted]
    for row, one in zip(decoded.readings.values, accepted, strict=True):
        wanted = np.array([one.vitals.get(name) for name in NAMES], dtype=np.float32)
        np.testing.assert_array_equal(row, wanted)
    assert all(rejected.reason == "no_vitals" for rejected in decoded.rejected)
    assert decoded.unknown_vitals == sum(len(one.vitals.keys() - set(NAMES)) for one in expected)


def mutate(value: bytes, at: int, junk: bytes) -> bytes:
    at %= len(value)
    return value[:at] + junk + value[at + len(junk) :]


garbage = st.one_of(
    st.none(),
    st.binary(max_size=60),
    st.builds(mutate, st.just(GOOD), st.integers(0, 999), st.binary(min_size=1, max_size=8)),
    st.builds(lambda age: reading(age=age), st.floats(-10, 140)),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["patient", "time", "vitals", "v", "hr", "age", "sex", "oxygen"]),
                inner,
            )
        ),
        max_leaves=8,
    ).map(lambda tree: json.dumps(tree).encode()),
)


def contents(decoded: Decoded, index: int) -> object:
    """What became of one record, whatever stood around it."""
    for rejected in decoded.rejected:
        if rejected.index == index:
            return rejected.reason, rejected.detail
    row = decoded.readings.offsets.tolist().index(100 + 2 * index)
    readings, said = decoded.readings, decoded.readings.context
    known = None if said is None else said.values[said.places == row].tobytes() or None
    return readings.patients[row], int(readings.times[row]), readings.values[row].tobytes(), known


@given(st.lists(st.tuples(garbage, st.none() | st.just(b"p1") | st.binary(max_size=3)), max_size=6))
def test_any_bytes_have_an_outcome_that_does_not_depend_on_their_neighbours(
    records: list[tuple[bytes | None, bytes | None]],
) -> None:
    values = [GOOD, *(value for value, _ in records), GOOD]
    keys = [b"p1", *(key for _, key in records), b"p1"]
    decoded = Decoder().decode(batch(values, keys))
    assert len(decoded.rejected) + len(decoded.readings.patients) == len(values)
    assert all(rejected.reason in REJECTIONS for rejected in decoded.rejected)
    for index, (value, key) in enumerate(zip(values, keys, strict=True)):
        alone = contents(Decoder().decode(batch([value], [key])), 0)
        assert contents(decoded, index) == alone


def test_a_replay_of_1970_is_read_as_its_records_bear_that_time_too() -> None:
    assert outcome(reading(time=5), timestamp=5) is None
