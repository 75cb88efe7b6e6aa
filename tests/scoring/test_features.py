import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.model import layout
from vitalwatch.scoring import features
from vitalwatch.scoring.features import Memory
from vitalwatch.scoring.known import follow

HR = vitals.INDEX["hr"]


def frame(**values: float) -> Floats:
    row = np.full((1, vitals.COUNT), np.nan, dtype=np.float32)
    for name, value in values.items():
        row[0, vitals.INDEX[name]] = value
    return features.standardise(row)


def read(memory: Memory, elapsed: float, value: Floats) -> Floats:
    """Features (n, F) after a reading."""
    count = len(value)
    told = np.empty((1, count, layout.FEATURES), dtype=np.float32)
    passed = np.full((1, count), elapsed, dtype=np.float32)
    who = np.zeros((count, len(layout.CONTEXT_NAMES)), dtype=np.float32)
    follow(memory.parts, passed, value[None], who, features.STEP, told)
    now: Floats = told[0]
    return now


def go_through(frames: list[Floats], interval: float) -> Memory:
    memory = Memory.blank(1)
    for number, value in enumerate(frames):
        read(memory, interval if number else 0, value)
    return memory


def test_a_vital_not_measured_keeps_its_last_value_and_grows_older() -> None:
    memory = go_through([frame(hr=80, spo2=97), frame(spo2=96), frame(spo2=96)], 10)
    assert features.restore(memory.last)[0, HR] == 80
    assert memory.age[0, HR] == 20
    assert memory.mask[0, HR] == 0


def test_a_vital_never_seen_stays_never_seen() -> None:
    memory = go_through([frame(hr=80)] * 5, 10)
    rr = vitals.INDEX["rr"]
    assert memory.age[0, rr] == features.NEVER
    assert memory.watched[0, rr] == 0


def test_the_baseline_is_the_mean_over_time_and_not_over_readings() -> None:
    steady = go_through([frame(hr=70)] * 60 + [frame(hr=90)] * 60, 10)
    dense = Memory.blank(1)
    # The same ten minutes at 70 and ten at 90, but the second half read ten times as often.
    for value, interval, count in ((70, 10, 60), (90, 1, 600)):
        for _ in range(count):
            read(dense, interval, frame(hr=value))
    assert abs(features.restore(steady.mean)[0, HR] - features.restore(dense.mean)[0, HR]) < 2


def test_an_outlier_moves_the_baseline_no_more_than_three_deviations_would() -> None:
    calm = [frame(hr=80 + number % 3) for number in range(400)]
    without, with_outlier = go_through(calm, 10), go_through([*calm, frame(hr=299)], 10)
    moved = float(with_outlier.mean[0, HR] - without.mean[0, HR])
    assert 0 < moved <= 3.01 * float(without.deviation[0, HR]) * 10 / 4000


@given(st.lists(st.floats(20, 290, width=32), min_size=1, max_size=30), st.floats(1, 1e5))
def test_memory_stays_finite_and_the_spread_positive(values: list[float], interval: float) -> None:
    memory = go_through([frame(hr=value) for value in values], interval)
    assert np.isfinite(memory.mean).all()
    assert (memory.deviation > 0).all()


def test_a_patients_row_does_not_depend_on_its_neighbours() -> None:
    generator = np.random.default_rng(5)
    values = generator.normal(size=(30, 9, vitals.COUNT)).astype(np.float32)
    values[generator.random(values.shape) < 0.3] = np.nan
    together = Memory.blank(9)
    alone = Memory.blank(1)
    for value in values:
        assert np.array_equal(read(together, 7, value)[4], read(alone, 7, value[4:5])[0])
    assert np.array_equal(together.parts[:, 4], alone.parts[:, 0])
