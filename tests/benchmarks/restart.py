"""A daemon is killed in the middle of its work and another started: how long is the gap?"""

import socket
import subprocess
import time
from collections.abc import Callable

from tests.benchmarks.cluster import Offsets, reached
from tests.benchmarks.context import Context, command
from tests.benchmarks.figures import Figure, Target

SESSION_SECONDS = 10.0
"""After so long the broker gives a vanished member's partitions to others."""

_BEHIND_SECONDS = 0.5
"""Who is this far behind the newest reading, and no further, has caught up."""

_LIMIT_SECONDS = 120.0


def measure(context: Context) -> list[Figure]:
    """From kill -9 to caught up, as a nameless worker and as one with a stable name."""
    size = context.size
    rate = size.restart_patients  # each is read once a second
    gaps: dict[str, list[float]] = {"nameless": [], "with a stable name": []}
    for number in range(min(size.runs, 3)):
        for who, seconds in gaps.items():
            context.say(f"restart, {rate:,} patients, worker {who}, run {number + 1}")
            flags = () if who == "nameless" else ("--daemon-instance", "one")
            seconds.append(_gap(context, rate, *flags))
    target = Target("≤", 5 + SESSION_SECONDS)
    return [
        Figure(
            f"kill -9 to caught up, {rate:,} patients at 1 Hz, worker {who}", seconds, "s", target
        )
        for who, seconds in gaps.items()
    ]


def _gap(context: Context, rate: int, *flags: str) -> float:
    cluster, size = context.cluster, context.size
    prefix = context.name("restart")
    topic = cluster.make_topics(prefix).readings
    life = size.restart_seconds + _LIMIT_SECONDS
    publishing = command("publisher", cluster.address, topic, rate, rate, life)
    with socket.socket() as probe:  # a port of its own, as the default one is on a real machine
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with context.undisturbed(), context.worker(prefix, prefix, *flags, port=port) as worker:
        worker.wait_until_ready()
        publisher = subprocess.Popen(publishing, stdout=subprocess.DEVNULL)
        try:
            _caught_up(context, prefix, topic, worker.check)
            time.sleep(size.restart_seconds)
            worker.kill()
            killed = time.monotonic()
            behind = sum(cluster.committed(prefix, topic).values())
            with context.worker(prefix, prefix, *flags, port=port) as successor:
                ready = successor.wait_until_ready() + successor.began - killed
                when, done = _caught_up(context, prefix, topic, successor.check)
        finally:
            publisher.kill()
            publisher.wait()
    context.say(
        f"  ready after {ready:.1f} s, caught up after {when - killed:.1f} s, when "
        f"{sum(done.values()) - behind:,} more readings were scored"
    )
    return when - killed


def _caught_up(
    context: Context, group: str, topic: str, check: Callable[[], None]
) -> tuple[float, Offsets]:
    """When the group had committed what was there half a second before, and how far it was."""
    cluster = context.cluster
    earlier: list[tuple[float, Offsets]] = []
    deadline = time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < deadline:
        check()
        now = time.monotonic()
        earlier.append((now, cluster.ends(topic)))
        committed = cluster.committed(group, topic)
        then = [ends for when, ends in earlier if when <= now - _BEHIND_SECONDS]
        if then and any(then[-1].values()) and reached(committed, then[-1]):
            return now, committed
        time.sleep(0.05)
    raise TimeoutError(f"{group} is still behind after {_LIMIT_SECONDS:.0f} s")
