"""Recorded people in training."""

from pathlib import Path

import numpy as np
import pytest

from vitalwatch import vitals
from vitalwatch.errors import RecordingError
from vitalwatch.evaluation.streams import HOUR, MINUTE, DataSet, Event, Streams
from vitalwatch.model import layout
from vitalwatch.training import corruption, recorded, streams
from vitalwatch.training.people import COLLECTIONS
from vitalwatch.training.recorded import PEOPLE, Recorded
from vitalwatch.training.streams import THIN, Job, Size

V = vitals.COUNT
MAP = vitals.INDEX["map"]
SIZE = Size(patients=16, chunks=4, frames=32)


def hourly(pressures: list[float], events: list[Event]) -> recorded._Pool:
    """One person with a mean pressure an hour."""
    values = np.full((len(pressures), V), np.nan, dtype=np.float32)
    values[:, MAP] = pressures
    times = 10**12 + np.arange(len(pressures)) * HOUR
    data = DataSet(
        "staged", "staged", Streams.joined([(times, values)]), np.zeros(1, dtype=np.int64),
        ["staged/a"], ["train"], events, 4 * HOUR,
    )  # fmt: skip
    return recorded._Pool(data, np.zeros(1, dtype=np.int64), recorded._until(data), True)


def test_nobody_is_drawn_from_a_collection_for_checks_only() -> None:
    assert sum(PEOPLE.values()) == pytest.approx(1)
    assert not any(COLLECTIONS[name].checks_only for name in PEOPLE)


def test_everybody_drawn_is_one_to_train_on(recordings: Path) -> None:
    for name in ("cinc2009-train", "mimic4-demo-vitals"):
        pool = recorded._pool(recordings, name, "train", print)
        assert len(pool.records)
        assert set(pool.data.sides) == {"train"}


def test_a_round_with_recordings_goes_on_with_the_same_people_and_is_the_same_again(
    recordings: Path,
) -> None:
    one, two = (Recorded(recordings, 5, SIZE) for _ in range(2))
    for number in range(SIZE.chunks):
        first, second = one.chunk(number), two.chunk(number)
        assert first.fresh.all() or number
        assert first.real.all()
        for name, array in first.arrays().items():
            assert np.isfinite(array).all(), name
            assert array.tobytes() == getattr(second, name).tobytes(), name
        assert (first.ahead > 0).all()
        assert (first.later_ahead > 0).all()
        assert (first.features[..., layout.DEVIATION] > 0).all()


def test_recorded_people_stand_beside_simulated_ones(recordings: Path) -> None:
    size = Size(patients=4, chunks=2, frames=16)
    alone = next(streams.chunks(Job("train", 5, size)))
    both = next(streams.chunks(Job("train", 5, size, recordings)))
    count = alone.features.shape[1]
    assert both.features.shape[1] == count + 4
    assert both.real.tolist() == [False] * count + [True] * 4
    for name, array in alone.arrays().items():
        axis = {"fresh": 0, "real": 0, "later_ahead": 2, "later_value": 2, "later_counts": 2}.get(
            name, 1
        )
        part = np.take(getattr(both, name), np.arange(count), axis=axis)
        assert np.array_equal(part, array), name


@pytest.fixture
def as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "disguised", lambda value, _: value)


@pytest.mark.usefixtures("as_they_are")
def test_what_is_asked_for_comes_next_and_not_while_something_befalls() -> None:
    event = Event(0, "drug", 10**12 + 8 * HOUR, 10**12 + 10 * HOUR, 10**12 + 11 * HOUR,
                  10**12 + 11 * HOUR, 10**12 + 14 * HOUR)  # fmt: skip
    pool = hourly([80.0 + k for k in range(20)], [event])
    chunk = recorded._follow(pool, 0, 24, np.random.default_rng(0))
    asked = chunk.counts[:, 0, MAP] > 0
    assert np.flatnonzero(asked).tolist() == [*range(7), *range(14, 19)]
    told = chunk.features[1:, 0, layout.LAST][:, MAP]
    assert np.allclose(chunk.value[:-1, 0, MAP][asked[:-1]], told[asked[:-1]])
    assert (chunk.ahead[asked, 0] == 3600).all()
    hour = layout.HORIZONS.index(3600.0)
    assert np.array_equal(chunk.later_counts[hour, :, 0, MAP] > 0, asked[THIN - 1 :: THIN])


