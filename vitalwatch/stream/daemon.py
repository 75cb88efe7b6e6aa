"""The loop of the daemon: poll, decode, detect, and commit outputs with offsets, atomically.

A transaction lasts until it is time to commit, or until somebody must hear of an alert at once.
Scores, alerts, dead letters, a part of a snapshot and the offsets of the readings become visible
together or not at all. The patients' state in memory runs ahead of what is committed for just as
long, so whatever goes wrong in between, the daemon gives up its partitions, forgets their
patients, and starts again from what the group has committed.
"""

import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import closing
from typing import Final, TypeVar

from vitalwatch import config
from vitalwatch.errors import BrokerError, Fenced, Replaced
from vitalwatch.monitoring.http import Health
from vitalwatch.monitoring.metrics import Metrics
from vitalwatch.monitoring.tracing import Tracing, Transaction
from vitalwatch.readings import Detection
from vitalwatch.stream.broker import Broker, Poll, RecordBatch, Sink, Source, TopicPartition
from vitalwatch.stream.decode import Decoded, Decoder
from vitalwatch.stream.detection import StreamDetector
from vitalwatch.stream.outputs import FloodGuard, Outputs, Tally
from vitalwatch.stream.recovery import Recovery, Stopped
from vitalwatch.stream.score_blocks import Record

POLL_SECONDS: Final = 0.2
"""A poll waits so long at most, so a request to stop is seen within that."""

GATHER_SECONDS: Final = 0.005
"""After few readings a moment passes before the next are asked for: a round costs much the same
for one reading and for fifty."""

FEW_READINGS: Final = 200

URGENT_SECONDS: Final = 0.1
"""So long a transaction with an alert goes on at most while more readings are there already."""

TRANSACTION_READINGS: Final = 100_000
"""So many are committed together at most, so that a backlog does not fill the memory."""

RETRY_SECONDS: Final = 1.0
FENCED_TRIES: Final = 10
"""So often, with nothing committed in between, others may take over before this worker gives up."""

REPLACED_TRIES: Final = 4
REPLACED_SECONDS: Final = 600.0
"""So often in so long a time may its own name be taken; then there are two workers of one name."""

CONDITIONS: Final = ("model", "broker", "state")

_LAG_SECONDS: Final = 1.0

T = TypeVar("T")

