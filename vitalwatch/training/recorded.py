"""Recorded people among the simulated ones in training: those of the side for training alone.

Of a real patient nobody knows the true level, so what is asked for is what was measured next, in
quiet times; a vital counts as beyond a range where a value stays so; and an event is what the
recording says was done or befell (:mod:`vitalwatch.evaluation.recorded`). Where nothing is known,
nothing is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints
from vitalwatch.errors import RecordingError
from vitalwatch.evaluation import recorded
from vitalwatch.evaluation.streams import DataSet
from vitalwatch.model import layout
from vitalwatch.scoring import features
from vitalwatch.scoring.known import follow
from vitalwatch.training.corruption import disguised
from vitalwatch.training.people import Side
from vitalwatch.training.streams import THIN, Chunk, Size, never_squashed, side_by_side
from vitalwatch.training.until import outside, seconds_until

PEOPLE: Final = {
    "cinc2019-sample": 0.72,
    "cinc2009-train": 0.06,
    "mimic4-demo-vitals": 0.08,
    "sedation-oximetry": 0.06,
    "mimic2-numerics": 0.02,
    "bidmc-numerics": 0.03,
    "noneeg": 0.03,
}
"""How often whoever comes next is of each collection; never of checks only. Where there are few
people they come seldom, or a network would learn them by heart."""

HARMLESS: Final = ("noneeg",)
"""Collections without events in which nothing befell anybody, as their authors say."""

SHARE: Final = 1.0
"""Of a ward's patients."""

_LIFE: Final = 2  # chunks at most, after which somebody else comes
_STAYS_S: Final = 61.0  # a value beyond counts if the next is too, or comes later


@dataclass(frozen=True, slots=True)
class _Pool:
    """People of one side; ``until (W, n, V)`` s to what each chance is of, or inf."""

    data: DataSet
    records: Ints
    until: Floats
    known: bool


def check(folder: Path, report: Callable[[str], None]) -> None:
    """Read all there is to train on, and tell ``report`` of each file that cannot be used.

    Raises RecordingError if nobody is left.
    """
    if not _there(folder, "train", report):
        raise RecordingError(
            f"Nobody in {folder} can be trained on: name the folder that holds "
            f"{', '.join(PEOPLE)}, or some of them."
        )


def _there(folder: Path, side: Side, report: Callable[[str], None]) -> dict[str, float]:
    """The collections with people of that side, and their shares."""
    found = {}
    for name, share in PEOPLE.items():
        try:
            if len(_pool(folder, name, side, report).records):
                found[name] = share
        except RecordingError as error:
            report(str(error))
    total = sum(found.values())
    return {name: share / total for name, share in found.items()}


def _unheard(message: str) -> None:
    """Problems were told by :func:`check` before."""


@cache
def _pool(folder: Path, name: str, side: Side, report: Callable[[str], None]) -> _Pool:
    data = recorded.load(folder, name, report).select(side)
    records = np.flatnonzero(data.streams.lengths >= THIN)
    return _Pool(data, records, _until(data), bool(data.events) or name in HARMLESS)


