"""Memory of the daemon while few and while very many readings wait for it."""

from tests.benchmarks import machine
from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure, ratio

PATIENTS = 1_000


def measure(context: Context) -> list[Figure]:
    """The most memory that is taken up while a backlog is worked off."""
    few, many = context.size.readings // 10, context.size.burst
    most = {
        readings: Figure(
            f"daemon's memory at most, {readings:,} readings wait",
            [_peak(context, readings) / 1e6],
            "MB",
        )
        for readings in (few, many)
    }
    name = f"memory, {many:,} readings waiting / {few:,}"
    return [*most.values(), ratio(name, most[many], most[few])]


def _peak(context: Context, readings: int) -> int:
    cluster = context.cluster
    prefix = context.topic(PATIENTS, readings)
    topic = cluster.make_topics(prefix).readings
    cluster.empty_outputs(prefix)
    ends, group = cluster.ends(topic), context.name("burst")
    with context.worker(prefix, group) as worker:
        progress = cluster.follow(group, topic, ends, worker.check)
        peak = machine.peak_memory(worker.pid)
    context.say(f"  {readings:,} readings: {progress.rate():,.0f} readings/s, {peak / 1e6:,.0f} MB")
    return peak
