"""The logs that an audit reads: a broker's topics, or recordings of them."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from vitalwatch.audit.report import Place
from vitalwatch.stream import history
from vitalwatch.stream.broker import Headers, RecordBatch, TopicPartition, TopicSpec

_NEVER: Final = 2**62


class Log(history.Log, Protocol):
    """What is needed of a broker, or of a recording."""

    def topics(self, names: Collection[str]) -> Mapping[str, TopicSpec]:
        """Those of the named topics that exist."""


class Topic(NamedTuple):
    """A topic, and the log that has it.

    ``scattered``: a reading's outputs may be in any partition, or it cannot be told in which.
    """

    log: Log
    name: str
    scattered: bool = False

    def partitions(self) -> list[TopicPartition]:
        """All of its partitions."""
        spec = self.log.topics([self.name])[self.name]
        return [TopicPartition(self.name, number) for number in range(spec.partitions)]


class Span(NamedTuple):
    """What to audit of one partition: readings from ``start`` to below ``end``.

    The state is built from the offset ``history`` on, and is exact where that is 0.
    """

    source: TopicPartition
    history: int
    start: int
    end: int


class Record(NamedTuple):
    """What is in a record."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def records(batch: RecordBatch) -> Iterator[tuple[Place, Record]]:
    """A batch's records, and where each stands."""
    for offset, key, value, headers in zip(
        batch.offsets.tolist(), batch.keys, batch.values, batch.headers, strict=True
    ):
        yield Place(*batch.source, offset), Record(key, value, headers)


class Retained:
    """From which source offset on a topic still has all that it ever had of a partition."""

    def __init__(self) -> None:
        self._trimmed: set[TopicPartition] = set()
        self._first: dict[TopicPartition, dict[TopicPartition, int]] = {}

    def opened(self, home: TopicPartition, first: int) -> None:
        """The first offset that ``home``, a partition of the topic, retains."""
        if first > 0:
            self._trimmed.add(home)

    def saw(self, home: TopicPartition, source: TopicPartition, offset: int) -> None:
        """There is a record of the reading at ``offset`` of ``source``."""
        self._first.setdefault(source, {}).setdefault(home, offset)

    def since(self, source: TopicPartition) -> int:
        """The offset of the first reading whose outputs are all still there."""
        first = self._first.get(source, {})
        if not self._trimmed:
            return 0
        if not first:
            return _NEVER
        return max((first[home] for home in self._trimmed & first.keys()), default=0)
