import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch.errors import RecordingError
from vitalwatch.training import people
from vitalwatch.training.people import COLLECTIONS, Person, side


@given(st.text(max_size=30))
def test_a_side_is_a_matter_of_the_identifier_alone(name: str) -> None:
    assert side(name) == side(name)
    assert side(name) in ("train", "calibrate", "test")


def test_sides_get_their_shares() -> None:
    sides = [side(f"collection/{number}") for number in range(20_000)]
    assert sides.count("train") / len(sides) == pytest.approx(0.40, abs=0.02)
    assert sides.count("calibrate") / len(sides) == pytest.approx(0.25, abs=0.02)


def test_sides_stay_as_they_were_drawn() -> None:
    assert side("mimic2-numerics/a40834n") == "test"
    assert side("mimic2-numerics/s00001n") == "calibrate"
    assert side("cinc2019-sample/p100001") == "calibrate"
    assert side("cinc2009-train/C1_01") == "train"


def test_identifiers_of_one_patient_stand_on_one_side() -> None:
    for other, known in people.ALIASES.items():
        assert side(other) == side(known)


def test_nobody_of_a_collection_for_checks_trains_or_calibrates() -> None:
    everyone = [Person(f"vitaldb-surgery/{n}", "vitaldb-surgery") for n in range(50)]
    assert {person.side for person in everyone} == {"test"}


def test_a_folder_without_the_collection_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no bidmc-numerics"):
        people.people(tmp_path, "bidmc-numerics")


@pytest.mark.parametrize(
    "content",
    [b"patient,time\n", gzip.compress(b"who,time\na,1\n")],
    ids=["no gzip", "no patients"],
)
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "noneeg").mkdir()
    (tmp_path / "noneeg" / "vitals.csv.gz").write_bytes(content)
    with pytest.raises(RecordingError, match=r"noneeg.vitals\.csv\.gz"):
        people.people(tmp_path, "noneeg")


def test_all_people_of_the_recordings_are_listed(recordings: Path) -> None:
    counts = {name: len(people.people(recordings, name)) for name in COLLECTIONS}
    assert counts == {
        "bidmc-numerics": 36,
        "cinc2009-train": 60,
        "cinc2019-sample": 5027,
        "mimic2-numerics": 3,
        "mimic4-demo-vitals": 100,
        "noneeg": 13,
        "sedation-oximetry": 79,
        "vitaldb-surgery": 13,
    }


def test_the_alias_holds_the_same_minutes(recordings: Path) -> None:
    with (recordings / "mimic2-numerics" / "a40834n.csv").open() as file:
        column = file.readline().strip().split(",").index("ABPMean")
        long = [line.split(",")[column] for line in file]
    rows = people.table(recordings / "cinc2009-train" / "map_1min_long.csv", "record", "MAP")
    short = [float(row["MAP"]) for row in rows if row["record"] == "H1_04"][:600]
    same = [abs(float(a) - b) < 0.06 for a, b in zip(long[1465:], short, strict=False)]
    assert sum(same) / len(same) > 0.95
