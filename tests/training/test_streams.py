import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import Ward
from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.model import layout
from vitalwatch.scoring import features
from vitalwatch.training import streams
from vitalwatch.training.streams import RATES, THIN, Chunk, Job, Rate, Size
from vitalwatch.training.until import outside, seconds_until

TINY = Size(patients=4, chunks=4, frames=16)
V = vitals.COUNT


@pytest.fixture(scope="module")
def made() -> list[Chunk]:
    return list(streams.chunks(Job("train", 5, TINY)))


def stream(rate: Rate, number: int = 3, size: Size = TINY) -> streams.Simulated:
    return streams.Simulated(rate, "train", number, size)


def test_a_round_is_the_same_every_time_and_another_round_is_of_others(made: list[Chunk]) -> None:
    again = list(streams.chunks(Job("train", 5, TINY)))
    other = next(streams.chunks(Job("train", 6, TINY)))
    for first, second in zip(made, again, strict=True):
        for name, array in first.arrays().items():
            assert array.tobytes() == getattr(second, name).tobytes(), name
    assert not np.array_equal(made[0].features, other.features)


def test_all_that_the_network_gets_is_numbers(made: list[Chunk]) -> None:
    for chunk in made:
        for name, array in chunk.arrays().items():
            assert np.isfinite(array).all(), name
        assert (chunk.features[..., layout.DEVIATION] > 0).all()
        assert (chunk.ahead > 0).all()
        assert (chunk.later_ahead > 0).all()


def test_chunks_are_of_the_shapes_that_are_told(made: list[Chunk]) -> None:
    patients = sum(max(1, round(TINY.patients * rate.share)) for rate in RATES)
    later = TINY.frames // THIN
    for chunk in made:
        assert chunk.features.shape == (TINY.frames, patients, layout.FEATURES)
        assert chunk.value.shape == chunk.counts.shape == (TINY.frames, patients, V)
        assert chunk.later_value.shape == (len(layout.HORIZONS), later, patients, V)
        assert chunk.risk.shape == (later, patients, len(layout.CHANCES), V)
        assert chunk.risk_counts.shape == chunk.risk.shape
        assert chunk.event.shape == chunk.event_counts.shape == (later, patients)


def test_other_patients_come_after_a_life_and_only_then() -> None:
    rate = Rate("ward", 60, 1, 2, 1)
    parts = [stream(rate).chunk(0)]
    ward = stream(rate)
    parts = [ward.chunk(number) for number in range(4)]
    assert [part.fresh.all() for part in parts] == [True, False, True, False]
    assert [part.fresh.any() for part in parts] == [True, False, True, False]
    elapsed = [part.features[0, :, layout.ELAPSED] for part in parts]
    assert (elapsed[0] == 0).all()
    assert np.allclose(elapsed[1], layout.squash(60))
    assert (elapsed[2] == 0).all()
    who = [part.features[0, :, layout.CONTEXT] for part in parts]
    assert np.array_equal(who[0], who[1])
    assert not np.array_equal(who[1], who[2])


def test_the_next_reading_is_what_is_told_next() -> None:
    ward = stream(Rate("ward", 5, 1, 4, 1), size=Size(8, 4, 16))
    first, second = ward.chunk(0), ward.chunk(1)
    told = np.concatenate((first.features[1:], second.features[:1]))
    counts = (first.counts > 0) & (told[..., layout.MASK] > 0)
    same = np.isclose(first.value, told[..., layout.LAST], atol=1e-6) | ~counts
    assert counts.mean() > 0.2
    assert same.mean() > 0.98  # the network is shown a few corrupted values
    assert np.allclose(first.ahead, 5)


def test_targets_lie_ahead_by_time_whatever_the_rate() -> None:
    for rate in (
        Rate("ward", 1, 1, 4, 1),
        Rate("ward", 30, 1, 4, 1),
        Rate("charted", 300, 1, 2, 1),
    ):
        chunk = stream(rate).chunk(0)
        for place, horizon in enumerate(layout.HORIZONS):
            asked = chunk.later_counts[place].any(axis=-1)
            off = np.abs(chunk.later_ahead[place][asked] / horizon - 1)
            assert not asked.any() or rate.interval <= 1.25 * horizon
            assert asked.any() or rate.style == "charted"
            assert not asked.any() or off.max() <= 0.25