class Recorded:
    """Some recorded people side by side, as :class:`vitalwatch.training.streams.Source` has it."""

    def __init__(self, folder: Path, number: int, size: Size, side: Side = "train") -> None:
        self._random = np.random.default_rng([number, len("recorded"), len(side)])
        self._columns = max(1, round(SHARE * size.patients))
        self._frames = size.frames
        self._folder = folder
        self._side: Side = side
        self._shares = _there(folder, side, _unheard)
        self._most = min(_LIFE, size.chunks)
        self._now = [self._next() for _ in range(self._columns)]

    def chunk(self, number: int) -> Chunk:  # noqa: ARG002 - whoever is next
        """The chunk of that ``number``, to be asked for in order."""
        parts = []
        for column in range(self._columns):
            chunk, place = self._now[column]
            if place * self._frames == len(chunk.features):
                chunk, place = self._next()
            parts.append(_part(chunk, place, self._frames))
            self._now[column] = chunk, place + 1
        return side_by_side(parts)

    def _next(self) -> tuple[Chunk, int]:
        """Whoever comes next, for as many chunks as there are readings."""
        names = list(self._shares)
        name = names[self._random.choice(len(names), p=list(self._shares.values()))]
        pool = _pool(self._folder, name, self._side, _unheard)
        record = int(self._random.choice(pool.records))
        chunks = min(-(-int(pool.data.streams.lengths[record]) // self._frames), self._most)
        return _follow(pool, record, chunks * self._frames, self._random), 0


def _part(life: Chunk, place: int, frames: int) -> Chunk:
    """One of the chunks that a life has."""
    now = slice(place * frames, (place + 1) * frames)
    some = slice(place * (frames // THIN), (place + 1) * (frames // THIN))
    later = (slice(None), some)
    wheres: dict[str, Any] = dict.fromkeys(Chunk.__slots__, some)
    wheres |= dict.fromkeys(("features", "ahead", "value", "counts"), now)
    wheres |= dict.fromkeys(("later_ahead", "later_value", "later_counts"), later)
    wheres |= dict.fromkeys(("fresh", "real"), slice(None))
    cut = {name: array[wheres[name]] for name, array in life.arrays().items()}
    return Chunk(**cut | {"fresh": np.full(1, place == 0)})


def _follow(pool: _Pool, record: int, steps: int, random: np.random.Generator) -> Chunk:
    """One person from somewhere in a record on, N = 1; nothing is asked where there is no more."""
    data, streams = pool.data, pool.data.streams
    begin, end = streams.edges[record : record + 2].tolist()
    start = begin + int(random.integers(0, max(1, end - begin - steps)))
    stop = min(start + steps, end)
    count = stop - start
    times = streams.times[begin:end]
    value = disguised(features.standardise(streams.clean[begin:end]), random)

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

    within = np.array([chance.within for chance in layout.CHANCES], dtype=np.float32)[:, None]
    risk = np.zeros((len(some), 1, len(within), vitals.COUNT), dtype=np.float32)
    risk_counts = np.zeros_like(risk)
    until = pool.until[:, begin:end][:, before + here].transpose(1, 0, 2)
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
        real=np.ones(1, dtype=np.bool_),
    )


def _nearest(times: Ints, wanted: Ints) -> Ints:
    """Places of the ``times`` nearest to those ``wanted``."""
    after = np.searchsorted(times, wanted).clip(max=len(times) - 1)
    before = (after - 1).clip(0)
    return np.where(np.abs(times[before] - wanted) <= np.abs(times[after] - wanted), before, after)


def _until(data: DataSet) -> Floats:
    """Seconds ``(W, n, V)`` from each reading to the next that each chance is of, or inf."""
    streams = data.streams
    until = np.full((len(layout.CHANCES), *streams.clean.shape), np.inf, dtype=np.float32)
    for begin, end in zip(streams.edges[:-1].tolist(), streams.edges[1:].tolist(), strict=True):
        times, values = streams.times[begin:end], streams.clean[begin:end]
        for vital in range(vitals.COUNT):
            at = np.flatnonzero(~np.isnan(values[:, vital]))
            if not len(at):
                continue
            # What is known at a reading is what the next measured value is to.
            place = np.searchsorted(at, np.arange(end - begin)).clip(max=len(at) - 1)
            ahead = (times[at[place]] - times) / 1000
            for number, chance in enumerate(layout.CHANCES):
                beyond = outside(values[at], chance)[:, None, vital : vital + 1]
                stays = max(chance.stays, _STAYS_S)
                found = seconds_until(beyond, times[at, None], stays)[:, 0, 0]
                until[number, begin:end, vital] = np.where(ahead >= 0, found[place] + ahead, np.inf)
    return until
