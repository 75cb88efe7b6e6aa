"""Readings a second of the daemon, beside what else reads the same topic."""

import importlib.util
import math

import msgspec
import numpy as np

from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure, Target, ratio
from vitalwatch.stream.broker import TopicPartition

POLL_RECORDS = (500, 5000)
_BARE = tuple(f"bare poll() of {records}" for records in POLL_RECORDS)
_TUNED = f"{_BARE[-1]}, collector tuned"
_LOOP = "obvious loop"
_DAEMON = "daemon"
_TARGETS = {
    "bare poll()": Target("≥", 1.5, 2),
    _LOOP: Target("≥", 18, 25),
    "quixstreams exactly-once": Target("≥", 22, 30),
}


class _Offsets(msgspec.Struct):
    """Of a block of scores: which readings it is of."""

    partition: int
    offsets: list[int]


def measure(context: Context) -> list[Figure]:
    """All subjects on topics of 1,000 and of 10,000 patients, in turn."""
    small, large = context.size.patients[:2]
    return [*_compare(context, small, targets=True), *_compare(context, large, targets=False)]


def daemon(context: Context, prefix: str, *, check: bool = False) -> float:
    """Readings a second of a daemon that finds the topic full.

    With ``check`` its scores are counted: every reading must have been scored once.
    """
    topic = context.cluster.make_topics(prefix).readings
    context.cluster.empty_outputs(prefix)
    ends, group = context.cluster.ends(topic), context.name("daemon")
    with context.undisturbed(), context.worker(prefix, group) as worker:
        progress = context.cluster.follow(group, topic, ends, worker.check)
        cpu, total = worker.cpu_seconds(), sum(ends.values())
        late = worker.wait_until_counted(total)
    rate, start = progress.rate(), progress.first() - worker.began
    context.say(
        f"  daemon: {rate:,.0f} readings/s; first scores {start:.1f} s after its start; "
        f"{cpu:.1f} s of processor in all"
    )
    if check:
        _check(context, prefix, total - late)
    return rate


def _check(context: Context, prefix: str, total: int) -> None:
    """Count the readings of all committed scores."""
    broker, named = context.cluster.broker, context.cluster.make_topics(prefix)
    decode = msgspec.json.Decoder(_Offsets).decode
    found: dict[int, list[int]] = {}
    for partition in range(named.partitions):
        for batch in broker.read(TopicPartition(named.scores, partition), 0):
            for value in batch.values:
                if value is not None:
                    block = decode(value)
                    found.setdefault(block.partition, []).extend(block.offsets)
    scored = sum(map(len, found.values()))
    distinct = sum(len(np.unique(np.array(offsets))) for offsets in found.values())
    if not scored == distinct == total:
        raise RuntimeError(f"{total} readings, but scores of {scored}, {distinct} of them distinct")
    context.say(f"  its {scored:,} committed scores are of every reading once")


def _compare(context: Context, patients: int, *, targets: bool) -> list[Figure]:
    size = context.size
    prefix = context.topic(patients, size.readings)
    subjects = _subjects(context)
    runs: dict[str, list[float]] = {name: [] for name in (*subjects, _DAEMON)}
    context.say("a first daemon, not counted: it may have to compile")
    daemon(context, prefix)
    for number in range(size.runs):
        context.say(f"throughput, {patients:,} patients, run {number + 1} of {size.runs}")
        for name, arguments in subjects.items():
            runs[name].append(_rate(context, prefix, *arguments))
        runs[_DAEMON].append(daemon(context, prefix, check=targets and number == 0))
    of = {
        name: Figure(f"{name}, {patients:,} patients", values, "readings/s")
        for name, values in runs.items()
    }
    if targets:
        context.maximum = of[_DAEMON].median
    slower = {"bare poll()": max(_BARE, key=lambda name: of[name].median)}
    slower |= {name: name for name in subjects if name not in (*_BARE, _TUNED)}
    ratios = [
        ratio(
            f"daemon / {word}, {patients:,} patients",
            of[_DAEMON],
            of[name],
            _TARGETS.get(word) if targets else None,
        )
        for word, name in slower.items()
    ]
    return [*of.values(), *ratios]


def _subjects(context: Context) -> dict[str, tuple[object, ...]]:
    """All but the daemon: the arguments of :mod:`~tests.benchmarks.subjects`, by name."""
    alerts = context.cluster.make_topics("others").alerts
    slow = ("--alerts", alerts, "--seconds", context.size.slow_seconds)
    most = POLL_RECORDS[-1]
    subjects: dict[str, tuple[object, ...]] = {
        name: ("poll", "--records", records)
        for name, records in zip(_BARE, POLL_RECORDS, strict=True)
    }
    subjects |= {_TUNED: ("poll", "--records", most, "--tuned"), _LOOP: ("loop", *slow)}
    if importlib.util.find_spec("quixstreams"):
        for guarantee in ("at-least-once", "exactly-once"):
            how = ("--guarantee", guarantee, "--folder", context.folder)
            subjects[f"quixstreams {guarantee}"] = ("quix", *slow, *how)
    else:
        context.say("quixstreams is not installed, so not compared: pip install -e '.[bench]'")
    return subjects


def _rate(context: Context, prefix: str, name: object, *flags: object) -> float:
    topic, group = context.cluster.make_topics(prefix).readings, context.name(str(name))
    with context.undisturbed():
        figures = context.subject(name, topic, group, context.size.readings, *flags)
    rate = figures["readings"] / figures["seconds"] if figures["readings"] else math.nan
    context.say(f"  {group.split('-')[0]} {flags[-1] if flags else ''}: {rate:,.0f} readings/s")
    return rate
