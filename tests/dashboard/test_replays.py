import functools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.dashboard.stream import MINUTE, Client, alert
from vitalwatch import config
from vitalwatch.dashboard import film
from vitalwatch.dashboard.dashboard import Dashboard
from vitalwatch.dashboard.film import Film
from vitalwatch.errors import RecordingError
from vitalwatch.messages import Truth
from vitalwatch.readings import Detection, Readings
from vitalwatch.recordings.recording import Recording
from vitalwatch.vitals import INDEX

START = 1_600_000_000_000
SECONDS = 1200
HR = INDEX["hr"]


class Fake:
    """Expects what it reads; raises an alert at 100 and ends it at 50."""

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        (readings,) = batch
        found = []
        for at, event in ((100, "raised"), (50, "cleared")):
            for place in np.flatnonzero(readings.values[:, HR] == at).tolist():
                name, moment = readings.patients.texts()[place], int(readings.times[place])
                found.append(alert(name, moment, alert_id="a", event=event))  # type: ignore[arg-type]
        values = readings.values
        late = np.zeros(len(values), dtype=np.bool_)
        rarity = np.full(len(values), 0.5, dtype=np.float32)
        return [Detection(late, rarity, values * 0 + 1, values, values - 1, values + 1, found)]


def written(path: Path, patient: str, start: int) -> Recording:
    """A heart rate of 70, but for 100 at 600 s and 50 at 900 s."""
    rates = np.full(SECONDS, 70)
    rates[600], rates[900] = 100, 50
    lines = [f"{patient},{start // 1000 + second},{rate}" for second, rate in enumerate(rates)]
    path.write_text("\n".join(["patient,time,hr", *lines]) + "\n")
    return Recording(path)


@pytest.fixture
def shot(tmp_path: Path) -> Film:
    truth = Truth("bed-1", "haemorrhage", False, START + 500_000, START + 1_000_000)
    return film.shoot([written(tmp_path / "a.csv", "bed-1", START)], Fake, [truth])


@pytest.fixture
def dashboard(shot: Film) -> Iterator[Dashboard]:
    settings = config.Dashboard(port=0)
    with Dashboard.of_film(settings, shot, "a.csv", speed=0.001) as dashboard:
        yield dashboard


def test_it_says_that_it_is_a_replay_and_what_happens_in_it(dashboard: Dashboard) -> None:
    with Client(dashboard.url).page() as page:
        told = page.ready()
    assert (told["mode"], told["banner"]) == ("replay", "REPLAY OF A RECORDING")
    assert told["replay"]["from_ms"] == START
    (mark,) = told["replay"]["timeline"]["alerts"]
    assert (mark["time_ms"], mark["over_ms"]) == (START + 600_000, START + 900_000)
    (event,) = told["replay"]["timeline"]["events"]
    assert (event["event"], event["from_ms"]) == ("haemorrhage", START + 500_000)


def reached(to: int, ward: Any) -> bool:
    return bool(ward["replay"]["at_ms"] // 1000 == to // 1000)


def test_seeking_shows_the_ward_as_it_was_then_forwards_and_backwards(
    dashboard: Dashboard,
) -> None:
    client = Client(dashboard.url)
    with client.page() as page:
        key = page.ready()["patients"][0]["key"]
        for second, active in ((700, 1), (1000, 0), (650, 1), (100, 0)):
            to = START + second * 1000
            assert client.post("/api/replay", {"action": "seek", "to_ms": to})[0] == 200
            told = page.ready(functools.partial(reached, to))
            assert told["now_ms"] // 1000 == to // 1000
            assert sum(each["state"] == "active" for each in told["alerts"]) == active
            assert told["patients"][0]["last_ms"] == to
            wanted = {"key": key, "from_ms": START, "to_ms": START + 2 * SECONDS * 1000}
            history = client.post("/api/history", {**wanted, "points": 4000})[1]
            assert len(history["vitals"]["hr"]["t"]) == second + 1


def test_it_can_be_paused_and_sped_up_and_ends_at_its_end(dashboard: Dashboard) -> None:
    client = Client(dashboard.url)
    paused = client.post("/api/replay", {"action": "pause"})[1]
    assert paused["playing"] is False
    assert client.post("/api/replay", {"action": "speed", "speed": 10_000})[0] == 200
    time.sleep(0.3)
    with client.page() as page:
        at = page.ready()["replay"]["at_ms"]
        assert at == paused["at_ms"]
        client.post("/api/replay", {"action": "play"})
        ended = page.until("replay", lambda replay: replay["at_ms"] == replay["to_ms"])
        assert ended["playing"] is False
        assert "alert" in dict(page.seen)
    for wish in ({"action": "speed", "speed": 0}, {"action": "seek"}, {"action": "jump"}):
        assert client.post("/api/replay", wish)[0] == 400


def test_what_is_acknowledged_in_a_replay_is_kept_while_it_runs(dashboard: Dashboard) -> None:
    client = Client(dashboard.url)
    client.post("/api/replay", {"action": "seek", "to_ms": START + 700_000})
    assert client.post("/api/acks", {"alert_id": "a", "name": "Joy"})[0] == 201
    for second in (100, 700):
        client.post("/api/replay", {"action": "seek", "to_ms": START + second * 1000})
    with client.page() as page:
        assert page.ready()["alerts"][0]["acks"][0]["name"] == "Joy"


def test_files_are_shown_side_by_side_whenever_they_were_recorded(tmp_path: Path) -> None:
    files = [
        written(tmp_path / "a.csv", "bed-1", START),
        written(tmp_path / "b.csv", "bed-1", START + 24 * 60 * MINUTE),
        written(tmp_path / "c.csv", "bed-3", START + MINUTE),
    ]
    shot = film.shoot(files, Fake)
    assert shot.names == ["bed-1", "bed-1 (b.csv)", "bed-3"]
    assert [int(shot.times[0]), int(shot.times[-1])] == [START, START + MINUTE + 1_199_000]
    assert (np.diff(shot.times) >= 0).all()
    raised = {each.patient: each.time for each in shot.alerts if each.event == "raised"}
    assert raised == {
        "bed-1": START + 600_000,
        "bed-1 (b.csv)": START + 600_000,
        "bed-3": START + MINUTE + 600_000,
    }


def test_a_truth_that_is_none_is_said(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    truth = Truth("p", "sleep", True, 1, 2)
    path.write_bytes(msgspec.json.encode(truth) + b"\n\n")
    assert film.truths(path) == [truth]
    path.write_text('{"patient": 1}\n')
    with pytest.raises(RecordingError, match="line 1: not a truth"):
        film.truths(path)
    with pytest.raises(RecordingError, match="Cannot read"):
        film.truths(tmp_path / "none")
