"""What is read in bulk has the outcome that it would have one by one."""

import datetime
from typing import Any
from unittest import mock

import hypothesis
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch import compiled
from vitalwatch.arrays import Spans
from vitalwatch.context import SIGNS
from vitalwatch.messages import SEXES, Reading, Sex
from vitalwatch.stream import plain_readings
from vitalwatch.stream.broker import RecordBatch, TopicPartition
from vitalwatch.stream.decode import END_OF_TIME, Decoded, Decoder
from vitalwatch.vitals import NAMES

NOW = 1_700_000_000_000
USUAL = (
    b'{"patient":"p1","time":"2023-11-14T22:13:20.250Z","vitals":{"hr":81,"spo2":97.5,"rr":null},'
    b'"seq":17,"device":"m-1"}'
)
N = np.nan


def batch(values: Spans, keys: list[bytes | None], timestamp: int) -> RecordBatch:
    n = len(values)
    times = np.full(n, timestamp, dtype=np.int64)
    source = TopicPartition("t", 0)
    return RecordBatch(source, np.arange(n) * 2, times, Spans.of(keys), values, [()] * n, 2 * n)


def contents(decoded: Decoded) -> tuple[Any, ...]:
    readings = decoded.readings
    columns = readings.times.tolist(), readings.offsets.tolist(), readings.values.tobytes()
    said = readings.context
    known = None if said is None else (said.places.tolist(), said.values.tobytes())
    return list(readings.patients), *columns, known, decoded.rejected, decoded.unknown_vitals


def nothing(*arrays: Any) -> int:
    """Read no record in bulk."""
    arrays[-1].fill(False)
    return 0


def both(values: Spans, keys: list[bytes | None], timestamp: int = -1) -> tuple[Decoded, int]:
    """What becomes of records, the same in bulk and one by one; how many were read in bulk."""
    for keyed in (False, True):
        decoder, records = Decoder(keyed=keyed), batch(values, keys, timestamp)
        with mock.patch.object(plain_readings, "read", nothing):
            one_by_one = decoder.decode(records)
        with mock.patch.object(Decoder, "_look", side_effect=decoder._look) as look:
            in_bulk = decoder.decode(records)
        assert contents(in_bulk) == contents(one_by_one)
    return in_bulk, len(keys) - look.call_count


def plain(value: bytes, key: bytes = b"p1") -> bool:
    """Whether a record is read in bulk."""
    return both(Spans.of([value]), [key])[1] == 1


def with_vital(number: str) -> bytes:
    return b'{"patient":"p1","time":1700000000000,"vitals":{"hr":' + number.encode() + b"}}"


def with_time(time: str) -> bytes:
    return b'{"patient":"p1","time":' + time.encode() + b',"vitals":{}}'


def with_field(field: str) -> bytes:
    return b'{"patient":"p1","time":1700000000000,"vitals":{},' + field.encode() + b"}"


@pytest.mark.parametrize(
    "number",
    ["0", "-0", "-0.0", "80", "-1", "97.5", "0.1", "100.00", "1e5", "1E+2", "12.5e-1",
     "0e1", "null", "123456789012345678", "81.30000305175781", "9.007199254740991e15", "1e22",
     "1e-22"],
)  # fmt: skip
def test_a_usual_number_is_read_in_bulk(number: str) -> None:
    assert plain(with_vital(number))


@pytest.mark.parametrize(
    "number",
    ["01", "-01", "1.", ".5", "+1", "-", "1e", "1e+", "1.e5", "1_0", "0x1", "1 0", "1-", "nul",
     "NaN", "-Infinity", "true", '"1"', "[1]", "{}", "", "1e39", "-1e39", "1e400", "１",
     "1e23", "1e-23", "9007199254740993.0", "1234567890123456789", "nulls", "1e0001",
     "1234567890123456.789", "505090188330268.17086e5", "3.4028235677973366e38"],
)  # fmt: skip
def test_an_unusual_number_has_the_same_outcome(number: str) -> None:
    assert not plain(with_vital(number))


