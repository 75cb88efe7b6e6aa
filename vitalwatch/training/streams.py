"""Simulated streams for training a forecaster: what it is told, what comes, and what is true.

A round is fresh wards, one for each rate, so fresh patients. Half of them deteriorate. What is
shown to the network is corrupted further (spikes, vitals that are never measured); what it is asked
for is clean: a reading counts as a target only if it is near the patient's true level, and while
nobody deteriorates, or the deterioration would be learnt as what is to be expected. The risk is
asked of true levels throughout.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np

from simulator import Ward
from simulator.styles import STYLES
from simulator.ward import DEFAULT_START
from vitalwatch import vitals
from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.model import layout
from vitalwatch.scoring import features
from vitalwatch.scoring.known import follow
from vitalwatch.training.corruption import corrupted
from vitalwatch.training.data import Purpose, ward
from vitalwatch.training.people import Side
from vitalwatch.training.until import outside, seconds_until

THIN: Final = 4
"""Later horizons and risks are asked for at every fourth frame: they change slowly."""

_HOUR: Final = 3600.0
_CHARTED_EVERY: Final = 4500.0  # s; whoever is charted more seldom shows empty frames too
_RECOVERY_MS: Final = 2 * 3_600_000  # so long after a deterioration is not normal yet
_NEAR: Final = np.float32(1.5)  # a clean target is so many spreads from the true level at most
_LOWEST, _HIGHEST = vitals.bounds("plausible")


class Rate(NamedTuple):
    """How a ward is read: frames of ``interval`` s, of which a patient shows one in ``gap``.

    Each patient's own gap is up to twice that; those of one are alike, not equal. ``style`` is the
    simulator's; of one that is charted, a frame is shown where something is. A life is ``life``
    chunks of frames, after which other patients come; ``share`` of the plan's patients.
    """

    style: str
    interval: float
    gap: float
    life: int
    share: float


RATES: Final = (
    Rate("ward", 1, 1, 48, 1),
    Rate("bedside", 1, 1, 48, 0.5),
    Rate("wearable", 1, 1, 48, 0.5),
    Rate("sedation", 2, 1, 48, 0.5),
    Rate("ward", 5, 1, 48, 0.5),
    Rate("swinging", 5, 1, 48, 0.5),
    Rate("swinging", 10, 1, 48, 1),
    Rate("bedside", 10, 1, 24, 0.5),
    Rate("ward", 30, 1, 24, 0.5),
    Rate("swinging", 30, 1, 24, 0.5),
    Rate("bedside", 60, 1, 24, 1),
    Rate("wearable", 60, 1, 12, 0.5),
    Rate("ward", 60, 8, 4, 0.25),
    Rate("charted", 300, 1, 2, 0.25),
)
"""From one reading a second to one an hour, of many kinds of patients: one model for all."""


class Size(NamedTuple):
    """``patients`` a ward, ``chunks`` a round, ``frames`` a chunk: the reach of the gradient.

    A round is gone through once: to go on with the same people for another time costs half, but
    what is learnt then is who they are.
    """

    patients: int
    chunks: int
    frames: int


class Job(NamedTuple):
    """A round to be made: its ``number`` tells its patients from all others of the purpose.

    With ``recordings``, the folder of all collections, real people are among them: those to train
    on, or, where the purpose is to validate, those to calibrate with.
    """

    purpose: Purpose
    number: int
    size: Size
    recordings: Path | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """T frames of N patients; L = T / THIN of them (the last of each THIN) look further ahead.

    ``features (T, N, F)``. The next reading: ``ahead (T, N)`` s, ``value (T, N, V)`` standardised,
    ``counts (T, N, V)`` 1 where it is a target. At each of Q horizons: ``later_ahead (Q, L, N)``,
    ``later_value`` and ``later_counts (Q, L, N, V)``. ``risk (L, N, W, V)`` 1 where the true level
    becomes critical in time, ``risk_counts (L, N, W, V)`` 1 where the vital is the patient's.
    ``event (L, N)`` 1 where an event is under way, ``event_counts (L, N)`` its weight, 0 where
    nobody can say. ``fresh (N,)``: whether this is a patient's first chunk; ``real (N,)``: whether
    it is somebody from a recording.
    """

    features: Floats
    ahead: Floats
    value: Floats
    counts: Floats
    later_ahead: Floats
    later_value: Floats
    later_counts: Floats
    risk: Floats
    risk_counts: Floats
    event: Floats
    event_counts: Floats
    fresh: Bools
    real: Bools

    def arrays(self) -> dict[str, Floats | Bools]:
        """All by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Source(Protocol):
    """Where chunks come from."""

    def chunk(self, number: int) -> Chunk:
        """The chunk of that ``number``, to be asked for in order."""


