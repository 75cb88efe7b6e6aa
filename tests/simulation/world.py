"""A group of workers on the in-process log, to whom one seed does everything that can go wrong.

Nothing here runs in parallel and nothing reads a clock: who works next, how much it polls, where
it crashes and what becomes of a commit are drawn from one generator, so a seed is a course of
events that can be run again. Each seed draws which kinds of fault it has, and how often, because
a run with all of them at once never gets far enough for the rare ones.

What can be asked for depends on what is there to make state of. In a thrifty world it is the
snapshots alone: readings that no snapshot needs are deleted, and nothing is gone through for want
of one; after a change of the model all is exact but what the network says. In the others snapshots
are damaged and lost, too, and all readings are kept, so that state which is made of them anew is
as good as new.
"""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

import msgspec

from tests.simulation import ward
from tests.simulation.worker import Worker
from vitalwatch.stream import daemon, snapshots, topics
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.memory import MemoryBroker
from vitalwatch.stream.partitioner import partition_of

FAULTS: Final = (
    "crash",  # a worker is gone in the middle of whatever it does
    "refused",  # a commit fails and has no effect
    "unanswered",  # a commit has its effect, and fails
    "expired",  # a worker is put out of the group, and does not know it
    "frozen",  # the same, while others do its work, and then it goes on: a zombie
    "interrupted",  # others go on in the middle of what a worker does
    "compacted",  # older records of a key of the state topic are gone
    "namesake",  # a new worker takes a living one's name
    "upgraded",  # workers that start from now on have another model, or the first one again
)
THRIFTY_FAULTS: Final = ("deleted",)  # readings that no snapshot needs are gone
OTHER_FAULTS: Final = (
    "damaged",  # a record of the state topic is not what was written
    "lost",  # a record of the state topic is gone
)
QUIET_STEPS: Final = 2_000