def test_a_later_target_is_what_the_monitor_shows_then() -> None:
    ward = stream(Rate("ward", 60, 1, 4, 1), size=Size(8, 4, 32))
    first, second = ward.chunk(0), ward.chunk(1)
    told = np.concatenate((first.features, second.features))
    five = layout.HORIZONS.index(300.0)
    for place in range(32 // THIN):
        frame = THIN * (place + 1) - 1 + 5
        counts = (first.later_counts[five, place] > 0) & (told[frame, :, layout.MASK] > 0)
        shown = told[frame, :, layout.LAST]
        same = np.isclose(first.later_value[five, place], shown, atol=1e-6) | ~counts
        assert same.mean() > 0.95


def test_what_is_charted_comes_when_it_is_charted() -> None:
    chunk = stream(Rate("charted", 300, 1, 2, 1), size=Size(12, 2, 32)).chunk(0)
    something = (chunk.features[..., layout.MASK] > 0).any(axis=2)
    assert something.mean() > 0.8
    assert 900 < np.median(chunk.ahead) <= 3600
    assert chunk.later_counts[layout.HORIZONS.index(3600.0)].mean() > 0.1


def test_gaps_differ_between_patients_and_time_is_told() -> None:
    chunk = stream(Rate("ward", 60, 8, 4, 1), size=Size(16, 4, 32)).chunk(0)
    mean = chunk.ahead.mean(axis=0)
    assert mean.min() < 0.6 * mean.max()
    squashed = np.log1p(chunk.ahead[:-1] / 5) / 6
    assert np.allclose(chunk.features[1:, :, layout.ELAPSED], squashed, atol=1e-5)


def some_ward() -> tuple[Ward, np.ndarray, Floats, Floats]:
    people = Ward(patients=30, seed=4, interval=60, share=1.0, onset=(600.0, 1200.0))
    return (people, *streams._simulate(people, 600))


def test_what_is_not_normal_is_no_target() -> None:
    people, times, _, _ = some_ward()
    calm = streams._calm(people, times)
    for truth in people.truth:
        row = people.patients.index(truth.patient)
        if not truth.benign:
            within = (times[:, row] >= truth.onset) & (times[:, row] <= truth.end)
            assert not calm[within, row].any()
            assert calm[times[:, row] < truth.onset, row].all()


def test_the_time_to_danger_is_that_of_the_true_levels() -> None:
    _, times, _, levels = some_ward()
    beyond = outside(levels, layout.CHANCES[0])
    until = seconds_until(beyond, times, 0)
    assert beyond.any()
    for frame, row, vital in zip(*np.nonzero(np.isfinite(until)), strict=True):
        wait = round(float(until[frame, row, vital]) / 60)
        assert beyond[frame + wait, row, vital]
        assert not beyond[frame : frame + wait, row, vital].any()
    nowhere = ~np.isfinite(until[0])
    assert not beyond[:, nowhere].any()


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 5))
def test_what_does_not_stay_so_for_long_enough_does_not_count(
    course: list[bool], minutes: int
) -> None:
    beyond = np.array(course)[:, None, None]
    times = 60_000 * np.arange(len(course))[:, None]
    until = seconds_until(beyond, times, 60.0 * minutes)[:, 0, 0]
    stretches = [list(of) for _, of in itertools.groupby(range(len(course)), course.__getitem__)]
    long = {
        place
        for stretch in stretches
        for place in stretch
        if course[place] and (len(stretch) >= minutes or stretch[-1] == len(course) - 1)
    }
    for place, found in enumerate(until.tolist()):
        ahead = [60.0 * (each - place) for each in long if each >= place]
        assert found == min(ahead, default=np.inf)


def test_what_is_shown_is_corrupted_and_what_is_asked_for_is_not() -> None:
    ward = stream(Rate("ward", 10, 1, 4, 1), size=Size(16, 4, 64))
    shown, value = ward._inputs, ward._value
    spiked = ~np.isnan(shown) & (shown != value)
    lacking = np.isnan(shown) & ward._clean
    assert spiked.any()
    assert lacking.any()
    low, high = (features.standardise(ends) for ends in vitals.bounds("plausible"))
    assert ((shown >= low) & (shown <= high))[~np.isnan(shown)].all()


def test_artefacts_are_no_targets() -> None:
    _, _, measured, levels = some_ward()
    seen = streams._seen(measured)
    near = streams._near(measured, levels) & seen
    off = np.abs(measured - levels)[..., vitals.INDEX["hr"]]
    assert off[near[..., vitals.INDEX["hr"]]].max() < 25
    assert off[seen[..., vitals.INDEX["hr"]]].max() > 25
    assert near.sum() > 0.9 * seen.sum()


def test_half_of_the_patients_have_been_watched_for_long() -> None:
    ward = stream(Rate("ward", 5, 1, 4, 1), size=Size(40, 4, 64))
    heart = vitals.INDEX["hr"]
    long = ward._past.watched[:, heart] > 0
    assert 8 <= long.sum() <= 32
    first = ward.chunk(0).features[0]
    off = np.abs(first[:, layout.MEAN] - first[:, layout.LAST])[:, heart]
    assert (off[~long] == 0).all()  # the first value is all that there is
    assert 0 < np.median(off[long]) < 1


def test_each_part_of_the_context_is_unknown_of_some() -> None:
    people = Ward(patients=400, seed=4, interval=60)
    who = streams.context(people, np.random.default_rng(1))
    age, known, *signs = who.T
    assert (age[known == 0] == 0).all()
    assert 0.4 < known.mean() < 0.6
    for sign in signs:
        assert set(np.unique(sign)) == {-1, 0, 1}