@pytest.mark.parametrize(
    "time",
    [
        "0",
        "1700000000000",
        "253402300799999",
        '"1970-01-01T00:00:00Z"',
        '"2024-02-29T23:59:59z"',
        '"2023-11-14t22:13:20Z"',
        '"2023-11-14T22:13:20.5Z"',
        '"2023-11-14T22:13:20.05+05:30"',
        '"2000-02-29T00:00:00.001-23:59"',
        '"9999-12-31T23:59:59.999+00:00"',
        "-0",
        '"2023-11-14T22:13:20-00:00"',
        '"2100-02-28T00:00:00Z"',
        '"2024-12-31T00:00:00Z"',
    ],
)
def test_a_usual_time_is_read_in_bulk(time: str) -> None:
    assert plain(with_time(time))


@pytest.mark.parametrize(
    "time",
    ["-1", "1.0", "1e3", "017", "253402300800000", "null", '""', '"now"', "true", "[]",
     '"2023-02-29T00:00:00Z"', '"2100-02-29T00:00:00Z"', '"2023-04-31T00:00:00Z"',
     '"2023-00-10T00:00:00Z"', '"2023-13-10T00:00:00Z"', '"2023-01-00T00:00:00Z"',
     '"2023-11-14T24:00:00Z"', '"2023-11-14T22:60:00Z"', '"2023-11-14T22:13:60Z"',
     '"2023-11-14T22:13:20"', '"2023-11-14T22:13Z"', '"2023-11-14 22:13:20Z"', '"2023-11-14"',
     '"2023-11-14T22:13:20.Z"', '"2023-11-14T22:13:20.1234Z"', '"2023-11-14T22:13:20,5Z"',
     '"2023-11-14T22:13:20+24:00"', '"2023-11-14T22:13:20+05:60"', '"2023-11-14T22:13:20+0530"',
     '"2023-11-14T22:13:20+05"', '"2023-11-14T22:13:20ZZ"', '"1969-12-31T23:59:59Z"',
     '"1970-01-01T00:00:00+00:01"', '"9999-12-31T23:59:59-00:01"', '"2023-11-14T22:1a:20Z"'],
)  # fmt: skip
def test_an_unusual_time_has_the_same_outcome(time: str) -> None:
    assert not plain(with_time(time))


@pytest.mark.parametrize(
    "field",
    ['"v":1', '"seq":7', '"seq":null', '"device":"m 1"', '"ward":"Süd"', '"bed":null',
     '"quality":{}', '"quality":{"hr":0.5,"the others":1}', '"quality":null',
     '"":1', '"é":1', '"colour":"blue"', '"a name of many letters":-1.5e3',
     '"real":true', '"real":false'],
)  # fmt: skip
def test_a_simple_field_does_not_slow_a_reading_down(field: str) -> None:
    assert plain(with_field(field))


@pytest.mark.parametrize(
    "field",
    ['"v":2', '"v":0', '"v":1.0', '"v":null', '"v":"1"', '"seq":1.0', '"seq":"7"', '"seq":true',
     '"device":7', '"ward":true', '"bed":"a\\nb"', '"bed":"a\nb"', '"quality":{"hr":null}',
     '"quality":[1]', '"quality":1', '"quality":{"hr":1,}', '"x":[1]', '"x":{}', '"x":tru',
     '"x":01', '"x":', '"x"', "",
     '"pati\\u0065nt":"p2"', '"patient":"p1"',
     '"time":5', '"vitals":{"hr":5}', '"quality":{"hr":01}', '"x":nul', '"x":falsey', "x:1"],
)  # fmt: skip
def test_an_unusual_field_has_the_same_outcome(field: str) -> None:
    assert not plain(with_field(field))


