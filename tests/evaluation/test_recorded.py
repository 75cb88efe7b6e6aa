import csv
from pathlib import Path

import numpy as np
import pytest

from vitalwatch.errors import RecordingError
from vitalwatch.evaluation import recorded
from vitalwatch.evaluation.streams import HOUR, MINUTE

HEADER = "|".join(
    ["HR", "O2Sat", "Temp", "SBP", "MAP", "DBP", "Resp", "EtCO2"]
    + [f"lab{k}" for k in range(26)]
    + ["Age", "Gender", "Unit1", "Unit2", "HospAdmTime", "ICULOS", "SepsisLabel"]
)  # fmt: skip


def psv(folder: Path, name: str, labels: list[int]) -> Path:
    rows = [
        "|".join(["80", "97", "NaN", "120", "85", "60", "18", "NaN"] + ["NaN"] * 26
                 + ["70", "1", "1", "0", "-1", str(hour + 1), str(label)])
        for hour, label in enumerate(labels)
    ]  # fmt: skip
    path = folder / "cinc2019-sample" / "setB" / f"{name}.psv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def fail(problem: str) -> None:
    pytest.fail(problem)


def test_sepsis_begins_six_hours_after_its_label(tmp_path: Path) -> None:
    psv(tmp_path, "p1", [0] * 20 + [1] * 8)
    psv(tmp_path, "p2", [0] * 30)
    psv(tmp_path, "p3", [1] * 10)  # nobody knows since when
    data = recorded.load(tmp_path, "cinc2019-sample", fail)
    known = [event for event in data.events if event.counted]
    assert [(event.record, event.onset - recorded.START) for event in known] == [(0, 27 * HOUR)]
    assert [event.record for event in data.events if not event.counted] == [2]
    assert not data.quiet[data.streams.record == 2].any()
    assert data.quiet[data.streams.record == 1].all()
    assert data.groups == {"age": ["65 and older"] * 3, "sex": ["men"] * 3}
    assert data.streams.clean[0].tolist()[:6] == [80, 97, 18, 120, 60, 85]


def test_broken_files_are_named_and_left_out(tmp_path: Path) -> None:
    psv(tmp_path, "p1", [0] * 20)
    psv(tmp_path, "p2", [0] * 20).write_text("what is this?\nno idea\n")
    psv(tmp_path, "p3", [0] * 20).write_bytes(b"")
    problems: list[str] = []
    data = recorded.load(tmp_path, "cinc2019-sample", problems.append)
    assert len(data.streams) == 1
    assert len(problems) == 2
    assert "p2.psv" in problems[0]
    assert "p3.psv" in problems[1]


def test_a_collection_without_a_good_file_is_an_error(tmp_path: Path) -> None:
    psv(tmp_path, "p1", [0] * 20).write_text("")
    with pytest.raises(RecordingError, match="cinc2019-sample"):
        recorded.load(tmp_path, "cinc2019-sample", lambda _: None)


def test_a_collection_whose_tables_do_not_fit_together_is_named(tmp_path: Path) -> None:
    place = tmp_path / "cinc2009-train"
    place.mkdir()
    (place / "labels.csv").write_text("record,AHE\na1,1\n")
    rows = [f"a1,{minute},x" for minute in range(40)]
    (place / "map_1min_long.csv").write_text("\n".join(["record,minute,MAP", *rows]))
    with pytest.raises(RecordingError, match="cinc2009-train does not fit together"):
        recorded.load(tmp_path, "cinc2009-train", lambda _: None)


def test_an_episode_of_low_pressure_is_nine_in_ten_of_thirty_minutes() -> None:
    pressure = np.full(100, 80.0)
    pressure[40:70] = 55
    pressure[[50, 60, 65]] = 70
    shares = recorded.low_runs(pressure)
    assert shares[40] == pytest.approx(0.9)
    assert shares[39] == pytest.approx(26 / 30)
    assert np.isnan(shares[71:]).all()
    pressure[40:70] = 0  # the line is off
    assert np.nanmax(recorded.low_runs(pressure)) == 0


def test_onsets_of_hypotension_are_those_of_the_list(recordings: Path) -> None:
    data = recorded.load(recordings, "cinc2009-train", fail)
    with (recordings / "cinc2009-train" / "labels.csv").open() as file:
        listed = {
            f"cinc2009-train/{row['record']}": int(row["first_min_MAP_le60_run30"])
            for row in csv.DictReader(file)
            if row["first_min_MAP_le60_run30"]
        }
    found = {
        data.names[data.person[event.record]]: (event.onset - recorded.START) // MINUTE
        for event in data.events
        if event.counted
    }
    assert len(found) == 30
    assert {name: found[name] for name in listed} == listed


def test_all_collections_can_be_read_and_nobody_stands_on_two_sides(recordings: Path) -> None:
    counted = {}
    for name in recorded._LOADERS:
        data = recorded.load(recordings, name, fail)
        assert (np.diff(data.streams.times)[np.diff(data.streams.record) == 0] > 0).all()
        sides = [data.select(side) for side in ("train", "calibrate", "test")]
        assert sum(len(side.streams.times) for side in sides) == len(data.streams.times)
        assert len(set().union(*(side.names for side in sides))) == len(data.names)
        counted[name] = sum(event.counted for event in data.events)
    assert counted == {
        "bidmc-numerics": 0,
        "cinc2009-train": 30,
        "cinc2019-sample": 229,
        "mimic2-numerics": 9,
        "mimic4-demo-vitals": 45,
        "noneeg": 0,
        "sedation-oximetry": 0,
        "vitaldb-surgery": 0,
    }
