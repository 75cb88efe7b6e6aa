"""A ward of simulated patients: readings frame by frame, and the truth beside them."""

import copy
from collections.abc import Iterator, Sequence

import numpy as np

from simulator import population, scenarios, styles
from simulator.artefacts import Artefacts
from simulator.charting import Charts
from simulator.chronicle import Chronicle
from simulator.devices import MAP, Devices, Display, rounded
from simulator.drives import Drives
from simulator.episodes import Episodes, act
from simulator.physiology import Physiology, Rhythm
from simulator.plan import Plan
from simulator.population import CONTEXT
from simulator.random_walks import OrnsteinUhlenbeck
from simulator.scenarios import SCENARIOS, Course
from simulator.swings import SWINGS, swing
from vitalwatch.arrays import Doubles, Floats, Ints
from vitalwatch.errors import UsageError
from vitalwatch.messages import Truth
from vitalwatch.vitals import COUNT, NAMES

DEFAULT_START = 1_767_254_400_000
"""2026-01-01 08:00 UTC, in ms: a ward's first frame if nobody says otherwise."""

_BLOCK_SECONDS = 600.0
"""Daily life and time of day are looked at once a block, so a block may not be long."""


class Ward:
    """``patients`` simulated patients, read every ``interval`` seconds.

    The same arguments give the same bits, however the frames are drawn. ``scenarios`` is
    ``"mixed"`` (each patient of the ``share`` that deteriorates meets a random one), one name or
    several names of :data:`simulator.scenarios.NAMES`, or None: stable patients, who still turn,
    walk, cough, eat, sleep, hurt and have artefacts. Onsets are uniform in ``onset``, seconds
    from the start; two equal numbers fix it. Deteriorations are drawn once, or again ``every`` so
    many seconds for those who are not in one. ``start_ms`` is the time of the first frame, UTC,
    also the clock that patients live by. ``style`` is one of :data:`simulator.styles.STYLES`: who
    is watched, by what. With ``twins`` each patient is simulated a second time without his
    deterioration, so that the truth also names the vitals that it has ``moved``.

    Patients are read at moments of their own, spread evenly over the interval.
    """

    def __init__(
        self,
        patients: int,
        seed: int,
        interval: float = 5.0,
        *,
        start_ms: int = DEFAULT_START,
        scenarios: str | Sequence[str] | None = "mixed",
        share: float = 0.5,
        onset: tuple[float, float] = (1800.0, 6 * 3600.0),
        every: float = np.inf,
        style: str = "ward",
        twins: bool = False,
    ) -> None:
        """Raises UsageError for an unknown scenario or style, no patients, or an interval below
        1 s.
        """
        if patients < 1:
            raise UsageError(f"{patients} patients: a ward needs at least one")
        if interval < 1 or not np.isfinite(interval):
            raise UsageError(f"a reading interval of {interval} s: it must be 1 s or more")
        names = _names(scenarios)
        watched = styles.style(style)
        streams = np.random.SeedSequence(seed).spawn(9)
        person, planning, moments, body, wards, benign, faults, monitor, display = (
            np.random.default_rng(stream) for stream in streams
        )
        self.interval = interval
        self.start_ms = start_ms
        self.population = population.draw(patients, person, watched.people)
        self.patients = [f"sim-{seed}-{number:06d}" for number in range(patients)]
        self._plan = Plan(self.population, names, share, onset, every, planning)
        self._moment = moments.random(patients) * interval
        self._moment[0] = 0.0
        # The twins live through the same chances, and differ by the deterioration alone.
        again = copy.deepcopy(body)
        self._physiology = Physiology(self.population, interval, body, watched.variation)
        self._twins = (
            Physiology(self.population, interval, again, watched.variation) if twins else None
        )
        self._swing = OrnsteinUhlenbeck([900.0], patients, interval, wards)
        self._benign = Episodes(watched.benign, self.population, benign)
        self._faults = Episodes(watched.faults, self.population, faults)
        self._devices = Devices(self.population, interval, monitor, watched.monitor)
        self._artefacts = Artefacts(self.population, interval, monitor)
        self._display = Display(patients, interval, watched.monitor.refresh, display)
        charting = watched.charting
        self._charts = None if charting is None else Charts(patients, charting, display)
        self._hidden = [name not in watched.vitals for name in NAMES]
        self._style = watched
        # arrays of a block that fit into the processor's cache
        self._size = max(1, min(256, 65536 // patients, int(_BLOCK_SECONDS / interval)))
        self._drawn = 0
        self._block: Floats = np.empty((0, patients, COUNT), dtype=np.float32)
        self._times: Ints = np.empty((0, patients), dtype=np.int64)
        self._next = 0
        self._levels: Floats = np.empty((0, COUNT, patients), dtype=np.float32)
        self._chronicle = Chronicle(self.population, self.patients, start_ms)

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def context(self) -> dict[str, Floats]:
        """What may be known of each patient beside the readings, as :data:`population.CONTEXT`."""
        return {name: getattr(self.population, name).astype(np.float32) for name in CONTEXT}

    def step(self) -> tuple[Ints, Floats]:
        """The next reading of every patient: times ``(N,)`` in ms, values ``(N, V)``.

        Values are in the vitals' order and units, NaN where this frame does not hold the vital.
        """
        if self._next == len(self._block):
            self._advance()
        frame = self._next
        self._next += 1
        return self._times[frame], self._block[frame]

    def frames(self, count: int | None = None) -> Iterator[tuple[Ints, Floats]]:
        """The next ``count`` steps, or steps without end."""
        done = 0
        while count is None or done < count:
            yield self.step()
            done += 1

    def read(self, count: int) -> tuple[Ints, Floats]:
        """The next ``count`` steps at once: times ``(T, N)`` and values ``(T, N, V)``."""
        times = np.empty((count, len(self)), dtype=np.int64)
        values = np.empty((count, len(self), COUNT), dtype=np.float32)
        done = 0
        while done < count:
            if self._next == len(self._block):
                self._advance()
            taken = min(count - done, len(self._block) - self._next)
            times[done : done + taken] = self._times[self._next : self._next + taken]
            values[done : done + taken] = self._block[self._next : self._next + taken]
            self._next += taken
            done += taken
        return times, values

    def _advance(self) -> None:
        """Simulate the next block."""
        size, count = self._size, len(self)
        frames = self._drawn + np.arange(size)
        times = frames[:, None] * self.interval + self._moment
        begin = self._drawn * self.interval
        self._drawn += size
        end = self._drawn * self.interval
        self._plan.advance(begin)
        drives = Drives.none(size, count)
        rhythm = self._rhythm(times)
        ill = self._plan.during(begin, end)
        resting = (rhythm.sleep[0] > 0.3) | ill
        for name, episode in self._benign.advance(begin, end, resting).items():
            if name in SWINGS:
                well = episode.of(~ill)
                swing(name, well, times[:, well.patients], self.population, drives)
            else:
                act(name, episode, times[:, episode.patients], drives)
        exertion = self._style.exertion
        np.minimum(drives.rate, exertion, out=drives.rate)
        np.minimum(drives.setpoint, exertion / 2, out=drives.setpoint)
        np.minimum(drives.breathing, self._style.panting, out=drives.breathing)
        without = copy.deepcopy(drives) if self._twins is not None else None
        self._act(drives, times, begin, end)
        faults = self._faults.advance(begin, end, resting)
        if "motion" in faults:
            moving = faults["motion"]
            on = moving.envelope(times[:, moving.patients], 3) * moving.size
            drives.motion[:, moving.patients] += 0.7 * on

        self._chronicle.note(self._plan, (self._benign, self._faults), begin, end)

        latent = self._physiology.advance(drives, rhythm)
        shown = self._devices.average(latent, drives.irregular)
        self._chronicle.judge(self._plan, latent, times)
        if self._twins is not None and without is not None:
            undisturbed = self._twins.advance(without, rhythm)
            self._chronicle.compare(self._plan, latent, undisturbed, times)
        values, inflating = self._devices.measure(shown, times)
        self._artefacts.disturb(values, drives.motion, inflating, latent[:, MAP], faults, times)
        values[:, self._hidden] = np.nan
        self._display.hold(values)
        if self._charts is not None:
            self._charts.chart(values, times)
        rounded(values, self._devices.averages)
        self._block = np.ascontiguousarray(values.transpose(0, 2, 1))
        self._times = self.start_ms + np.rint(times * 1000).astype(np.int64)
        self._next = 0
        self._levels = latent

    def _act(self, drives: Drives, times: Doubles, begin: float, end: float) -> None:
        """Let the scenarios act."""
        swings = self._swing.advance(len(times))[:, 0]
        for name, who in self._plan.active(begin, end).items():
            swing = swings[:, who]
            severity, since = self._plan.severity(who, times[:, who], swing)
            form, strength = self._plan.form[who], self._plan.strength[who]
            SCENARIOS[name].act(
                Course(who, severity, since, swing, form, strength, self.population, drives)
            )

    def _rhythm(self, times: Doubles) -> Rhythm:
        people = self.population
        ends = times[[0, -1]] / 3600 + self.start_ms / 3_600_000
        hour = ends % 24
        daytime = np.cos((hour - 17) * (np.pi / 12))
        night = (people.waking - people.bedtime) % 24
        into = (hour - people.bedtime + 1) % 24 - 1  # an hour before bedtime is -1
        sleep = np.minimum(into, night - into).clip(0, 0.5) * 2
        part = np.linspace(0, 1, len(times), dtype=np.float32)[:, None]
        blend = [(row[0] + (row[1] - row[0]) * part).astype(np.float32) for row in (sleep, daytime)]
        return Rhythm(blend[0], blend[1])

    @property
    def truth(self) -> list[Truth]:
        """All that had begun by the last frame drawn: deteriorations first, then benign events
        and artefacts, each by onset.
        """
        return self._chronicle.truth(self._now())

    def news(self) -> list[Truth]:
        """The truth that is new since the last call; what becomes critical is told again."""
        return self._chronicle.news(self._now())

    def _now(self) -> Doubles:
        last = self._drawn - len(self._block) + self._next - 1
        return last * self.interval + self._moment

    @property
    def levels(self) -> Floats:
        """True levels of the vital signs at the last frame drawn, ``(N, V)``; one must be."""
        return np.asarray(self._levels[self._next - 1].T)


def _names(scenarios_: str | Sequence[str] | None) -> tuple[str, ...]:
    if scenarios_ is None:
        return ()
    names = (scenarios_,) if isinstance(scenarios_, str) else tuple(scenarios_)
    if names == ("mixed",):
        return scenarios.NAMES
    for name in names:
        if name not in SCENARIOS:
            raise UsageError(
                f"There is no scenario {name!r}; there are: mixed, none, "
                f"{', '.join(scenarios.NAMES)}."
            )
    return names
