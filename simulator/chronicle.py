"""The truth: what happened to whom, and when a true vital sign first became critical."""

from dataclasses import dataclass

import numpy as np

from simulator.devices import ETCO2
from simulator.episodes import Episodes
from simulator.plan import Plan
from simulator.population import Population
from simulator.scenarios import NAMES as SCENARIO_NAMES
from simulator.scenarios import SCENARIOS
from vitalwatch import vitals
from vitalwatch.arrays import Doubles, Floats
from vitalwatch.messages import Truth
from vitalwatch.vitals import NAMES, bounds

DAY = 86_400.0

_LOW, _HIGH = bounds("critical")
_SPREAD = vitals.column("spread")
_HARM = np.array([[name in row.harm for name in NAMES] for row in SCENARIOS.values()])


@dataclass(slots=True, eq=False)
class _Entry:
    """Times in s since the ward's start; ``critical`` is infinite until it is reached.

    ``moved`` when the event has moved a vital, by name; None where nobody looks.
    """

    row: int
    event: str
    benign: bool
    onset: float
    end: float
    critical: float = np.inf
    vital: str | None = None
    moved: dict[str, float] | None = None
    said: bool = False


class Chronicle:
    """Keeps the truth of N patients.

    A deterioration is critical when the true level of one of the vitals that are its ``harm``
    (:class:`simulator.scenarios.Scenario`) leaves that vital's ``critical`` range between onset
    and end. Levels are those of the physiology: averages over some beats or breaths, before any
    device. End-tidal CO2 counts only for patients who have a capnograph.
    """

    def __init__(self, people: Population, names: list[str], start_ms: int) -> None:
        """``names`` are the patients'; ``start_ms`` the time of second 0, UTC."""
        self._people = people
        self._entries: list[_Entry] = []
        self._current: list[_Entry | None] = [None] * len(people)
        self._waiting = np.zeros(len(people), dtype=bool)
        self._unsaid: list[_Entry] = []
        self._start_ms = start_ms
        self._names = names
        self._night = (people.waking - people.bedtime).astype(np.float64) % 24 * 3600
        # the night that may be going on at the start began on the evening before
        self._bed = (people.bedtime - start_ms / 3_600_000) % 24 * 3600 - DAY
        self._bed[self._bed + self._night <= 0] += DAY

    def note(self, plan: Plan, episodes: tuple[Episodes, ...], begin: float, end: float) -> None:
        """Write down what begins from ``begin`` to before ``end``."""
        known = len(self._entries)
        while len(rows := np.flatnonzero(self._bed < end)):
            for row in rows.tolist():
                bed = float(self._bed[row])
                self._entries.append(_Entry(row, "sleep", True, bed, bed + float(self._night[row])))
            self._bed[rows] += DAY
        for row in np.flatnonzero((plan.onset >= begin) & (plan.onset < end)).tolist():
            name = SCENARIO_NAMES[plan.scenario[row]]
            entry = _Entry(row, name, False, float(plan.onset[row]), float(plan.end[row]))
            self._entries.append(entry)
            self._current[row] = entry
            self._waiting[row] = True
        for group in episodes:
            for kind, row, start, stop in group.beginning(begin, end):
                self._entries.append(_Entry(row, kind, True, start, stop))
        self._unsaid += self._entries[known:]

    def judge(self, plan: Plan, levels: Floats, times: Doubles) -> None:
        """Look for the first critical true level; ``levels (B, V, N)``, ``times (B, N)``."""
        who = np.flatnonzero(self._waiting)
        if not len(who):
            return
        values = levels[:, :, who]
        beyond = (values < _LOW[:, None]) | (values > _HIGH[:, None])
        beyond &= _HARM[plan.scenario[who]].T
        beyond[:, ETCO2] &= self._people.capnograph[who]
        own = times[:, who]
        beyond &= ((own >= plan.onset[who]) & (own <= plan.end[who]))[:, None]
        found = np.flatnonzero(beyond.any(axis=(0, 1)))
        frames = beyond[:, :, found].any(axis=1).argmax(axis=0)
        first = beyond[frames, :, found].argmax(axis=1)
        for column, frame, vital in zip(found, frames, first, strict=True):
            entry = self._current[who[column]]
            assert entry is not None  # noqa: S101 - waiting patients have one
            entry.critical, entry.vital = float(own[frame, column]), NAMES[vital]
            if entry not in self._unsaid:
                self._unsaid.append(entry)
        self._waiting[who[found]] = False
        self._waiting[who[plan.end[who] < own[-1]]] = False

    def compare(self, plan: Plan, levels: Floats, undisturbed: Floats, times: Doubles) -> None:
        """Note which vitals deteriorations have moved, and since when.

        ``levels`` and ``undisturbed (B, V, N)``: what they would be without; ``times (B, N)``. A
        vital is moved once it is further off than the spread between adults at rest.
        """
        ill = plan.during(float(times.min()), float(times.max()))
        who = np.flatnonzero(ill & np.array([entry is not None for entry in self._current]))
        own = times[:, who]
        off = np.abs(levels[:, :, who] - undisturbed[:, :, who]) > _SPREAD[:, None]
        off &= ((own >= plan.onset[who]) & (own <= plan.end[who]))[:, None]
        off[:, ETCO2] &= self._people.capnograph[who]
        first = off.argmax(axis=0)
        seen = off.any(axis=0)
        for column, row in enumerate(who.tolist()):
            entry = self._current[row]
            assert entry is not None  # noqa: S101 - only such rows are left
            moved = {} if entry.moved is None else entry.moved
            for vital in np.flatnonzero(seen[:, column]).tolist():
                moved.setdefault(NAMES[vital], float(own[first[vital, column], column]))
            entry.moved = moved

    def truth(self, now: Doubles) -> list[Truth]:
        """What had begun by ``now (N,)`` in s: deteriorations, then all else, each by onset."""
        begun = [entry for entry in self._entries if entry.onset <= now[entry.row]]
        begun.sort(key=lambda entry: (entry.benign, entry.onset, entry.row, entry.event))
        return [self._told(entry, now) for entry in begun]

    def news(self, now: Doubles) -> list[Truth]:
        """What began, or became critical, up to ``now (N,)`` and since the last call."""
        said, unsaid = [], []
        for entry in self._unsaid:
            begun = bool(entry.onset <= now[entry.row])
            reached = entry.critical <= now[entry.row]
            if reached or (begun and not entry.said):
                said.append(self._told(entry, now))
            entry.said = begun
            if not begun or (np.isfinite(entry.critical) and not reached):
                unsaid.append(entry)
        self._unsaid = unsaid
        return said

    def _told(self, entry: _Entry, now: Doubles) -> Truth:
        known = entry.critical <= now[entry.row]
        moved = entry.moved
        if moved is not None:
            moved = {name: at for name, at in moved.items() if at <= now[entry.row]}
        return Truth(
            patient=self._names[entry.row],
            event=entry.event,
            benign=entry.benign,
            onset=self._ms(entry.onset),
            end=self._ms(entry.end),
            critical=self._ms(entry.critical) if known else None,
            vital=entry.vital if known else None,
            moved=None if moved is None else {k: self._ms(at) for k, at in moved.items()},
        )

    def _ms(self, seconds: float) -> int:
        return self._start_ms + round(seconds * 1000)
