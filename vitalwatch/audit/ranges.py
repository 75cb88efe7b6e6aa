"""Which readings an audit is about, and from where their patients' state is built."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vitalwatch.audit.logs import Log, Span
from vitalwatch.errors import UsageError
from vitalwatch.stream.broker import TopicPartition
from vitalwatch.stream.history import begins


@dataclass(frozen=True, slots=True)
class Limits:
    """What was asked for; None is no limit.

    ``since`` and ``until`` are times of records, ms; ``first`` and ``end`` offsets by partition,
    which beat times: where any are given, only their partitions are meant. The state is built
    from ``history_hours`` before the first reading, else from all that is retained.
    """

    since: int | None = None
    until: int | None = None
    first: Mapping[int, int] = field(default_factory=dict)
    end: Mapping[int, int] = field(default_factory=dict)
    history_hours: float | None = None


def spans(
    log: Log, topic: str, limits: Limits, committed: Mapping[TopicPartition, int]
) -> list[Span]:
    """The spans of all partitions of ``topic`` that hold anything within the limits.

    ``committed`` is how far the daemon has come with each; if empty, to the end. Raises
    UsageError for offsets that are not there, and if nothing is left to be audited.
    """
    count = log.topics([topic])[topic].partitions
    asked = sorted({*limits.first, *limits.end}) or range(count)
    foreign = [number for number in asked if number not in range(count)]
    if foreign:
        raise UsageError(f"{topic} has no partition {foreign[0]}: it has 0 to {count - 1}.")
    found = [span for number in asked for span in _span(log, topic, number, limits, committed)]
    if not found:
        raise UsageError(
            f"{topic} has no readings in this range whose scores are committed: ask for another "
            "(--since, --until, --from-offset, --to-offset)."
        )
    return found


def _span(
    log: Log,
    topic: str,
    number: int,
    limits: Limits,
    committed: Mapping[TopicPartition, int],
) -> Iterator[Span]:
    source = TopicPartition(topic, number)
    retained, last = log.bounds(source)
    start, end = retained, last
    if limits.since is not None:
        start = log.offset_at(source, limits.since)
    if limits.until is not None:
        end = log.offset_at(source, limits.until)
    start, end = limits.first.get(number, start), limits.end.get(number, end)
    if start < retained and number in limits.first:
        raise UsageError(
            f"Partition {number} of {topic} has no offset {start} any more: its first is "
            f"{retained}."
        )
    end = min(end, last, committed[source] if committed else last)
    if start < end:
        history = retained
        if limits.history_hours is not None:
            history = begins(log, source, start, 60 * limits.history_hours)
        yield Span(source, min(history, start), start, end)
