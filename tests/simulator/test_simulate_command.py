import argparse
import json
from pathlib import Path

import msgspec
import pytest

from simulator.scenarios import NAMES
from simulator.styles import STYLES
from vitalwatch.commands import simulate
from vitalwatch.errors import BrokerError, ConfigurationError, UsageError
from vitalwatch.messages import Reading, Truth


def command(*words: object) -> int:
    parser = argparse.ArgumentParser()
    simulate.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["simulate", *map(str, words)])
    code: int = arguments.run(arguments)
    return code


def test_a_file_of_readings_and_one_of_the_truth(tmp_path: Path) -> None:
    readings, truth = tmp_path / "ward.jsonl", tmp_path / "truth.jsonl"
    words = ["--patients", 10, "--duration", "2h", "--interval", "30s", "--seed", 5]
    words += ["--scenario", "svt,haemorrhage", "--share", 1, "--onset", "10m-20m"]
    assert command(*words, "--to", readings, "--truth", truth) == 0
    lines = readings.read_bytes().splitlines()
    decoded = [msgspec.json.decode(line, type=Reading) for line in lines]
    assert len({reading.patient for reading in decoded}) == 10
    assert 0.95 * 2400 < len(decoded) <= 2400
    told = [msgspec.json.decode(line, type=Truth) for line in truth.read_bytes().splitlines()]
    events = [each for each in told if not each.benign]
    assert len(events) == 10
    assert {each.event for each in events} == {"svt", "haemorrhage"}
    assert any(each.critical for each in events)

    again = tmp_path / "again.jsonl"
    assert command(*words, "--to", again) == 0
    assert again.read_bytes() == readings.read_bytes()


def test_a_style_has_its_vitals_and_its_interval(tmp_path: Path) -> None:
    path = tmp_path / "wrists.jsonl"
    assert command("--style", "wearable", "--patients", 3, "--duration", "2m", "--to", path) == 0
    decoded = [msgspec.json.decode(line, type=Reading) for line in path.read_bytes().splitlines()]
    assert 300 < len(decoded) <= 360
    assert set().union(*(reading.vitals for reading in decoded)) == {"hr", "spo2", "rr"}


def test_charts_and_stored_means_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "minutes.csv"
    words = ["--style", "bedside", "--patients", 3, "--duration", "1h", "--interval", "1m"]
    assert command(*words, "--to", path) == 0
    rows = path.read_text().splitlines()[1:]
    tenths = [row.split(",")[2] for row in rows]
    assert any("." in value for value in tenths)
    assert command("--style", "charted", "--duration", "5h", "--to", tmp_path / "charts.csv") == 0
    charts = (tmp_path / "charts.csv").read_text().splitlines()[1:]
    assert 80 < len(charts) < 400
    assert any(",,,,,," in row for row in charts)


def test_without_a_file_readings_go_to_standard_output_and_messages_do_not(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    words = ["--patients", 2, "--duration", "20s", "--scenario", "none", "--speed", "max"]
    assert command(*words) == 0
    out, err = capfdbinary.readouterr()
    assert [json.loads(line)["patient"] for line in out.splitlines()].count("sim-1-000001") == 4
    assert b"8 readings of 2 patients" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--to", "ward.jsonl"],
        ["--to", "ward.txt", "--duration", "1m"],
        ["--kafka", "--speed", "10"],
        ["--scenario", "plague", "--duration", "1m"],
        ["--style", "moon", "--duration", "1m"],
        ["--interval", "0.5s", "--duration", "1m"],
        ["--seed", "-1", "--duration", "1m"],
    ],
)
def test_what_cannot_be_done_is_a_usage_error_and_leaves_no_file(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        command(*words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["--duration", "5x"],
        ["--duration", "0s"],
        ["--onset", "6h-30m"],
        ["--share", "1.5"],
        ["--speed", "0"],
        ["--speed", "fast"],
        ["--start", "noon"],
        ["--to", "a.csv", "--kafka"],
    ],
)
def test_a_wrong_word_is_refused_with_what_to_write(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        command(*words)
    assert stop.value.code == 2
    assert f"argument {words[-2 if len(words) == 2 else -1]}" in capsys.readouterr().err


def test_a_broker_that_does_not_answer_is_named() -> None:
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        command("--kafka", "--kafka-bootstrap", "127.0.0.1:1", "--duration", "10s")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="missing"):
        command("--duration", "1m", "--to", tmp_path / "missing" / "a.csv")


def test_help_names_every_scenario_and_shows_examples(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        command("--help")
    text = capsys.readouterr().out
    assert all(name in text for name in (*NAMES, *STYLES))
    assert "examples:" in text
    assert "--truth FILE" in text
