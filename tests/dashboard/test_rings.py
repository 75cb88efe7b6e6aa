from typing import Any

import numpy as np
import numpy.typing as npt

from vitalwatch.dashboard.rings import FULL, MINUTE_MS, RARITY, Rings
from vitalwatch.vitals import COUNT, INDEX

HR, TEMP, SBP = INDEX["hr"], INDEX["temp"], INDEX["sbp"]
Array = npt.NDArray[Any]
START = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS


def rows_of(count: int, **vitals: Array) -> Array:
    values = np.full((count, COUNT), np.nan, dtype=np.float32)
    for name, column in vitals.items():
        values[:, INDEX[name]] = column
    return values


def put(rings: Rings, times: Array, *, scores_first: bool = False, **vitals: Array) -> None:
    rows, values = np.zeros(len(times), dtype=np.int64), rows_of(len(times), **vitals)
    tables: Any = (values + 0.5, values - 1, values + 1, values * 0 + 2)
    rarity = np.full(len(times), 10.0, dtype=np.float32)
    if scores_first:
        rings.scores(rows, times, rarity, tables)
    rings.readings(rows, times, values)
    if not scores_first:
        rings.scores(rows, times, rarity, tables)


def made() -> Rings:
    rings = Rings()
    rings.cover(4)
    return rings


def test_what_is_read_back_is_what_was_written_whichever_came_first() -> None:
    times = START + np.arange(100) * 1000
    for scores_first in (False, True):
        rings = made()
        hr, temp = np.arange(60.0, 160.0), np.linspace(36.0, 39.9, 100).round(1)
        put(rings, times, scores_first=scores_first, hr=hr, temp=temp)
        window = rings.window(0, HR, START, int(times[-1]), 1000)
        assert window.times.tolist() == times.tolist()
        assert window.value.tolist() == hr.tolist()
        assert window.low.tolist() == (hr - 1).tolist()
        assert window.expected.tolist() == (hr + 0.5).tolist()
        assert set(window.surprise) == {2.0}
        assert rings.window(0, TEMP, START, int(times[-1]), 1000).value.tolist() == temp.tolist()
        assert set(rings.window(0, RARITY, START, int(times[-1]), 1000).value) == {1.0}
        assert not len(rings.window(0, SBP, START, int(times[-1]), 1000).times)


def test_thinning_hides_no_extreme() -> None:
    rings = made()
    times = START + np.arange(3000) * 1000
    hr = np.full(3000, 70.0)
    hr[1234], hr[2222] = 190, 31
    put(rings, times, hr=hr)
    window = rings.window(0, HR, START, int(times[-1]), 100)
    assert len(window.times) <= 101
    assert window.most.max() == 190
    assert window.least.min() == 31


def test_a_day_is_kept_by_the_minute_and_no_more() -> None:
    rings = made()
    count = 30 * 3600
    times = START + np.arange(count) * 1000
    hr = np.full(count, 70.0)
    hr[20 * 3600] = 180
    for begin in range(0, count, 10_000):
        put(rings, times[begin : begin + 10_000], hr=hr[begin : begin + 10_000])
    end = int(times[-1])
    day = rings.window(0, HR, end - 24 * 3_600_000, end, 100_000)
    assert 24 * 60 - 1 <= len(day.times) <= 24 * 60
    assert day.most.max() == 180
    assert len(rings.window(0, HR, START, end, 100_000).times) <= 24 * 60
    hour = rings.window(0, HR, end - 3_600_000, end, 100_000)
    assert len(hour.times) == 3601


def test_memory_is_bounded_however_long_a_patient_stays() -> None:
    rings = made()
    for begin in range(0, 5 * FULL, FULL):
        times = START + np.arange(begin, begin + FULL) * 1000
        put(rings, times, hr=np.full(FULL, 70.0))
        size = rings.nbytes
        assert size < 300_000  # two series: of the heart rate, and of the readings
    rings.forget(0)
    put(rings, times + 1, hr=np.full(FULL, 70.0))
    assert rings.nbytes == size
    assert rings.window(0, HR, 0, int(times[-1]) + 1, 10**6).times[0] == times[0] + 1


def test_a_reading_before_the_last_one_changes_nothing_but_its_minute() -> None:
    rings = made()
    put(rings, START + np.array([10_000]), hr=np.array([70.0]))
    put(rings, START + np.array([5_000]), hr=np.array([190.0]))
    assert rings.window(0, HR, START, START + 10_000, 10).value.tolist() == [70.0]
