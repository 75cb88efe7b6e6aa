"""The truth: what happened to whom, and when a true vital sign first became critical."""

from dataclasses import dataclass

import numpy as np

from simulator.devices import ETCO2
from simulator.episodes import Episodes
from simulator.plan import Plan
from simulator.population import Population
from simulator.scenarios import NAMES as SCENARIO_NAMES
from simulator.scenarios import SCENARIOS
from vitalwatch.arrays import Doubles, Floats
from vitalwatch.messages import Truth
from vitalwatch.vitals import NAMES, bounds

DAY = 86_400.0

_LOW, _HIGH = bounds("critical")
_HARM = np.array([[name in row.harm for name in NAMES] for row in SCENARIOS.values()])


@dataclass(slots=True)
class _Entry:
    """Times in s since the ward's start; ``critical`` is infinite until it is reached."""

    row: int
    event: str
    benign: bool
    onset: float
    end: float
    critical: float = np.inf
    vital: str | None = None


class Chronicle:
    """Keeps the truth of N patients.

    A deterioration is critical when the true level of one of the vitals that are its ``harm``
    (:class:`simulator.scenarios.Scenario`) leaves that vital's ``critical`` range between onset
    and end. Levels are those of the physiology: averages over some beats or breaths, before any
    device. End-tidal CO2 counts only for patients who have a capnograph.
    """

    def __init__(self, people: Population) -> None:
        self._people = people
        self._entries: list[_Entry] = []
        self._current: list[_Entry | None] = [None] * len(people)
        self._waiting = np.zeros(len(people), dtype=bool)

    def note(self, plan: Plan, episodes: tuple[Episodes, ...], begin: float, end: float) -> None:
        """Write down what begins from ``begin`` to before ``end``."""
        for row in np.flatnonzero((plan.onset >= begin) & (plan.onset < end)).tolist():
            name = SCENARIO_NAMES[plan.scenario[row]]
            entry = _Entry(row, name, False, float(plan.onset[row]), float(plan.end[row]))
            self._entries.append(entry)
            self._current[row] = entry
            self._waiting[row] = True
        for group in episodes:
            for kind, row, start, stop in group.beginning(begin, end):
                self._entries.append(_Entry(row, kind, True, start, stop))

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
        vitals = beyond[frames, :, found].argmax(axis=1)
        for column, frame, vital in zip(found, frames, vitals, strict=True):
            entry = self._current[who[column]]
            assert entry is not None  # noqa: S101 - waiting patients have one
            entry.critical, entry.vital = float(own[frame, column]), NAMES[vital]
        self._waiting[who[found]] = False
        self._waiting[who[plan.end[who] < own[-1]]] = False

    def truth(self, names: list[str], now: Doubles, start_ms: int) -> list[Truth]:
        """What had begun by ``now (N,)`` in s since ``start_ms``, ordered by onset."""
        entries = [entry for entry in self._entries if entry.onset <= now[entry.row]]
        entries += self._nights(now, start_ms)
        entries.sort(key=lambda entry: (entry.onset, entry.row, entry.event))

        def ms(seconds: float) -> int:
            return start_ms + round(seconds * 1000)

        told = []
        for entry in entries:
            known = entry.critical <= now[entry.row]
            told.append(
                Truth(
                    patient=names[entry.row],
                    event=entry.event,
                    benign=entry.benign,
                    onset=ms(entry.onset),
                    end=ms(entry.end),
                    critical=ms(entry.critical) if known else None,
                    vital=entry.vital if known else None,
                )
            )
        return told

    def _nights(self, now: Doubles, start_ms: int) -> list[_Entry]:
        people = self._people
        length = (people.waking - people.bedtime).astype(np.float64) % 24 * 3600
        first = (people.bedtime - start_ms / 3_600_000) % 24 * 3600 - DAY
        nights = []
        for row in range(len(people)):
            onset = float(first[row])
            while onset <= now[row]:
                if onset + length[row] > 0:
                    nights.append(_Entry(row, "sleep", True, onset, float(onset + length[row])))
                onset += DAY
        return nights
