"""Writing to Kafka through kafka-python: transactions without its holes, and plain publishing.

The library leaves three holes in exactly-once writing, each closed here and each with a
regression test on a real broker. An aborted transaction's offsets leak into the next one: a
producer that aborted is never used again. A batch that expires does not fail its transaction:
every record's future is checked before the commit. A producer that the broker no longer accepts
gives itself a new epoch, which silently aborts its transaction and even fences the producer that
had fenced it: here such an error is final.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Final

from kafka import KafkaProducer, errors
from kafka.net.compat import KafkaNetClient
from kafka.partitioner import DefaultPartitioner
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from vitalwatch.errors import Fenced, Replaced
from vitalwatch.stream.broker import Headers, Membership, TopicPartition
from vitalwatch.stream.diagnosis import explained, translated
from vitalwatch.stream.partitioner import partition_of
from vitalwatch.stream.topics import LARGEST_RECORD

COMMIT_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 3.0
RECONNECT_SECONDS: Final = 0.05
FLUSH_SECONDS: Final = 60.0  # longer than the library takes to give a record up
PENDING_RECORDS: Final = 50_000
PENDING_BYTES: Final = 64 * 2**20


class _Partitioner(DefaultPartitioner):  # type: ignore[misc]  # the library has no types
    """The library's, which hashes every key every time, with a memory."""

    def partition(
        self, topic: str, key: Any, serialized_key: bytes | None, *rest: Any
    ) -> int | None:
        """The key's partition; without a key, any that has a leader."""
        cluster = rest[-1]
        if serialized_key is None:
            chosen: int | None = super().partition(topic, key, serialized_key, *rest)
            return chosen
        return partition_of(serialized_key, len(cluster.partitions_for_topic(topic)))


_OPTIONS: Final[dict[str, Any]] = {
    "allow_auto_create_topics": False,
    "batch_size": 256 * 1024,
    "delivery_timeout_ms": 30_000,
    "linger_ms": 5,
    "max_block_ms": 15_000,
    "max_request_size": LARGEST_RECORD,
    "metrics_enabled": False,
    "partitioner": _Partitioner(),
    "reconnect_backoff_max_ms": 1000,
    "request_timeout_ms": 20_000,
}
_TRANSACTIONS: Final[dict[str, Any]] = {
    # The library sleeps so long whenever the last commit's markers are still being written.
    "retry_backoff_ms": 2,
    # So long a worker that vanished in a transaction holds up readers of its outputs.
    "transaction_timeout_ms": 15_000,
}
_FENCING: Final = (
    errors.ProducerFencedError,
    errors.InvalidProducerEpochError,
    errors.FencedInstanceIdError,
    errors.CommitFailedError,  # the group's generation moved on
)


