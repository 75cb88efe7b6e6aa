"""VitalWatch's topics as they should be, and how existing ones differ from that.

Kafka's defaults do not fit: since version 4 they refuse a record whose time is more than an hour
ahead, and they delete by a record's time. The records here bear the time of what they tell of,
and recordings are shifted: real ones of 2011 come with the years 2704 or 2986. A replay must
neither be refused nor deleted the moment it is written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from vitalwatch.config import Topics
from vitalwatch.stream.broker import TopicSpec

LARGEST_RECORD: Final = 16 * 2**20

_FOR_EVER: Final = str(2**63 - 1)
_MIB: Final = 2**20

_ALL: Final = {
    # A record's time is what the writer says, not when it came in: replays keep their times.
    "message.timestamp.type": "CreateTime",
    # Any time is accepted, the far future too. (Any past is, by Kafka's default.)
    "message.timestamp.after.max.ms": _FOR_EVER,
    # A 10 MB message becomes a visible dead letter instead of an error at the device, and a
    # batch of scores of thousands of patients fits into one record.
    "max.message.bytes": str(LARGEST_RECORD),
}
_DELETED_BY_SIZE: Final = {
    **_ALL,
    "cleanup.policy": "delete",
    # Not by time: a recording of 2011 would be past any age at once, one of 2704 never be.
    "retention.ms": "-1",
    # Each partition keeps its last 4 GiB: two days of 1,000 patients at a reading a second.
    "retention.bytes": str(4096 * _MIB),
    # What is deleted is a whole segment, so these are smaller than by default (1 GiB) ...
    "segment.bytes": str(256 * _MIB),
    # ... and full before the next one starts; by default a jump of the records' time starts one.
    "segment.ms": _FOR_EVER,
}
_KEPT: Final = {**_DELETED_BY_SIZE, "retention.bytes": "-1"}
_COMPACTED: Final = {
    **_ALL,
    # The last record of each key is kept for ever, older ones go.
    "cleanup.policy": "compact",
    # Only closed segments are compacted, and a restart reads all of the rest: small and eager.
    "segment.bytes": str(64 * _MIB),
    "min.cleanable.dirty.ratio": "0.1",
}

_AT_LEAST: Final = {"max.message.bytes", "message.timestamp.after.max.ms", "min.insync.replicas"}
_ADVISED: Final = {
    "retention.ms",
    "retention.bytes",
    "segment.bytes",
    "segment.ms",
    "min.cleanable.dirty.ratio",
    "min.insync.replicas",
}
"""Settings that a site may want otherwise: pointed out, but no fault."""


class Difference(NamedTuple):
    """One thing about a topic that is not as it should be; ``essential`` if it will not work."""

    topic: str
    what: str
    found: str
    wanted: str
    essential: bool
    fix: str


def specs(topics: Topics, partitions: int | None = None) -> list[TopicSpec]:
    """All topics as they should be; ``partitions`` overrides those of the settings."""
    # One copy may be away before writing stops; with a single copy there is none to spare.
    copies = {"min.insync.replicas": str(max(1, topics.replication - 1))}
    wanted: dict[str, Mapping[str, str]] = {
        # The stream itself.
        topics.readings: _DELETED_BY_SIZE,
        # Derived from the readings, which can be scored again.
        topics.scores: _DELETED_BY_SIZE,
        # What was said to whom and why; few, and evidence.
        topics.alerts: _KEPT,
        # The last snapshot of each chunk of patients is all that a restart needs.
        topics.state: _COMPACTED,
        # For people to look at; a flood of bad input must not fill the disk.
        topics.dead_letters: {**_DELETED_BY_SIZE, "retention.bytes": str(1024 * _MIB)},
        # The last word on each alert.
        topics.acks: _COMPACTED,
        # A few records for each simulated patient.
        topics.truth: _KEPT,
    }
    count = topics.partitions if partitions is None else partitions
    return [
        TopicSpec(name, count, {**settings, **copies}, topics.replication)
        for name, settings in wanted.items()
    ]


def plan(topics: Topics, found: Mapping[str, TopicSpec]) -> list[TopicSpec]:
    """The topics to create beside those ``found``, with as many partitions as the readings."""
    readings = found.get(topics.readings)
    return specs(topics, readings.partitions if readings else None)


def differences(topics: Topics, found: Mapping[str, TopicSpec], bootstrap: str) -> list[Difference]:
    """How the topics ``found`` differ from what they should be, the essential ones first."""
    listed = [
        difference
        for spec in plan(topics, found)
        for difference in _compare(spec, found.get(spec.name), topics, bootstrap)
    ]
    return sorted(listed, key=lambda difference: not difference.essential)


def _create(topics: Topics) -> str:
    prefix = "" if topics.prefix == Topics().prefix else f" --topics-prefix {topics.prefix}"
    return f"vitalwatch topics create{prefix}"


def _compare(
    wanted: TopicSpec, found: TopicSpec | None, topics: Topics, bootstrap: str
) -> Iterator[Difference]:
    name, server = wanted.name, f"--bootstrap-server {bootstrap}"
    if found is None:
        yield Difference(name, "topic", "missing", "present", True, _create(topics))
        return
    if name == topics.readings:
        wanted = replace(wanted, partitions=topics.partitions)
    if found.partitions != wanted.partitions:
        # Snapshots go to the partition of the readings that they are of.
        essential = name == topics.state
        change = f"--alter --topic {name} --partitions {wanted.partitions}"
        fix = f"kafka-topics.sh {server} {change}"
        if found.partitions > wanted.partitions:
            fix = f"delete {name}, then: {_create(topics)}"
        if name == topics.readings:
            fix = f"--topics-partitions {found.partitions}, or change it (this moves patients)"
        shown = str(found.partitions), str(wanted.partitions)
        yield Difference(name, "partitions", *shown, essential, fix)
    settings = dict(wanted.settings)
    if found.replication is not None and found.replication < (wanted.replication or 1):
        settings.pop("min.insync.replicas")  # more than there are copies would forbid writing
        shown = str(found.replication), str(wanted.replication)
        fix = f"kafka-reassign-partitions.sh, or --topics-replication {found.replication}"
        yield Difference(name, "replication", *shown, False, fix)
    if not found.settings:
        fix = f"allow this user DESCRIBE_CONFIGS on topic {name}"
        yield Difference(name, "settings", "hidden", "visible", False, fix)
    for key, value in settings.items():
        # A broker that does not know a setting, being older, does not enforce it either.
        actual = found.settings.get(key, value)
        enough = key in _AT_LEAST and int(actual) >= int(value)
        if actual != value and not enough:
            fix = (
                f"kafka-configs.sh {server} --alter --entity-type topics --entity-name {name} "
                f"--add-config {key}={value}"
            )
            yield Difference(name, key, actual, value, key not in _ADVISED, fix)
