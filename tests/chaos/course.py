"""One log, published while faults happen, its workers, and the check that nothing shows of it."""

import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from kafka import KafkaAdminClient, KafkaConsumer, errors
from kafka.structs import TopicPartition as KafkaPartition

from tests.chaos import patients
from tests.chaos.crew import SECONDS, Crew, Nursery, Unexpected
from tests.chaos.oracle import Oracle
from vitalwatch import config
from vitalwatch.errors import BrokerError
from vitalwatch.model import checkpoint
from vitalwatch.stream import topics
from vitalwatch.stream.broker import RecordBatch, TopicPartition
from vitalwatch.stream.kafka import connect

PATIENTS: Final = 12
PARTITIONS: Final = 3
FRAME_SECONDS: Final = 0.025
"""The pace: 480 readings a second, the ward's time 400 times as fast as the wall clock."""

TAKEN_OVER: Final = "partition taken over"

SETTLE_SECONDS: Final = 120.0

_ASK_SECONDS: Final = 0.05


def settings(through: str, prefix: str) -> config.Settings:
    """Everything soon, so that much happens in little time; workers connect to ``through``."""
    return config.Settings(
        kafka=config.Kafka(bootstrap=through),
        topics=config.Topics(prefix=prefix, partitions=PARTITIONS),
        daemon=config.Daemon(
            group=prefix,
            max_records=200,
            commit_seconds=0.05,
            snapshot_seconds=0.5,
            # Longer than until the first snapshot, and not so long that no snapshot is needed.
            warmup_minutes=600,
        ),
        alarms=config.Alarms(
            stale_seconds=patients.STALE_SECONDS, discharge_hours=patients.DISCHARGE_HOURS
        ),
        monitoring=config.Monitoring(port=0, log_format="json"),
    )


