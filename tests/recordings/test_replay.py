import json
import math
from pathlib import Path

import numpy as np
import pytest

from vitalwatch.recordings.recording import Recording
from vitalwatch.recordings.replay import Pace, replay
from vitalwatch.stream.broker import Headers, RecordBatch, TopicPartition
from vitalwatch.stream.decode import Decoder


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Outlet:
    """A publisher that notes when it got what."""

    def __init__(self, time: Time, fails_at: int = -1) -> None:
        self.sent: list[tuple[float, str, bytes | None, bytes | None, int | None]] = []
        self.flushed = 0
        self._time = time
        self._fails_at = fails_at

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> None:
        if len(self.sent) == self._fails_at:
            raise KeyboardInterrupt
        self.sent.append((self._time.now - 100, topic, key, value, timestamp))

    def flush(self) -> None:
        self.flushed = len(self.sent)

    def close(self) -> None:
        pass


@pytest.fixture
def ward(tmp_path: Path) -> Recording:
    path = tmp_path / "ward.csv"
    path.write_text("patient,time,hr\np2,10,80\np1,10,70\np1,11,71\np2,40,81\n")
    return Recording(path)


def play(
    ward: Recording, time: Time, outlet: Outlet, speed: float, shift: int = 0
) -> list[tuple[int, int]]:
    progress: list[tuple[int, int]] = []
    with ward.stream() as stream:
        pace = Pace(speed, time.clock, time.sleep)
        replay(stream, outlet, "readings", shift, pace, lambda n, at: progress.append((n, at)))
    return progress


@pytest.mark.parametrize("speed", [1, 10, 0.5])
def test_readings_come_when_they_are_due(ward: Recording, speed: float) -> None:
    time = Time()
    outlet = Outlet(time)
    play(ward, time, outlet, speed)
    due = [seconds / speed for seconds in (0, 0, 1, 30)]
    assert [sent[0] for sent in outlet.sent] == pytest.approx(due, abs=0.01)
    assert outlet.flushed == 4


def test_at_full_speed_nothing_waits(ward: Recording) -> None:
    time = Time()
    outlet = Outlet(time)
    play(ward, time, outlet, math.inf)
    assert [sent[0] for sent in outlet.sent] == [0, 0, 0, 0]


def test_what_fell_due_while_the_publisher_was_busy_is_due_at_once() -> None:
    time = Time()
    pace = Pace(2, time.clock, time.sleep)
    pace.start(1000)
    time.sleep(7)
    assert pace.due() == 15_000


def test_records_are_keyed_by_patient_and_carry_the_readings_time(ward: Recording) -> None:
    outlet = Outlet(Time())
    play(ward, Time(), outlet, math.inf, shift=5)
    _, topic, key, value, timestamp = outlet.sent[2]
    assert (topic, key, timestamp) == ("readings", b"p1", 11_005)
    assert json.loads(value or b"") == {"patient": "p1", "time": 11_005, "vitals": {"hr": 71}}
    assert [sent[2] for sent in outlet.sent] == [b"p2", b"p1", b"p1", b"p2"]


def test_progress_goes_from_the_first_reading_to_the_last(ward: Recording) -> None:
    time = Time()
    progress = play(ward, time, Outlet(time), 1)
    assert progress == sorted(progress)
    assert progress[-1] == (4, 40_000)
    # While nothing is due it goes on all the same.
    assert sum(published == 3 for published, _ in progress) > 10


def test_an_interruption_tells_how_far_it_came(ward: Recording) -> None:
    time, progress = Time(), []
    outlet = Outlet(time, fails_at=3)
    with ward.stream() as stream, pytest.raises(KeyboardInterrupt):
        replay(
            stream,
            outlet,
            "readings",
            0,
            Pace(math.inf, time.clock, time.sleep),
            lambda n, at: progress.append((n, at)),
        )
    assert progress[-1] == (3, 11_000)


@pytest.mark.parametrize(
    "name",
    [
        "mimic2-numerics/a40834n.csv",
        "vitaldb-surgery/case_4096_1min.csv.gz",
        "mimic4-demo-vitals/vitals_wide.csv.gz",
    ],
)
def test_a_replay_brings_the_very_readings_that_are_scored_without_a_broker(
    recordings: Path, name: str
) -> None:
    time = Time()
    outlet = Outlet(time)
    recording = Recording(recordings / name)
    play(recording, time, outlet, math.inf)
    batch = RecordBatch.of(
        TopicPartition(recording.name, 0),
        list(range(len(outlet.sent))),
        [timestamp or 0 for *_, timestamp in outlet.sent],
        [key for _, _, key, _, _ in outlet.sent],
        [value for *_, value, _ in outlet.sent],
        [()] * len(outlet.sent),
        len(outlet.sent),
    )
    decoded = Decoder().decode(batch)
    assert decoded.rejected == []
    start = 0
    with recording.stream() as stream:
        for rows in stream.parts:
            scored = stream.readings(rows, recording.name, start)
            span = slice(start, start + len(rows))
            assert decoded.readings.patients[span].texts() == scored.patients.texts()
            np.testing.assert_array_equal(decoded.readings.times[span], scored.times)
            np.testing.assert_array_equal(decoded.readings.values[span], scored.values)
            np.testing.assert_array_equal(decoded.readings.offsets[span], scored.offsets)
            start += len(rows)
    assert start == len(outlet.sent)
