import threading
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from vitalwatch.commands import demo_story
from vitalwatch.commands.demo_story import Cast, cast, play, verdict
from vitalwatch.messages import Alert, Origin, Reading, epoch_ms


@pytest.fixture(scope="module")
def story() -> Cast:
    return cast(4, seed=3)


def alert(story: Cast, minutes_before_critical: float, **changes: Any) -> Alert:
    assert story.truth.critical is not None
    fields: dict[str, Any] = {
        "alert_id": "1",
        "patient": story.truth.patient,
        "event": "raised",
        "kind": "physiological",
        "condition": "deterioration",
        "priority": "medium",
        "time": story.truth.critical - round(minutes_before_critical * 60_000),
        "onset": 0,
        "rarity": 3.0,
        "drivers": [],
        "sentence": "RR 8 /min",
        "origin": Origin("t", 0, 0),
        "model": "m",
    }
    return Alert(**(fields | changes))


@pytest.mark.parametrize("seed", range(5))
def test_one_patient_becomes_critical_within_the_time_of_a_demo(seed: int) -> None:
    story = cast(3, seed)
    assert story.truth.critical is not None
    minutes = (story.truth.critical - story.truth.onset) / 60_000
    low, high = demo_story.CRITICAL_MINUTES
    assert low <= minutes <= high


def test_the_story_is_the_same_for_the_same_seed() -> None:
    first, second = cast(4, 5), cast(4, 5)
    assert first.truth == second.truth
    frames, again = first.frames(), second.frames()
    assert [next(frames) for _ in range(50)] == [next(again) for _ in range(50)]


def test_every_patient_has_a_bed_of_its_own_and_readings(story: Cast) -> None:
    frames = cast(4, seed=3).frames()
    readings = [reading for _ in range(20) for reading in next(frames)]
    assert {reading.patient for reading in readings} == set(story.beds)
    assert {reading.patient for reading in readings if reading.age} == set(story.beds)
    assert sorted(story.beds.values()) == ["1", "2", "3", "4"]


@dataclass
class Recorder:
    """A publisher that keeps what it is given, and a clock that shows when."""

    now: float = 0.0
    sent: list[tuple[float, bytes, Reading, int]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def send(
        self, topic: str, key: bytes, value: bytes, *, timestamp: int, headers: object = ()
    ) -> None:
        reading = msgspec.json.decode(value, type=Reading)
        self.sent.append((self.now, key, reading, timestamp))

    def flush(self) -> None:
        pass

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


def played(speed: float, stop_after: float | None = None) -> Recorder:
    recorder = Recorder()

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            recorder.now += timeout or 0
            return stop_after is not None and recorder.now > stop_after

    play(cast(2, 3), recorder, "t", speed, Stop(), lambda: recorder.now)  # type: ignore[arg-type]
    return recorder


def test_the_history_goes_by_at_once_and_the_rest_at_its_speed() -> None:
    story, recorder = cast(2, 3), played(60)
    for when, key, reading, timestamp in recorder.sent:
        seconds = (epoch_ms(reading.time) - story.start) / 1000
        due = max(0.0, seconds - demo_story.HISTORY_SECONDS) / 60
        assert abs(when - due) <= demo_story.INTERVAL / 60
        assert key == reading.patient.encode()
        assert timestamp == reading.time
    assert epoch_ms(recorder.sent[-1][2].time) >= story.end


def test_it_can_be_stopped() -> None:
    assert played(60, stop_after=1).now == pytest.approx(1, abs=0.1)


def test_the_verdict_tells_how_long_before_the_critical_time(story: Cast) -> None:
    said = " ".join(verdict(story, [alert(story, 13.8)], story.end))
    assert "14 min before critical: RR 8 /min." in said
    said = " ".join(verdict(story, [alert(story, -2)], story.end))
    assert "2 min after critical" in said


@pytest.mark.parametrize(
    "changes",
    [
        {"patient": "another"},
        {"kind": "technical"},
        {"event": "cleared"},
        {"time": 0},
    ],
)
def test_what_does_not_catch_the_deterioration_is_not_taken_for_it(
    story: Cast, changes: dict[str, Any]
) -> None:
    assert "had not caught it" in " ".join(verdict(story, [alert(story, 10, **changes)], story.end))


def test_those_who_watch_are_told_how_it_goes(story: Cast) -> None:
    critical = story.truth.critical or 0
    assert "does not know who" in demo_story.told(story, [], story.start)[0]
    before = demo_story.told(story, [], critical - 5 * 60_000)
    assert "critical in 5 min." in before[0]
    assert before[1] == "Not caught so far."
    after = demo_story.told(story, [alert(story, 13.8)], critical)
    assert "has been critical since" in after[0]
    assert after[1] == "Caught 14 min before critical."


def test_the_verdict_of_a_demo_that_was_cut_short_claims_nothing(story: Cast) -> None:
    assert verdict(story, [], story.start) == ["The demo ended before anything happened."]
    assert "would have become critical" in " ".join(verdict(story, [], story.truth.onset))
