"""The loop of the daemon: poll, decode, detect, and commit outputs with offsets, atomically.

A poll is a transaction: scores, alerts, dead letters and the offsets of the readings they came
from become visible together or not at all. The patients' state in memory runs ahead of what is
committed for just as long, so whatever goes wrong in between, the daemon gives up its partitions,
forgets their patients, and starts again from what the group has committed.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Final, Protocol

import msgspec
import numpy as np

from vitalwatch import config
from vitalwatch.arrays import Floats
from vitalwatch.errors import BrokerError, Fenced
from vitalwatch.messages import REJECTIONS, ScoreBlock
from vitalwatch.monitoring.http import Health
from vitalwatch.monitoring.metrics import Metrics
from vitalwatch.readings import Detection, Readings
from vitalwatch.stream.broker import Broker, Poll, RecordBatch, Sink, Source, TopicPartition
from vitalwatch.stream.dead_letters import dead_letter
from vitalwatch.stream.decode import Decoded, Decoder
from vitalwatch.vitals import NAMES

POLL_SECONDS: Final = 0.2
"""A poll waits so long at most, so a request to stop is seen within that."""

RETRY_SECONDS: Final = 1.0
FENCED_TRIES: Final = 10
"""So often, with nothing committed in between, others may take over before this worker gives up."""

BLOCK_READINGS: Final = 10_000
"""In one block of scores at most, some 7 MB: a record may not be larger than its topic takes."""

CONDITIONS: Final = ("model", "broker", "state")

_LAG_SECONDS: Final = 1.0

_MARKERS: Final = 1000
"""Among so many offsets there is a record, as a rule: the rest are markers of transactions."""

log = logging.getLogger(__name__)


class StreamDetector(Protocol):
    """What the daemon needs of :class:`vitalwatch.detector.Detector`."""

    @property
    def patients(self) -> int:
        """Patients whose state is held."""

    @property
    def in_alarm(self) -> int:
        """Patients with a physiological alarm."""

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        """Advance by the readings of some partitions."""

    def drop(self, topic: str, partition: int) -> None:
        """Forget a partition and its patients."""


class Daemon:
    """One worker of the group. ``model`` is the fingerprint that scores carry."""

    def __init__(
        self,
        broker: Broker,
        detector: StreamDetector,
        settings: config.Settings,
        metrics: Metrics,
        health: Health,
        *,
        model: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        """``identity`` is the name of this worker's transactions; two must not share one."""
        self._broker = broker
        self._detector = detector
        self._settings = settings
        self._metrics = metrics
        self._health = health
        self._model = model
        self._identity = identity
        self._clock = clock
        self._wait = wait
        self._decoder = Decoder()
        self._encode = msgspec.json.Encoder().encode
        self._held: set[TopicPartition] = set()
        self._lag_due = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; then finish the micro-batch, commit and leave the group.

        Raises Fenced if another worker with this one's name keeps taking over, and BrokerError
        if the broker cannot be used as configured at the start.
        """
        self._health.report("model", ok=True, detail=self._model)
        fenced = 0
        started = False
        while not stop.is_set():
            try:
                for committed in self._work(stop):
                    started = True
                    fenced = 0 if committed else fenced
            except Fenced:
                fenced += 1
                if fenced == FENCED_TRIES:
                    raise
                log.warning("another worker has taken over, joining the group anew")
            except BrokerError as error:
                if not started:
                    raise
                log.warning("the broker failed, trying again: %s", error)
            finally:
                self._forget(set(self._held))
            if not stop.is_set():
                self._health.report("broker", ok=False, detail="connection or membership lost")
                self._wait(stop, RETRY_SECONDS)

    def _work(self, stop: threading.Event) -> Iterator[bool]:
        """Be a member of the group until stopped or failing; each round, whether it committed."""
        daemon = self._settings.daemon
        topic = self._settings.topics.readings
        source = self._broker.source([topic], daemon.group, instance=daemon.instance or None)
        with closing(source), closing(self._broker.sink(self._identity)) as sink:
            self._health.report("broker", ok=True, detail="member of the group")
            while not stop.is_set():
                began = self._clock()
                self._health.beat()
                polled = source.poll(POLL_SECONDS, daemon.max_records)
                self._forget(polled.revoked & self._held)
                self._take_over(source, polled.assigned, stop)
                if stop.is_set():
                    break  # what was polled is for the next owner
                if polled.batches:
                    self._transact(sink, polled)
                self._report(source)
                yield bool(polled.batches)
                rest = daemon.commit_seconds - (self._clock() - began)
                waiting = sum(map(len, polled.batches)) >= daemon.max_records
                if polled.batches and rest > 0 and not waiting:
                    # A transaction costs as much as a thousand readings: let some gather.
                    self._wait(stop, rest)

    def _forget(self, partitions: set[TopicPartition] | frozenset[TopicPartition]) -> None:
        for partition in partitions:
            self._detector.drop(*partition)
            self._held.discard(partition)

    def _take_over(
        self, source: Source, partitions: frozenset[TopicPartition], stop: threading.Event
    ) -> None:
        """Rebuild the state of new partitions from their last readings, saying nothing."""
        for partition in sorted(partitions):
            self._health.report("state", ok=False, detail="reading again what came before")
            # Held from now on: a state that is half built is forgotten like any other.
            self._held.add(partition)
            committed = source.committed(partition)
            readings = 0
            for batch in self._past(partition, committed or 0):
                if stop.is_set():
                    return
                self._health.beat()
                decoded = self._decoder.decode(batch)
                self._detector.process([decoded.readings])
                readings += len(decoded.readings.patients)
            log.info(
                "partition taken over",
                extra={"topic": partition.topic, "partition": partition.partition}
                | {"committed": committed, "readings_again": readings},
            )
        count = len(self._held)
        self._health.report("state", ok=True, detail=f"state of {count} partitions is complete")

    def _past(self, partition: TopicPartition, committed: int) -> Iterator[RecordBatch]:
        """The records of the last ``warmup_minutes`` before the offset ``committed``."""
        first, _ = self._broker.bounds(partition)
        start = first
        for batch in self._broker.read(partition, max(first, committed - _MARKERS), committed):
            minutes = self._settings.daemon.warmup_minutes
            since = int(batch.timestamps[-1]) - round(minutes * 60_000)
            start = self._broker.offset_at(partition, since)
        yield from self._broker.read(partition, start, committed)

    def _transact(self, sink: Sink, polled: Poll) -> None:
        """Detect in what was polled; publish and commit it."""
        decoded = [self._decoder.decode(batch) for batch in polled.batches]
        began = self._clock()
        detections = self._detector.process([part.readings for part in decoded])
        seconds = self._clock() - began
        rejected: list[str] = []
        sink.begin()
        for batch, part, detection in zip(polled.batches, decoded, detections, strict=True):
            rejected += self._append(sink, batch, part, detection)
        offsets = {batch.source: batch.next_offset for batch in polled.batches}
        sink.commit(offsets, polled.membership)
        late = sum(int(detection.late.sum()) for detection in detections)
        scored = sum(len(detection.late) for detection in detections) - late
        self._metrics.scored(scored, seconds)
        self._metrics.late(late)
        self._metrics.unknown_vitals(sum(part.unknown_vitals for part in decoded))
        for detection in detections:
            self._metrics.published(detection.alerts)
        for reason in rejected:
            self._metrics.dead_letter(reason)

    def _append(
        self, sink: Sink, batch: RecordBatch, decoded: Decoded, detection: Detection
    ) -> list[str]:
        """Write one partition's outputs; the reasons of its dead letters."""
        topics = self._settings.topics
        emit = self._settings.scores.emit
        for block in blocks(decoded.readings, detection, self._model, emit):
            key = block.patients[0] if emit == "reading" else str(block.partition)
            value = self._encode(block)
            sink.append(topics.scores, key.encode(), value, timestamp=max(block.times))
        for alert in detection.alerts:
            value = self._encode(alert)
            sink.append(topics.alerts, alert.patient.encode(), value, timestamp=alert.time)
        rejected = [(each.index, each.reason, each.detail) for each in decoded.rejected]
        for offset in decoded.readings.offsets[detection.late].tolist():
            index = int(np.searchsorted(batch.offsets, offset))
            rejected.append((index, "late", REJECTIONS["late"]))
        for index, reason, detail in sorted(rejected):
            letter = dead_letter(batch, index, reason, detail)
            sink.append(topics.dead_letters, letter.key, letter.value, headers=letter.headers)
        return [reason for _, reason, _ in rejected]

    def _report(self, source: Source) -> None:
        self._metrics.patients(self._detector.patients, self._detector.in_alarm)
        if self._clock() >= self._lag_due:
            self._metrics.lag(source.lag())
            self._lag_due = self._clock() + _LAG_SECONDS


def blocks(
    readings: Readings, detection: Detection, model: str, emit: config.Emit
) -> Iterator[ScoreBlock]:
    """The scores of one batch as messages: in blocks, one for each reading, or none."""
    if emit == "none":
        return
    scored = np.flatnonzero(~detection.late)
    size = 1 if emit == "reading" else BLOCK_READINGS
    for begin in range(0, len(scored), size):
        part = scored[begin : begin + size]
        yield ScoreBlock(
            topic=readings.topic,
            partition=readings.partition,
            model=model,
            offsets=readings.offsets[part].tolist(),
            patients=readings.patients.at(part).texts(),
            times=readings.times[part].tolist(),
            rarity=detection.rarity[part].tolist(),
            surprise=_by_vital(detection.surprise[part]),
            expected=_by_vital(detection.expected[part]),
            low=_by_vital(detection.low[part]),
            high=_by_vital(detection.high[part]),
        )


def _by_vital(table: Floats) -> dict[str, list[float | None]]:
    """Columns by vital's name; NaN is written as null."""
    return dict(zip(NAMES, table.T.tolist(), strict=True))
