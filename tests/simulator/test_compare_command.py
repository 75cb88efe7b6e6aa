import re
from pathlib import Path

import pytest

from simulator.styles import STYLES
from vitalwatch.commands import compare
from vitalwatch.commands.main import main

WARD = ["simulate", "--patients", "12", "--duration", "20m", "--interval", "5s"]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(compare.VARIABLE, raising=False)


def made(folder: Path, name: str = "ward.csv") -> Path:
    """Recordings that a ward gives."""
    folder.mkdir(parents=True, exist_ok=True)
    assert main([*WARD, "--scenario", "none", "--to", str(folder / name)]) == 0
    return folder


def test_recordings_of_ones_own_are_compared_with_a_style(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path)
    words = ["compare", "--style", "ward", "--patients", "20", str(tmp_path)]
    assert main(words) == 0
    first = capsys.readouterr().out
    lines = first.splitlines()
    assert lines[0] == "## recordings, style ward"
    assert lines[2] == ("12 real patients, 20 simulated, a row every 5 s, stretches of 19.9 min")
    rows = [line for line in lines if line.endswith(("| inside |", "| **outside** |"))]
    assert len(rows) > 20
    match = re.search(r"^(\d+) of (\d+) figures are inside", first, re.MULTILINE)
    assert match
    assert int(match[2]) == len(rows)
    # a ward is like itself
    assert int(match[1]) > 0.7 * len(rows)
    assert not re.search(r"sim-\d", first)  # no patient is named

    assert main(words) == 0
    assert capsys.readouterr().out == first


def test_public_collections_are_found_by_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "bidmc-numerics")
    made(tmp_path / "noneeg")
    made(tmp_path / "something else")
    (tmp_path / "noneeg" / "notes.csv").write_text("a,b\n1,2\n")
    monkeypatch.setenv(compare.VARIABLE, str(tmp_path))
    assert main(["compare", "--patients", "9"]) == 0
    out, err = capsys.readouterr()
    assert re.findall(r"^## .*", out, re.MULTILINE) == [
        "## bidmc-numerics, style bedside",
        "## noneeg, style wearable",
    ]
    assert re.search(r"^In all \d+ of \d+ figures are inside", out, re.MULTILINE)
    assert "left out:" in err
    assert "notes.csv" in err
    assert main(["compare", "--patients", "9", str(tmp_path / "noneeg")]) == 0
    assert "In all" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "set VITALWATCH_RECORDINGS"),
        (["."], 2, "None of bidmc-numerics"),
        (["--style", "ward"], 2, "name files or folders"),
        (["--style", "moon", "."], 2, "no style 'moon'; there are: ward, swinging"),
        (["--style", "ward", "."], 78, "None of the 0 files"),
        (["--style", "ward", "missing.csv"], 78, "missing.csv"),
        (["--patients", "0"], 2, "--patients"),
        (["--files", "0"], 2, "--files"),
        (["--seed", "-1"], 2, "--seed"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(
    words: list[str],
    code: int,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *words]) == code
    out, err = capsys.readouterr()
    assert says in err
    assert not out


@pytest.mark.parametrize(
    ("rows", "says"),
    [("p,0,80\n", "None of the 1 files"), ("p,0,80\np,60,81\n", "too short")],
)
def test_streams_too_short_for_any_figure_are_said_to_be(
    rows: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "short.csv"
    path.write_text("patient,time,hr\n" + rows)
    assert main(["compare", "--style", "ward", str(path)]) == 78
    assert says in capsys.readouterr().err


def test_only_so_many_files_are_read_evenly_chosen(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(10)]
    assert compare.some(files, 5) == files[::2]
    assert compare.some(files, 10) == files
    assert compare.some(files[:3], 5) == files[:3]


def test_help_names_every_style_and_every_collection(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in (*STYLES, *compare.COLLECTIONS))
    assert "examples:" in text
