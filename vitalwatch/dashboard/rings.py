"""What was measured and expected, by series, in bounded memory.

A series is one vital sign of one patient. Its last :data:`FULL` readings are kept as they came, in
a ring; older ones as one summary a minute, for a day. Numbers are held as whole numbers of the
last digit that is on the wire, so what is read back is what was written.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitalwatch.arrays import Doubles, Floats, Ints, Words16
from vitalwatch.compiled import compiled
from vitalwatch.vitals import COUNT, VITALS

FULL: Final = 4096
"""Readings of a series that are kept as they came: a little over an hour at one a second."""

MINUTES: Final = 24 * 60
MINUTE_MS: Final = 60_000

FIELDS: Final = ("value", "expected", "low", "high", "surprise")
VALUE, EXPECTED, LOW, HIGH, SURPRISE = range(len(FIELDS))
_LEAST, _MOST, _LAST, _EXPECTED, _LOW, _HIGH, _SURPRISE = range(7)
_SUMMARY: Final = 7

RARITY: Final = COUNT
"""Behind the vitals: the series of a patient's readings, with the rarity's decimal logarithm."""

SERIES: Final = COUNT + 1

_MISSING: Final = -32768
_LARGEST: Final = 32767
_NONE: Final = -1
_SURPRISE_SCALE: Final = 100.0
_RARITY_SCALE: Final = 1000.0
_SCALES: Final = np.array(
    [10.0 ** (1 + max(0, -round(np.log10(vital.resolution)))) for vital in VITALS]
    + [_RARITY_SCALE],
    dtype=np.float64,
)


class Window(NamedTuple):
    """A series over some time, oldest first, all (n,); NaN where there is none.

    ``least`` and ``most`` are of all readings that an entry stands for, the others of its last.
    """

    times: Ints
    value: Doubles
    least: Doubles
    most: Doubles
    expected: Doubles
    low: Doubles
    high: Doubles
    surprise: Doubles


class _Store(NamedTuple):
    """By series (S,): its ring, of which ``counts`` entries were written, and its minutes."""

    times: Ints
    data: Words16
    counts: Ints
    minute: npt.NDArray[np.int32]
    summary: Words16

    @classmethod
    def of(cls, size: int, full: int, minutes: int) -> "_Store":
        """Memory for so many series; the system gives it when it is first written to."""
        return cls(
            np.zeros((size, full), dtype=np.int64),
            np.zeros((size, full, len(FIELDS)), dtype=np.int16),
            np.zeros(size, dtype=np.int64),
            np.zeros((size, minutes), dtype=np.int32),
            np.zeros((size, minutes, _SUMMARY), dtype=np.int16),
        )


class Rings:
    """Series of patients, by the patient's row and the vital's index."""

    def __init__(self, full: int = FULL, minutes: int = MINUTES) -> None:
        self._full = full
        self._minutes = minutes
        self.of: Ints = np.full((0, SERIES), _NONE, dtype=np.int64)
        self._free: list[int] = []
        self._used = 0
        self._store = _Store.of(0, full, minutes)

    @property
    def nbytes(self) -> int:
        """Bytes that the series in use may take."""
        each = self._full * (8 + 2 * len(FIELDS)) + self._minutes * (4 + 2 * _SUMMARY)
        return self._used * each

    def cover(self, rows: int) -> None:
        """Have room for patients' rows below ``rows``."""
        more = np.full((rows - len(self.of), SERIES), _NONE, dtype=np.int64)
        self.of = np.concatenate((self.of, more))

    def reset(self) -> None:
        """Forget all readings."""
        self._store.counts[:] = 0
        self._store.minute[:] = _NONE

    def forget(self, row: int) -> None:
        """A patient is gone."""
        for series in self.of[row]:
            if series != _NONE:
                self._free.append(int(series))
        self.of[row] = _NONE

    def readings(self, rows: Ints, times: Ints, values: Floats) -> None:
        """Readings of patients' ``rows`` (n,) at ``times`` (n,) in ms; ``values`` (n, V)."""
        self._open(rows, ~np.isnan(values))
        store = self._store
        _put_values(
            rows, times, values, self.of, _SCALES,
            store.times, store.data, store.counts, store.minute, store.summary,
        )  # fmt: skip

    def scores(
        self, rows: Ints, times: Ints, rarity: Floats, tables: tuple[Floats, Floats, Floats, Floats]
    ) -> None:
        """Scores of readings, before them or after; ``tables`` are expected, low, high, surprise.

        ``rarity`` (n,) in patient-days; each table (n, V), NaN where a vital was not scored.
        """
        self._open(rows, ~np.isnan(tables[0]))
        with np.errstate(divide="ignore", invalid="ignore"):
            days = np.log10(rarity)
        store = self._store
        _put_scores(
            rows, times, days.astype(np.float32), *tables, self.of, _SCALES,
            store.times, store.data, store.counts, store.minute, store.summary,
        )  # fmt: skip

    def window(self, row: int, vital: int, begin: int, end: int, points: int) -> Window:
        """A series from ``begin`` to ``end`` in ms, of about ``points`` entries at most."""
        series = int(self.of[row, vital]) if row < len(self.of) else _NONE
        if series == _NONE:
            return Window(np.zeros(0, dtype=np.int64), *np.zeros((7, 0)))
        held = self._held(series)
        if not len(held) or self._store.times[series, held[0]] <= begin or self._young(series):
            found = self._whole(series, vital, held, begin, end)
        else:
            found = self._summed(series, vital, begin, end)
        return thinned(found, begin, end, points)

    def whole_since(self, row: int) -> int:
        """Since when a patient's readings are kept as they came, in ms; 0 if all of them are."""
        series = int(self.of[row, RARITY])
        if series == _NONE or self._young(series):
            return 0
        return int(self._store.times[series, self._held(series)[0]])

    def first(self, row: int) -> int:
        """The first minute of which anything is kept of a patient, in ms; 0 for none."""
        series = int(self.of[row, RARITY])
        kept = self._store.minute[series] if series != _NONE else np.zeros(0, dtype=np.int32)
        kept = kept[kept >= 0]
        return int(kept.min()) * MINUTE_MS if len(kept) else 0

    def _young(self, series: int) -> bool:
        """Whether nothing of a series has left the ring yet."""
        return int(self._store.counts[series]) <= self._full

    def _held(self, series: int) -> Ints:
        """The ring's places, oldest first."""
        count = int(self._store.counts[series])
        return np.arange(max(0, count - self._full), count, dtype=np.int64) % self._full

    def _whole(self, series: int, vital: int, held: Ints, begin: int, end: int) -> Window:
        times = self._store.times[series, held]
        first, last = np.searchsorted(times, [begin, end + 1])
        chosen = held[first:last]
        data = self._numbers(self._store.data[series, chosen], vital)
        value, expected, low, high, surprise = data.T
        return Window(times[first:last], value, value, value, expected, low, high, surprise)

    def _summed(self, series: int, vital: int, begin: int, end: int) -> Window:
        wanted = np.arange(max(begin // MINUTE_MS, 0), end // MINUTE_MS + 1)[-self._minutes :]
        slots = wanted % self._minutes
        present = self._store.minute[series, slots] == wanted
        data = self._numbers(self._store.summary[series, slots[present]], vital, summary=True)
        times = wanted[present].astype(np.int64) * MINUTE_MS + MINUTE_MS // 2
        least, most, last, expected, low, high, surprise = data.T
        return Window(times, last, least, most, expected, low, high, surprise)

    def _numbers(self, whole: Words16, vital: int, *, summary: bool = False) -> Doubles:
        scales = np.full(whole.shape[1], _SCALES[vital])
        scales[_SURPRISE if summary else SURPRISE] = _SURPRISE_SCALE
        numbers: Doubles = np.where(whole == _MISSING, np.nan, whole / scales)
        return numbers

    def _open(self, rows: Ints, measured: npt.NDArray[np.bool_]) -> None:
        """Have a series for every vital that was measured, and one of each patient's readings."""
        missing = self.of[rows] == _NONE
        needed = missing.copy()
        needed[:, :COUNT] &= measured
        if not needed.any():
            return
        places, vitals = np.nonzero(needed)
        for row, vital in dict.fromkeys(zip(rows[places].tolist(), vitals.tolist(), strict=True)):
            self.of[row, vital] = self._take()

    def _take(self) -> int:
        if not self._free:
            size = len(self._store.counts)
            larger = _Store.of(max(64, 2 * size), self._full, self._minutes)
            pairs: Iterable[tuple[Any, Any]] = zip(larger, self._store, strict=True)
            written = min(int(self._store.counts.max(initial=0)), self._full)
            for new, old in pairs:
                # Of rings only what was written: memory that nobody has touched costs nothing.
                within = slice(written) if old.shape[1:2] == (self._full,) else slice(None)
                if old.ndim == 1:
                    new[:size] = old
                else:
                    new[:size, within] = old[:, within]
            self._store = larger
            self._free.extend(range(len(larger.counts) - 1, size - 1, -1))
        series = self._free.pop()
        self._used = max(self._used, series + 1)
        self._store.counts[series] = 0
        self._store.minute[series] = _NONE
        return series


def thinned(window: Window, begin: int, end: int, points: int) -> Window:
    """Of about ``points`` entries at most, none of which hides what it stands for."""
    count = len(window.times)
    if count <= points:
        return window
    bins = (window.times - begin) * points // max(end - begin + 1, 1)
    firsts = np.flatnonzero(np.diff(bins, prepend=-1))
    lasts = np.append(firsts[1:], count) - 1
    return Window(
        window.times[lasts],
        window.value[lasts],
        np.fmin.reduceat(window.least, firsts),
        np.fmax.reduceat(window.most, firsts),
        window.expected[lasts],
        window.low[lasts],
        window.high[lasts],
        np.fmax.reduceat(window.surprise, firsts),
    )


@compiled
def _whole_number(number: float, scale: float) -> int:
    """A number as it is held."""
    if np.isnan(number):
        return _MISSING
    whole: int = int(max(min(np.rint(number * scale), _LARGEST), -_LARGEST))
    return whole


@compiled
def _place(series: int, time: int, times: Ints, data: Words16, counts: Ints) -> int:
    """Where in its ring the entry of a time is, a new one if it is the newest; else -1."""
    full, count = np.int64(times.shape[1]), counts[series]
    place: int
    if count == 0 or time > times[series, (count - 1) % full]:
        place = count % full
        counts[series] = count + 1
        times[series, place] = time
        data[series, place, :] = _MISSING
        return place
    low, high = max(0, count - full), count
    while low < high:
        middle = (low + high) // 2
        if times[series, middle % full] < time:
            low = middle + 1
        else:
            high = middle
    place = low % full
    if times[series, place] != time:
        return _NONE
    return place


@compiled
def _summarised(series: int, time: int, minute: npt.NDArray[np.int32], summary: Words16) -> int:
    """Where the summary of a time's minute is, blank if it is a new one; -1 if it is too old."""
    number = time // MINUTE_MS
    slot: int = number % minute.shape[1]
    if minute[series, slot] > number:
        return _NONE
    if minute[series, slot] < number:
        minute[series, slot] = number
        summary[series, slot, :] = _MISSING
    return slot


@compiled
def _put_values(
    rows: Ints,
    at: Ints,
    values: Floats,
    of: Ints,
    scales: Doubles,
    times: Ints,
    data: Words16,
    counts: Ints,
    minute: npt.NDArray[np.int32],
    summary: Words16,
) -> None:
    for i in range(len(rows)):
        _place(of[rows[i], RARITY], at[i], times, data, counts)
        _summarised(of[rows[i], RARITY], at[i], minute, summary)
        for vital in range(values.shape[1]):
            if np.isnan(values[i, vital]):
                continue
            series = of[rows[i], vital]
            number = _whole_number(values[i, vital], scales[vital])
            place = _place(series, at[i], times, data, counts)
            if place >= 0:
                data[series, place, VALUE] = number
            slot = _summarised(series, at[i], minute, summary)
            if slot >= 0:
                old = summary[series, slot, _LEAST]
                if old == _MISSING or number < old:
                    summary[series, slot, _LEAST] = number
                if number > summary[series, slot, _MOST]:
                    summary[series, slot, _MOST] = number
                summary[series, slot, _LAST] = number


@compiled
def _put_scores(
    rows: Ints,
    at: Ints,
    days: Floats,
    expected: Floats,
    low: Floats,
    high: Floats,
    surprise: Floats,
    of: Ints,
    scales: Doubles,
    times: Ints,
    data: Words16,
    counts: Ints,
    minute: npt.NDArray[np.int32],
    summary: Words16,
) -> None:
    for i in range(len(rows)):
        series = of[rows[i], RARITY]
        number = _whole_number(days[i], scales[RARITY])
        place = _place(series, at[i], times, data, counts)
        if place >= 0:
            data[series, place, VALUE] = number
        slot = _summarised(series, at[i], minute, summary)
        if slot >= 0 and number != _MISSING:
            if number > summary[series, slot, _MOST]:
                summary[series, slot, _MOST] = number
            summary[series, slot, _LAST] = number
        for vital in range(expected.shape[1]):
            if np.isnan(expected[i, vital]):
                continue
            series, scale = of[rows[i], vital], scales[vital]
            nats = _whole_number(surprise[i, vital], _SURPRISE_SCALE)
            place = _place(series, at[i], times, data, counts)
            if place >= 0:
                data[series, place, EXPECTED] = _whole_number(expected[i, vital], scale)
                data[series, place, LOW] = _whole_number(low[i, vital], scale)
                data[series, place, HIGH] = _whole_number(high[i, vital], scale)
                data[series, place, SURPRISE] = nats
            slot = _summarised(series, at[i], minute, summary)
            if slot >= 0:
                summary[series, slot, _EXPECTED] = _whole_number(expected[i, vital], scale)
                summary[series, slot, _LOW] = _whole_number(low[i, vital], scale)
                summary[series, slot, _HIGH] = _whole_number(high[i, vital], scale)
                if nats > summary[series, slot, _SURPRISE]:
                    summary[series, slot, _SURPRISE] = nats
