"""From a reading's publication to those who read only what is committed.

The daemon and the broker have the cores that everything is measured on; who publishes and who
reads along stand for devices and consumers elsewhere, and run on other cores if there are any.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from tests.benchmarks import throughput
from tests.benchmarks.cluster import PARTITIONS
from tests.benchmarks.context import Context, command
from tests.benchmarks.figures import Figure, Target

SLOW = 1000
"""Readings a second of a thousand patients."""

SHARE = 0.7
_SETTLING_SECONDS = 10.0  # in which all patients are new at once, which no day brings
_PATIENTS_AT_MOST = 100_000
_FAST_SECONDS = 40.0
"""At a high rate the broker's files fill memory by gigabytes. In a virtual machine memory that was
never used before costs a write twelve times as much; a longer run measures that."""


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
        *_at(context, f"{SLOW:,} readings/s", SLOW, SLOW, Target("≤", 50)),
        *_at(context, "70 % of maximum", fast, patients, Target("≤", 500)),
    ]


def _at(context: Context, title: str, rate: float, patients: int, target: Target) -> list[Figure]:
    os.sync()  # the disk is not to be busy with what was measured before
    context.say(f"latency at {rate:,.0f} readings/s of {patients:,} patients")
    cluster, seconds = context.cluster, context.size.latency_seconds
    if rate > SLOW:
        seconds = min(seconds, _FAST_SECONDS)
    prefix = context.name("latency")
    topics = cluster.make_topics(prefix)
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
        alerts, scores, *readings = (watcher.ages(settled) for watcher in watchers)
    context.say(
        f"  {len(alerts):,} alerts, {len(scores):,} scores seen; the daemon used {share:.0%} of a "
        f"core; {left:,} readings behind at the end; {published['late']:,} published late"
    )
    return [
        *_percentiles(f"publish to committed alert, {title}", alerts, target),
        *_percentiles(f"publish to committed score, {title}", scores),
        *chain.from_iterable(
            _percentiles(f"publish to a plain consumer of readings, {title}", ages)
            for ages in readings
        ),
    ]


def _percentiles(name: str, ages: Sequence[float], target: Target | None = None) -> list[Figure]:
    p50, p99 = np.percentile(ages, [50, 99]) * 1000 if len(ages) else (np.nan, np.nan)
    return [Figure(f"p50 {name}", [p50], "ms"), Figure(f"p99 {name}", [p99], "ms", target)]


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
