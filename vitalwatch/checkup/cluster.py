"""Kafka: whether it answers, and whether topics, rights, group, snapshots and clocks are right."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, NamedTuple

from vitalwatch import config
from vitalwatch.checkup import readings
from vitalwatch.checkup.finding import Finding, fault, ok, warning
from vitalwatch.errors import BrokerError
from vitalwatch.stream import inspection, snapshots, topics
from vitalwatch.stream.broker import TopicPartition, TopicSpec
from vitalwatch.stream.inspection import Group
from vitalwatch.stream.kafka import KafkaBroker

OLDEST: Final = (2, 5)
"""The first Kafka that fences a writer by its group's generation."""

_MARKERS: Final = 1000
"""Among so many offsets there is a record, as a rule: the rest are markers of transactions."""

CLOCK_SECONDS: Final = 1.0
STUCK_SECONDS: Final = 3.0


class Cluster(NamedTuple):
    """A cluster that answers, and what is needed to judge it.

    ``model`` is the fingerprint of the model that would be started, if it can be read; ``now``
    gives s since 1970.
    """

    broker: KafkaBroker
    settings: config.Settings
    model: str | None
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def partitions(self, found: Mapping[str, TopicSpec]) -> list[TopicPartition]:
        """All partitions of the readings' topic, if there is one."""
        topic = self.settings.topics.readings
        count = found[topic].partitions if topic in found else 0
        return [TopicPartition(topic, number) for number in range(count)]


def check(cluster: Cluster) -> Iterator[Finding]:
    """All checks; what cannot be checked is a finding too, and does not hold up the others."""
    yield from _careful("broker", version(cluster))
    yield from _careful("clock", clock(cluster))
    broker, settings = cluster.broker, cluster.settings
    names = [spec.name for spec in topics.specs(settings.topics)]
    found = broker.topics(names)
    allowed = {name: inspection.operations(broker, name) for name in names}
    hidden = {name for name, operations in allowed.items() if operations == frozenset()}
    yield from rights(settings, allowed)
    yield from topics_and_settings(settings, found, hidden)
    if settings.topics.readings not in found:
        return
    try:
        group = inspection.group(broker, settings.daemon.group)
    except BrokerError as error:
        yield fault("workers", str(error))
    else:
        yield from rights_of_group(settings.daemon.group, group)
        yield from _careful("workers", workers(cluster, found, group))
        if settings.topics.state in found:
            yield from _careful("state", kept_state(cluster, found, group))
    yield from _careful("readings", readings.check(broker, cluster.partitions(found), cluster.now))


