"""What every benchmark is given, and how much it measures."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks import cluster, machine
from tests.benchmarks.cluster import Cluster
from tests.benchmarks.daemon import Worker

SUBJECT_SECONDS = 300.0


class Size(NamedTuple):
    """How much is measured; the least that says something, or what the report wants."""

    runs: int
    readings: int  # of the topic that all subjects read
    burst: int  # that wait at once
    slow_seconds: float  # of a subject that would take minutes for the whole topic
    patients: tuple[int, ...]  # whose cost is compared
    rounds: int  # readings of each patient there, at least
    latency_seconds: float
    restart_seconds: float  # of life before the kill
    restart_patients: int
    moment: float  # for what takes microseconds


PATIENTS = (1_000, 10_000, 100_000, 1_000_000)
FULL = Size(5, 2_000_000, 10_000_000, 15.0, PATIENTS, 4, 90.0, 60.0, 10_000, 1.0)
QUICK = Size(1, 300_000, 1_000_000, 4.0, PATIENTS[:3], 3, 30.0, 15.0, 2_000, 0.3)
TRIAL = Size(1, 20_000, 40_000, 1.0, (50, 200), 3, 18.0, 2.0, 100, 0.02)


@dataclass
class Context:
    """One invocation: its size, the folder of the node and of logs, and the cores it runs on."""

    size: Size
    folder: Path
    cores: list[int]
    stack: ExitStack
    spare: list[int] = field(default_factory=list)
    """Cores that nothing measured runs on: for those who stand for devices and readers."""

    maximum: float | None = None
    """The daemon's throughput, once it is known."""

    foreign: list[float] = field(default_factory=list)
    """Others' share of our cores, of each run."""

    _names: Iterator[int] = field(default_factory=count)

    @cached_property
    def cluster(self) -> Cluster:
        """The node, started when it is first needed."""
        self.say("starting a Kafka node")
        return self.stack.enter_context(cluster.running(self.folder))

    def say(self, message: str) -> None:
        """Progress, for a person."""
        print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)

    def name(self, kind: str) -> str:
        """A name that nothing had before, also not in an earlier invocation on this folder."""
        return f"{kind}-{time.time_ns():x}-{next(self._names)}"

    def topic(self, patients: int, readings: int) -> str:
        """The prefix of topics whose readings hold so many; made if there are none yet."""
        prefix = f"ward-{patients}-{readings}"
        began = time.monotonic()
        self.cluster.preload(prefix, patients, readings)
        seconds = time.monotonic() - began
        if seconds > 2:
            self.say(f"{readings:,} readings of {patients:,} patients written in {seconds:.0f} s")
        return prefix

    def worker(self, prefix: str, group: str, *flags: str, port: int = 0) -> Worker:
        """A daemon with default settings; use it as a context."""
        return Worker(self.cluster, prefix, group, self.folder, *flags, port=port)

    def subject(self, name: object, *arguments: object) -> dict[str, Any]:
        """Run one of :mod:`~tests.benchmarks.subjects`; its figures."""
        return self.program("subjects", name, self.cluster.address, *arguments)

    def program(self, module: str, *arguments: object, elsewhere: bool = False) -> dict[str, Any]:
        """Run a module of this folder that prints its figures as JSON in its last line.

        ``elsewhere``: not on the cores of what is measured, if there are others.
        """
        done = subprocess.run(
            command(module, *arguments),
            capture_output=True,
            text=True,
            timeout=SUBJECT_SECONDS,
            preexec_fn=self.elsewhere if elsewhere else None,
        )
        if done.returncode:
            raise RuntimeError(f"{module} failed: {done.stderr[-2000:]}")
        figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return figures

    def elsewhere(self) -> None:
        """Take this process off the cores of what is measured, if there are others."""
        if self.spare:
            os.sched_setaffinity(0, self.spare)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Note what others do on our cores meanwhile."""
        with machine.watched(self.cores, [self.cluster.pid]) as found:
            yield
        if found.share is not None:
            self.foreign.append(found.share)


def command(module: str, *arguments: object) -> Sequence[str]:
    """How a module of this folder is run."""
    return [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)]
