"""What is shown though it is not the patient: motion, probes off, flushed lines, lost frames."""

import numpy as np

from simulator.devices import DBP, HR, MAP, RR, SBP, SPO2
from simulator.episodes import Episode
from simulator.population import Population
from simulator.random_walks import OrnsteinUhlenbeck
from vitalwatch.arrays import Bools, Doubles, Floats

PRESSURES = (SBP, DBP, MAP)

HELD = {"damped": PRESSURES, "frozen": (HR, SPO2)}
"""What goes on showing its last value: a clotted line, a pulse that is not to be trusted."""


class Artefacts:
    """Disturbs the readings of N patients."""

    def __init__(self, people: Population, interval: float, rng: np.random.Generator) -> None:
        """``interval`` is the time from frame to frame in s."""
        self._people = people
        self._rng = rng
        self._noise = OrnsteinUhlenbeck([6.0, 6.0], len(people), interval, rng)
        self._shown: Floats | None = None  # by the last frame of the block before
        # Each monitor has its way to say that a sensor is off: 0, or nothing.
        self._off = np.where(rng.random((2, len(people))) < 0.5, 0, np.nan).astype(np.float32)

    def disturb(
        self,
        values: Floats,
        motion: Floats,
        inflating: Bools,
        pressure: Floats,
        episodes: dict[str, Episode],
        times: Doubles,
    ) -> None:
        """Change ``values (B, V, N)`` in place.

        ``motion (B, N)`` in [0, 1] or more; ``inflating (B, N)`` cuffs; ``pressure (B, N)`` the
        true mean pressure, since a shocked patient's finger has no pulse to find.
        """
        self._move(values, motion + np.maximum((55 - pressure) * np.float32(0.02), 0))
        squeezed = inflating & self._people.cuff_on_probe_arm
        rows, who = np.nonzero(squeezed)
        values[rows, SPO2, who] = self._off[0, who]
        for name, episode in episodes.items():
            self._strike(name, episode, values, times)
        self._shown = values[-1].copy()

    def _move(self, values: Floats, motion: Floats) -> None:
        noise = self._noise.advance(len(values))
        rows, who = np.nonzero(motion > 0.02)
        if not len(rows):
            return
        size = motion[rows, who]
        first, second = noise[rows, 0, who], noise[rows, 1, who]
        saturation = values[rows, SPO2, who]
        # Motion makes an oximeter read low more often than high.
        saturation -= size * (7 * np.maximum(first, 0) - 1.0 * np.minimum(first, 0))
        chance = self._rng.random(len(rows), dtype=np.float32)
        saturation[(first > 1.3) & (size > 0.4) & (chance < 0.7)] = np.nan
        values[rows, SPO2, who] = np.minimum(saturation, 100)
        values[rows, HR, who] += size * np.where(np.abs(second) > 1.2, 12, 2) * second
        breaths = values[rows, RR, who] + size * 6 * first * second
        values[rows, RR, who] = np.maximum(breaths, 4)

    def _strike(self, name: str, episode: Episode, values: Floats, times: Doubles) -> None:
        rows, columns = np.nonzero(episode.during(times[:, episode.patients]))
        if not len(rows):
            return
        who = episode.patients[columns]
        if name == "probe_off":
            values[rows, SPO2, who] = self._off[0, who]
        elif name == "no_pulse":
            values[rows, SPO2, who] = np.nan
            values[rows, HR, who] = np.nan
        elif name == "leads_off":
            values[rows, HR, who] = self._off[1, who]
            values[rows, RR, who] = self._off[1, who]
        elif name in HELD:
            for row in np.unique(rows):
                before = values[row - 1] if row else self._shown
                if before is not None:
                    vital, held = np.ix_(HELD[name], who[rows == row])
                    values[row, vital, held] = before[vital, held]
        elif name in ("dropout", "taken_off"):
            values[rows, :, who] = np.nan
        elif name == "closed":  # the tap, while blood is drawn
            values[rows, PRESSURES[0], who] = 0
            values[rows, PRESSURES[1], who] = 0
            values[rows, PRESSURES[2], who] = 0
        elif name in ("flushing", "zeroing"):
            noise = self._rng.standard_normal(len(rows), dtype=np.float32)
            level = (300 + 12 * noise) if name == "flushing" else 1.5 * noise
            for apart, vital in zip((6, -6, 0), PRESSURES, strict=True):
                values[rows, vital, who] = level + (apart if name == "flushing" else 0)