def _careful(name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """What the broker refuses is a finding."""
    try:
        yield from findings
    except BrokerError as error:
        yield fault(name, str(error))


def version(cluster: Cluster) -> Iterator[Finding]:
    """Whether the broker is new enough."""
    found = inspection.version(cluster.broker)
    text = f"{cluster.settings.kafka.bootstrap} answers; Kafka {found} or later"
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        text += ", which cannot keep two workers apart"
        yield fault("broker", text, f"use Kafka {'.'.join(map(str, OLDEST))} or later")
    else:
        yield ok("broker", text)


def clock(cluster: Cluster) -> Iterator[Finding]:
    """This machine's clock against the cluster's."""
    told = inspection.clock(cluster.broker, cluster.now)
    if told is None:
        yield ok("clock", "the cluster does not tell its time, so clocks cannot be compared")
        return
    way = "ahead" if told.ahead > 0 else "behind"
    text = f"the cluster's is {abs(told.ahead):.3f} s {way}, give or take {told.within:.3f} s"
    if abs(told.ahead) > told.within + CLOCK_SECONDS:
        yield warning("clock", text, "let NTP (chrony, systemd-timesyncd) set both machines")
    else:
        yield ok("clock", text)


def topics_and_settings(
    settings: config.Settings, found: Mapping[str, TopicSpec], hidden: Collection[str] = ()
) -> Iterator[Finding]:
    """What is missing, and what is set otherwise than it must, or should, be.

    Of ``hidden`` topics this user may know nothing.
    """
    listed = [
        each
        for each in topics.differences(settings.topics, found, settings.kafka.bootstrap)
        if each.topic not in hidden
    ]
    count = len(topics.specs(settings.topics))
    missing = [each for each in listed if each.topic not in found]
    if missing:
        names = ", ".join(each.topic for each in missing)
        yield fault("topics", f"{len(missing)} of {count} are missing: {names}", missing[0].fix)
    for each in listed:
        if each.topic in found:
            text = f"{each.topic}: {each.what} is {each.found} and should be {each.wanted}"
            yield (fault if each.essential else warning)("topics", text, each.fix)
    if not listed and not hidden:
        yield ok("topics", f"all {count} of {settings.topics.prefix} are as they should be")


def rights(
    settings: config.Settings, allowed: Mapping[str, frozenset[str] | None]
) -> Iterator[Finding]:
    """What this user may do with the topics; None where that is not told, or there is none."""
    names = settings.topics
    needed = {
        names.readings: {"READ"},
        names.scores: {"WRITE"},
        names.alerts: {"WRITE"},
        names.state: {"READ", "WRITE"},
        names.dead_letters: {"WRITE"},
    }
    refused = False
    for topic, operations in needed.items():
        lacking = sorted(operations - (allowed[topic] or frozenset()))
        if lacking and allowed[topic] is not None:
            refused = True
            yield fault(
                "rights",
                f"this user may not {' and '.join(lacking)} {topic}",
                f"allow {', '.join((*lacking, 'DESCRIBE'))} on it",
            )
    if all(allowed[topic] is None for topic in needed):
        yield ok("rights", "the broker does not say what this user may do with the topics")
    elif not refused:
        yield ok("rights", "this user may read and write the topics that the daemon needs")


def rights_of_group(name: str, group: Group) -> Iterator[Finding]:
    """Whether this user may join the group; that is not told of a group that is not there yet."""
    if group.operations is not None and "READ" not in group.operations:
        yield fault("rights", f"this user may not join group {name}", f"allow READ on group {name}")


def workers(cluster: Cluster, found: Mapping[str, TopicSpec], group: Group) -> Iterator[Finding]:
    """Who is at work, how far it has come, and whether it moves."""
    broker, settings = cluster.broker, cluster.settings
    name = settings.daemon.group
    sources = cluster.partitions(found)
    bounds = {source: broker.bounds(source) for source in sources}
    held = {partition for member in group.members for partition in member.partitions}
    idle = [source.partition for source in sources if source not in held]
    known = {source: group.committed[source] for source in sources if source in group.committed}
    lag = {s: bounds[s][1] - max(known.get(s, 0), bounds[s][0]) for s in sources}
    behind = _behind(lag)
    if not group.members:
        text = f"nobody is in group {name}; {behind}"
        if sum(lag.values()):
            yield warning("workers", text, "start `vitalwatch run`")
        else:
            yield ok("workers", text)
    elif idle:
        yield warning(
            "workers",
            f"{len(group.members)} in group {name}; no one reads partitions {_listed(idle)}",
            "wait for the rebalance to end (a minute at most), then look at the workers' logs",
        )
    else:
        waiting = [s for s in sources if _waits(broker, s, known.get(s, 0), bounds[s][1])]
        stuck = []
        if waiting:
            cluster.sleep(STUCK_SECONDS)
            after = inspection.committed(broker, name)
            stuck = [s.partition for s in waiting if after.get(s) == known.get(s)]
        if stuck:
            yield warning(
                "workers",
                f"{len(group.members)} in group {name}; {behind}; nothing was committed of "
                f"partitions {_listed(stuck)} for {STUCK_SECONDS:.0f} s",
                "look at the workers' logs and at /readyz: a worker may be restoring state",
            )
        else:
            yield ok("workers", f"{len(group.members)} in group {name}; {behind}")
    lost = [s.partition for s, offset in known.items() if offset < bounds[s][0]]
    if lost:
        yield warning(
            "workers",
            f"readings of partitions {_listed(lost)} were deleted before they were scored",
            f"more retention.bytes on {settings.topics.readings}, or more workers",
        )
    ahead = [s.partition for s, offset in known.items() if offset > bounds[s][1]]
    if ahead:
        yield warning(
            "workers",
            f"the group's offsets of partitions {_listed(ahead)} lie behind the end of the topic, "
            "which was made anew",
            f"kafka-consumer-groups.sh --bootstrap-server {settings.kafka.bootstrap} --group "
            f"{name} --topic {settings.topics.readings} --reset-offsets --to-earliest --execute, "
            "with all workers stopped",
        )


def kept_state(cluster: Cluster, found: Mapping[str, TopicSpec], group: Group) -> Iterator[Finding]:
    """The newest snapshot of each partition that the group has scored."""
    broker, settings, model = cluster.broker, cluster.settings, cluster.model
    ages: list[tuple[float, int]] = []
    without, others = [], set()
    for source in cluster.partitions(found):
        committed = group.committed.get(source)
        if committed is None or source.partition >= found[settings.topics.state].partitions:
            continue
        state = TopicPartition(settings.topics.state, source.partition)
        prefix = snapshots.prefix(settings.daemon.group, source)
        search = snapshots.find(broker, state, prefix, committed)
        if search.found is None:
            without.append(source.partition)
        else:
            offset = search.found.offset
            age = _seconds(broker, source, offset, committed)
            ages.append((age, committed - offset))
            if model and search.found.snapshot.model != model:
                others.add(search.found.snapshot.model)
        damaged = [reason for reason in search.passed if "damaged" in reason]
        if damaged:
            yield warning(
                "state",
                f"partition {source.partition} has a snapshot that cannot be used: {damaged[0]}",
                "nothing if an older one was found: the next snapshot takes its place",
            )
    minutes = settings.daemon.warmup_minutes
    if without:
        yield warning(
            "state",
            f"no snapshot of partitions {_listed(without)}: a restart would make their state of "
            f"the last {minutes:g} minutes of readings",
            f"nothing in the first {settings.daemon.snapshot_seconds:g} s of a worker; later, "
            "look at its log",
        )
    if others:
        yield warning(
            "state",
            f"snapshots were made by model {', '.join(sorted(others))}, and the next start would "
            f"be with {model}: the network's part of the state is then made of the last "
            f"{minutes:g} minutes of readings",
            "nothing if the change of model is meant; else correct --model-path",
        )
    if ages and not without and not others:
        seconds, records = (max(column) for column in zip(*ages, strict=True))
        yield ok(
            "state",
            f"{len(ages)} partitions have snapshots, {seconds:.0f} s of readings old at most "
            f"({records:,} records)",
        )
    elif not ages and not without:
        yield ok("state", "nothing is scored yet, so there are no snapshots")


def _waits(broker: KafkaBroker, source: TopicPartition, start: int, end: int) -> bool:
    """Whether there is a record in the range, and not only markers of transactions."""
    return start < end and any(True for _ in broker.read(source, start, min(end, start + _MARKERS)))


def _seconds(broker: KafkaBroker, source: TopicPartition, start: int, end: int) -> float:
    """How much time, by the records' timestamps, lies in the range of offsets."""
    times = [
        int(time)
        for begin, place in ((start, 0), (max(start, end - _MARKERS), -1))
        for batch in broker.read(source, begin, min(end, begin + _MARKERS))
        for time in batch.timestamps[[place]]
    ]
    return (times[-1] - times[0]) / 1000 if times else 0.0


def _behind(lag: Mapping[TopicPartition, int]) -> str:
    total = sum(lag.values())
    if not total:
        return "all is scored"
    most = max(lag, key=lambda source: lag[source])
    return f"{total:,} records behind, {lag[most]:,} of them in partition {most.partition}"


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
