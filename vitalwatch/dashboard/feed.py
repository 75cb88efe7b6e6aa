"""From the topics to the ward and to the pages, in a thread of its own.

It is a member of a group that nobody else is in and commits nothing, so that every server sees
every partition and a new one begins with the past: some minutes of readings and scores, some
hours of alerts, all acknowledgements. A topic that is missing, a broker that goes away and
records that are none of ours are states to be shown, not errors to end with.
"""

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Final

import msgspec

from vitalwatch import config
from vitalwatch.dashboard.alerts import told
from vitalwatch.dashboard.clients import Events
from vitalwatch.dashboard.rings import MINUTE_MS
from vitalwatch.dashboard.ward import Ward
from vitalwatch.errors import BrokerError, Fenced
from vitalwatch.messages import SCHEMA_VERSION, Ack, Alert, Reading, ScoreBlock
from vitalwatch.stream import history
from vitalwatch.stream.broker import Broker, RecordBatch, Source, TopicPartition
from vitalwatch.stream.decode import Decoder

POLL_SECONDS: Final = 0.1
MAX_RECORDS: Final = 5000
TICK_SECONDS: Final = 0.3
"""Numbers go to the pages so often: within a second of their commit, at little cost."""

ANEW_SECONDS: Final = 1.0
"""Where patients come and go, pages are told all anew, but not more often than that."""

STATUS_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 1.0
MISSING_SECONDS: Final = 5.0
"""So often it is looked whether a topic that was missing is there."""

FORGET_SECONDS: Final = 60.0
CAUGHT_UP_RECORDS: Final = 2000
"""A new server that has no more than that to read has caught up with the stream."""

READING: Final = ("ok", "catching_up")
"""States in which the source is read."""

_LATEST_MS: Final = 2**47  # the year 6429: no alert or acknowledgement is of later

log = logging.getLogger(__name__)


class Status(msgspec.Struct, frozen=True):
    """How the source is, for people: a word, a sentence, and counts since the start."""

    state: str
    sentence: str
    lag: int = 0
    malformed: int = 0
    foreign: int = 0
    turned_away: int = 0


