"""What a reading costs as patients grow in number, and what a second worker brings."""

import time
from contextlib import ExitStack

from tests.benchmarks import machine
from tests.benchmarks.cluster import pour
from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure, Target, ratio
from tests.benchmarks.load import writing

BYTES_A_PATIENT = 6_000
"""Memory that a patient may take in all while arrays grow; for whom there is less are left out."""


def patients(context: Context) -> list[Figure]:
    """Cost of a reading by number of patients, and the memory of one."""
    size = context.size
    fits = machine.free_memory() / BYTES_A_PATIENT
    counts = [count for count in size.patients if count <= fits]
    for count in size.patients[len(counts) :]:
        context.say(f"{count:,} patients may not fit into the memory that is free: left out")
    costs: dict[int, list[float]] = {count: [] for count in counts}
    memory: dict[int, list[int]] = {count: [] for count in counts}
    for number in range(size.runs):
        for count in counts:
            readings = max(size.readings, size.rounds * count)
            prefix = context.topic(count, readings)
            context.say(f"cost with {count:,} patients, run {number + 1} of {size.runs}")
            rate, held = _steady(context, prefix, count / readings)
            costs[count].append(1e6 / rate)
            memory[count].append(held)
    of = {
        count: Figure(f"cost of a reading, {count:,} patients", values, "µs")
        for count, values in costs.items()
    }
    least, most = min(costs), max(costs)
    name = f"cost of a reading, {most:,} patients / {least:,}"
    grown = [
        (large - small) / (most - least)
        for large, small in zip(memory[most], memory[least], strict=True)
    ]
    return [
        *of.values(),
        ratio(name, of[most], of[least], Target("≤", 1.5)),
        Figure(f"daemon's memory a patient, of {most:,}", grown, "bytes"),
    ]


def _steady(context: Context, prefix: str, admission: float) -> tuple[float, int]:
    """Readings a second once the share ``admission`` of the topic is done, and bytes of memory."""
    cluster = context.cluster
    topic = cluster.make_topics(prefix).readings
    cluster.empty_outputs(prefix)
    ends, group = cluster.ends(topic), context.name("patients")
    beyond = {partition: round(end * admission) for partition, end in ends.items()}
    with context.undisturbed(), context.worker(prefix, group) as worker:
        progress = cluster.follow(group, topic, ends, worker.check)
        held = worker.memory()
    context.say(
        f"  {progress.rate(beyond):,.0f} readings/s, {progress.rate():,.0f} with all that are new; "
        f"{held / 1e6:,.0f} MB"
    )
    return progress.rate(beyond), held


def workers(context: Context) -> list[Figure]:
    """Readings a second of one worker and of two, who hold their partitions before any come."""
    size = context.size
    runs: dict[int, list[float]] = {1: [], 2: []}
    for number in range(size.runs):
        for count, rates in runs.items():
            context.say(f"{count} workers, run {number + 1} of {size.runs}")
            rates.append(_together(context, count))
    one, two = (
        Figure(f"{count} worker{'s' * (count > 1)} on the same cores", rates, "readings/s")
        for count, rates in runs.items()
    )
    return [one, two, ratio("two workers / one", two, one)]


def _together(context: Context, count: int) -> float:
    cluster, size = context.cluster, context.size
    prefix = context.name("workers")
    topic = cluster.make_topics(prefix).readings
    with ExitStack() as stack:
        started = [stack.enter_context(context.worker(prefix, prefix)) for _ in range(count)]
        for worker in started:
            worker.wait_until_ready()
        time.sleep(1)  # the last of them may still be taking its partitions over
        # In one transaction: all readings are there at once, and nobody begins before.
        with writing(cluster.address, topic, transaction=True) as send:
            pour(send, size.patients[0], size.readings)
        ends = cluster.ends(topic)
        until = {partition: end - 1 for partition, end in ends.items()}  # the marker is no reading
        with context.undisturbed():
            progress = cluster.follow(prefix, topic, until, started[0].check)
        parts = [worker.figures()["vitalwatch_readings_scored_total"] for worker in started]
    shares = " and ".join(f"{part:,.0f}" for part in parts)
    context.say(f"  {progress.rate():,.0f} readings/s; they scored {shares}")
    return progress.rate()
