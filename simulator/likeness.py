"""How like recorded streams simulated ones are: figures beside quartiles of figures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from simulator.figures import FEWEST, Figure, figures, stretches
from simulator.ward import Ward
from vitalwatch.arrays import Doubles
from vitalwatch.vitals import NAMES

Figures = Mapping[Figure, float]

SHARE: Final = 1 / 3
"""A figure that fewer of the recorded patients have is left out."""

HALVINGS: Final = 50

DAY: Final = 86_400.0


class Stream(NamedTuple):
    """One patient's rows: ``times (n,)`` in s, ascending, ``values (n, V)``, NaN where absent."""

    times: Doubles
    values: Doubles


class Rate(NamedTuple):
    """What can be told at a rate: figures of stretches of ``length``, autocorrelations at ``lags``.

    ``interval`` is the usual time between rows, ``step`` that over which changes are taken; all in
    s. Where rows come ``irregular``, one that holds nothing is none.
    """

    interval: float
    irregular: bool
    length: float
    lags: tuple[float, ...]
    step: float


class Line(NamedTuple):
    """One figure: quartiles over ``patients`` recorded ones, and the simulated median."""

    figure: Figure
    patients: int
    low: float
    median: float
    high: float
    simulated: float

    @property
    def inside(self) -> bool:
        """Whether the simulated median lies within the quartiles."""
        return self.low - 1e-9 <= self.simulated <= self.high + 1e-9


def rate(streams: Sequence[Stream]) -> Rate:
    """What can be told of these streams, by their median interval and median length."""
    gaps = np.concatenate([np.diff(stream.times) for stream in streams])
    interval = float(np.median(gaps))
    irregular = float(np.mean(np.abs(gaps - interval) <= 0.1 * interval)) < 0.9
    lasting = float(np.median([np.ptp(stream.times) for stream in streams]))
    if irregular or interval >= 900:
        length, step = DAY, 3600.0
        lags: tuple[float, ...] = (3600.0, 14_400.0)
    elif interval >= 20:
        length, step = 14_400.0, max(60.0, interval)
        lags = (60.0, 300.0, 900.0, 3600.0)
    else:
        length, step = 2400.0, 60.0
        lags = (5.0, 30.0, 60.0, 300.0)
    length = min(length, lasting)
    told = tuple(lag for lag in lags if interval <= lag <= length / 4)
    return Rate(interval, irregular, length, told, step)


def of_patients(streams: Iterable[Stream], at: Rate, *, apart: bool = False) -> list[Figures]:
    """Figures of each patient: the median over the stretches; or, ``apart``, of each stretch."""
    found: list[Figures] = []
    for times, values in streams:
        if at.irregular:
            held = np.isfinite(values).any(axis=1)
            times, values = times[held], values[held]
        cuts = stretches(times, at.length)
        parts = [figures(times[cut], values[cut], at.lags, at.step) for cut in cuts]
        if apart:
            found += parts
        elif parts:
            found.append({key: value for key, (_, value, _, _) in _quartiles(parts).items()})
    return found


def simulated(style: str, at: Rate, patients: int, seed: int) -> list[Stream]:
    """Streams of stable patients watched in a style, at the rate of recorded ones."""
    interval = 60.0 if at.irregular else max(1.0, at.interval)
    ward = Ward(patients, seed, interval, scenarios=None, style=style)
    lasting = max(at.length, DAY if interval >= 20 else 0)
    ward.read(round(at.length / 4 / interval))  # what comes first knows of no past
    times, values = ward.read(round(lasting / interval) + 1)
    return [
        Stream(times[:, row] / 1000, values[:, row].astype(np.float64)) for row in range(patients)
    ]


def compare(
    recorded: Sequence[Figures], made: Sequence[Figures], fewest: int = FEWEST
) -> list[Line]:
    """A line for each figure that enough of the recorded patients have, in order of the vitals."""
    medians = _quartiles(made)
    lines = []
    for figure, (low, median, high, count) in _quartiles(recorded).items():
        if count >= max(fewest, SHARE * len(recorded)):
            seen = medians.get(figure, (np.nan,) * 4)[1]
            lines.append(Line(figure, count, low, median, high, seen))
    order = {name: place for place, name in enumerate(NAMES)}
    return sorted(lines, key=lambda line: order.get(line.figure.of, len(order)))


def yardstick(recorded: Sequence[Figures], rng: np.random.Generator) -> float:
    """Share of figures for which the median of one half of the patients lies within the quartiles
    of the other: the mean over many random halvings; NaN where nothing can be compared.
    """
    shares = []
    for _ in range(HALVINGS):
        order = rng.permutation(len(recorded))
        one, other = ([recorded[place] for place in half] for half in np.array_split(order, 2))
        lines = compare(one, other, FEWEST // 2)
        if lines:
            shares.append(np.mean([line.inside for line in lines]))
    return float(np.mean(shares)) if shares else np.nan


def _quartiles(patients: Sequence[Figures]) -> dict[Figure, tuple[float, float, float, int]]:
    """Of each figure: quartiles over those patients who have it, and how many these are."""
    keys = dict.fromkeys(key for each in patients for key in each)
    found = {}
    for key in keys:
        values = np.array([each.get(key, np.nan) for each in patients], dtype=np.float64)
        values = values[np.isfinite(values)]
        if len(values):
            low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
            found[key] = float(low), float(median), float(high), len(values)
    return found
