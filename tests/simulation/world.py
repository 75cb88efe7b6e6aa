"""A group of workers on the in-process log, to whom one seed does everything that can go wrong.

Nothing here runs in parallel and nothing reads a clock: who works next, how much it polls, where
it crashes and what becomes of a commit are drawn from one generator, so a seed is a course of
events that can be run again. Each seed draws which kinds of fault it has, and how often, because
a run with all of them at once never gets far enough for the rare ones.
"""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry

from tests.simulation import ward
from vitalwatch.detector import Detector
from vitalwatch.errors import BrokerError, Fenced
from vitalwatch.monitoring.http import Health
from vitalwatch.monitoring.metrics import Metrics
from vitalwatch.readings import Detection, Readings
from vitalwatch.stream import topics
from vitalwatch.stream.broker import Membership, Poll, RecordBatch, Sink, TopicPartition
from vitalwatch.stream.daemon import CONDITIONS, Daemon
from vitalwatch.stream.memory import MemoryBroker, MemorySource

FAULTS: Final = (
    "crash",  # a worker is gone in the middle of whatever it does
    "refused",  # a commit fails and has no effect
    "unanswered",  # a commit has its effect, and fails
    "expired",  # a worker is put out of the group, and does not know it
    "frozen",  # the same, while others do its work, and then it goes on: a zombie
    "interrupted",  # others go on in the middle of what a worker does
    "damaged",  # a record of the state topic is not what was written
    "lost",  # a record of the state topic is gone
    "compacted",  # older records of a key of the state topic are gone
    "namesake",  # a new worker takes a living one's name
)
QUIET_STEPS: Final = 2_000


class Crash(BaseException):
    """A worker's process is no more."""


class Source:
    """A member whose polls are of any size, and come back to find the world changed."""

    def __init__(self, worker: "Worker", source: MemorySource) -> None:
        self._worker = worker
        self.member = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self.member, name)

    def poll(self, timeout: float, max_records: int) -> Poll:
        self._worker.fate("poll")
        polled = self.member.poll(0, self._worker.world.size(max_records))
        self._worker.fate("polled")
        return polled

    def more(self, timeout: float, max_records: int) -> list[RecordBatch]:
        batches = self.member.more(0, self._worker.world.size(max_records))
        self._worker.fate("more")
        return batches

    def close(self) -> None:
        if not self._worker.crashed:
            self.member.close()


class Transactions:
    """A writer whose commits are refused, or not answered."""

    def __init__(self, worker: "Worker", sink: Sink) -> None:
        self._worker = worker
        self._sink = sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def append(self, topic: str, *arguments: Any, **named: Any) -> None:
        self._worker.fate("append")
        self._sink.append(topic, *arguments, **named)

    def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> None:
        self._worker.fate("commit")
        world = self._worker.world
        if world.happens("refused"):
            self._sink.abort()
            raise BrokerError("The broker is away.")
        self._sink.commit(offsets, membership)
        self._worker.fate("committed")
        if world.happens("unanswered"):
            raise BrokerError("The broker went away before it answered.")

    def close(self) -> None:
        if not self._worker.crashed:
            self._sink.close()


class Log:
    """The broker as one worker sees it."""

    def __init__(self, worker: "Worker", broker: MemoryBroker) -> None:
        self._worker = worker
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def source(self, topics: Sequence[str], group: str, *, instance: str | None = None) -> Any:
        made = Source(self._worker, self._broker.source(topics, group, instance=instance))
        self._worker.sources.append(made.member)
        return made

    def sink(self, identity: str) -> Any:
        return Transactions(self._worker, self._broker.sink(identity))

    def read(
        self, source: TopicPartition, start: int, end: int | None = None
    ) -> Iterator[RecordBatch]:
        for batch in self._broker.read(source, start, end):
            self._worker.fate("restore")
            yield batch


class Judge(Detector):
    """The detector, in the middle of which a worker may die."""

    worker: "Worker"

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        found = super().process(batch)
        self.worker.fate("detected")
        return found


