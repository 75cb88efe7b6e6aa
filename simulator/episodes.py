"""Things that come and go by themselves: benign events of daily life, and artefacts.

Each kind strikes each eligible patient again and again, with exponential waiting times and
log-normal durations. A patient has at most one episode of a kind at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from simulator.drives import Drives
from simulator.population import Population
from vitalwatch.arrays import Bools, Doubles, Floats, Ints


class Kind(NamedTuple):
    """``gap`` is the mean time between episodes, ``length`` the median duration, both in s;
    ``spread`` the standard deviation of the duration's logarithm, ``daytime`` whether only awake
    patients have it, ``who`` which patients can.
    """

    name: str
    gap: float
    length: float
    spread: float
    daytime: bool
    who: Callable[[Population], Bools]


def everyone(people: Population) -> Bools:
    """All."""
    return np.ones(len(people), dtype=bool)


def with_line(people: Population) -> Bools:
    """Those who have an arterial line."""
    return people.arterial_line


MINUTE: Final = 60.0
HOUR: Final = 3600.0

BENIGN: Final = (
    Kind("turning", 2.0 * HOUR, 60, 0.5, False, everyone),
    Kind("walking", 4.0 * HOUR, 420, 0.6, True, lambda people: people.mobile),
    Kind("coughing", 2.5 * HOUR, 25, 0.6, False, everyone),
    Kind("feeding", 5.0 * HOUR, 1200, 0.4, True, lambda people: ~people.ventilated),
    Kind("pain", 12.0 * HOUR, 1500, 0.6, False, everyone),
)

ARTEFACTS: Final = (
    Kind("motion", 1.5 * HOUR, 25, 0.9, False, everyone),
    Kind("probe_off", 10.0 * HOUR, 150, 1.1, False, everyone),
    Kind("leads_off", 24.0 * HOUR, 120, 1.0, False, everyone),
    Kind("flushing", 8.0 * HOUR, 8, 0.5, False, with_line),
    Kind("zeroing", 24.0 * HOUR, 25, 0.5, False, with_line),
    Kind("dropout", 12.0 * HOUR, 40, 1.2, False, everyone),
)

EFFECTS: Final[dict[str, tuple[float, dict[str, float]]]] = {
    "turning": (20, {"rate": 0.07, "breathing": 0.10, "shunt": 0.03, "motion": 0.5}),
    "walking": (
        90,
        {"rate": 0.20, "breathing": 0.22, "setpoint": 0.05, "shunt": 0.03, "motion": 0.3},
    ),
    "coughing": (
        5,
        {"rate": 0.06, "breathing": 0.20, "shunt": 0.06, "setpoint": 0.05, "motion": 0.6},
    ),
    "feeding": (180, {"rate": 0.06, "breathing": 0.04, "motion": 0.12}),
    "care": (
        20,
        {"rate": 0.07, "breathing": 0.50, "setpoint": 0.02, "shunt": 0.04, "motion": 0.25},
    ),
    "stimulus": (8, {"rate": 0.17, "breathing": 0.2, "setpoint": 0.06, "motion": 0.3}),
    "exercise": (60, {"rate": 0.46, "breathing": 0.45, "setpoint": 0.03, "motion": 0.2}),
    "excitement": (25, {"rate": 0.14, "breathing": 0.12, "setpoint": 0.06, "motion": 0.05}),
    "pain": (240, {"rate": 0.11, "setpoint": 0.08, "breathing": 0.14, "motion": 0.05}),
}
"""For each benign kind within how many s it rises and falls, and what it adds to the drives."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Some patients' episodes of one kind in the block at hand, K of them.

    ``patients (K,)`` are rows; ``start`` and ``end`` ``(K,)`` in s; ``size (K,)`` is log-normal
    around 1 (limited to 0.5 to 1.5), ``choice (K,)`` uniform in [0, 1) and constant during an
    episode.
    """

    patients: Ints
    start: Doubles
    end: Doubles
    size: Floats
    choice: Floats

    def envelope(self, times: Doubles, rise: float) -> Floats:
        """``(B, K)`` in [0, 1]: rises and falls linearly within ``rise`` s, inside the episode."""
        inside = np.minimum(times - self.start, self.end - times)
        return np.minimum(np.maximum(inside / rise, 0), 1).astype(np.float32)

    def of(self, some: Bools) -> "Episode":
        """Those of ``some (N,)`` patients."""
        kept = some[self.patients]
        return Episode(
            self.patients[kept],
            self.start[kept],
            self.end[kept],
            self.size[kept],
            self.choice[kept],
        )

    def during(self, times: Doubles) -> Bools:
        """``(B, K)``: whether the episode is on."""
        return (times >= self.start) & (times < self.end)


class Episodes:
    """The episodes of some kinds, for all patients, in order of time."""

    def __init__(
        self, kinds: tuple[Kind, ...], people: Population, rng: np.random.Generator
    ) -> None:
        self.kinds = kinds
        self._rng = rng
        self._who = np.stack([kind.who(people) for kind in kinds])
        self._gap = np.array([kind.gap for kind in kinds])
        self._length = np.array([kind.length for kind in kinds])
        self._spread = np.array([kind.spread for kind in kinds])
        shape = self._who.shape
        self._end = np.where(self._who, 0.0, np.inf)
        self._start = self._end.copy()
        self._size = np.ones(shape, dtype=np.float32)
        self._choice = np.zeros(shape, dtype=np.float32)
        self._renew(np.nonzero(self._who), 0.0)

    def _renew(self, slots: tuple[Ints, ...], now: float) -> None:
        kind = slots[0]
        count = len(kind)
        start = np.maximum(self._end[slots], now) + self._rng.exponential(self._gap[kind])
        normal = self._rng.standard_normal((2, count))
        length = self._length[kind] * np.exp(self._spread[kind] * normal[0].clip(-2, 2))
        self._start[slots] = start
        self._end[slots] = start + length
        self._size[slots] = np.exp(0.35 * normal[1]).clip(0.5, 1.5)
        self._choice[slots] = self._rng.random(count)

    def beginning(self, begin: float, end: float) -> Iterator[tuple[str, int, float, float]]:
        """Kind, patient's row, start and end of those that start from ``begin`` to ``end``.

        Of the block that :meth:`advance` was last called with.
        """
        kinds, rows = np.nonzero((self._start >= begin) & (self._start < end))
        for kind, row in zip(kinds.tolist(), rows.tolist(), strict=True):
            start, stop = float(self._start[kind, row]), float(self._end[kind, row])
            yield self.kinds[kind].name, row, start, stop

    def advance(self, begin: float, end: float, resting: Bools) -> dict[str, Episode]:
        """The episodes that touch the time from ``begin`` to ``end``; call with ascending times.

        ``resting (N,)`` patients do not begin what is only done awake and well: they wait.
        """
        while len((over := np.nonzero(self._end < begin))[0]):
            self._renew(over, begin)
        daytime = np.array([kind.daytime for kind in self.kinds])
        putting_off = (self._start >= begin) & (self._start < end) & daytime[:, None] & resting
        if putting_off.any():
            slots = np.nonzero(putting_off)
            wait = self._rng.exponential(HOUR, len(slots[0])) + (end - begin)
            self._start[slots] += wait
            self._end[slots] += wait
        active = (self._start < end) & (self._end >= begin)
        found = {}
        for row, kind in enumerate(self.kinds):
            rows = np.flatnonzero(active[row])
            if len(rows):
                found[kind.name] = Episode(
                    rows,
                    self._start[row, rows],
                    self._end[row, rows],
                    self._size[row, rows],
                    self._choice[row, rows],
                )
        return found


def act(name: str, episode: Episode, times: Doubles, drives: Drives) -> None:
    """Let one kind's benign episodes act; ``times (B, K)`` in s are those patients' own."""
    who = episode.patients
    rise, effects = EFFECTS[name]
    on = episode.envelope(times, rise) * episode.size
    for drive, size in effects.items():
        getattr(drives, drive)[:, who] += size * on
