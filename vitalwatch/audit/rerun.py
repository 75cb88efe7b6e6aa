"""Running readings again, and comparing what they give with what was committed."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from heapq import merge
from typing import NamedTuple, cast

import msgspec

from vitalwatch import config
from vitalwatch.audit import ledger, scores
from vitalwatch.audit.logs import Log, Record, Retained, Span, Topic, records
from vitalwatch.audit.report import Kind, Part, Report
from vitalwatch.stream.broker import Headers, Sink, TopicPartition
from vitalwatch.stream.decode import Decoder
from vitalwatch.stream.detection import StreamDetector
from vitalwatch.stream.outputs import Outputs, Tally
from vitalwatch.stream.partitioner import partition_of

Bar = Callable[[str, float], Callable[[float], None]]
"""Starts a progress bar: what of, and how much in all; its result is told how much is done."""


class Committed(NamedTuple):
    """Where the outputs stand; None for what is not to be compared."""

    scores: Topic | None
    alerts: Topic | None
    dead_letters: Topic | None


def audit(
    spans: Iterable[Span],
    readings: Log,
    committed: Committed,
    detector: StreamDetector,
    settings: config.Settings,
    model: str,
    bar: Bar,
) -> Report:
    """Run the ``readings`` of each span again, and compare with what was committed of them.

    ``detector`` has no state yet, and ``model`` is its fingerprint; ``settings`` are those that
    the daemon had.
    """
    spans = list(spans)
    report = Report(spans[0].source.topic, model, [])
    with ExitStack() as stack:
        alerts = _Gathered("alert", ledger.alert, committed.alerts, stack)
        letters = _Gathered("dead letter", ledger.letter, committed.dead_letters, stack)
        for gathered in (alerts, letters):
            gathered.gather(spans, report, bar)
        run = _Run(readings, detector, settings, model, alerts, letters)
        standing = committed.scores and _Standing(committed.scores, report)
        for span in spans:
            part = Part(span.source.partition, span.history, span.start, span.end, {})
            with closing(run.scores(span, bar)) as recomputed:
                if standing:
                    standing.compare(recomputed, run, span, part)
                deque(recomputed, maxlen=0)  # to the end in any case
            for gathered in (alerts, letters):
                gathered.compare(span, part, model)
            detector.drop(*span.source)
            report.parts.append(part)
    return report


class _Gathered:
    """The alerts, or the dead letters, of both sides; does nothing without a ``topic``."""

    def __init__(
        self,
        kind: Kind,
        read: Callable[[Record], ledger.Entry],
        topic: Topic | None,
        stack: ExitStack,
    ) -> None:
        self._read = read
        self._topic = topic
        self._ledger = stack.enter_context(ledger.Ledger(kind))
        self._retained = Retained()

    def gather(self, spans: Sequence[Span], report: Report, bar: Bar) -> None:
        """Read all that is on the topic, and take what is of the spans."""
        if self._topic is None:
            return
        ranges = {span.source: range(span.start, span.end) for span in spans}
        for home in self._topic.partitions():
            first, end = self._topic.log.bounds(home)
            self._retained.opened(home, first)
            done = bar(f"reading {home.topic}, partition {home.partition}", max(end - first, 1))
            for batch in self._topic.log.read(home, first, end):
                for place, record in records(batch):
                    try:
                        entry = self._read(record)
                    except ValueError:
                        report.cannot_read(place)
                        continue
                    source = TopicPartition(entry.topic, entry.partition)
                    self._retained.saw(home, source, entry.offset)
                    if entry.offset in ranges.get(source, ()):
                        self._ledger.committed(entry, place)
                done(batch.next_offset - first)

    def recomputed(self, should_be: Iterable[Record]) -> None:
        """Add what should be there."""
        if self._topic is not None:
            for record in should_be:
                self._ledger.recomputed(self._read(record))

    def compare(self, span: Span, part: Part, model: str) -> None:
        """Say in ``part`` what was found."""
        if self._topic is not None:
            retained = self._retained.since(span.source)
            self._ledger.compare(part, self._topic.name, span.source.topic, model, retained)


class _Run:
    """Runs partitions again; scores are for whoever asks, alerts and dead letters are gathered.

    ``key`` is that of the last record of scores.
    """

    def __init__(
        self,
        readings: Log,
        detector: StreamDetector,
        settings: config.Settings,
        model: str,
        alerts: _Gathered,
        letters: _Gathered,
    ) -> None:
        self.key: bytes | None = None
        self._readings = readings
        self._detector = detector
        self._topics = settings.topics
        # Compared is reading by reading, so the largest records will do.
        blocks = msgspec.structs.replace(settings, scores=config.Scores(emit="block"))
        self._outputs = Outputs(blocks, model)
        self._alerts = alerts
        self._letters = letters
        self._decoder = Decoder()

    def scores(self, span: Span, bar: Bar) -> Generator[scores.Scores, None, None]:
        """What should be on the scores topic of one span."""
        self.key = None
        count = max(span.end - span.history, 1)
        done = bar(f"partition {span.source.partition}: running readings again", count)
        for batch in self._readings.read(span.source, span.history, span.start):
            self._detector.process([self._decoder.decode(batch).readings])
            done(batch.next_offset - span.history)
        for batch in self._readings.read(span.source, span.start, span.end):
            decoded = self._decoder.decode(batch)
            (detection,) = self._detector.process([decoded.readings])
            captured = _Captured()
            self._outputs.append(cast(Sink, captured), batch, decoded, detection, Tally())
            self._alerts.recomputed(captured.of(self._topics.alerts))
            self._letters.recomputed(captured.of(self._topics.dead_letters))
            for record in self._outputs.scores([decoded], [detection]):
                self.key = record.key
                yield scores.read(record.value)
            done(batch.next_offset - span.history)


class _Standing:
    """The scores as they were committed."""

    def __init__(self, topic: Topic, report: Report) -> None:
        self._log = topic.log
        self._scattered = topic.scattered
        self._homes = topic.partitions()
        self._report = report
        self._known: set[TopicPartition] = set()
        self._whose = msgspec.json.Decoder(_Whose).decode

    def compare(
        self, recomputed: Iterator[scores.Scores], run: _Run, span: Span, part: Part
    ) -> None:
        """Compare one span's scores, and say in ``part`` what was found."""
        first = next(recomputed, None)
        recomputed = itertools.chain([] if first is None else [first], recomputed)
        retained = Retained()
        with ExitStack() as stack:
            sides = [
                stack.enter_context(closing(self._read(home, span, retained)))
                for home in self._places(run.key)
            ]
            committed = merge(*sides, key=lambda found: int(found.offsets[0]))
            # With the first of them it is known where each partition of the topic begins.
            head = list(itertools.islice(committed, 1))
            since = retained.since(span.source)
            both = itertools.chain(head, committed)
            scores.compare(recomputed, both, self._report.model, part, since)

    def _places(self, key: bytes | None) -> list[TopicPartition]:
        """The partitions of the scores topic that may have scores of these readings."""
        if self._scattered or key is None:
            return self._homes
        return [self._homes[partition_of(key, len(self._homes))]]

    def _read(
        self, home: TopicPartition, span: Span, retained: Retained
    ) -> Generator[scores.Scores, None, None]:
        """One partition's records, as far as they are of the span."""
        first, end = self._log.bounds(home)
        retained.opened(home, first)
        known = home in self._known
        self._known.add(home)
        for batch in self._log.read(home, first, end):
            for place, record in records(batch):
                value = record.value or b""
                try:
                    whose = self._whose(value)
                    if (whose.topic, whose.partition) != span.source or not whose.offsets:
                        continue
                    retained.saw(home, span.source, whose.offsets[0])
                    if max(whose.offsets) < span.start or min(whose.offsets) >= span.end:
                        continue
                    found = scores.read(value, place)
                except ValueError:
                    if not known:
                        self._report.cannot_read(place)
                    continue
                inside = found.at((found.offsets >= span.start) & (found.offsets < span.end))
                if len(inside):
                    yield inside


class _Whose(msgspec.Struct):
    """What tells whether a record of scores is needed."""

    topic: str
    partition: int
    offsets: list[int]


class _Captured:
    """Takes what the daemon would send."""

    def __init__(self) -> None:
        self._records: dict[str, list[Record]] = {}

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,  # noqa: ARG002 - as of a sink
        timestamp: int | None = None,  # noqa: ARG002
        headers: Headers = (),
    ) -> None:
        """Keep a record."""
        self._records.setdefault(topic, []).append(Record(key, value, headers))

    def of(self, topic: str) -> list[Record]:
        """The records of one topic."""
        return self._records.get(topic, [])
