"""Recorded people among the simulated ones in training: those of the side for training alone.

Of a real patient nobody knows the true level, so what is asked for is what was measured next, in
quiet times; a vital counts as critical where a value stays so; and an event is what the recording
says was done or befell (:mod:`vitalwatch.evaluation.recorded`). Where nothing is known, nothing is
asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints
from vitalwatch.errors import RecordingError
from vitalwatch.evaluation import recorded
from vitalwatch.evaluation.streams import MINUTE, DataSet
from vitalwatch.model import layout
from vitalwatch.scoring import features
from vitalwatch.scoring.known import follow
from vitalwatch.training.streams import THIN, Chunk, Size, never_squashed, side_by_side

PEOPLE: Final = {
    "cinc2019-sample": 0.40,
    "cinc2009-train": 0.16,
    "mimic4-demo-vitals": 0.14,
    "sedation-oximetry": 0.10,
    "mimic2-numerics": 0.08,
    "bidmc-numerics": 0.06,
    "noneeg": 0.06,
}
"""How many of the recorded people in a round are of each collection; never of checks only."""

HARMLESS: Final = ("noneeg",)
"""Collections without events in which nothing befell anybody, as their authors say."""

SHARE: Final = 0.75
"""Of a ward's patients."""

_LIFE: Final = 2  # chunks, after which other people come
_STAYS_MS: Final = 10 * MINUTE  # a critical value counts if the next is too, or comes later


@dataclass(frozen=True, slots=True)
class _Pool:
    """A collection's people for training: ``until (n, V)`` s to the next critical value, or inf."""

    data: DataSet
    records: Ints
    until: Floats
    known: bool


def check(folder: Path, report: Callable[[str], None]) -> None:
    """Read all there is to train on, and tell ``report`` of each file that cannot be used.

    Raises RecordingError if nobody is left.
    """
    if not _there(folder, report):
        raise RecordingError(
            f"Nobody in {folder} can be trained on: name the folder that holds "
            f"{', '.join(PEOPLE)}, or some of them."
        )


def _there(folder: Path, report: Callable[[str], None]) -> dict[str, float]:
    """The collections with people to train on, and their shares."""
    found = {}
    for name, share in PEOPLE.items():
        try:
            if len(_pool(folder, name, report).records):
                found[name] = share
        except RecordingError as error:
            report(str(error))
    total = sum(found.values())
    return {name: share / total for name, share in found.items()}


def _unheard(message: str) -> None:
    """Problems were told by :func:`check` before."""


@cache
def _pool(folder: Path, name: str, report: Callable[[str], None]) -> _Pool:
    data = recorded.load(folder, name, report).select("train")
    records = np.flatnonzero(data.streams.lengths >= THIN)
    return _Pool(data, records, _until(data), bool(data.events) or name in HARMLESS)


