"""From a reading's publication to those who read only what is committed.

The daemon and the broker have the cores that everything is measured on; who publishes and who
reads along stand for devices and consumers elsewhere, and run on other cores if there are any.
"""

import math
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks import throughput
from tests.benchmarks.cluster import PARTITIONS
from tests.benchmarks.context import Context, command
from tests.benchmarks.figures import Figure, Target

SLOW = 1000
"""Readings a second of a thousand patients."""

SHARE = 0.7
_RUNS = 3
_SETTLING_SECONDS = 10.0  # in which all patients are new at once, which no day brings
_PATIENTS_AT_MOST = 100_000
_FAST_SECONDS = 40.0
_KEPT_SHORTLY = {
    "retention.bytes": str(32 * 2**20),
    "segment.bytes": str(16 * 2**20),
    "file.delete.delay.ms": "0",
}
"""At a high rate the broker's files would fill memory by gigabytes. In a virtual machine memory
that was never used before costs a write twelve times as much, and that is not to be measured: a
broker that has run for days has its memory. So each partition keeps some seconds only."""


def measure(context: Context) -> list[Figure]:
    """Latency at a ward's rate, and near the limit."""
    if context.maximum is None:
        small = context.size.patients[0]
        context.say("the daemon's maximum, of which 70 % is taken")
        context.maximum = throughput.daemon(
            context, context.topic(small, context.size.readings)
        ).rate
    fast = SHARE * context.maximum
    patients = int(min(_PATIENTS_AT_MOST, max(fast, 1000)))
    return [
        *_figures(context, f"{SLOW:,} readings/s", SLOW, SLOW, Target("≤", 50)),
        *_figures(context, "70 % of maximum", fast, patients, Target("≤", 500)),
    ]


def _figures(
    context: Context, title: str, rate: float, patients: int, target: Target
) -> list[Figure]:
    # One stall of the machine holds more than a hundredth of a run's alerts: so, several runs.
    runs = [_ages(context, rate, patients) for _ in range(min(context.size.runs, _RUNS))]
    seen = zip(*runs, strict=True)  # at a high rate without the last
    named = zip(
        ("committed alert", "committed score", "plain consumer of readings"), seen, strict=False
    )
    return [
        Figure(
            f"p{percent} publish to {name}, {title}",
            [_percentile(ages, percent) for ages in each],
            "ms",
            target if name == "committed alert" and percent == 99 else None,
        )
        for name, each in named
        for percent in (50, 99)
    ]


def _percentile(ages: Sequence[float], percent: int) -> float:
    return float(np.percentile(ages, percent)) * 1000 if len(ages) else math.nan


def _ages(context: Context, rate: float, patients: int) -> list[Sequence[float]]:
    """Seconds from publication to those who read alerts, scores and, at a low rate, readings."""
    os.sync()  # the disk is not to be busy with what was measured before
    context.say(f"latency at {rate:,.0f} readings/s of {patients:,} patients")
    cluster, seconds = context.cluster, context.size.latency_seconds
    if rate > SLOW:
        seconds = min(seconds, _FAST_SECONDS)
    prefix = context.name("latency")
    topics = cluster.make_topics(prefix, _KEPT_SHORTLY if rate > SLOW else None)
    with context.undisturbed(), context.worker(prefix, prefix) as worker:
        worker.wait_until_ready()
        watchers = [
            _Watcher(context, "alerts", topics.alerts, seconds),
            # All of them are more than a consumer in Python can take in beside the rest.
            _Watcher(context, "scores", topics.scores, seconds, PARTITIONS if rate <= SLOW else 1),
        ]
        if rate <= SLOW:  # what the broker alone takes; at high rates this would take a core
            watchers.append(_Watcher(context, "readings", topics.readings, seconds))
        used, settled = worker.cpu_seconds(), time.time() + _SETTLING_SECONDS
        published = context.program(
            "publisher",
            cluster.address,
            topics.readings,
            rate,
            patients,
            seconds,
            "--crossing",
            min(patients, 1000),
            elsewhere=True,
        )
        share = (worker.cpu_seconds() - used) / seconds
        left = sum(cluster.ends(topics.readings).values()) - sum(
            cluster.committed(prefix, topics.readings).values()
        )
        found = [watcher.ages(settled) for watcher in watchers]
    told = f"{len(found[0]):,} alerts, {len(found[1]):,} scores seen; the daemon used {share:.0%}"
    late = f"{left:,} readings behind at the end; {published['late']:,} published late"
    context.say(f"  {told} of a core; {late}")
    return found


class _Watcher:
    """A process that reads an output until some seconds after the readings have ended."""

    def __init__(
        self,
        context: Context,
        kind: str,
        topic: str,
        seconds: float,
        partitions: int = PARTITIONS,
    ) -> None:
        self._file = context.folder / f"{context.name(kind)}.npy"
        where = (context.cluster.address, topic, self._file)
        asked = command("watcher", kind, *where, seconds + 8, "--partitions", partitions)
        self._process = subprocess.Popen(
            asked, stdout=subprocess.PIPE, text=True, preexec_fn=context.elsewhere
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the watcher of {kind} does not start")

    def ages(self, settled: float) -> Sequence[float]:
        """Seconds from publication to here, of what was published from ``settled`` on."""
        self._process.communicate()
        moments, ages = np.load(Path(self._file))
        kept: Sequence[float] = ages[moments > settled]
        return kept