class Feed:
    """Reads until told to stop; what it has read is in the ward."""

    def __init__(
        self,
        connect: Callable[[], Broker],
        settings: config.Settings,
        ward: Ward,
        events: Events,
        *,
        on_records: Callable[[str, int], None] = lambda _kind, _count: None,
        on_skipped: Callable[[str, str, int], None] = lambda _kind, _reason, _count: None,
        on_state: Callable[[int, int], None] = lambda _patients, _lag: None,
        on_anew: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``connect`` gives the broker anew after it was away; it closes with the feed.

        ``on_records`` is told kind and number of what was read, ``on_skipped`` kind, reason and
        number of what could not be shown, ``on_state`` patients and lag now and then, and
        ``on_anew`` that pages must be told all anew.
        """
        self._connect = connect
        self._settings = settings
        self._ward = ward
        self._events = events
        self._on_records = on_records
        self._on_skipped = on_skipped
        self._on_state = on_state
        self._on_anew = on_anew
        self._clock = clock
        self._positions: dict[TopicPartition, int] = {}
        self._skipped: Counter[str] = Counter()
        self._decoder = Decoder()
        topics = settings.topics
        self._kinds = {
            topics.readings: "readings",
            topics.scores: "scores",
            topics.alerts: "alerts",
            topics.acks: "acks",
        }
        self._takes: dict[str, Callable[[RecordBatch], None]] = {
            "readings": self._readings,
            "scores": self._scores,
            "alerts": self._alerts,
            "acks": self._acks,
        }
        self._scores_decoder = msgspec.json.Decoder(ScoreBlock)
        self._alert_decoder = msgspec.json.Decoder(Alert)
        self._ack_decoder = msgspec.json.Decoder(Ack)
        self._reading_decoder = msgspec.json.Decoder(Reading)
        self._tick_due = self._anew_due = self._status_due = self._forget_due = 0.0
        self.status = Status("connecting", "Connecting to the broker.")
        self.mode = _told_by(settings.dashboard.stream) or "live"
        self._caught_up = False

    def run(self, stop: threading.Event) -> None:
        """Feed the ward until ``stop`` is set."""
        while not stop.is_set():
            pause = RETRY_SECONDS
            try:
                with closing(self._connect()) as broker:
                    pause = self._read(broker, stop)
            except (BrokerError, Fenced) as error:
                self._tell(Status("lost", f"{error} What is shown is not up to date."))
            except Exception:
                log.exception("the feed failed and starts again")
                self._tell(Status("lost", "The feed failed and starts again; see the log."))
            stop.wait(pause)

    def _read(self, broker: Broker, stop: threading.Event) -> float:
        """Read until something is wrong; the seconds to wait then."""
        found = broker.topics(list(self._kinds))
        missing = [name for name in self._kinds if name not in found]
        present = [name for name in self._kinds if name in found]
        if not present:
            self._missing(missing)
            return MISSING_SECONDS
        self._look_for_truth(broker)
        look = self._clock() + MISSING_SECONDS
        # Another one each time: in the old one a member that could not leave may have partitions.
        group = f"{self._settings.topics.prefix}-dashboard-{uuid.uuid4().hex[:12]}"
        with closing(broker.source(present, group)) as source:
            while not stop.is_set():
                polled = source.poll(POLL_SECONDS, MAX_RECORDS)
                for partition in polled.assigned:
                    source.seek(partition, self._start(broker, partition))
                for batch in sorted(polled.batches, key=lambda each: present.index(each.source[0])):
                    self._take(batch)
                self._ward_to_pages()
                if self._clock() >= self._status_due and not polled.assigned:
                    self._status_due = self._clock() + STATUS_SECONDS
                    self._report(source, missing)
                if missing and self._clock() >= look:
                    look = self._clock() + MISSING_SECONDS
                    if broker.topics(missing):
                        return 0.0
        return 0.0

    def _look_for_truth(self, broker: Broker) -> None:
        """Where something tells the truth of patients, they are simulated."""
        if self._settings.dashboard.stream != "auto":
            return
        topic = self._settings.topics.truth
        spec = broker.topics([topic]).get(topic)
        partitions = range(spec.partitions if spec else 0)
        told = any(broker.bounds(TopicPartition(topic, each))[1] for each in partitions)
        mode = "simulated" if told else "live"
        if mode != self.mode:
            self.mode = mode
            self._on_anew()

    def _start(self, broker: Broker, partition: TopicPartition) -> int:
        """Where to begin with a partition: where we were, or some time before its end."""
        first, end = broker.bounds(partition)
        held = self._positions.get(partition)
        if held is not None and first <= held <= end:
            return held
        kind = self._kinds[partition.topic]
        if kind == "acks":
            return first
        dashboard = self._settings.dashboard
        if kind == "readings":
            past_ms = round(dashboard.backfill_minutes * MINUTE_MS)
            self._ward.since = round(time.time() * 1000) - past_ms
        hours = dashboard.alert_hours if kind == "alerts" else dashboard.backfill_minutes / 60
        return history.begins(broker, partition, end, hours * 60)

    # -- records ---------------------------------------------------------------------------------

    def _take(self, batch: RecordBatch) -> None:
        kind = self._kinds[batch.source.topic]
        try:
            self._takes[kind](batch)
        finally:
            # Whatever is wrong with a batch, it is not read again for ever.
            self._positions[batch.source] = batch.next_offset
        self._on_records(kind, len(batch))

    def _readings(self, batch: RecordBatch) -> None:
        decoded = self._decoder.decode(batch)
        readings = decoded.readings
        for reason, count in Counter(each.reason for each in decoded.rejected).items():
            self._skip("readings", "malformed", count, reason)
        if not len(readings.times):
            return
        names = readings.patients.texts()
        rows = self._ward.rows(names)
        places = self._ward.unplaced(rows, readings.times)
        if len(places):
            wanted = {int(readings.offsets[place]): names[place] for place in places.tolist()}
            for at in batch.offsets.searchsorted(list(wanted)).tolist():
                value = batch.values[at]
                told = self._reading_decoder.decode(value or b"")
                self._ward.introduce(told.patient, told.ward, told.bed)
        self._ward.readings(rows, readings.times, readings.values)

    def _scores(self, batch: RecordBatch) -> None:
        for block in self._each("scores", batch, self._scores_decoder):
            if block.topic != self._settings.topics.readings:
                self._skip("scores", "foreign", 1, "topic")
            elif not _even(block):
                self._skip("scores", "malformed", 1, "uneven")
            else:
                try:
                    self._ward.scores(block)
                except (OverflowError, ValueError):  # numbers that no column can hold
                    self._skip("scores", "malformed", 1, "invalid")

    def _alerts(self, batch: RecordBatch) -> None:
        for alert in self._each("alerts", batch, self._alert_decoder):
            shown = self._ward.alert(alert)
            if self._caught_up:
                self._events.publish_from_thread("alert", shown)

    def _acks(self, batch: RecordBatch) -> None:
        for ack in self._each("acks", batch, self._ack_decoder):
            self.acknowledged(ack)

    def acknowledged(self, ack: Ack) -> None:
        """An acknowledgement has been read, or written by this server."""
        if self._ward.acknowledge(ack):
            self._events.publish_from_thread("ack", told(ack))

    def _each(self, kind: str, batch: RecordBatch, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """A batch's messages; what is none is counted."""
        for value in batch.values:
            if value is None:
                continue  # a tombstone: compaction's business
            try:
                message = decoder.decode(value)
            except (ValueError, RecursionError):
                self._skip(kind, "malformed", 1, "invalid")
                continue
            if message.v > SCHEMA_VERSION:
                self._skip(kind, "foreign", 1, "version")
            elif not 0 <= getattr(message, "time", 0) < _LATEST_MS:
                self._skip(kind, "malformed", 1, "time")
            else:
                yield message

    def _skip(self, kind: str, word: str, count: int, reason: str) -> None:
        if not self._skipped[word]:
            log.warning(
                "a topic holds what is none of ours; it is left out and counted",
                extra={"kind": kind, "reason": reason},
            )
        self._skipped[word] += count
        self._on_skipped(kind, reason, count)

    # -- pages -----------------------------------------------------------------------------------

    def _ward_to_pages(self) -> None:
        now = self._clock()
        if now >= self._tick_due:
            self._tick_due = now + TICK_SECONDS
            if self._ward.people_changed and self._caught_up and now >= self._anew_due:
                self._anew_due = now + ANEW_SECONDS
                self._ward.people_changed = False
                self._on_anew()
            publish_numbers(self._ward, self._events)
        if now >= self._forget_due:
            self._forget_due = now + FORGET_SECONDS
            self._ward.forget_gone()

    def _missing(self, missing: list[str]) -> None:
        prefix = self._settings.topics.prefix
        self._tell(
            Status(
                "missing_topic",
                f"There is no topic {', '.join(missing)}: make them with `vitalwatch topics create "
                f"--topics-prefix {prefix}`. It is looked for every {MISSING_SECONDS:.0f} s.",
                **self._counts(),
            )
        )

    def _report(self, source: Source, missing: list[str]) -> None:
        lag = sum(source.lag().values())
        self._on_state(len(self._ward), lag)
        if not source.assignment():
            return
        if not self._caught_up and lag > CAUGHT_UP_RECORDS:
            sentence = f"Reading what has happened before: {lag:,} records to go."
            self._tell(Status("catching_up", sentence, lag, **self._counts()))
            return
        if missing:
            self._missing(missing)
        else:
            self._tell(Status("ok", "Connected.", lag, **self._counts()))
        if not self._caught_up:
            self._caught_up = True
            self._on_anew()

    def _counts(self) -> Mapping[str, int]:
        return {
            "malformed": self._skipped["malformed"],
            "foreign": self._skipped["foreign"],
            "turned_away": self._ward.turned_away,
        }

    def _tell(self, status: Status) -> None:
        if status.state != self.status.state:
            level = logging.INFO if status.state == "ok" else logging.WARNING
            log.log(level, "the source is %s", status.state, extra={"sentence": status.sentence})
        if status != self.status:
            self.status = status
            self._events.publish_from_thread("source", status)


def publish_numbers(ward: Ward, events: Events) -> None:
    """Tell the pages what has changed since they were told last."""
    changed = ward.numbers()
    if changed:
        now = ward.now(round(time.time() * 1000))
        events.publish_from_thread("numbers", {"now_ms": now, "p": changed})


def _told_by(stream: str) -> str | None:
    return None if stream == "auto" else stream


def _even(block: ScoreBlock) -> bool:
    """Whether all columns of a block are of one length."""
    count = len(block.patients)
    tables = (block.surprise, block.expected, block.low, block.high)
    return len(block.times) == len(block.rarity) == count and all(
        len(column) == count for table in tables for column in table.values()
    )