@pytest.mark.parametrize(
    ("field", "said"),
    [('"age":64', [64, N, N, N]), ('"age" : 0.5', [0.5, N, N, N]), ('"age":130', [130, N, N, N]),
     ('"age":null', None), ('"sex":"female"', [N, 1, N, N]), ('"sex":"male"', [N, -1, N, N]),
     ('"sex":"other"', [N, 0, N, N]), ('"sex":"unknown"', [N, 0, N, N]), ('"sex":null', None),
     ('"oxygen":true', [N, N, 1, N]), ('"oxygen":false', [N, N, -1, N]),
     ('"oxygen":2.5', [N, N, 1, N]), ('"oxygen":0', [N, N, -1, N]), ('"oxygen":null', None),
     ('"beta_blocker":true', [N, N, N, 1]), ('"beta_blocker":false', [N, N, N, -1]),
     ('"beta_blocker":null,"age":null,"oxygen":null', None), ('"beta_blockers":[]', None),
     ('"beta_blocker":true,"oxygen":0,"sex":"male","age":71', [71, -1, -1, 1])],
)  # fmt: skip
def test_what_is_known_of_the_patient_is_read_in_bulk(field: str, said: list[float] | None) -> None:
    decoded, count = both(Spans.of([USUAL, with_field(field), USUAL]), [b"p1"] * 3)
    assert count == 3 if "[]" not in field else 2
    context = decoded.readings.context
    if said is None:
        assert context is None
    else:
        assert context is not None
        assert context.places.tolist() == [1]
        np.testing.assert_array_equal(context.values, np.array([said], np.float32))


@pytest.mark.parametrize(
    "field",
    ['"age":-1', '"age":130.1', '"age":"64"', '"age":true', '"age":1e400', '"age":[64]',
     '"age":nul', '"sex":"F"', '"sex":"Female"', '"sex":"unknown "', '"sex":"unknowns"',
     '"sex":""', '"sex":true', '"sex":1', '"sex":"fem\\u0061le"', '"sex":"weiß"', '"sex":"male',
     '"oxygen":"2"', '"oxygen":-1', '"oxygen":"yes"', '"oxygen":{}', '"oxygen":tru',
     '"beta_blocker":1', '"beta_blocker":"yes"', '"beta_blocker":[]', '"beta_blocker":fals',
     '"age":1,"age":2', '"sex":"male","sex":null', '"oxygen":null,"oxygen":1',
     '"beta_blocker":true,"beta_blocker":false'],
)  # fmt: skip
def test_what_is_known_of_the_patient_in_an_unusual_form_has_the_same_outcome(field: str) -> None:
    assert not plain(with_field(field))


def test_another_name_of_the_same_number_is_not_taken_for_one_that_is_known() -> None:
    data = np.frombuffer(b'"beta_blocker""beta_blockex""beta_block"', dtype=np.uint8)
    begin = compiled.address(data)
    found = [plain_readings._is_beta_blocker(begin + at) for at in (1, 15, 29)]
    assert found == [True, False, False]


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(0, 130),
            st.none() | st.sampled_from(SEXES),
            st.none() | st.booleans() | st.floats(0, 99),
            st.none() | st.booleans(),
            st.sampled_from(["", '"device":"\\u0062",', '"seq":"no reading",']),
        ),
        max_size=9,
    )
)
def test_what_some_readings_say_is_put_to_their_places(
    said: list[tuple[float | None, Sex | None, float | None, bool | None, str]],
) -> None:
    """Some are read one by one, for the sake of a device, and some are rejected."""
    values = []
    for *parts, other in said:
        fields = dict(zip(("age", "sex", "oxygen", "beta_blocker"), parts, strict=True))
        written = msgspec.json.encode({"patient": "p1", "time": 1, "vitals": {}} | fields)
        values.append(b"{" + other.encode() + written[1:])
    decoded, _ = both(Spans.of(values), [b"p1"] * len(values))
    spoken = {}
    left = [each for each in said if "no reading" not in each[-1]]
    for place, (age, sex, oxygen, beta, _) in enumerate(left):
        signs = [N if each is None else 1 if each else -1 for each in (oxygen, beta)]
        row = [N if age is None else age, N if sex is None else SIGNS[sex], *signs]
        if not np.isnan(row).all():
            spoken[place] = np.array(row, dtype=np.float32)
    context = decoded.readings.context
    if not spoken:
        assert context is None
    else:
        assert context is not None
        assert context.places.tolist() == [*spoken]
        np.testing.assert_array_equal(context.values, np.stack([*spoken.values()]))