def chunks(job: Job) -> Iterator[Chunk]:
    """The chunks of a round, which follow one another."""
    parts: list[Source] = [
        Simulated(rate, job.purpose, job.number * len(RATES) + i, job.size)
        for i, rate in enumerate(RATES)
    ]
    if job.recordings is not None:
        from vitalwatch.training.recorded import Recorded

        side: Side = "train" if job.purpose == "train" else "calibrate"
        parts.append(Recorded(job.recordings, job.number, job.size, side))
    for number in range(job.size.chunks):
        yield side_by_side([part.chunk(number) for part in parts])


def side_by_side(parts: Sequence[Chunk]) -> Chunk:
    """Chunks of other patients as one."""
    axis = {"fresh": 0, "real": 0, "later_ahead": 2, "later_value": 2, "later_counts": 2}
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=axis.get(name, 1))
        for name in Chunk.__slots__
    }
    return Chunk(**joined)


class Simulated:
    """One rate's ward, all simulated at once; one life after another side by side in it."""

    def __init__(self, rate: Rate, purpose: Purpose, number: int, size: Size) -> None:
        self._frames = size.frames
        self._columns = max(1, round(size.patients * rate.share))
        self._life = min(rate.life, size.chunks)
        lives = -(-size.chunks // self._life)
        count = self._columns * lives
        random = np.random.default_rng([number, len(purpose)])
        steps = self._life * size.frames + 1  # and the one after the last
        often = _often(rate.gap, steps, count, random)
        horizon = int(np.ceil(1.25 * layout.HORIZONS[-1] / rate.interval)) + 1
        dense = int(often[-1].max()) + 1 + horizon
        charted = STYLES[rate.style].charting is not None
        if charted:
            dense = round(steps * _CHARTED_EVERY / rate.interval) + horizon
        last = (dense - horizon) * rate.interval
        people = ward(
            purpose,
            number,
            count,
            rate.interval,
            "mixed",
            onset=(0.0, min(last, 12 * _HOUR)),
            every=max(last / 2, 24 * _HOUR),
            start_ms=DEFAULT_START + int(random.integers(0, 24)) * 3_600_000,
            style=rate.style,
        )
        self._times, measured, levels = _simulate(people, dense)
        self._calm = _calm(people, self._times)
        self._event, self._weight = _events(people, self._times)
        self._value = features.standardise(measured)
        seen = _seen(measured)
        self._clean = seen & _near(measured, levels)
        self._until = {
            chance.what: seconds_until(outside(levels, chance), self._times, chance.stays)
            for chance in layout.CHANCES
        }
        self._shown = _measured(seen[: dense - horizon], often) if charted else often
        self._sparse = charted
        self._inputs = corrupted(np.where(seen, self._value, np.float32(np.nan)), random)
        self._interval = rate.interval
        self._context = context(people, random)
        self._past = _past(
            np.where(self._clean & self._calm[..., None], self._value, np.nan), random
        )
        self._memory = features.Memory.blank(self._columns)
        self._before: Ints = self._times[0]

    def chunk(self, number: int) -> Chunk:
        """The chunk of that ``number``, to be asked for in order."""
        life, place = divmod(number, self._life)
        who = np.arange(life * self._columns, (life + 1) * self._columns)
        begin = place * self._frames
        shown = self._shown[begin : begin + self._frames + 1, who]
        at, after = shown[:-1], shown[1:]
        times = self._times[at, who]
        if place == 0:
            self._memory = features.Memory(np.ascontiguousarray(self._past.parts[:, who]))
            self._before = times[0]
        elapsed = np.diff(times, axis=0, prepend=self._before[None]) / 1000
        self._before = times[-1]
        told = np.empty((*times.shape, layout.FEATURES), dtype=np.float32)
        follow(
            self._memory.parts,
            elapsed.astype(np.float32),
            self._inputs[at, who],
            self._context[who],
            features.STEP,
            told,
        )
        counts = self._target(after, who)
        some, some_at = slice(THIN - 1, None, THIN), at[THIN - 1 :: THIN]
        later = [self._later(some_at, who, horizon) for horizon in layout.HORIZONS]
        known = (told[some, :, layout.AGE] < never_squashed()).astype(np.float32)
        return Chunk(
            features=told,
            ahead=_seconds(self._times[after, who] - times),
            value=np.where(counts, self._value[after, who], np.float32(0)),
            counts=counts.astype(np.float32),
            later_ahead=np.stack([ahead for ahead, _, _ in later]),
            later_value=np.stack([value for _, value, _ in later]),
            later_counts=np.stack([counts for _, _, counts in later]),
            risk=np.stack(
                [self._until[c.what][some_at, who] <= c.within for c in layout.CHANCES], axis=2
            ).astype(np.float32),
            risk_counts=np.repeat(known[:, :, None], len(layout.CHANCES), axis=2),
            event=self._event[some_at, who],
            event_counts=self._weight[some_at, who],
            fresh=np.full(len(who), place == 0),
            real=np.zeros(len(who), dtype=np.bool_),
        )

    def _target(self, frames: Ints, who: Ints) -> Bools:
        """Where a reading ``(T, N, V)`` may be asked for."""
        return np.asarray(self._clean[frames, who] & self._calm[frames, who][..., None])

    def _later(self, at: Ints, who: Ints, horizon: float) -> tuple[Floats, Floats, Floats]:
        """Seconds ahead, values and counts of what the monitor measures a ``horizon`` later.

        By time: the frame that is nearest to it, if that is within a quarter.
        """
        frames = max(1, round(horizon / self._interval))
        there = at + frames
        if self._sparse:  # of what is charted, what is nearest to it
            for off in range(1, int(0.25 * horizon / self._interval) + 1):
                for other in (at + frames - off, at + frames + off):
                    empty = ~self._clean[there, who].any(axis=2)
                    there = np.where(empty & self._clean[other, who].any(axis=2), other, there)
        ahead = _seconds(self._times[there, who] - self._times[at, who])
        counts = self._target(there, who) & (np.abs(ahead / horizon - 1) <= 0.25)[..., None]
        value = np.where(counts, self._value[there, who], np.float32(0))
        return ahead, value, counts.astype(np.float32)


def context(people: Ward, random: np.random.Generator) -> Floats:
    """What is known of each patient ``(N, C)``; each part is not known of half of them."""
    persons = people.context
    known = random.random((4, len(people))) < 0.5
    age = np.where(known[0], (persons["age"] - 64) / 17, 0)
    signs = [
        np.where(known[1 + i], np.where(persons[name] > 0, 1, -1), 0)
        for i, name in enumerate(("female", "oxygen", "beta_blocker"))
    ]
    return np.stack((age, known[0], *signs), axis=1).astype(np.float32)


def _past(calm: Floats, random: np.random.Generator) -> features.Memory:
    """What is remembered of each patient when a ward begins.

    Of half of them nothing. The rest have been watched for long, so that a network also learns what
    it meets after a day at a reading a second, which no ward lasts: their baseline is about that of
    their ``calm`` values ``(F, N, V)``, standardised, NaN where there is none.
    """
    memory = features.Memory.blank(calm.shape[1])
    count = (~np.isnan(calm)).sum(axis=0)
    mean = np.nansum(calm, axis=0) / np.maximum(count, 1)
    away = np.nansum(np.abs(calm - mean), axis=0) / np.maximum(count, 1)
    usual = (count >= 3) & np.asarray(random.random((calm.shape[1], 1)) < 0.5)
    # Hours drift away from one another, and so spread more than one hour does.
    mean = mean + random.normal(0, 0.3, mean.shape)
    spread = np.maximum(1.25 * away * np.exp(random.uniform(0, 0.8, away.shape)), features.STEP)
    memory.mean[usual] = memory.last[usual] = mean[usual]
    memory.deviation[usual] = np.maximum(spread, 0.1)[usual]
    memory.watched[usual] = features.BASELINE_SECONDS
    memory.age[usual] = random.uniform(0, 1800, mean.shape)[usual]
    return memory


def never_squashed() -> np.float32:
    """Above this squashed age a vital was never seen."""
    return np.float32(layout.squash(0.9 * float(features.NEVER)))


def _seconds(milliseconds: Ints) -> Floats:
    return np.asarray(milliseconds / 1000, dtype=np.float32)


def _measured(seen: Bools, often: Ints) -> Ints:
    """Of frames in which anything was ``seen (F, N, V)`` as many as ``often (steps, N)`` has.

    For a patient who has fewer, all of the first frames.
    """
    shown = often.copy()
    for patient in range(seen.shape[1]):
        frames = np.flatnonzero(seen[:, patient].any(axis=1))
        if len(frames) >= len(often):
            shown[:, patient] = frames[: len(often)]
        else:
            shown[:, patient] = np.arange(len(often))
    return shown


def _often(gap: float, steps: int, count: int, random: np.random.Generator) -> Ints:
    """Which dense frame is each patient's k-th reading, ``(steps, count)``, ascending."""
    if gap == 1:
        return np.repeat(np.arange(steps)[:, None], count, axis=1)
    own = np.exp(random.uniform(0, np.log(2 * gap), count))
    gaps = np.maximum(1, np.rint(own * random.uniform(0.5, 1.5, (steps, count)))).astype(np.int64)
    gaps[0] = 0
    return np.cumsum(gaps, axis=0)


def _simulate(people: Ward, frames: int) -> tuple[Ints, Floats, Floats]:
    """Times ``(F, N)`` ms, readings and true levels ``(F, N, V)``."""
    times = np.empty((frames, len(people)), dtype=np.int64)
    measured = np.empty((frames, len(people), vitals.COUNT), dtype=np.float32)
    levels = np.empty_like(measured)
    for frame in range(frames):
        times[frame], measured[frame] = people.step()
        levels[frame] = people.levels
    return times, measured, levels


def _calm(people: Ward, times: Ints) -> Bools:
    """Where ``(F, N)`` a patient is not deteriorating, nor has just been."""
    calm = np.ones(times.shape, dtype=np.bool_)
    row = {name: number for number, name in enumerate(people.patients)}
    for truth in people.truth:
        if not truth.benign:
            own = times[:, row[truth.patient]]
            over = (own < truth.onset) | (own > truth.end + _RECOVERY_MS)
            calm[:, row[truth.patient]] &= over
    return calm


def _events(people: Ward, times: Ints) -> tuple[Floats, Floats]:
    """Where ``(F, N)`` a patient is on the way to being critical, and how much that counts.

    It does not count from then on until all is over, nor in a deterioration that stops short. One
    of an hour counts fully; longer ones less a reading, or the slowest would outweigh all others.
    """
    event = np.zeros(times.shape, dtype=np.float32)
    weight = np.ones_like(event)
    row = {name: number for number, name in enumerate(people.patients)}
    for truth in people.truth:
        if truth.benign:
            continue
        who = row[truth.patient]
        own = times[:, who]
        over = (own >= truth.onset) & (own <= truth.end + _RECOVERY_MS)
        weight[over, who] = 0
        if truth.critical is not None:
            under_way = (own >= truth.onset) & (own < truth.critical)
            event[under_way, who] = 1
            hours = (truth.critical - truth.onset) / 3_600_000
            weight[under_way, who] = min(1 / max(hours, 0.1), 4.0)
    return event, weight


def _seen(measured: Floats) -> Bools:
    """What is a value at all: not NaN, not 0 for no signal."""
    return np.asarray((measured >= _LOWEST) & (measured <= _HIGHEST))


def _near(measured: Floats, levels: Floats) -> Bools:
    """Where a reading is what the patient's true level makes of it, and no artefact."""
    off = features.standardise(measured) - features.standardise(levels)
    return np.asarray(np.abs(off) <= _NEAR)
