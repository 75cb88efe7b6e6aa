"""Everything that is done to workers, broker and connections; each drawn from a generator."""

import random
import time
from collections.abc import Callable
from typing import Final

from tests.chaos.course import Course
from tests.chaos.crew import Unexpected, Worker
from tests.chaos.site import Site
from tests.chaos.worker import SESSION_SECONDS, STEPS, TRANSACTION_SECONDS

MOST_WORKERS: Final = 3
AT_THE_START: Final = ("assigned", "restore")
"""Steps that a worker comes by when it starts."""

_PASSAGES: Final = {"append": 12, "poll": 8, "score": 8, "commit": 8, "committed": 8}
_COMMIT_SECONDS: Final = 0.02
_CATCH_SECONDS: Final = 20.0
_FENCED: Final = 1  # the exit code of a worker that others replaced again and again
_UNREACHABLE: Final = 78  # of who is still starting when connections are refused
_GAVE_UP: Final = (_FENCED, _UNREACHABLE)

Chance = random.Random
Fault = Callable[[Chance], str]


class Faults:
    """Does things to a course; each method says what it did, and leaves at least one worker."""

    def __init__(self, course: Course, site: Site | None = None) -> None:
        """Without a ``site`` the broker and the connections to it are left alone."""
        self.course = course
        self._crew = course.crew
        self._site = site
        self.kills = 0
        self.missed = 0
        """Traps that nobody came by: the worker was killed then wherever it was."""
        self.replaced = 0
        """Workers that gave up because others took their name again and again."""
        self.broker_kills = 0
        self._names = 0

    def catalogue(self) -> dict[str, tuple[int, Fault]]:
        """All faults by name, each with how often it comes in relation to others."""
        faults: dict[str, tuple[int, Fault]] = {
            f"kill at {step}": (3, self._killing(step)) for step in STEPS
        }
        faults |= {
            "kill": (9, self.kill),
            "kill all": (3, self.kill_all),
            "come and go": (3, self.come_and_go),
            "zombie": (2, self.zombie),
            "expire": (1, self.expire),
        }
        if self._site is not None:
            faults |= {"broker": (2, self.broker), "connections": (3, self.connections)}
        return faults

    def start(self, *, named: bool) -> Worker:
        """Start a worker of a new name, or without a name."""
        self._names += 1
        return self._crew.start(f"w{self._names}" if named else "")

    def kill_at(self, step: str, chance: Chance) -> str:
        """Kill a worker at the n-th passage of a step, and start another in its place."""
        passage = chance.randint(1, _PASSAGES.get(step, 1))
        lingering = chance.choice((0.0, 0.03))
        if step == "committing":
            lingering = chance.uniform(0, _COMMIT_SECONDS)
        pause = chance.uniform(0, 0.5)
        victim = self._one(chance)
        trap = {"step": step, "passage": passage, "action": "kill", "seconds": lingering}
        with self.course.flowing():
            if step in AT_THE_START:
                self._kill(victim)
                victim = self._crew.start(victim.instance, trap)
            else:
                self._crew.arm(victim, trap)
            self._caught(victim)
            self.kills += 1
            time.sleep(pause)
            self._crew.start(victim.instance)
        return f"passage {passage}, after {lingering:.3g} s; {_named(victim)}"

    def kill(self, chance: Chance) -> str:
        """Kill a worker at any time, and perhaps the one in its place, while it is starting."""
        when, pause, again = chance.uniform(0, 2), chance.uniform(0, 0.5), chance.random() < 0.6
        then = chance.uniform(0.1, 1.5)
        victim = self._one(chance)
        with self.course.flowing():
            time.sleep(when)
            self._kill(victim)
            time.sleep(pause)
            newborn = self._crew.start(victim.instance)
            if again:
                time.sleep(then)
                self._kill(newborn)
                self._crew.start(victim.instance)
        told = f"after {when:.2f} s; {_named(victim)}"
        return f"{told}; again {then:.2f} s after the start" if again else told

    def kill_all(self, chance: Chance) -> str:
        """Kill everybody at once."""
        when, pause = chance.uniform(0, 2), chance.uniform(0, 1)
        with self.course.flowing():
            time.sleep(when)
            victims = self._crew.living
            for victim in victims:
                self._kill(victim)
            time.sleep(pause)
            for victim in victims:
                self._crew.start(victim.instance)
        return f"{len(victims)} after {when:.2f} s"

    def come_and_go(self, chance: Chance) -> str:
        """Several workers join, leave in good order, and die."""
        acts = [chance.choice(("start", "start", "stop", "kill")) for _ in range(7)]
        pauses = [chance.uniform(0.1, 1.2) for _ in acts]
        done = []
        with self.course.flowing():
            for act, pause in zip(acts, pauses, strict=True):
                if len(self._crew.living) >= MOST_WORKERS:
                    act = "stop" if act == "start" else act
                elif len(self._crew.living) == 1:
                    act = "start"
                if act == "start":
                    self.start(named=chance.random() < 0.5)
                elif act == "stop":
                    self._crew.stop(self._one(chance))
                else:
                    self._kill(self._one(chance))
                done.append(act)
                time.sleep(pause)
        return ", ".join(done)

    def zombie(self, chance: Chance, victim: Worker | None = None) -> str:
        """Freeze a worker until it was replaced for long, and let it go on."""
        step = chance.choice(("poll", "score", "append", "commit", "anywhere"))
        passage, beyond = chance.randint(1, 5), chance.uniform(0.5, 2 + TRANSACTION_SECONDS)
        after, stays = chance.uniform(0.5, 2), chance.random() < 0.5
        victim = victim or self._one(chance)
        victim.allowed.add(_FENCED)
        trap = {"step": step, "passage": passage, "action": "freeze", "seconds": 0.03}
        with self.course.flowing():
            if step == "anywhere":
                self._crew.freeze(victim)
            else:
                self._crew.arm(victim, trap)
                self._caught(victim, self._crew.freeze)
            heir = self._crew.start(victim.instance)
            heir.allowed.add(_FENCED)
            time.sleep(SESSION_SECONDS + beyond)
            self._crew.wake(victim)
            time.sleep(after)
        if victim.instance:
            self._kill(victim)  # two of one name are no state to stay in
        elif victim.code is None and (not stays or len(self._crew.living) > MOST_WORKERS):
            self._crew.stop(victim)
        self._refill()
        return f"at {step}, for {SESSION_SECONDS + beyond:.1f} s; {_named(victim)}"

    def expire(self, chance: Chance) -> str:
        """Let a worker dawdle within a transaction until the broker gives the transaction up."""
        step, passage = chance.choice(("append", "commit")), chance.randint(1, 5)
        seconds = TRANSACTION_SECONDS + chance.uniform(1.5, 2.5)
        victim = self._one(chance)
        victim.allowed.add(_FENCED)
        trap = {"step": step, "passage": passage, "action": "sleep", "seconds": seconds}
        with self.course.flowing():
            self._crew.arm(victim, trap)
            self._crew.caught(victim)
            time.sleep(seconds + 0.5)
        self._refill()
        return f"at {step}, for {seconds:.1f} s; {_named(victim)}"

    def broker(self, chance: Chance) -> str:
        """Kill the broker, or stop it, and start it again; perhaps a worker dies meanwhile.

        A transaction that its broker gave up during an outage looks as if another worker had
        taken the name; one that this happens to again and again gives up.
        """
        assert self._site is not None
        hard, before, away = chance.random() < 0.7, chance.uniform(0.3, 1), chance.uniform(0.1, 3)
        also = chance.random() < 0.5
        victim = self._one(chance)
        self._let_give_up()
        with self.course.flowing():
            time.sleep(before)
            self._site.down(0 if hard else 20)
            self.broker_kills += hard
            if also:
                self._kill(victim)
            time.sleep(away)
            self._site.up()
            if also:
                self._crew.start(victim.instance)
            time.sleep(0.5)
        self._refill()
        told = f"{'killed' if hard else 'stopped'} for {away:.1f} s"
        return f"{told}, and with it {_named(victim)}" if also else told

    def connections(self, chance: Chance, kind: str = "") -> str:
        """Cut, slow, hold up or refuse connections; perhaps a worker dies meanwhile."""
        assert self._site is not None
        proxy = self._site.proxy
        kind = kind or chance.choice(("cut", "slow", "stall", "refuse"))
        seconds, delay = chance.uniform(1, 5), chance.uniform(0.01, 0.15)
        rate = chance.choice((20_000.0, 200_000.0))
        pauses = [chance.uniform(0.05, 0.8) for _ in range(6)]
        also, abrupt = chance.random() < 0.4, chance.random() < 0.5
        victim = self._one(chance)
        self._let_give_up()
        with self.course.flowing():
            if kind == "cut":
                for pause in pauses:
                    time.sleep(pause)
                    proxy.cut()
            else:
                {"slow": lambda: proxy.slow(delay, rate), "stall": proxy.stall}.get(
                    kind, proxy.refuse
                )()
                time.sleep(seconds)
            if also:
                self._kill(victim)
            if abrupt:
                proxy.cut()
            proxy.restore()
            if also:
                self._crew.start(victim.instance)
            time.sleep(0.5)
        self._refill()
        told = f"{kind} for {sum(pauses) if kind == 'cut' else seconds:.1f} s"
        return f"{told}, and with it {_named(victim)}" if also else told

    def _killing(self, step: str) -> Fault:
        return lambda chance: self.kill_at(step, chance)

    def _one(self, chance: Chance) -> Worker:
        number = chance.randrange(60)  # drawn alike however many there are
        return self._crew.living[number % len(self._crew.living)]

    def _kill(self, worker: Worker) -> None:
        if worker.code is None:
            self._crew.kill(worker)
            self.kills += 1

    def _caught(self, worker: Worker, otherwise: Callable[[Worker], None] | None = None) -> None:
        try:
            self._crew.caught(worker, _CATCH_SECONDS)
        except Unexpected:
            self._crew.look()
            self.missed += 1
            (otherwise or self._crew.kill)(worker)

    def _let_give_up(self) -> None:
        for worker in self._crew.living:
            worker.allowed.update(_GAVE_UP)

    def _refill(self) -> None:
        """Where a worker gave up, start one in its place, as whoever runs it would."""
        for worker in [each for each in self._crew.workers if each.code in _GAVE_UP]:
            worker.code = 0
            worker.allowed.add(0)
            self.replaced += 1
            if not worker.instance or worker.instance not in {
                w.instance for w in self._crew.living
            }:
                self._crew.start(worker.instance)


def _named(worker: Worker) -> str:
    return f"{worker.name.split('-', 2)[-1]} of a stable name" if worker.instance else worker.name