class Recorded:
    """Some recorded people side by side, as :class:`vitalwatch.training.streams.Source` has it."""

    def __init__(self, folder: Path, number: int, size: Size) -> None:
        self._random = np.random.default_rng([number, len("recorded")])
        self._columns = max(1, round(SHARE * size.patients))
        self._frames = size.frames
        self._folder = folder
        self._shares = _there(folder, _unheard)
        self._life = min(_LIFE, size.chunks)
        self._now: Chunk

    def chunk(self, number: int) -> Chunk:
        """The chunk of that ``number``, to be asked for in order."""
        place = number % self._life
        if place == 0:
            self._now = self._made()
        frames = slice(place * self._frames, (place + 1) * self._frames)
        later = slice(place * (self._frames // THIN), (place + 1) * (self._frames // THIN))
        now = self._now
        return Chunk(
            features=now.features[frames],
            ahead=now.ahead[frames],
            value=now.value[frames],
            counts=now.counts[frames],
            later_ahead=now.later_ahead[:, later],
            later_value=now.later_value[:, later],
            later_counts=now.later_counts[:, later],
            risk=now.risk[later],
            risk_counts=now.risk_counts[later],
            event=now.event[later],
            event_counts=now.event_counts[later],
            fresh=np.full(self._columns, place == 0),
        )

    def _made(self) -> Chunk:
        """A whole life of fresh people."""
        names = list(self._shares)
        drawn = self._random.choice(len(names), self._columns, p=list(self._shares.values()))
        steps = self._life * self._frames
        parts = [
            _follow(_pool(self._folder, names[k], _unheard), steps, self._random) for k in drawn
        ]
        return side_by_side(parts)


def _follow(pool: _Pool, steps: int, random: np.random.Generator) -> Chunk:
    """One person from somewhere in a record on, N = 1; nothing is asked where there is no more."""
    data, streams = pool.data, pool.data.streams
    record = int(random.choice(pool.records))
    begin, end = streams.edges[record : record + 2].tolist()
    start = begin + int(random.integers(0, max(1, end - begin - steps)))
    stop = min(start + steps, end)
    count = stop - start
    times = streams.times[begin:end]
    value = features.standardise(streams.clean[begin:end])

    elapsed = np.zeros((end - begin, 1), dtype=np.float32)
    elapsed[1:, 0] = np.diff(times) / 1000
    memory = features.Memory.blank(1)
    none = np.zeros((1, layout.CONTEXT.stop - layout.CONTEXT.start), dtype=np.float32)
    before = start - begin
    told = np.zeros((before + steps, 1, layout.FEATURES), dtype=np.float32)
    told[:, :, layout.DEVIATION] = 1
    follow(
        memory.parts,
        elapsed[: before + count],
        value[: before + count, None],
        none,
        features.STEP,
        told[: before + count],
    )
    told = told[before:]
    told[0, :, layout.ELAPSED] = 0

    quiet = data.quiet[begin:end]
    at = np.arange(before, before + count)
    ahead = np.ones((steps, 1), dtype=np.float32)
    wanted = np.zeros((steps, 1, vitals.COUNT), dtype=np.float32)
    counts = np.zeros_like(wanted)
    more = at + 1 < len(times)
    after = at[more] + 1
    ahead[:count][more, 0] = (times[after] - times[after - 1]) / 1000
    asked = ~np.isnan(value[after]) & quiet[after, None]
    wanted[:count][more, 0] = np.where(asked, value[after], 0)
    counts[:count][more, 0] = asked

    some = np.arange(THIN - 1, steps, THIN)
    here = some[some < count]
    moment = times[before + here]
    shape = (len(layout.HORIZONS), len(some), 1)
    later_ahead = np.ones(shape, dtype=np.float32)
    later_value = np.zeros((*shape, vitals.COUNT), dtype=np.float32)
    later_counts = np.zeros_like(later_value)
    for k, horizon in enumerate(layout.HORIZONS):
        there = _nearest(times, moment + int(horizon * 1000))
        passed = (times[there] - moment) / 1000
        near = np.abs(passed / horizon - 1) <= 0.25
        asked = ~np.isnan(value[there]) & (near & quiet[there])[:, None]
        later_ahead[k, : len(here), 0] = np.where(near, passed, horizon)
        later_value[k, : len(here), 0] = np.where(asked, value[there], 0)
        later_counts[k, : len(here), 0] = asked

    within = np.array(layout.WITHIN, dtype=np.float32)[:, None]
    risk = np.zeros((len(some), 1, len(within), vitals.COUNT), dtype=np.float32)
    risk_counts = np.zeros_like(risk)
    until = pool.until[begin:end][before + here][:, None]
    known = (told[here, 0][:, layout.AGE] < never_squashed())[:, None]
    seen_out = moment[:, None, None] + 1000 * within <= times[-1]
    risk[: len(here), 0] = until <= within
    risk_counts[: len(here), 0] = known & (seen_out | (until <= within))

    event = np.zeros((len(some), 1), dtype=np.float32)
    event_counts = np.zeros_like(event)
    if pool.known:
        due = data.due[begin:end][before + here]
        event[: len(here), 0] = due
        event_counts[: len(here), 0] = due | quiet[before + here]
    return Chunk(
        features=told,
        ahead=ahead,
        value=wanted,
        counts=counts,
        later_ahead=later_ahead,
        later_value=later_value,
        later_counts=later_counts,
        risk=risk,
        risk_counts=risk_counts,
        event=event,
        event_counts=event_counts,
        fresh=np.ones(1, dtype=np.bool_),
    )


def _nearest(times: Ints, wanted: Ints) -> Ints:
    """Places of the ``times`` nearest to those ``wanted``."""
    after = np.searchsorted(times, wanted).clip(max=len(times) - 1)
    before = (after - 1).clip(0)
    return np.where(np.abs(times[before] - wanted) <= np.abs(times[after] - wanted), before, after)


def _until(data: DataSet) -> Floats:
    """Seconds ``(n, V)`` from each reading to the next critical value that is no blip, or inf."""
    low, high = vitals.bounds("critical")
    streams = data.streams
    until = np.full(streams.clean.shape, np.inf, dtype=np.float32)
    for begin, end in zip(streams.edges[:-1].tolist(), streams.edges[1:].tolist(), strict=True):
        times, values = streams.times[begin:end], streams.clean[begin:end]
        for vital in range(vitals.COUNT):
            at = np.flatnonzero(~np.isnan(values[:, vital]))
            own = values[at, vital]
            beyond = (own < low[vital]) | (own > high[vital])
            next_too = np.append(beyond[1:], False)
            far = np.append(np.diff(times[at]) > _STAYS_MS, True)
            moments = times[at[beyond & (next_too | far)]]
            if len(moments):
                place = np.searchsorted(moments, times)
                known = place < len(moments)
                passed = (moments[place.clip(max=len(moments) - 1)] - times) / 1000
                until[begin:end, vital] = np.where(known, passed, np.inf)
    return until
