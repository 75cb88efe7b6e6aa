"""What one transaction says of the readings that it covers: scores, alerts, dead letters."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from vitalwatch import config
from vitalwatch.errors import DeadLetterFlood
from vitalwatch.messages import REJECTIONS, Alert
from vitalwatch.monitoring.fit import Fit
from vitalwatch.readings import Detection
from vitalwatch.stream import trace_context
from vitalwatch.stream.broker import RecordBatch, Sink, TopicPartition
from vitalwatch.stream.dead_letters import dead_letter
from vitalwatch.stream.decode import Decoded
from vitalwatch.stream.score_blocks import Record, blocks

WINDOW_RECORDS: Final = 10_000
"""The share of dead letters is taken over so many of the last records, or a batch more."""


@dataclass(slots=True)
class Tally:
    """What a transaction holds so far; for the metrics, once it is committed."""

    records: int = 0
    scored: int = 0
    late: int = 0
    unknown_vitals: int = 0
    scoring_seconds: float = 0.0
    watched: int = 0  # ms, of all patients
    factors: dict[TopicPartition, float] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    oldest: dict[TopicPartition, int] = field(default_factory=dict)  # records' timestamps, ms
    fit: Fit = field(default_factory=Fit)

    @property
    def urgent(self) -> bool:
        """Whether somebody should hear of it at once."""
        return any(alert.event != "cleared" for alert in self.alerts)


class Outputs:
    """Writes a batch's outputs into a transaction; ``model`` is the fingerprint they carry."""

    def __init__(self, settings: config.Settings, model: str) -> None:
        self._topics = settings.topics
        self._emit = settings.scores.emit
        self._model = model
        self._encode = msgspec.json.Encoder().encode

    def scores(self, decoded: Sequence[Decoded], detections: Sequence[Detection]) -> list[Record]:
        """The records of scores of some batches; a matter of these arguments alone."""
        return [
            record
            for part, detection in zip(decoded, detections, strict=True)
            for record in blocks(part.readings, detection, self._model, self._emit)
        ]

    def append_scores(self, sink: Sink, records: Iterable[Record]) -> None:
        """Append what :meth:`scores` gave."""
        for key, value, timestamp in records:
            sink.append(self._topics.scores, key, value, timestamp=timestamp)

    def append(
        self, sink: Sink, batch: RecordBatch, decoded: Decoded, detection: Detection, tally: Tally
    ) -> None:
        """Append alerts and dead letters of one batch, and count what is in it."""
        readings = decoded.readings
        for alert in detection.alerts:
            value = self._encode(alert)
            place = int(np.searchsorted(batch.offsets, alert.origin.offset))
            sink.append(
                self._topics.alerts,
                alert.patient.encode(),
                value,
                timestamp=alert.time,
                headers=trace_context.carried(batch.headers[place]),
            )
        rejected = [(each.index, each.reason, each.detail) for each in decoded.rejected]
        late = np.flatnonzero(detection.late)
        places = np.searchsorted(batch.offsets, readings.offsets[late]).tolist()
        rejected += [(index, "late", REJECTIONS["late"]) for index in places]
        for index, reason, detail in sorted(rejected):
            letter = dead_letter(batch, index, reason, detail)
            sink.append(self._topics.dead_letters, letter.key, letter.value, headers=letter.headers)
        tally.records += len(batch)
        tally.scored += len(readings.times) - len(late)
        tally.late += len(late)
        tally.unknown_vitals += decoded.unknown_vitals
        tally.alerts += detection.alerts
        tally.watched += detection.watched
        tally.factors[batch.source] = detection.factor
        tally.fit.add(readings.values, detection)
        if len(batch):
            arrived = int(batch.timestamps.min())
            tally.oldest[batch.source] = min(arrived, tally.oldest.get(batch.source, arrived))
        tally.rejected += [reason for _, reason, _ in rejected]


class FloodGuard:
    """Stops the daemon when too much of what comes in is no reading.

    One bad record is a dead letter, and the next reading is scored. When most records are bad, a
    producer, a setting or a clock is wrong, and a hospital's data would go unscored without
    anybody noticing.
    """

    def __init__(self, limit: float) -> None:
        """``limit`` is the share of the last records that may be dead letters; 1: never stop."""
        self._limit = limit
        self._window: deque[tuple[int, Counter[str]]] = deque()
        self._records = 0

    def forget(self) -> None:
        """Begin anew: what was counted and not committed comes again, and must not count twice."""
        self._window.clear()
        self._records = 0

    def check(self, tally: Tally) -> None:
        """Count a transaction that is about to be committed.

        Raises DeadLetterFlood if there are too many dead letters now.
        """
        if not tally.records:  # a part of a snapshot alone
            return
        self._window.append((tally.records, Counter(tally.rejected)))
        self._records += tally.records
        while self._records - self._window[0][0] >= WINDOW_RECORDS:
            self._records -= self._window.popleft()[0]
        if self._records < WINDOW_RECORDS:
            return
        reasons = sum((counts for _, counts in self._window), Counter[str]())
        if reasons.total() > self._limit * self._records:
            told = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
            raise DeadLetterFlood(
                f"Of the last {self._records:,} records {reasons.total():,} are no readings that "
                f"can be scored ({told}), more than the share of {self._limit:g} that "
                "--daemon-dead-letter-limit allows. Nothing of the last batch was committed, and "
                "nothing is lost: mend what writes the readings, or start with "
                "--daemon-dead-letter-limit 1 to have them all go to the dead letters."
            )