@pytest.mark.parametrize(
    ("vitals", "unknown"),
    [('{"hr":80,"icp":9}', 1), ('{"icp":null,"pulse rate":80,"hr":null,"":1,"é":2}', 4),
     ('{"hr":1,"a name":1,"b name":2,"a longer name":1e22}', 3)],
)  # fmt: skip
def test_a_vital_that_is_not_known_does_not_slow_a_reading_down(vitals: str, unknown: int) -> None:
    value = b'{"patient":"p1","time":1,"vitals":' + vitals.encode() + b"}"
    decoded, count = both(Spans.of([value]), [b"p1"])
    assert (decoded.unknown_vitals, count) == (unknown, 1)


@pytest.mark.parametrize(
    "vitals",
    ['{"icp":9}', '{"icp":null,"é":1}', '{"hr":1,"icp":1,"icp":2}', '{"hr":1,"icp":"1"}',
     '{"hr":1,"some name":1,"some name":2}', '{"hr":1,"icp":nul}', '{"hr":1,"icp":[1]}',
     '{"hr":1,"i\\u0063p":1}', "{" + ",".join(f'"{n}":1' for n in ("hr", *range(99))) + "}"],
)  # fmt: skip
def test_an_unusual_unknown_vital_has_the_same_outcome(vitals: str) -> None:
    assert not plain(b'{"patient":"p1","time":1,"vitals":' + vitals.encode() + b"}")


@pytest.mark.parametrize("patient", ["p1", "Zoë", "患者", "😀", "x" * 256, "a b~\x7f"])
def test_a_patient_s_name_in_any_language_is_read_in_bulk(patient: str) -> None:
    value = msgspec.json.encode({"patient": patient, "time": NOW, "vitals": {}})
    decoded, count = both(Spans.of([value]), [patient.encode()])
    assert (decoded.readings.patients.texts(), count) == ([patient], 1)


