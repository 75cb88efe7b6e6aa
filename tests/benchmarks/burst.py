"""Memory of the daemon while few and very many readings wait for it, and while the broker is slow.

A broker that answers for a tenth of the time only takes in neither outputs nor commits any faster;
one that is frozen is away.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from tests.benchmarks import machine
from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure, ratio

PATIENTS = 1_000
_AWAY_SECONDS = 5.0
_SLOW_SECONDS = 10.0
_AT_WORK, _PERIOD = 0.05, 0.5


def measure(context: Context) -> list[Figure]:
    """The most memory that is taken up while a backlog is worked off."""
    few, middle, many = context.size.readings // 10, context.size.readings, context.size.burst
    most = {
        title: Figure(
            f"daemon's memory at most, {title}", [_peak(context, readings, slow) / 1e6], "MB"
        )
        for title, readings, slow in (
            (f"{few:,} readings wait", few, False),
            (f"{many:,} readings wait", many, False),
            (f"{middle:,} wait, the broker away and then slow", middle, True),
        )
    }
    least, *others = most
    ratios = [ratio(f"memory, {title} / {least}", most[title], most[least]) for title in others]
    return [*most.values(), *ratios]


def _peak(context: Context, readings: int, slow: bool) -> int:
    cluster = context.cluster
    prefix = context.topic(PATIENTS, readings)
    topic = cluster.make_topics(prefix).readings
    cluster.empty_outputs(prefix)
    ends, group = cluster.ends(topic), context.name("burst")
    with context.worker(prefix, group) as worker:
        worker.wait_until_ready()
        with hindered(cluster.pid) if slow else nullcontext():
            progress = cluster.follow(group, topic, ends, worker.check)
        peak = machine.peak_memory(worker.pid)
    context.say(f"  {readings:,} readings: {progress.rate():,.0f} readings/s, {peak / 1e6:,.0f} MB")
    return peak


@contextmanager
def hindered(pid: int) -> Iterator[None]:
    """A process that is frozen for some seconds, and then works a tenth of the time for some."""
    over = threading.Event()

    def hinder() -> None:
        os.kill(pid, signal.SIGSTOP)
        over.wait(_AWAY_SECONDS)
        for _ in range(round(_SLOW_SECONDS / _PERIOD)):
            os.kill(pid, signal.SIGCONT)
            over.wait(_AT_WORK)
            if over.is_set():
                break
            os.kill(pid, signal.SIGSTOP)
            over.wait(_PERIOD - _AT_WORK)
        os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=hinder)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