@pytest.mark.usefixtures("as_they_are")
def test_an_event_counts_until_its_onset_and_after_it_is_over() -> None:
    event = Event(0, "drug", 10**12 + 6 * HOUR, 10**12 + 10 * HOUR, 10**12 + 11 * HOUR,
                  10**12 + 11 * HOUR, 10**12 + 15 * HOUR)  # fmt: skip
    chunk = recorded._follow(hourly([80.0] * 20, [event]), 0, 24, np.random.default_rng(0))
    assert chunk.event[:, 0].tolist() == [0, 1, 1, 0, 0, 0]
    assert chunk.event_counts[:, 0].tolist() == [1, 1, 1, 0, 1, 0]


def test_a_critical_value_counts_if_it_stays() -> None:
    pool = hourly([80, 80, 45, 80], [])
    assert pool.until[0, :, MAP].tolist() == [7200, 3600, 0, np.inf]
    times = 10**12 + np.arange(6) * MINUTE
    values = np.full((6, V), np.nan, dtype=np.float32)
    values[:, MAP] = [80, 45, 80, 45, 45, 80]
    data = DataSet(
        "staged", "staged", Streams.joined([(times, values)]), np.zeros(1, dtype=np.int64),
        ["staged/a"], ["train"], [], 5 * MINUTE,
    )  # fmt: skip
    until = recorded._until(data)
    assert until[0, :, MAP].tolist() == [180, 120, 60, 0, 0, np.inf]
    beyond_for_long = [chance.stays > 0 for chance in layout.CHANCES].index(True)
    assert np.isinf(until[beyond_for_long, :, MAP]).all()


def test_real_people_are_disguised() -> None:
    random = np.random.default_rng(1)
    whole = np.zeros((400, V), dtype=np.float32)
    shown = [corruption.disguised(whole, random) for _ in range(300)]
    lacking = np.array([np.isnan(each).all(axis=0) for each in shown])
    assert 0.2 < lacking.any(axis=1).mean() < 0.5
    assert 0.1 < np.mean([np.isnan(each).mean() for each in shown]) < 0.3
    rates = [each[:, 0] for each in shown if not np.isnan(each[:, 0]).all()]
    assert 0.1 < np.std([np.nanmean(rate) for rate in rates]) < 0.3
    one = np.full((40, V), np.nan, dtype=np.float32)
    one[:, MAP] = 1
    assert all((~np.isnan(corruption.disguised(one, random)[:, MAP])).any() for _ in range(50))


def test_who_has_few_readings_makes_room_for_the_next(recordings: Path) -> None:
    whom = Recorded(recordings, 5, SIZE)
    fresh = np.array([whom.chunk(number).fresh for number in range(6)])
    assert fresh[0].all()
    assert fresh[2:].any(axis=1).all()
    assert not fresh[1:].all()


def test_files_that_cannot_be_used_are_named_and_the_rest_is_trained_on(
    recordings: Path, tmp_path: Path
) -> None:
    for name in ("mimic4-demo-vitals", "bidmc-numerics"):
        (tmp_path / name).mkdir()
        for path in (recordings / name).iterdir():
            (tmp_path / name / path.name).symlink_to(path)
    broken = sorted((tmp_path / "bidmc-numerics").glob("bidmc_*.csv"))[0]
    broken.unlink()
    broken.write_bytes(b"\x00\xff nothing")
    problems: list[str] = []
    recorded.check(tmp_path, problems.append)
    assert sum(broken.name in problem for problem in problems) == 1
    assert sum("There is no noneeg" in problem for problem in problems) == 1
    assert np.isfinite(Recorded(tmp_path, 5, SIZE).chunk(0).features).all()


def test_a_folder_with_nobody_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"Nobody in .* can be trained on: name the folder"):
        recorded.check(tmp_path, lambda _: None)