@pytest.mark.parametrize(
    "patient",
    [
        b"",
        b"p\\u0031",
        b"p\n1",
        b"\\",
        b"x" * 257,
        "é".encode() * 200,
        b"\xff",
        b"\xc3",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xc3(",
        b"\xf5\x80\x80\x80",
    ],
)
def test_an_unusual_patient_has_the_same_outcome(patient: bytes) -> None:
    value = b'{"patient":"' + patient + b'","time":1,"vitals":{}}'
    assert not plain(value, patient)
    assert not plain(value, b"p1")


def test_a_name_that_is_escaped_is_read_also_without_keys() -> None:
    values = Spans.of([USUAL, USUAL.replace(b"p1", b'p\\"\\u00e9')])
    readings = Decoder(keyed=False).decode(batch(values, [None, None], -1)).readings
    assert readings.patients.texts() == ["p1", 'p"é']


def test_a_batch_of_usual_readings_is_not_copied() -> None:
    values = Spans.of([USUAL] * 3)
    readings = Decoder(keyed=False).decode(batch(values, [None] * 3, -1)).readings
    assert readings.patients.data is values.data


digits = st.integers(0, 10**18).map(str)
number = st.one_of(
    st.builds("{}{}".format, st.sampled_from(["", "-"]), digits),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-"]), digits, digits),
    st.builds("{}.{}e{}".format, st.integers(0, 999), digits, st.integers(-25, 25)),
    st.builds("{}{}{:+}".format, digits, st.sampled_from("eE"), st.integers(-25, 25)),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-300, 300, places=1).map(str),
    st.just("null"),
)
text = st.text(st.characters(codec="utf-8", exclude_characters='"\\', min_codepoint=32), max_size=9)
moment = st.builds(
    lambda ms, minutes, letter, digits: (
        (datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(milliseconds=ms))
        .astimezone(datetime.timezone(datetime.timedelta(minutes=minutes)))
        .isoformat(letter, digits)
        .replace("+00:00", "Z")
    ),
    st.integers(-86_400_000, END_OF_TIME - 2 * 86_400_000),
    st.just(0) | st.integers(-1439, 1439),
    st.sampled_from("Tt "),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
time = moment.map('"{}"'.format) | st.integers(-5, END_OF_TIME + 5).map(str)
quoted = text.map(lambda content: f'"{content}"')
field = st.one_of(
    st.tuples(st.sampled_from(["seq", "more", "quite something else"]), number),
    st.tuples(st.sampled_from(["age", "oxygen"]), number | st.integers(-5, 140).map(str)),
    st.tuples(st.sampled_from(["oxygen", "beta_blocker"]), st.sampled_from(["true", "false"])),
    st.tuples(st.just("sex"), st.sampled_from(['"male"', '"female"', '"other"', '"x"', "null"])),
    st.tuples(st.sampled_from(["device", "ward", "bed", "éé", "any"]), quoted),
    st.tuples(st.just("v"), st.sampled_from(["1", "1", "1", "2", "1.0"])),
    st.tuples(st.just("quality"), st.just('{"hr": 0.5, "spo2" :1}')),
)
vital = st.sampled_from([*NAMES, *NAMES, "icp", "pulse rate", ""])
space = st.sampled_from(["", "", "", " ", "\n\t", "\r\n  "])


@st.composite
def members(draw: st.DrawFn, pairs: list[tuple[str, str]]) -> str:
    """An object with white space wherever it may be."""
    parts = [f'{draw(space)}"{n}"{draw(space)}:{draw(space)}{v}{draw(space)}' for n, v in pairs]
    return "{" + (",".join(parts) or draw(space)) + "}"


@st.composite
def layouts(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A reading written in some way, and its key."""
    patient = draw(text)
    vitals = draw(st.lists(st.tuples(vital, number), max_size=9))
    if draw(st.booleans()):
        vitals = list(dict(vitals).items())
    pairs = [("patient", f'"{patient}"'), ("time", draw(time)), ("vitals", draw(members(vitals)))]
    pairs = draw(st.permutations([*pairs, *draw(st.lists(field, max_size=3))]))
    return (draw(space) + draw(members(pairs)) + draw(space)).encode(), patient.encode()


@given(st.lists(layouts(), max_size=4), st.sampled_from([-1, 0, NOW]))
def test_a_reading_in_any_layout_has_the_same_outcome(
    records: list[tuple[bytes, bytes]], timestamp: int
) -> None:
    both(Spans.of(value for value, _ in records), [key for _, key in records], timestamp)


junk = st.binary(max_size=4) | st.sampled_from([b'"', b"\\", b",", b"{}", b" ", b"0", b".", b"e"])
change = st.tuples(st.integers(0, 400), st.integers(0, 4), junk)


@hypothesis.settings(max_examples=500)
@given(layouts() | st.just((USUAL, b"p1")), st.lists(change, min_size=1, max_size=3))
def test_a_damaged_reading_has_the_same_outcome(
    record: tuple[bytes, bytes], changes: list[tuple[int, int, bytes]]
) -> None:
    value, key = record
    for at, gone, more in changes:
        at %= len(value) + 1
        value = value[:at] + more + value[at + gone :]
    both(Spans.of([value]), [key])


@given(layouts() | st.just((USUAL, b"p1")), st.integers(0, 400), st.binary(max_size=8))
def test_what_stands_behind_a_record_is_never_read(
    record: tuple[bytes, bytes], cut: int, more: bytes
) -> None:
    value, key = record
    cut %= len(value) + 1
    alone, _ = both(Spans.of([value[:cut]]), [key])
    for behind in (value[cut:], more, b'"', b"}", b"0"):
        data = np.frombuffer(b"{" + value[:cut] + behind, dtype=np.uint8)
        span = Spans(data, np.array([1]), np.array([cut]))
        within, _ = both(span, [key])
        assert contents(within) == contents(alone)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_value_is_rounded_to_a_double_first(value: float) -> None:
    written = repr(value + value * 1e-9)
    decoded, _ = both(Spans.of([with_vital(written)]), [b"p1"])
    reading = msgspec.json.decode(with_vital(written), type=Reading)
    if not decoded.rejected:
        assert decoded.readings.values[0, 0] == np.float32(reading.vitals["hr"])
