"""``vitalwatch score`` on recordings that are odd: each is scored sensibly, or refused in words."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vitalwatch.arrays import Doubles
from vitalwatch.commands.main import main

COUNT = 900
Values = dict[str, Doubles]


def healthy(count: int = COUNT) -> Values:
    random = np.random.default_rng(1)
    usual: dict[str, tuple[float, float]] = {
        "hr": (75, 2),
        "spo2": (97, 0.5),
        "rr": (16, 1),
        "sbp": (124, 4),
        "dbp": (72, 3),
    }
    usual["temp"] = (36.8, 0.05)
    return {name: random.normal(*each, count) for name, each in usual.items()}


def fahrenheit(values: Values) -> Values:
    return values | {"temp": values["temp"] * 9 / 5 + 32}


def kilopascals(values: Values) -> Values:
    return values | {"sbp": values["sbp"] / 7.5, "dbp": values["dbp"] / 7.5}


def mostly_zeros(values: Values) -> Values:
    off = np.random.default_rng(2).random(COUNT) < 0.9
    return {name: np.where(off, 0, each) for name, each in values.items()}


def one_vital(values: Values) -> Values:
    return {"spo2": values["spo2"]}


def as_they_are(values: Values) -> Values:
    return values


def write(path: Path, values: Values, every: float, said: dict[str, float]) -> None:
    with path.open("w") as file:
        for place in range(len(values["spo2"])):
            vitals = {name: round(float(each[place]), 1) for name, each in values.items()}
            time = 1_700_000_000_000 + round(place * every * 1000)
            told = {"patient": "p", "time": time, "vitals": vitals, **said}
            file.write(json.dumps(told) + "\n")


KINDS: dict[str, tuple[Callable[[Values], Values], float, dict[str, float]]] = {
    "one": (one_vital, 5, {}),
    "fahrenheit": (fahrenheit, 5, {}),
    "kilopascals": (kilopascals, 5, {}),
    "zeros": (mostly_zeros, 5, {}),
    "often": (as_they_are, 0.1, {}),
    "daily": (as_they_are, 86_400, {}),
    "infant": (as_they_are, 5, {"age": 0.5}),
    "old": (as_they_are, 5, {"age": 95}),
}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    for name, (change, every, said) in KINDS.items():
        count = 30 if name == "daily" else COUNT
        write(folder / f"{name}.jsonl", change(healthy(count)), every, said)
    return folder


def alarms(folder: Path) -> Counter[tuple[str, str]]:
    """Kinds and conditions that were raised."""
    with (folder / "alerts.jsonl").open() as file:
        events = [json.loads(line) for line in file]
    return Counter((e["kind"], e["condition"]) for e in events if e["event"] == "raised")


@pytest.mark.parametrize(
    ("name", "said", "raised"),
    [
        ("one", "", set()),
        ("fahrenheit", "as in °F: it must be in °C", {"temp_implausible"}),
        ("kilopascals", "as in kPa: it must be in mmHg", {"sbp_implausible", "dbp_implausible"}),
        ("zeros", "", {"no_breathing", "no_heartbeat", "hr_no_signal", "spo2_no_signal"}),
        ("often", "", set()),
        ("daily", "", {"stale"}),
        ("infant", "some are younger than 16", set()),
        ("old", "", set()),
    ],
)
def test_an_odd_recording_is_scored_and_what_is_odd_is_said(
    scored: Path, name: str, said: str, raised: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    output = scored / name
    assert main(["score", str(scored / f"{name}.jsonl"), "-o", str(output)]) == 0
    assert said in capsys.readouterr().err
    assert {kind for kind, _ in alarms(output)} <= {"technical"}
    assert {condition for _, condition in alarms(output)} <= raised
    with (output / "scores.csv").open() as file:
        assert len(file.readlines()) == 1 + (30 if name == "daily" else COUNT)


def test_an_age_that_nobody_has_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "odd.jsonl", healthy(3), 5, {"age": 195})
    assert main(["score", str(tmp_path / "odd.jsonl"), "-o", str(tmp_path / "out")]) != 0
    assert "holds no readings (dropped 3 rows: 3 invalid (first in line 1))" in (
        capsys.readouterr().err
    )
