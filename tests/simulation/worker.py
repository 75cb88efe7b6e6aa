"""A daemon that is run a step at a time, and to whom something may happen at each of its seams."""

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CollectorRegistry

from vitalwatch.detector import Detector
from vitalwatch.errors import BrokerError, Fenced
from vitalwatch.model.checkpoint import Model
from vitalwatch.monitoring.http import Health
from vitalwatch.monitoring.metrics import Metrics
from vitalwatch.readings import Detection, Readings
from vitalwatch.stream.broker import Membership, Poll, RecordBatch, Sink, TopicPartition
from vitalwatch.stream.daemon import CONDITIONS, Daemon
from vitalwatch.stream.memory import MemoryBroker, MemorySource

if TYPE_CHECKING:
    from tests.simulation.world import World


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


class Errand(Future[Any]):
    """Something for the helper to do."""

    def __init__(self, helper: "Helper", work: Callable[[], Any]) -> None:
        super().__init__()
        self.work = work
        self._helper = helper

    def result(self, timeout: float | None = None) -> Any:
        """What came of it, which is waited for."""
        self._helper.finish(self)
        return super().result()


class Helper(Executor):
    """Another core, which does its errands one after the other: at once, or just in time."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._errands: deque[Errand] = deque()

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Errand:
        """Take on an errand."""
        errand = Errand(self, functools.partial(work, *arguments, **named))
        self._errands.append(errand)
        self.go_on()
        return errand

    def go_on(self) -> None:
        """Do some of what there is to do, perhaps none."""
        while self._errands and self._world.rng.random() < 0.3:
            self._do_one()

    def finish(self, errand: Errand) -> None:
        """Do all there is to do up to this errand."""
        while not errand.done():
            self._do_one()

    def _do_one(self) -> None:
        errand = self._errands.popleft()
        self._world.told.append("the helper does an errand")
        errand.set_result(errand.work())


class Worker:
    """A daemon that is run a step at a time; ``named`` is a static member of the group."""

    def __init__(self, world: "World", name: str, model: Model, *, named: bool) -> None:
        self.world = world
        self.name = name
        self.helper = Helper(world) if world.helped else None
        self.crashed = False
        self.busy = False
        self.sources: list[MemorySource] = []
        detector = Judge(model, world.settings.alarms)
        detector.worker = self
        instance = name if named else ""
        daemon = msgspec.structs.replace(world.settings.daemon, instance=instance)
        self.stop = threading.Event()
        self._steps = Daemon(
            Log(self, world.broker),
            detector,
            msgspec.structs.replace(world.settings, daemon=daemon),
            Metrics(CollectorRegistry()),
            Health(CONDITIONS, clock=world.clock),
            model=model.fingerprint,
            identity=name,
            helper=self.helper,
            clock=world.clock,
            wait=world.wait,
        ).steps(self.stop)

    def step(self) -> None:
        """Go on until the daemon pauses, dies or ends."""
        self.busy = True
        try:
            next(self._steps)
        except (Crash, Fenced, StopIteration):
            self.crashed = True
        except BrokerError:  # so a process ends that cannot do anything from the start
            self.crashed = True
        finally:
            self.busy = False

    def fate(self, where: str) -> None:
        """At every seam of the daemon: perhaps the world does something to it."""
        if self.crashed:
            raise Crash
        self.world.told.append(f"{self.name} {where}")
        if self.helper is not None:
            self.helper.go_on()
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
