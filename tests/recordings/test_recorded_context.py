"""What recordings say of patients beside their vital signs."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.recordings.recording import Recording


def said(recording: Recording) -> list[list[float] | None]:
    """What each reading says of its patient."""
    with recording.stream() as stream:
        (rows,) = stream.parts
        readings = stream.readings(rows, "file", 0)
    parts: list[list[float] | None] = [None] * len(rows)
    if readings.context is not None:
        for place, values in zip(readings.context.places, readings.context.values, strict=True):
            parts[place] = values.tolist()
    return parts


def test_columns_for_what_is_known_of_the_patient_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        "time,hr,Age,sex,beta_blocker,oxygen,race\n"
        "0,80,64.5,female,true,2.5,x\n"
        "1,80,,,,,\n"
        "2,80,71,M,0,no,\n"
        "3,80,NaN,unknown,1,0,\n"
        "4,80,NA,Other,No,YES,\n"
    )
    assert repr(said(Recording(path))) == repr(
        [
            [64.5, 1.0, 1.0, 1.0],
            None,
            [71.0, -1.0, -1.0, -1.0],
            [np.nan, 0.0, -1.0, 1.0],
            [np.nan, 0.0, 1.0, -1.0],
        ]
    )
    assert Recording(path).ignored == "ignored columns race"


def test_a_row_with_what_cannot_be_known_of_a_patient_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        "time,hr,age,sex,beta_blocker,oxygen\n"
        "0,80,131,,,\n1,80,old,,,\n2,80,-1,,,\n3,80,,girl,,\n4,80,,1,,\n5,80,,,2,\n"
        "6,80,,,,-1\n7,80,,,,inf\n8,80,,,,some\n9,80,130,,,\n"
    )
    recording = Recording(path)
    assert repr(said(recording)) == repr([[130.0, np.nan, np.nan, np.nan]])
    assert str(recording.dropped) == (
        "dropped 9 rows: 3 bad age (first in line 2), 3 bad oxygen (first in line 8), "
        "2 bad sex (first in line 5), 1 bad beta_blocker (first in line 7)"
    )


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(0, 130),
            st.none() | st.sampled_from(["female", "male", "unknown"]),
            st.none() | st.booleans(),
            st.none() | st.booleans(),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_a_csv_says_of_patients_is_published_as_it_is_scored(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[object, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    cells = [",".join("" if p is None else str(p) for p in row) for row in parts]
    table = "time,hr,age,sex,oxygen,beta_blocker\n"
    (folder / "r.csv").write_text(table + "".join(f"{i},80,{row}\n" for i, row in enumerate(cells)))
    with Recording(folder / "r.csv").stream() as stream:
        (rows,) = stream.parts
        messages = [value for _, value, _ in stream.messages(rows)]
    (folder / "r.jsonl").write_bytes(b"\n".join(messages))
    assert repr(said(Recording(folder / "r.csv"))) == repr(said(Recording(folder / "r.jsonl")))


def test_json_lines_say_what_is_known_of_the_patient(tmp_path: Path) -> None:
    parts: list[dict[str, object]] = [{}, {"age": 64, "sex": "male"}, {"oxygen": False}]
    readings = [{"patient": "p", "time": i, "vitals": {}} | part for i, part in enumerate(parts)]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(reading) + "\n" for reading in readings))
    assert repr(said(Recording(path))) == repr(
        [None, [64.0, -1.0, np.nan, np.nan], [np.nan, np.nan, -1.0, np.nan]]
    )
