"""Which patient meets what deterioration, when, how fast and how badly."""

import numpy as np

from simulator.population import Population
from simulator.scenarios import APNOEA, NAMES, SCENARIOS
from vitalwatch.arrays import Bools, Doubles, Floats, Ints

_PNEUMOTHORAX = NAMES.index("pneumothorax")
_DESATURATION = NAMES.index("desaturation")


class Plan:
    """Columns ``(N,)``; times in s since the ward's start.

    ``scenario`` indexes :data:`simulator.scenarios.NAMES`, -1 for none; ``onset`` is infinite
    then. Severity rises from ``onset`` for ``rise``, stays for ``stay``, falls for ``recovery``,
    and is over at ``end``. ``size`` is its height, ``form`` and ``strength`` are uniform in [0, 1).
    """

    def __init__(
        self,
        people: Population,
        names: tuple[str, ...],
        share: float,
        onset: tuple[float, float],
        every: float,
        rng: np.random.Generator,
    ) -> None:
        """Give a ``share`` of the patients one of ``names`` each, at a time within ``onset``.

        After ``every`` s, which may be infinite, those who are not in a scenario are drawn again.
        """
        self._people = people
        self._names = np.array([NAMES.index(name) for name in names], dtype=np.int64)
        self._share = share if names else 0.0
        self._onset = onset
        self._every = every
        self._next = every
        self._rng = rng
        count = len(people)
        self.scenario: Ints = np.full(count, -1)
        self.onset: Doubles = np.full(count, np.inf)
        self.rise: Doubles = np.ones(count)
        self.stay: Doubles = np.ones(count)
        self.recovery: Doubles = np.ones(count)
        self.end: Doubles = np.full(count, -np.inf)
        self.power: Floats = np.ones(count, dtype=np.float32)
        self.size: Floats = np.ones(count, dtype=np.float32)
        self.form: Floats = np.zeros(count, dtype=np.float32)
        self.strength: Floats = np.zeros(count, dtype=np.float32)
        self._draw(0.0)

    def advance(self, begin: float) -> None:
        """Draw again if it is time; call with ascending times, before the frames from there."""
        while begin >= self._next:
            self._draw(self._next)
            self._next += self._every

    def during(self, begin: float, end: float) -> Bools:
        """Who, ``(N,)``, is in a scenario at some moment from ``begin`` to ``end``."""
        return np.asarray((self.onset < end) & (self.end >= begin))

    def active(self, begin: float, end: float) -> dict[str, Ints]:
        """Rows of the patients in each scenario at some moment from ``begin`` to ``end``."""
        now = np.flatnonzero(self.during(begin, end))
        found = {}
        for index in np.unique(self.scenario[now]):
            found[NAMES[index]] = now[self.scenario[now] == index]
        return found

    def severity(self, who: Ints, times: Doubles, swing: Floats) -> tuple[Floats, Floats]:
        """Severity, and s since onset, of patients ``who (K,)`` at ``times (B, K)``.

        ``swing (B, K)`` of unit variance makes a course waver.
        """
        since = times - self.onset[who]
        rising = (since / self.rise[who]).clip(0, 1) ** self.power[who]
        falling = (since - self.rise[who] - self.stay[who]) / self.recovery[who]
        level = rising * (1 - falling.clip(0, 1)) * self.size[who] * (1 + 0.08 * swing)
        return level.astype(np.float32), np.maximum(since, 0).astype(np.float32)

    def _draw(self, begin: float) -> None:
        count = len(self._people)
        uniform = self._rng.random((9, count))
        free = self.end < begin
        struck = free & (uniform[0] < self._share)
        self.onset[free] = np.inf
        self.scenario[free] = -1
        who = np.flatnonzero(struck)
        if not len(who):
            return
        u = uniform[:, who]
        scenario = self._names[(u[1] * len(self._names)).astype(np.int64)]
        self.scenario[who] = scenario
        self.onset[who] = begin + self._onset[0] + (self._onset[1] - self._onset[0]) * u[2]
        self.form[who], self.strength[who] = u[3], u[4]
        self.size[who] = 0.75 + 0.5 * u[5]
        rise = _between("rise", scenario, u[6])
        # tension pneumothorax of the ventilated takes minutes
        fast = self._people.ventilated[who] & (scenario == _PNEUMOTHORAX)
        rise[fast] = 240 + 900 * u[6, fast]
        stay = _between("stay", scenario, u[7])
        # an apnoea is complete at once, and must last for its effect
        apnoea = (scenario == _DESATURATION) & (self.form[who] < APNOEA)
        rise[apnoea] = 1.0
        stay[apnoea] = 600 + 300 * u[7, apnoea]
        self.rise[who], self.stay[who] = rise, stay
        self.recovery[who] = _between("recovery", scenario, u[8])
        self.power[who] = _between("power", scenario, self._rng.random(len(who)))
        self.end[who] = self.onset[who] + rise + stay + self.recovery[who]


def _between(field: str, scenario: Ints, draw: Doubles) -> Doubles:
    """Log-uniform between the ends of a range field of each row's scenario."""
    low, high = np.array([getattr(row, field) for row in SCENARIOS.values()]).T[:, scenario]
    return np.asarray(low * (high / low) ** draw)
