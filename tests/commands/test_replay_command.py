import argparse
import json
import math
from pathlib import Path

import pytest

from vitalwatch.commands import replay as command
from vitalwatch.commands.replay import publish
from vitalwatch.errors import BrokerError, RecordingError
from vitalwatch.recordings.recording import Recording
from vitalwatch.stream.broker import TopicPartition, TopicSpec
from vitalwatch.stream.memory import MemoryBroker

NOW = 1_700_000_000.0
TOPIC = "vitals.readings"
READINGS = TopicPartition(TOPIC, 0)
WARD = "patient,time,hr,pleth\np1,0,70,1\np2,0,80,1\np1,x,70,1\np1,60,71,1\n"


def make_broker(**settings: str) -> MemoryBroker:
    broker = MemoryBroker(clock=lambda: NOW)
    dotted = {name.replace("_", "."): value for name, value in settings.items()}
    broker.create([TopicSpec(TOPIC, 1, dotted)])
    return broker


def recorded(path: Path, text: str = WARD) -> Recording:
    path.write_text(text)
    return Recording(path)


def play(
    broker: MemoryBroker, recordings: list[Recording], *, shifted: bool = False
) -> list[tuple[int, dict[str, object]]]:
    publish(
        recordings,
        broker,
        TOPIC,
        math.inf,
        shifted=shifted,
        clock=lambda: NOW,
        sleep=lambda _: None,
    )
    return [
        (timestamp, json.loads(value or b""))
        for batch in broker.read(READINGS, 0)
        for timestamp, value in zip(batch.timestamps, batch.values, strict=True)
    ]


def test_a_replay_publishes_all_and_says_what_it_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = play(make_broker(), [recorded(tmp_path / "ward.csv")])
    assert [(time, reading["patient"]) for time, reading in records] == [
        (0, "p1"),
        (0, "p2"),
        (60_000, "p1"),
    ]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "ward.csv: published 3 readings of 2 patients to vitals.readings; "
        "dropped 1 row: 1 bad time (first in line 4); ignored columns pleth\n"
    )


def test_times_shifted_to_now_begin_now_and_go_on_with_the_next_file(tmp_path: Path) -> None:
    files = [recorded(tmp_path / "a.csv"), recorded(tmp_path / "b.csv", "time,hr\n9000,60\n")]
    records = play(make_broker(), files, shifted=True)
    now = round(NOW * 1000)
    assert [time for time, _ in records] == [now, now, now + 60_000, now + 60_001]
    assert all(reading["time"] == time for time, reading in records)


def test_a_topic_that_holds_another_time_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = make_broker()
    play(broker, [recorded(tmp_path / "a.csv")])
    play(broker, [recorded(tmp_path / "b.csv", "time,hr\n2020-01-01T00:00:00,60\n")])
    warnings = [line for line in capsys.readouterr().err.splitlines() if "lost signals" in line]
    assert len(warnings) == 1
    assert "1970-01-01T00:01:00.000Z" in warnings[0]
    assert "2020-01-01T00:00:00.000Z" in warnings[0]


def test_a_topic_that_would_refuse_the_times_is_refused_first(tmp_path: Path) -> None:
    broker = make_broker(message_timestamp_after_max_ms="3600000")
    with pytest.raises(BrokerError, match=r"message\.timestamp\.after\.max\.ms"):
        play(broker, [recorded(tmp_path / "a.csv", "time,hr\n2896-01-01T00:00:00,60\n")])
    # Shifted to now and at full speed, the end of two hours is two hours ahead.
    with pytest.raises(BrokerError, match="2 hours"):
        play(broker, [recorded(tmp_path / "b.csv", "time,hr\n0,60\n7200,60\n")], shifted=True)
    assert broker.bounds(READINGS) == (0, 0)


def test_what_the_topic_would_soon_delete_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play(make_broker(retention_ms="3600000"), [recorded(tmp_path / "a.csv")])
    assert "older than 1 hours" in capsys.readouterr().err


def test_a_missing_topic_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="vitalwatch topics create"):
        publish([recorded(tmp_path / "a.csv")], MemoryBroker(), TOPIC, 1, shifted=False)


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return parser.parse_args(["replay", *arguments])


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan", "inf"])
def test_a_speed_is_a_number_above_0_or_max(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("a.csv", "--speed", speed)
    assert caught.value.code == 2
    assert "neither a number above 0 nor max" in capsys.readouterr().err


def test_files_and_speeds_are_parsed() -> None:
    parsed = parse("a.csv", "b.csv", "--speed", "2.5")
    assert (parsed.files, parsed.speed) == ([Path("a.csv"), Path("b.csv")], 2.5)
    assert parse("a.csv", "--speed", "max").speed == math.inf


def test_an_unreadable_recording_is_said_before_the_broker_is_asked(tmp_path: Path) -> None:
    arguments = parse(str(tmp_path / "none.csv"), "--kafka-bootstrap", "127.0.0.1:1")
    with pytest.raises(RecordingError, match="No such file"):
        arguments.run(arguments)