def opened(client: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """A client of the library; one that fails to start lets go of its threads and sockets."""
    parts: list[Any] = []

    def network(**settings: Any) -> Any:
        parts.append(KafkaNetClient(**settings))
        return parts[0]

    try:
        return client(**options, kafka_client=network)
    except errors.KafkaError as error:
        for part in parts:
            part.close()
        raise explained(error, ", ".join(options["bootstrap_servers"])) from error


class _Producer(KafkaProducer):  # type: ignore[misc]  # the library has no types
    """The library's producer with bounded waits; all use of its private parts is in here."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._behind: Callable[[], None] | None = None
        if options.get("transactional_id"):
            # Without this a producer that was fenced asks for a new epoch and fences its successor.
            self._transaction_manager._supports_epoch_bump = lambda: False
            self._send_batches = self._sender._send_producer_data
            self._sender._send_producer_data = self._send_batches_and_offsets
            self._sender._client.await_ready = self._connected

    def bounded_send(
        self, sent: Sequence[Any], offsets: Mapping[Any, Any], group: ConsumerGroupMetadata | None
    ) -> None:
        """Write all that was sent, and the offsets; raise if any of it is not durable.

        The offsets go to the broker right behind the records, not after their answers, which
        saves a round trip: neither counts before the commit.
        """
        answered: Future[Any] = Future()

        def send_offsets() -> None:
            manager = self._transaction_manager
            try:
                answered.set_result(manager.send_offsets_to_transaction(offsets, group))
            except errors.KafkaError as error:
                answered.set_exception(error)

        if offsets:
            self._behind = send_offsets
        # A flush in any case: without one, every later transaction would send its records singly.
        self.flush(timeout=COMMIT_SECONDS)
        for future in sent:
            if future.failed():
                raise future.exception
        if offsets:
            try:
                result = answered.result(COMMIT_SECONDS)
            except TimeoutError:
                raise errors.KafkaTimeoutError("the offsets are not sent") from None
            self._wait(result, COMMIT_SECONDS)

    def bounded_commit(self) -> None:
        """``commit_transaction``, which waits without end."""
        self._wait(self._transaction_manager.begin_commit(), COMMIT_SECONDS)

    def bounded_abort(self) -> None:
        """``abort_transaction``, which waits without end."""
        self._wait(self._transaction_manager.begin_abort(), CLOSE_SECONDS)

    def bounded_close(self) -> None:
        """``close``, which leaves its thread behind where the broker does not answer."""
        try:
            self.close(timeout=CLOSE_SECONDS)
        except errors.KafkaTimeoutError:
            self._sender.force_close()
            self._sender.join(CLOSE_SECONDS)
            self._closed = True

    def epoch(self) -> tuple[int, int]:
        """Under which name the broker knows this producer; changes when it starts anew."""
        current = self._transaction_manager.producer_id_and_epoch
        return current.producer_id, current.epoch

    def cause(self, error: BaseException) -> BaseException:
        """What is behind an error: the library wraps the first one in others."""
        found = [argument for argument in error.args if isinstance(argument, BaseException)]
        last = self._transaction_manager.last_error
        return next((e for e in (error, *found, last) if isinstance(e, _FENCING)), last or error)

    def _send_batches_and_offsets(self) -> float:
        """On the library's thread: what is ready to be sent, and behind the last the offsets."""
        pause: float = self._send_batches()
        behind = self._behind
        if behind is None or self._accumulator.has_undrained():
            return pause
        self._behind = None
        behind()
        return 0.0

    def _connected(self, node: Any, timeout_ms: float) -> bool:
        """On the library's thread: whether there is a connection; where not, after a moment.

        The library raises instead, and then forgets the request that it was going to send: the
        transaction would wait for it until its records expire, and spin all the while.
        """
        try:
            ready: bool = KafkaNetClient.await_ready(self._sender._client, node, timeout_ms)
        except errors.KafkaConnectionError:
            time.sleep(RECONNECT_SECONDS)
            return False
        return ready

    def _wait(self, result: Any, seconds: float) -> None:
        self._sender.wakeup()
        if not result.wait(timeout_ms=seconds * 1000):
            raise errors.KafkaTimeoutError(f"no answer for {seconds:.0f} s")


class KafkaSink:
    """The :class:`~vitalwatch.stream.broker.Sink` on Kafka."""

    def __init__(
        self,
        identity: str,
        address: str,
        options: Mapping[str, Any],
        require: Callable[[str], None],
    ) -> None:
        """``require`` raises BrokerError for a topic that cannot be written to."""
        self._identity = identity
        self._address = address
        self._require = require
        self._topics: set[str] = set()
        self._sent: list[Any] | None = None
        self._finished = False
        transactions = {**_TRANSACTIONS, "transactional_id": identity}
        self._producer = opened(_Producer, {**options, **_OPTIONS, **transactions})
        try:
            self._producer.init_transactions()
        except errors.KafkaError as error:
            self._producer.bounded_close()
            raise self._translated(error) from error
        self._epoch = self._producer.epoch()

    def begin(self) -> None:
        """Start a transaction."""
        if self._finished or self._sent is not None:
            raise RuntimeError("this sink is finished, or in a transaction")
        with self._final():
            self._producer.begin_transaction()
        self._sent = []

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> None:
        """Add a record to the transaction; without ``partition`` the key decides."""
        sent = self._open()
        if topic not in self._topics:
            self._require(topic)
            self._topics.add(topic)
        with self._final():
            future = self._producer.send(
                topic, value, key, list(headers), partition=partition, timestamp_ms=timestamp
            )
        sent.append(future)

    def commit(self, offsets: Mapping[TopicPartition, int], membership: Membership | None) -> None:
        """Make the records and the group's ``offsets`` visible together, durably."""
        sent = self._open()
        if offsets and membership is None:
            raise ValueError("offsets need the membership of the poll that they come from")
        with self._final():
            group = _member(membership) if offsets and membership is not None else None
            positions = {source: OffsetAndMetadata(at, "", -1) for source, at in offsets.items()}
            self._producer.bounded_send(sent, positions, group)
            self._producer.bounded_commit()
            if self._producer.epoch() != self._epoch:
                raise errors.ProducerFencedError("the producer's epoch changed")
        self._sent = None

    def abort(self) -> None:
        """Drop the transaction, and with it the sink; nothing of it becomes visible."""
        if self._sent is not None:
            self._sent = None
            # Who cannot abort was fenced, or the broker is away: it aborts by itself then.
            with suppress(errors.KafkaError):
                self._producer.bounded_abort()
        self._finished = True

    def close(self) -> None:
        """Give up the writer; an open transaction is aborted."""
        self.abort()
        self._producer.bounded_close()

    def _open(self) -> list[Any]:
        if self._sent is None or self._finished:
            raise RuntimeError("this sink is finished, or not in a transaction")
        return self._sent

    @contextmanager
    def _final(self) -> Iterator[None]:
        """An error inside is the end of this sink."""
        try:
            yield
        except errors.KafkaError as error:
            self._finished = True
            raise self._translated(error) from error

    def _translated(self, error: errors.KafkaError) -> Exception:
        cause = self._producer.cause(error)
        if isinstance(cause, errors.CommitFailedError | errors.FencedInstanceIdError):
            return Fenced(f"The group has moved on to a newer generation ({cause}).")
        if isinstance(cause, _FENCING):
            return Replaced(f"Another writer named {self._identity!r} has taken over.")
        return explained(cause, self._address)


def _member(membership: Membership) -> ConsumerGroupMetadata:
    """Who commits; without a member's name the broker would take the offsets unchecked."""
    group = membership.token
    if not isinstance(group, ConsumerGroupMetadata) or group.generation_id < 0:
        raise errors.CommitFailedError("this worker is not in the group")
    return group


class KafkaPublisher:
    """The :class:`~vitalwatch.stream.broker.Publisher` on Kafka."""

    def __init__(
        self, address: str, options: Mapping[str, Any], require: Callable[[str], None]
    ) -> None:
        self._address = address
        self._require = require
        self._topics: set[str] = set()
        self._pending: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._producer = opened(_Producer, {**options, **_OPTIONS})

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> None:
        """Hand over a record; waits while too much is under way."""
        if topic not in self._topics:
            self._require(topic)
            self._topics.add(topic)
        with translated(self._address):
            future = self._producer.send(topic, value, key, list(headers), timestamp_ms=timestamp)
        size = len(key or b"") + len(value or b"")
        self._pending.append((future, size))
        self._bytes += size
        self._settle(PENDING_RECORDS, PENDING_BYTES)

    def flush(self) -> None:
        """Return when everything sent is durable; raise if any of it is not."""
        with translated(self._address):
            self._producer.flush(timeout=FLUSH_SECONDS)
        self._settle(0, 0)

    def close(self) -> None:
        """Flush, and give up the writer."""
        try:
            self.flush()
        finally:
            self._producer.bounded_close()

    def _settle(self, records: int, size: int) -> None:
        """Look at what is done, and wait until no more than this is not."""
        while self._pending:
            future, length = self._pending[0]
            if not future.is_done:
                if len(self._pending) <= records and self._bytes <= size:
                    return
                with translated(self._address):
                    future.get(timeout=FLUSH_SECONDS)
            if future.failed():
                raise explained(future.exception, self._address) from future.exception
            self._pending.popleft()
            self._bytes -= length