log = logging.getLogger(__name__)


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
        helper: Executor | None = None,
        tracing: Tracing | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        """``identity`` is the name of this worker's transactions; two must not share one.

        ``helper`` decodes the next batch and writes the scores of the last one meanwhile.
        """
        self._broker = broker
        self._detector = detector
        self._settings = settings
        self._metrics = metrics
        self._health = health
        self._model = model
        self._identity = identity
        self._helper = helper
        self._tracing = tracing or Tracing()
        self._clock = clock
        self._wait = wait
        self._decoder = Decoder()
        self._outputs = Outputs(settings, model)
        self._recovery = Recovery(broker, detector, settings, model, clock)
        self._flood = FloodGuard(settings.daemon.dead_letter_limit)
        self._positions: dict[TopicPartition, int] = {}  # of partitions held: the next offset
        self._lag_due = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; then finish the micro-batch, commit and leave the group.

        Raises Fenced if another worker with this one's name keeps taking over, BrokerError if the
        broker cannot be used as configured at the start, and DeadLetterFlood if too much of what
        comes in is no reading.
        """
        for _ in self.steps(stop):
            pass

    def steps(self, stop: threading.Event) -> Iterator[None]:
        """The same, a round at a time, for whoever decides when each takes place."""
        self._health.report("model", ok=True, detail=self._model)
        started = False
        fenced = 0
        replaced: deque[float] = deque(maxlen=REPLACED_TRIES)
        while not stop.is_set():
            try:
                for committed in self._work(stop):
                    started = True
                    fenced = 0 if committed else fenced
                    yield
            except Fenced as error:
                fenced += 1
                self._metrics.membership_lost("fenced")
                if isinstance(error, Replaced):
                    replaced.append(self._clock())
                again_and_again = (
                    len(replaced) == REPLACED_TRIES
                    and self._clock() - replaced[0] < REPLACED_SECONDS
                )
                if fenced == FENCED_TRIES or again_and_again:
                    raise
                log.warning("another worker has taken over, joining the group anew: %s", error)
            except BrokerError as error:
                if not started:
                    raise
                self._metrics.membership_lost("broker")
                log.warning("the broker failed, trying again: %s", error)
            finally:
                self._forget(set(self._positions))
                self._flood.forget()
            if not stop.is_set():
                self._health.report("broker", ok=False, detail="connection or membership lost")
                # Or it would look ready as soon as it is a member again, and has nothing yet.
                self._health.report("state", ok=False, detail="forgotten, to be restored")
                self._wait(stop, RETRY_SECONDS)
                self._health.beat()  # it lives, however long there is no broker
                yield

    def _work(self, stop: threading.Event) -> Iterator[bool]:
        """Be a member of the group until stopped or failing; each round, whether it committed."""
        daemon = self._settings.daemon
        topic = self._settings.topics.readings
        source = self._broker.source([topic], daemon.group, instance=daemon.instance or None)
        with closing(source), closing(self._broker.sink(self._identity)) as sink:
            self._health.report("broker", ok=True, detail="member of the group")
            while not stop.is_set():
                self._health.beat()
                # A snapshot that is under way goes on, also when nothing comes in.
                timeout = 0.0 if self._recovery.writing else POLL_SECONDS
                polled = source.poll(timeout, daemon.max_records)
                self._forget(set(polled.revoked) & self._positions.keys())
                try:
                    self._take_over(source, polled, stop)
                except Stopped:
                    break  # what was polled is for the next owner
                committed = bool(polled.batches or self._recovery.waiting(self._positions))
                if committed:
                    with self._tracing.transaction() as trace:
                        self._transact(source, sink, polled, stop, trace)
                self._report(source)
                yield committed

    def _forget(self, partitions: set[TopicPartition]) -> None:
        for partition in partitions:
            self._detector.drop(*partition)
            self._recovery.forget(partition)
            self._metrics.forget(partition)
            del self._positions[partition]

    def _take_over(self, source: Source, polled: Poll, stop: threading.Event) -> None:
        """Have the state of new partitions; raises Stopped when asked to stop meanwhile."""

        def going_on() -> None:
            self._health.beat()
            if stop.is_set():
                raise Stopped

        for partition in sorted(polled.assigned):
            self._health.report("state", ok=False, detail="restoring the state of partitions")
            committed = source.committed(partition)
            start = self._recovery.start(partition, committed)
            source.seek(partition, start)
            # Held from now on: a state that is half built is forgotten like any other.
            self._positions[partition] = start
            self._metrics.lost(max(start - committed, 0) if committed is not None else 0)
            began = self._clock()
            restored = self._recovery.restore(partition, committed, going_on)
            seconds = self._clock() - began
            self._metrics.restored(seconds)
            log.info(
                "partition taken over",
                extra={
                    "topic": partition.topic,
                    "partition": partition.partition,
                    "committed": committed,
                    "state_from": restored.origin,
                    "readings_again": restored.readings,
                    "seconds": round(seconds, 3),
                },
            )
        if polled.membership.token is not None:
            held = len(self._positions)
            self._health.report("state", ok=True, detail=f"state of {held} partitions is complete")

    def _transact(
        self, source: Source, sink: Sink, polled: Poll, stop: threading.Event, trace: Transaction
    ) -> None:
        """Detect in what was polled and what comes until it is time to commit; commit it."""
        began, most = self._clock(), self._settings.daemon.max_records
        end = began + self._settings.daemon.commit_seconds
        tally = Tally()
        offsets: dict[TopicPartition, int] = {}
        sink.begin()
        batches, ahead = polled.batches, self._decode(polled.batches)
        scores = self._later(list[Record], 0)
        while batches:
            now, decoded = batches, ahead.result()
            trace.read(now)
            offsets.update((batch.source, batch.next_offset) for batch in now)
            batches = []
            full = tally.records >= TRANSACTION_READINGS
            if _count(now) >= FEW_READINGS and self._clock() < end and not full:
                # Decoded by another core meanwhile. Not a poll: that might give partitions away
                # whose readings are in this transaction.
                batches = source.more(0, most)
                ahead = self._decode(batches)
            detections = self._detect(sink, now, decoded, tally)
            self._outputs.append_scores(sink, scores.result())
            written = functools.partial(self._outputs.scores, decoded, detections)
            scores = self._later(written, _count(now))
            if tally.urgent:
                end = min(end, began + URGENT_SECONDS)
            rest = end - self._clock()
            if batches or tally.urgent or full or rest <= 0 or stop.is_set():
                continue
            if _count(now) < FEW_READINGS:
                self._wait(stop, min(rest, GATHER_SECONDS))
            batches = source.more(rest, most)
            ahead = self._decode(batches)
        self._outputs.append_scores(sink, scores.result())
        self._flood.check(tally)
        self._positions.update(offsets)
        # Its offset goes with a part of a snapshot, so that a worker who lost the partition is
        # refused and its snapshot never seen.
        for partition in self._recovery.append(sink, self._positions, urgent=tally.urgent):
            offsets[partition] = self._positions[partition]
        committing = self._clock()
        sink.commit(offsets, polled.membership)
        for partition in self._recovery.committed():
            self._metrics.snapshot(partition)
        seconds = self._clock() - committing
        trace.committed(tally, seconds)
        self._tell(tally, seconds)

    def _decode(self, batches: list[RecordBatch]) -> Future[list[Decoded]]:
        return self._later(lambda: [self._decoder.decode(b) for b in batches], _count(batches))

    def _later(self, work: Callable[[], T], records: int) -> Future[T]:
        """Have work done on another core; at once, if that would take longer than the work."""
        if self._helper is not None and records >= FEW_READINGS:
            return self._helper.submit(work)
        done: Future[T] = Future()
        done.set_result(work())
        return done

    def _detect(
        self, sink: Sink, batches: list[RecordBatch], decoded: list[Decoded], tally: Tally
    ) -> list[Detection]:
        """Advance patients' state; append alerts and dead letters."""
        began = self._clock()
        detections = self._detector.process([part.readings for part in decoded])
        tally.scoring_seconds += self._clock() - began
        for batch, part, detection in zip(batches, decoded, detections, strict=True):
            self._outputs.append(sink, batch, part, detection, tally)
        return detections

    def _tell(self, tally: Tally, commit_seconds: float) -> None:
        self._metrics.committed(commit_seconds)
        if tally.records:
            self._metrics.scored(tally.scored, tally.scoring_seconds)
        self._metrics.late(tally.late)
        self._metrics.unknown_vitals(tally.unknown_vitals)
        self._metrics.published(tally.alerts)
        self._metrics.reached(tally.oldest.values())
        self._metrics.fits(tally.fit)
        self._metrics.watched(tally.watched / 1000, self._settings.alarms.budget)
        for partition, factor in tally.factors.items():
            self._metrics.adjusted(partition, factor)
        for reason in tally.rejected:
            self._metrics.dead_letter(reason)

    def _report(self, source: Source) -> None:
        self._metrics.patients(self._detector.patients, self._detector.in_alarm)
        if self._clock() >= self._lag_due:
            self._metrics.lag(source.lag())
            for partition in self._positions:
                if (reached := self._detector.stream_time(*partition)) is not None:
                    self._metrics.stream_time(partition, reached)
            self._lag_due = self._clock() + _LAG_SECONDS


def _count(batches: list[RecordBatch]) -> int:
    return sum(map(len, batches))
