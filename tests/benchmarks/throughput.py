"""Readings a second of the daemon, beside what else reads the same topic."""

import importlib.util
import math
from typing import NamedTuple

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


class Speed(NamedTuple):
    """Readings a second, and µs of the process's processor time a reading."""

    rate: float
    processor: float


def daemon(context: Context, prefix: str, *, check: bool = False) -> Speed:
    """A daemon that finds the topic full.

    With ``check`` its scores are counted: every reading must have been scored once.
    """
    processor: list[float] = []

    def sample() -> None:
        worker.check()
        processor.append(worker.cpu_seconds())

    topic = context.cluster.make_topics(prefix).readings
    context.cluster.empty_outputs(prefix)
    ends, group = context.cluster.ends(topic), context.name("daemon")
    with context.undisturbed(), context.worker(prefix, group) as worker:
        progress = context.cluster.follow(group, topic, ends, sample)
        processor.append(worker.cpu_seconds())
        late = worker.wait_until_counted(sum(ends.values()))
    readings, _ = progress.done()
    used = processor[-1] - processor[progress.begun()]
    speed = Speed(progress.rate(), used / readings * 1e6 if readings else math.nan)
    context.say(
        f"  daemon: {speed.rate:,.0f} readings/s, {speed.processor:.2f} µs of processor each; "
        f"first scores {progress.first() - worker.began:.1f} s after its start"
    )
    if check:
        _check(context, prefix, sum(ends.values()) - late)
    return speed


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
    runs: dict[str, list[Speed]] = {name: [] for name in (*subjects, _DAEMON)}
    context.say("a first daemon, not counted: it may have to compile")
    daemon(context, prefix)
    for number in range(size.runs):
        context.say(f"throughput, {patients:,} patients, run {number + 1} of {size.runs}")
        for name, arguments in subjects.items():
            runs[name].append(_subject(context, prefix, *arguments))
        runs[_DAEMON].append(daemon(context, prefix, check=targets and number == 0))
    of = {
        name: Figure(f"{name}, {patients:,} patients", [s.rate for s in speeds], "readings/s")
        for name, speeds in runs.items()
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
    processor = [
        Figure(
            f"processor time: {name}, {patients:,} patients", [s.processor for s in speeds], "µs"
        )
        for name, speeds in runs.items()
    ]
    return [*of.values(), *ratios, *processor]


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
            subjects[f"quixstreams {guarantee}"] = ("quix", *how, *slow)
    else:
        context.say("quixstreams is not installed, so not compared: pip install -e '.[bench]'")
    return subjects


def _subject(context: Context, prefix: str, name: object, *flags: object) -> Speed:
    topic, group = context.cluster.make_topics(prefix).readings, context.name(str(name))
    with context.undisturbed():
        figures = context.subject(name, topic, group, context.size.readings, *flags)
    readings = figures["readings"] or math.nan
    speed = Speed(readings / figures["seconds"], figures["processor"] / readings * 1e6)
    context.say(
        f"  {name} {' '.join(map(str, flags[:2]))}: {speed.rate:,.0f} readings/s, "
        f"{speed.processor:.2f} µs of processor each"
    )
    return speed
