import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.errors import RecordingError
from vitalwatch.recordings.recording import AT_ONCE, Recording
from vitalwatch.vitals import INDEX, NAMES

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file, by default as plain text: ``write(text, name="r.csv")``."""

    def put(text: str | bytes, name: str = "r.csv") -> Path:
        path = tmp_path / name
        data = text.encode() if isinstance(text, str) else text
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return put


def read(path: Path, run: int = 1 << 19) -> list[tuple[str, int, dict[str, float]]]:
    """All readings of a recording: patient, time and the vitals that were measured."""
    found = []
    with Recording(path).stream(run=run) as stream:
        for rows in stream.parts:
            for row in rows:
                values = {
                    name: float(value)
                    for name, value in zip(NAMES, row["values"], strict=True)
                    if not np.isnan(value)
                }
                found.append((stream.names[row["patient"]], int(row["time"]), values))
    return found


def summary(path: Path) -> str:
    recording = Recording(path)
    with recording.stream() as stream:
        for _ in stream.parts:
            pass
    return str(recording.dropped)


def test_a_wide_csv_is_read_by_the_names_of_its_columns(write: Write) -> None:
    path = write("SpO2,time,patient,hr,temp,mood\n97,0,p1,80,36.9,good\n,1.5,p1,81,,bad\n")
    assert read(path) == [
        ("p1", 0, {"spo2": 97, "hr": 80, "temp": 36.9}),
        ("p1", 1500, {"hr": 81}),
    ]
    assert Recording(path).ignored == "ignored columns mood"


def test_without_a_patient_column_the_file_is_the_patient(write: Write) -> None:
    assert read(write("time,hr\n0,80\n", "ward.bed.csv.gz"))[0][0] == "ward.bed"


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("12.3456", 12346),
        ("1e3", 1_000_000),
        ("2011-05-31T10:36:00", 1306838160000),
        ("2011-05-31 10:36:00.250", 1306838160250),
        ("2011-05-31T10:36:00Z", 1306838160000),
        ("2011-05-31T12:36:00+02:00", 1306838160000),
        ("9999-12-31T23:59:59.999", 253402300799999),
    ],
)
def test_times_are_seconds_or_iso_8601_in_utc(write: Write, text: str, ms: int) -> None:
    assert read(write(f"time,hr\n{text},80\n"))[0][1] == ms


@pytest.mark.parametrize(
    "text", ["", "-1", "nan", "inf", "1e300", "soon", "1969-12-31T23:59:59", "253402300800"]
)
def test_a_time_that_is_none_drops_the_row(write: Write, text: str) -> None:
    path = write(f"time,hr\n{text},80\n5,81\n")
    assert read(path) == [("r", 5000, {"hr": 81})]
    assert summary(path) == "dropped 1 row: 1 bad time (first in line 2)"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_columns_may_be_parted_otherwise(write: Write, delimiter: str) -> None:
    text = "time,hr,temp\n0,80,36.9\n5,81,\n".replace(",", delimiter)
    assert read(write(text)) == [("r", 0, {"hr": 80, "temp": 36.9}), ("r", 5000, {"hr": 81})]


def test_an_hourly_record_of_the_2019_challenge_is_read(write: Write) -> None:
    text = "HR|O2Sat|Temp|MAP|ICULOS|SepsisLabel\nNaN|NaN|NaN|NaN|1|0\n93|92.5|NaN|76|2|0\n"
    assert read(write(text, "p100001.psv")) == [
        ("p100001", 3_600_000, {}),
        ("p100001", 7_200_000, {"hr": 93, "spo2": 92.5, "map": 76}),
    ]


def test_minutes_of_named_records_are_read(write: Write) -> None:
    text = "record,minute,MAP\nC1_01,0,71.50\nC1_01,1,77.30\n"
    assert read(write(text)) == [("C1_01", 0, {"map": 71.5}), ("C1_01", 60_000, {"map": 77.3})]


def test_blank_is_not_measured_and_zero_stays_zero(write: Write) -> None:
    path = write("time,hr,spo2,rr\n0,0,,NaN\n1, ,NA,na\n")
    assert read(path) == [("r", 0, {"hr": 0}), ("r", 1000, {})]


def test_arterial_pressure_comes_before_the_cuff(write: Write) -> None:
    path = write(
        "time,ABPSys,ABPDias,ABPMean,NBPSys,NBPDias,NBPMean\n"
        "0,120,70,90,110,60,80\n"
        "60,0,0,0,110,60,80\n"
        "120,,,,110,60,80\n"
        "180,0,0,0,,,\n"
        "240,,,,0,0,0\n"
        "300,,,,,,\n"
    )
    cuff = {"sbp": 110.0, "dbp": 60.0, "map": 80.0}
    zero = {"sbp": 0.0, "dbp": 0.0, "map": 0.0}
    assert [values for _, _, values in read(path)] == [
        {"sbp": 120, "dbp": 70, "map": 90},
        cuff,
        cuff,
        zero,
        zero,
        {},
    ]


def test_a_cuff_alone_is_read(write: Write) -> None:
    assert read(write("time,NBPSys\n0,110\n")) == [("r", 0, {"sbp": 110})]


def test_bad_rows_are_dropped_and_counted_by_reason(write: Write) -> None:
    path = write(
        "patient,time,hr\n"
        "p1,0,80\n"
        "p1,1,eighty\n"
        "\n"
        "p1,2,inf\n"
        "p1,3,1e39\n"
        ",4,80\n"
        "p1,5\n"
        "p1,6,80,90\n"
        f"{'p' * 257},7,80\n"
        "p1,0,81\n"
        "p1,8,82\n"
    )
    assert read(path) == [("p1", 0, {"hr": 80}), ("p1", 8000, {"hr": 82})]
    assert summary(path) == (
        "dropped 8 rows: 3 bad number (first in line 3), "
        "2 wrong number of columns (first in line 8), 2 bad patient (first in line 7), "
        "1 time not after the last"
    )


def test_lines_are_counted_past_quoted_line_breaks(write: Write) -> None:
    path = write('time,hr,note\n0,80,"two\nlines"\n1,x,\n')
    assert summary(path) == "dropped 1 row: 1 bad number (first in line 4)"


def test_files_grouped_by_patient_and_interleaved_give_the_same(write: Write) -> None:
    rows = [(f"p{patient}", time, patient) for patient in range(5) for time in range(50)]
    header = "patient,time,hr\n"
    grouped = write(header + "".join(f"{p},{t},{v}\n" for p, t, v in rows), "grouped.csv")
    by_time = sorted(rows, key=lambda row: row[1])
    interleaved = write(header + "".join(f"{p},{t},{v}\n" for p, t, v in by_time), "inter.csv")
    assert read(grouped) == read(interleaved)
    assert [time for _, time, _ in read(grouped)] == [t * 1000 for _, t, _ in by_time]


def test_plain_and_gzip_give_the_same(write: Write) -> None:
    text = "time,hr\n0,80\n1,81\n"
    assert read(write(text)) == read(write(text, "r.csv.gz"))


def test_a_byte_order_mark_is_no_part_of_the_header(write: Write) -> None:
    assert read(write(b"\xef\xbb\xbftime,hr\r\n0,80\r\n")) == [("r", 0, {"hr": 80})]


def line(patient: str, time: object, **fields: object) -> str:
    reading = {"patient": patient, "time": time, "vitals": {"hr": 80}} | fields
    return json.dumps(reading) + "\n"


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz"])
def test_json_lines_are_readings_as_on_the_wire(write: Write, name: str) -> None:
    path = write(
        line("p2", 2000)
        + "\n"
        + line("p1", "1970-01-01T00:00:01Z", vitals={"spo2": 97.5, "mood": 1})
        + "{}\n"
        + "{broken\n"
        + line("p1", 2000, v=2)
        + line("p2", 2000)
        + line("p1", 2000).rstrip(),
        name,
    )
    assert read(path) == [
        ("p1", 1000, {"spo2": 97.5}),
        ("p2", 2000, {"hr": 80}),
        ("p1", 2000, {"hr": 80}),
    ]
    assert summary(path) == (
        "dropped 4 rows: 1 invalid (first in line 4), 1 not json (first in line 5), "
        "1 version (first in line 6), 1 time not after the last"
    )
    recording = Recording(path)
    with recording.stream():
        assert recording.ignored == "ignored 1 value of unknown vitals"


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz"])
def test_json_lines_are_published_as_they_stand(write: Write, name: str) -> None:
    lines = [line("p2", 2000, ward="A", device="x"), line("p1", "1970-01-01T00:00:01Z", seq=7)]
    with Recording(write("".join(lines), name)).stream() as stream:
        (rows,) = stream.parts
        assert list(stream.messages(rows)) == [
            (b"p1", lines[1].strip().encode(), 1000),
            (b"p2", lines[0].strip().encode(), 2000),
        ]
        (first, second) = stream.messages(rows, shift=500)
    assert first[2] == 1500
    assert json.loads(first[1]) == json.loads(lines[1]) | {"time": 1500}
    assert json.loads(second[1]) == json.loads(lines[0]) | {"time": 2500}


def test_rows_of_a_csv_are_published_as_readings(write: Write) -> None:
    with Recording(write("patient,time,hr,temp\né,1,80,36.9\né,2,,\n")).stream() as stream:
        (rows,) = stream.parts
        messages = [(key, json.loads(value), time) for key, value, time in stream.messages(rows, 5)]
    assert messages == [
        ("é".encode(), {"patient": "é", "time": 1005, "vitals": {"hr": 80, "temp": 36.9}}, 1005),
        ("é".encode(), {"patient": "é", "time": 2005, "vitals": {}}, 2005),
    ]


def test_readings_for_the_detector_have_offsets_that_go_on(write: Write) -> None:
    with Recording(write("patient,time,hr\np2,1,80\np1,0,70\n")).stream() as stream:
        (rows,) = stream.parts
        readings = stream.readings(rows, "file", 7)
    assert (readings.topic, readings.partition) == ("file", 0)
    assert readings.patients.texts() == ["p1", "p2"]
    assert readings.times.tolist() == [0, 1000]
    assert readings.offsets.tolist() == [7, 8]
    assert readings.values.dtype == np.float32
    assert readings.values[:, INDEX["hr"]].tolist() == [70, 80]


def test_parts_are_bounded_and_the_ends_known(write: Write) -> None:
    count = AT_ONCE + 5
    text = "time,hr\n" + "".join(f"{second},80\n" for second in range(count))
    progress: list[int] = []
    path = write(text)
    with Recording(path).stream(progress.append) as stream:
        assert (stream.count, stream.first, stream.last) == (count, 0, (count - 1) * 1000)
        assert [len(rows) for rows in stream.parts] == [AT_ONCE, 5]
    assert progress == sorted(progress)
    assert progress[-1] == Recording(path).size


@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=1, max_size=60),
    run=st.integers(1, 12),
)
def test_rows_come_in_time_order_however_little_memory_there_is(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], run: int
) -> None:
    path = tmp_path_factory.mktemp("order") / "r.jsonl"
    path.write_text(
        "".join(line(p, t, vitals={"hr": index}) for index, (p, t) in enumerate(rows)), "utf-8"
    )
    first: dict[tuple[str, int], int] = {}
    for index, row in enumerate(rows):
        first.setdefault(row, index)
    expected = [(patient, time, {"hr": index}) for (patient, time), index in first.items()]
    # Stable: readings of the same time stay in the order of the file.
    assert read(path, run) == sorted(expected, key=lambda reading: reading[1])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"\x1f\x8b\x08\x00", "the gzip file is damaged or cut short"),
        (b"name,age\nx,3\n", "line 1 names no column for time"),
        (b"time,age\n1,3\n", "line 1 names no column for a vital sign"),
        (b"time,hr\n", "holds no readings"),
        (b"time,hr\nx,80\n", "holds no readings (dropped 1 row: 1 bad time (first in line 2))"),
        (b"PAR1\xff\xfe", "not UTF-8 text"),
        (b"time,hr,patient\n0,80,p\n" * 600 + b"1,80,J\xf6rg\n", "after line"),
        (b"{}\n", "holds no readings (dropped 1 row: 1 invalid"),
        (b'time,hr\n0,"' + b"x" * 200_000, "field larger than field limit"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_file(write: Write, content: bytes, says: str) -> None:
    path = write(content)
    with pytest.raises(RecordingError) as caught:
        read(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_gzip_that_is_cut_short_is_said(write: Write) -> None:
    whole = gzip.compress("".join(f"{i},{i % 97}\n" for i in range(50_000)).encode())
    path = write(gzip.compress(b"time,hr\n") + whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match="damaged or cut short"):
        read(path)


def test_a_file_that_is_not_there_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        Recording(tmp_path / "none.csv")
    with pytest.raises(RecordingError, match="is a folder: name the files in it"):
        Recording(tmp_path)


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_file(write: Write) -> None:
    with pytest.raises(BrokenPipeError), Recording(write("time,hr\n0,80\n")).stream():
        raise BrokenPipeError


def test_the_bedside_recordings_are_read(recordings: Path) -> None:
    readings = read(recordings / "mimic2-numerics" / "a40834n.csv")
    assert len(readings) == 3144
    zero = {"hr": 0.0, "spo2": 0.0, "rr": 0.0, "sbp": 0.0, "dbp": 0.0, "map": 0.0}
    assert readings[0] == ("a40834n", 1306838160000, zero)
    last = read(recordings / "mimic2-numerics" / "s25047n.csv")
    assert last[2][2] == {"hr": 89.5, "rr": 21.2, "spo2": 95.7, "sbp": 87, "dbp": 46, "map": 62}


@pytest.mark.parametrize(
    ("name", "rows", "patients"),
    [
        ("noneeg/vitals.csv.gz", 29_957, 13),
        ("vitaldb-surgery/vitals.csv.gz", 89_244, 13),
        ("vitaldb-surgery/case_4096_1min.csv.gz", 62, 1),
        ("mimic4-demo-vitals/vitals_wide.csv.gz", 21_351, 100),
        ("bidmc-numerics/bidmc_01.csv", 481, 1),
    ],
)
def test_the_wide_recordings_are_read_whole(
    recordings: Path, name: str, rows: int, patients: int
) -> None:
    recording = Recording(recordings / name)
    with recording.stream() as stream:
        assert len(stream.names) == patients
        assert sum(len(part) for part in stream.parts) == rows
    assert recording.dropped.counts.total() == 0