class Worker:
    """A daemon that is run a step at a time."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.crashed = False
        self.busy = False
        self.sources: list[MemorySource] = []
        detector = Judge(ward.model(), world.settings.alarms)
        detector.worker = self
        self.stop = threading.Event()
        self._steps = Daemon(
            Log(self, world.broker),
            detector,
            world.settings,
            Metrics(CollectorRegistry()),
            Health(CONDITIONS, clock=world.clock),
            model=ward.model().fingerprint,
            identity=name,
            clock=world.clock,
            wait=world.wait,
        ).steps(self.stop)

    def step(self) -> None:
        """Go on until the daemon pauses, dies or ends."""
        self.busy = True
        try:
            next(self._steps)
        except (Crash, Fenced):
            self.crashed = True
        except StopIteration:
            self.crashed = True
        finally:
            self.busy = False

    def fate(self, where: str) -> None:
        """At every seam of the daemon: perhaps the world does something to it."""
        if self.crashed:
            raise Crash
        self.world.told.append(f"{self.name} {where}")
        if self.world.happens("crash"):
            self.world.told.append(f"{self.name} crashes")
            self.crashed = True
            raise Crash
        if self.world.happens("expired"):
            self.expire()
        if self.world.happens("frozen"):
            self.expire()
            self.world.others(self, 8)
        if self.world.happens("interrupted"):
            self.world.others(self)

    def expire(self) -> None:
        """Its session is over, and the group goes on without it."""
        for source in self.sources:
            self.world.told.append(f"{self.name} is put out of the group")
            self.world.broker.expire(source)


class World:
    """All that is there in one run. ``told`` is what happened, for people."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.told: list[str] = []
        self.broker = MemoryBroker(clock=lambda: 1_700_000_000.0)
        rng = self.rng
        daemon = {
            "commit_seconds": rng.choice((0.01, 0.1, 1.0)),
            "snapshot_seconds": rng.choice((0.01, 0.5, 5.0, 1e4)),
            "max_records": rng.choice((1, 3, 20, 5000)),
        }
        changed = msgspec.structs.replace(ward.SETTINGS.daemon, **daemon)
        self.settings = msgspec.structs.replace(ward.SETTINGS, daemon=changed)
        self.broker.create(topics.specs(self.settings.topics))
        kinds = rng.sample(FAULTS, rng.randint(1, len(FAULTS)))
        self._chances = {kind: rng.choice((0.004, 0.02, 0.06)) for kind in kinds}
        self._now = 0.0
        self._quiet = False
        self._workers = rng.randint(1, 3)
        self._made = 0
        self._living: list[Worker] = []
        self._dead: list[Worker] = []
        self._left = ward.records(rng)
        self._publisher = self.broker.publisher()

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
        for _ in range(self.rng.randint(30, 150)):
            self._something()
        self._quiet = True
        self._publish(len(self._left))
        for worker in (*self._dead, *self._living):
            if worker.crashed:
                worker.expire()
        for _ in range(QUIET_STEPS):
            self._living = [worker for worker in self._living if not worker.crashed]
            if not self._living:
                self._start(f"last-{self._made}")
            for worker in self._living:
                worker.step()
            if self.lag() == 0:
                break
        self._finish()
        assert self.lag() == 0, f"the group is {self.lag()} offsets behind, and stays there"
        compare(ward.committed(self.broker), ward.expected(self.broker))

    def lag(self) -> int:
        """Offsets of the input that are not committed."""
        readings = self.settings.topics.readings
        group = self.broker._groups.get(self.settings.daemon.group)
        partitions = [TopicPartition(readings, number) for number in range(ward.PARTITIONS)]
        ends = sum(self.broker.bounds(partition)[1] for partition in partitions)
        return ends - sum(group.committed.get(p, 0) for p in partitions) if group else ends

    def _something(self) -> None:
        self._living, crashed = (
            [worker for worker in self._living if worker.crashed is dead] for dead in (False, True)
        )
        self._dead += crashed
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
        self.told.append(f"{name} starts")
        self._made += 1
        self._living.append(Worker(self, name))

    def _publish(self, count: int) -> None:
        part, self._left = self._left[:count], self._left[count:]
        for key, value, timestamp in part:
            encoded = None if key is None else key.encode()
            self._publisher.send(self.settings.topics.readings, encoded, value, timestamp=timestamp)

    def _finish(self) -> None:
        for worker in self._living:
            worker.stop.set()
            while not worker.crashed:
                worker.step()

    @contextmanager
    def _state(self) -> Iterator[tuple[Any, int]]:
        """Some record of the state topic."""
        partition = TopicPartition(self.settings.topics.state, self.rng.randrange(ward.PARTITIONS))
        log = self.broker._log(partition)
        if log.records:
            count = len(log.records)
            newest = max(0, count - self.rng.choice((1, 4, count)))
            yield log, self.rng.randrange(newest, count)
        else:
            yield None, 0

    def _damage(self) -> None:
        with self._state() as (log, place):
            if log is None or not log.records[place].value:
                return
            value = bytearray(log.records[place].value)
            at = self.rng.randrange(len(value))
            if self.rng.random() < 0.5:
                value[at] ^= 1 << self.rng.randrange(8)
            else:
                del value[at:]
            self.told.append(f"state record {place} is damaged at byte {at}")
            log.records[place] = log.records[place]._replace(value=bytes(value))

    def _lose(self) -> None:
        with self._state() as (log, place):
            if log is not None:
                self.told.append(f"state record {place} is lost")
                del log.records[place], log.offsets[place]

    def _compact(self) -> None:
        with self._state() as (log, end):
            if log is None:
                return
            newest = {record.key: place for place, record in enumerate(log.records)}
            keep = [
                p for p in range(len(log.records)) if p >= end or newest[log.records[p].key] == p
            ]
            self.told.append(f"the state up to record {end} is compacted")
            log.records[:] = [log.records[place] for place in keep]
            log.offsets[:] = [log.offsets[place] for place in keep]


def compare(found: ward.Outcome, wanted: ward.Outcome) -> None:
    """Equal, none missing, none twice; or the first difference."""
    for place in sorted(wanted.scores.keys() | found.scores.keys()):
        have, want = found.scores.get(place), wanted.scores.get(place)
        assert have == want, f"score of partition {place[0]}, offset {place[1]}: {have} != {want}"
    for have, want in zip(found.alerts, wanted.alerts, strict=False):
        assert have == want, f"alert {have} != {want}"
    assert len(found.alerts) == len(wanted.alerts), "alerts are missing, or twice"
    assert found.dead_letters == wanted.dead_letters


def play(seed: int, tell: Callable[[str], None] | None = None) -> None:
    """One seed; AssertionError with what went wrong."""
    world = World(seed)
    try:
        world.run()
    finally:
        if tell is not None:
            for line in world.told:
                tell(line)