class World:
    """All that is there in one run. ``told`` is what happened, for people."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.told: list[str] = []
        self.broker = MemoryBroker(clock=lambda: 1_700_000_000.0)
        rng = self.rng
        self._thrifty = rng.random() < 0.3
        self._named = rng.random() < 0.3
        self.helped = rng.random() < 0.5
        self.few = rng.choice((1, 5, daemon.FEW_READINGS))
        changes = {
            "commit_seconds": rng.choice((0.01, 0.1, 1.0)),
            "snapshot_seconds": rng.choice((0.01, 0.5, 5.0, 1e4)),
            "max_records": rng.choice((1, 3, 20, 5000)),
        }
        if self._thrifty:
            changes["warmup_minutes"] = 0.0
        changed = msgspec.structs.replace(ward.SETTINGS.daemon, **changes)
        self.settings = msgspec.structs.replace(ward.SETTINGS, daemon=changed)
        self._readings, self._state = (
            [TopicPartition(topic, number) for number in range(ward.PARTITIONS)]
            for topic in (self.settings.topics.readings, self.settings.topics.state)
        )
        self.archive = MemoryBroker(clock=lambda: 1_700_000_000.0)  # of which nothing is deleted
        for broker in (self.broker, self.archive):
            broker.create(topics.specs(self.settings.topics))
        possible = FAULTS + (THRIFTY_FAULTS if self._thrifty else OTHER_FAULTS)
        kinds = rng.sample(possible, rng.randint(1, len(possible)))
        self._chances = {kind: rng.choice((0.004, 0.02, 0.06)) for kind in kinds}
        self._now = 0.0
        self._quiet = False
        self._workers = rng.randint(1, 3)
        self._made = self._model = 0
        self._models: set[int] = set()  # that were at work
        self._living: list[Worker] = []
        self._dead: list[Worker] = []
        self._left = ward.records(rng)
        self._publishers = self.broker.publisher(), self.archive.publisher()

    def clock(self) -> float:
        """A moment later at each look."""
        self._now += 0.003
        return self._now

    def wait(self, _stop: threading.Event, seconds: float) -> bool:
        """Time passes for all."""
        self._now += seconds
        return False

    def size(self, most: int) -> int:
        """How many records a poll brings."""
        return most if self._quiet else self.rng.randint(1, most)

    def happens(self, kind: str) -> bool:
        """Whether this fault takes place now."""
        return not self._quiet and self.rng.random() < self._chances.get(kind, 0.0)

    def others(self, interrupted: Worker, most: int = 4) -> None:
        """Somebody else's turns, in the middle of another's."""
        self.told.append(f"{interrupted.name} has to wait")
        free = [worker for worker in self._living if not worker.busy and not worker.crashed]
        for _ in range(self.rng.randint(1, most)):
            if free:
                worker = self.rng.choice(free)
                if not worker.busy and not worker.crashed:
                    worker.step()

    def run(self) -> None:
        """Let things happen until all is read and nobody is left to disturb; then check."""
        if self._thrifty:
            self._settle()
        for _ in range(self.rng.randint(30, 150)):
            self._something()
        self._quiet = True
        self._publish(len(self._left))
        for _ in range(QUIET_STEPS):
            self._bury()
            while self._dead:
                self._dead.pop().expire()
            if not self._living:
                self._start(f"last-{self._made}")
            for worker in self._living:
                worker.step()
            if self.lag() == 0:
                break
        self._finish()
        assert self.lag() == 0, f"the group is {self.lag()} offsets behind, and stays there"
        ward.compare(
            ward.committed(self.broker), self.archive, self._models, warmed_up=not self._thrifty
        )

    def lag(self) -> int:
        """Offsets of the input that are not committed."""
        ends = sum(self.broker.bounds(partition)[1] for partition in self._readings)
        return ends - sum(self._committed(partition) or 0 for partition in self._readings)

    def _committed(self, partition: TopicPartition) -> int | None:
        group = self.broker._groups.get(self.settings.daemon.group)
        return group.committed.get(partition) if group else None

    def _settle(self) -> None:
        """Have a snapshot of every partition that is ever read; what lies before may go then."""
        self._quiet = True
        where = [partition_of(str(key).encode(), ward.PARTITIONS) for key, *_ in self._left]
        self._publish(1 + max(where.index(number) for number in set(where)))
        self._start(self._name())
        for _ in range(QUIET_STEPS):
            if all(self._snapshot(number) is not None for number in set(where)):
                break
            self._now += self.settings.daemon.snapshot_seconds
            self._living[0].step()
        self._quiet = False

    def _snapshot(self, number: int) -> int | None:
        """The offset that the newest usable snapshot of a partition reflects."""
        source, committed = self._readings[number], self._committed(self._readings[number])
        prefix = snapshots.prefix(self.settings.daemon.group, source)
        found = snapshots.find(self.broker, self._state[number], prefix, committed or 0).found
        return found.offset if found else None

    def _bury(self) -> None:
        """Tell the dead from the living."""
        self._living, crashed = (
            [worker for worker in self._living if worker.crashed is dead] for dead in (False, True)
        )
        self._dead += crashed

    def _something(self) -> None:
        self._bury()
        if not self._living or (len(self._living) < self._workers and self.rng.random() < 0.3):
            self._start(self._name())
        if self.happens("namesake"):
            self._start(self.rng.choice(self._living).name)
        if self._dead and self.rng.random() < 0.3:
            self._dead.pop(self.rng.randrange(len(self._dead))).expire()
        if self._left and self.rng.random() < 0.3:
            self._publish(self.rng.randint(1, 60))
        for kind, harm in (
            ("damaged", self._damage),
            ("lost", self._lose),
            ("compacted", self._compact),
            ("deleted", self._delete),
            ("upgraded", self._upgrade),
        ):
            if self.happens(kind):
                harm()
        if self.rng.random() < 0.02:
            worker = self.rng.choice(self._living)
            self.told.append(f"{worker.name} is asked to stop")
            worker.stop.set()
        self.rng.choice(self._living).step()

    def _name(self) -> str:
        """A crashed worker comes back under its name, or a stranger joins."""
        known = [worker.name for worker in self._dead]
        if known and self.rng.random() < 0.5:
            return self.rng.choice(known)
        return f"worker-{self._made}"

    def _start(self, name: str) -> None:
        self.told.append(f"{name} starts{' as a static member' if self._named else ''}")
        self._made += 1
        self._models.add(self._model)
        model = ward.model(self._model)
        self._living.append(Worker(self, name, model, named=self._named))

    def _publish(self, count: int) -> None:
        part, self._left = self._left[:count], self._left[count:]
        for key, value, timestamp in part:
            encoded = None if key is None else key.encode()
            for publisher in self._publishers:
                publisher.send(self.settings.topics.readings, encoded, value, timestamp=timestamp)

    def _finish(self) -> None:
        for worker in self._living:
            worker.stop.set()
            while not worker.crashed:
                worker.step()

    def _upgrade(self) -> None:
        self._model = 1 - self._model
        self.told.append(f"model {ward.model(self._model).fingerprint} is installed")

    def _delete(self) -> None:
        number = self.rng.randrange(ward.PARTITIONS)
        offset = self._snapshot(number)
        if offset is not None:
            self.told.append(f"readings of partition {number} are deleted up to {offset}")
            self.broker.trim(self._readings[number], offset)

    @contextmanager
    def _some_state(self) -> Iterator[tuple[Any, int]]:
        """Some record of the state topic."""
        log = self.broker._log(self.rng.choice(self._state))
        if log.records:
            count = len(log.records)
            newest = max(0, count - self.rng.choice((1, 4, count)))
            yield log, self.rng.randrange(newest, count)
        else:
            yield None, 0

    def _damage(self) -> None:
        with self._some_state() as (log, place):
            if log is None or not log.records[place].value:
                return
            value = bytearray(log.records[place].value)
            at = self.rng.randrange(len(value))
            kind = self.rng.choice(("bit", "stretch", "end"))
            if kind == "bit":
                value[at] ^= 1 << self.rng.randrange(8)
            elif kind == "stretch":
                value[at : at + 500] = self.rng.randbytes(len(value[at : at + 500]))
            else:
                del value[at:]
            self.told.append(f"state record {place} is damaged from byte {at} on: {kind}")
            log.records[place] = log.records[place]._replace(value=bytes(value))

    def _lose(self) -> None:
        with self._some_state() as (log, place):
            if log is not None:
                self.told.append(f"state record {place} is lost")
                del log.records[place], log.offsets[place]

    def _compact(self) -> None:
        with self._some_state() as (log, end):
            if log is None:
                return
            newest = {record.key: place for place, record in enumerate(log.records)}
            keep = [
                p for p in range(len(log.records)) if p >= end or newest[log.records[p].key] == p
            ]
            self.told.append(f"the state up to record {end} is compacted")
            log.records[:] = [log.records[place] for place in keep]
            log.offsets[:] = [log.offsets[place] for place in keep]


def play(seed: int, tell: Callable[[str], None] | None = None) -> None:
    """One seed; AssertionError with what went wrong."""
    world = World(seed)
    try:
        with patch.object(daemon, "FEW_READINGS", world.few):  # a simulated stream is a thin one
            world.run()
    finally:
        if tell is not None:
            for line in world.told:
                tell(line)