class Course:
    """Topics of its own on a broker, and all that belongs to them."""

    def __init__(
        self, nursery: Nursery, broker: str, folder: Path, seed: int, through: str | None = None
    ) -> None:
        """Workers reach ``broker`` at ``through``, by default directly, and log to ``folder``.

        ``seed`` is that of the ward.
        """
        self.settings = settings(through or broker, f"chaos-{uuid.uuid4().hex[:12]}")
        self._frames = patients.frames(seed, PATIENTS)
        self._stack = ExitStack()
        self._address = broker
        with closing(connect(config.Kafka(bootstrap=broker))) as connected:
            connected.create(topics.specs(self.settings.topics))
        model = checkpoint.load(self.settings.model.path)
        self.oracle = Oracle(model, self.settings)
        self._reader = _Reader(broker, self.settings)
        self.crew = Crew(nursery, folder, self.settings)
        self.published = 0
        self.broken = False
        """Something went wrong: what comes after says nothing of its own."""

    def __enter__(self) -> Self:
        self._stack.enter_context(closing(self._reader))
        self._stack.callback(self.crew.close)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Publish frame after frame while inside."""
        stop = threading.Event()
        failed: list[Exception] = []
        thread = threading.Thread(target=self._publish, args=(stop, failed))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failed:
            raise failed[0]

    def flow(self, seconds: float) -> None:
        """Publish for so long."""
        with self.flowing():
            time.sleep(seconds)

    def prove(self) -> None:
        """Wait until the lag is zero, and compare; raises Unexpected or Difference."""
        self.broken = True
        self._settle()
        self._check()
        self.broken = False

    def takeovers(self) -> list[dict[str, Any]]:
        """What workers said of partitions that they took over."""
        workers = self.crew.workers
        return [json.loads(line) for worker in workers for line in worker.said(TAKEN_OVER)]

    def _settle(self) -> None:
        lag: dict[int, int] = {}

        def done() -> bool:
            nonlocal lag
            try:
                lag = self._reader.lag()
            except errors.KafkaError:
                return False
            return not any(lag.values())

        try:
            self.crew.wait_for(done, "the lag does not return to zero", SETTLE_SECONDS)
        except Unexpected as wrong:
            logs = "\n".join(worker.last_words() for worker in self.crew.living)
            group = _described(self._address, self.settings.daemon.group)
            raise Unexpected(f"{wrong}; by partition it is {lag}\n{group}\n{logs}") from None

    def _check(self) -> None:
        """Compare everything committed since the last time with the uninterrupted run."""
        for batch in self._reader.read(self.settings.topics.readings):
            self.oracle.run(batch)
        outputs = self.settings.topics
        for batch in self._reader.read(outputs.scores):
            for value in batch.values:
                self.oracle.score(bytes(value or b""))
        for batch in self._reader.read(outputs.alerts):
            for value in batch.values:
                self.oracle.alert(bytes(value or b""))
        for batch in self._reader.read(outputs.dead_letters):
            for letter in zip(batch.keys, batch.values, batch.headers, strict=True):
                self.oracle.letter(*letter)
        self.oracle.complete()

    def _publish(self, stop: threading.Event, failed: list[Exception]) -> None:
        due = time.monotonic()
        while not stop.is_set():
            try:
                with (
                    closing(connect(config.Kafka(bootstrap=self._address))) as broker,
                    closing(broker.publisher()) as publisher,
                ):
                    while not stop.is_set():
                        for record in next(self._frames):
                            publisher.send(
                                self.settings.topics.readings,
                                record.key,
                                record.value,
                                timestamp=record.timestamp,
                            )
                            self.published += 1
                        due += FRAME_SECONDS
                        time.sleep(max(0.0, due - time.monotonic()))
            except BrokerError:
                # The broker is away. What it did not take never was: the log is the input.
                stop.wait(_ASK_SECONDS)
            except Exception as error:
                failed.append(error)
                return


class _Reader:
    """Reads as any other program would: what is committed, and never what is not."""

    def __init__(self, address: str, settings: config.Settings) -> None:
        self._input = settings.topics.readings
        self._positions: dict[KafkaPartition, int] = {}
        options = {"bootstrap_servers": address, "enable_auto_commit": False, **_QUIET}
        group = settings.daemon.group
        self._stack = ExitStack()
        self._consumer = KafkaConsumer(
            **options, group_id=group, isolation_level="read_committed", check_crcs=False
        )
        self._stack.callback(self._consumer.close, autocommit=False)
        # To the others an end is the beginning of what is not committed.
        self._ends = KafkaConsumer(**options, isolation_level="read_uncommitted")
        self._stack.callback(self._ends.close, autocommit=False)

    def close(self) -> None:
        self._stack.close()

    def lag(self) -> dict[int, int]:
        """By partition, records of the input beyond what the group has committed."""
        ends = self._ends.end_offsets(_partitions(self._input))
        return {at.partition: end - (self._consumer.committed(at) or 0) for at, end in ends.items()}

    def read(self, topic: str) -> Iterator[RecordBatch]:
        """All of a topic since the last time; waits for transactions that are open."""
        places = _partitions(topic)
        ends = self._ends.end_offsets(places)
        self._consumer.assign(places)
        for at in places:
            self._consumer.seek(at, self._positions.get(at, 0))
        deadline = time.monotonic() + SECONDS
        while any(self._positions.get(at, 0) < end for at, end in ends.items()):
            if time.monotonic() > deadline:
                raise Unexpected(f"{topic} cannot be read to its end: a transaction stays open")
            polled = self._consumer.poll(_ASK_SECONDS * 1000, max_records=10_000)
            for at, records in polled.items():
                yield _batch(at, records)
            for at in places:
                self._positions[at] = self._consumer.position(at)


_QUIET: Final = {"metrics_enabled": False, "reconnect_backoff_max_ms": 500}


def _described(address: str, group: str) -> str:
    """The group as the broker sees it."""
    with closing(KafkaAdminClient(bootstrap_servers=address)) as admin:
        described = admin.describe_groups([group])[group]
    members = [
        f"  {member['member_id']} ({member['group_instance_id'] or 'no stable name'}): "
        f"{member['member_assignment']}"
        for member in described["members"]
    ]
    return "\n".join([f"The group is {described['group_state']}, with members", *members])


def _partitions(topic: str) -> list[KafkaPartition]:
    return [KafkaPartition(topic, number) for number in range(PARTITIONS)]


def _batch(at: KafkaPartition, records: Sequence[Any]) -> RecordBatch:
    return RecordBatch.of(
        TopicPartition(*at),
        [record.offset for record in records],
        [record.timestamp for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [record.headers for record in records],
        next_offset=records[-1].offset + 1,
    )
