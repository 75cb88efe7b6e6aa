"""Readings as devices send them, and a writer that is faster than what is measured."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from simulator import Ward
from simulator.publish import readings
from vitalwatch import config

try:
    import confluent_kafka
except ImportError:  # a trial without the extra `bench`: the project's own publisher, at 45,000/s
    confluent_kafka = None

Send = Callable[[bytes, bytes, int], None]
"""``send(key, value, timestamp)``; the timestamp is in ms."""

SEED: Final = 1


class Wire(NamedTuple):
    """A reading on the wire: its key, its time in ms, and the JSON before and after that time."""

    key: bytes
    time: int
    before: bytes
    after: bytes

    def value(self, time: int | None = None) -> bytes:
        """The JSON; with another ``time`` than its own, if one is given."""
        return b"%b%d%b" % (self.before, self.time if time is None else time, self.after)


def wire(ward: Ward, count: int | None = None) -> Iterator[Wire]:
    """``count`` readings of a ward in order of time, some 170 bytes each, or without end.

    They are the simulator's, with the fields of :class:`~vitalwatch.messages.Reading` that a
    device fills in and no score depends on.
    """
    encode = msgspec.json.Encoder().encode
    sent = 0
    for frame, (times, values) in enumerate(ward.frames()):
        order = np.argsort(times, kind="stable")
        names = [ward.patients[row] for row in order]
        for each in readings(names, times[order], values[order]):
            number = int(each.patient[-6:])
            vitals = encode(each.vitals)
            yield Wire(
                each.patient.encode(),
                int(each.time),  # type: ignore[arg-type]  # the simulator's are numbers
                b'{"patient":"%b","time":' % each.patient.encode(),
                b',"vitals":%b,"seq":%d,"device":"bedside-monitor-%06d","ward":"medical-%02d","bed":"%02d"}'
                % (vitals, frame, number, number // 30 % 100, number % 30),
            )
            sent += 1
            if sent == count:
                return


def ward(patients: int) -> Ward:
    """Patients who are read once a second, half of whom deteriorate within hours."""
    return Ward(patients, SEED, 1.0)


@contextmanager
def writing(
    address: str, topic: str, *, linger_ms: float = 20.0, transaction: bool = False
) -> Iterator[Send]:
    """A way to send records to ``topic``; on leaving, all are written.

    With ``transaction`` they become visible then, together.
    """
    if confluent_kafka is None:
        with _writing_slowly(address, topic, transaction=transaction) as send:
            yield send
        return
    failures: list[Any] = []
    options: dict[str, Any] = {
        "bootstrap.servers": address,
        "partitioner": "murmur2_random",  # as every other client of these topics
        "linger.ms": linger_ms,
        "socket.nagle.disable": True,  # or a reading now and then waits for 40 ms
        "batch.size": 2**20,
        "message.max.bytes": 4 * 2**20,
        "queue.buffering.max.messages": 500_000,
        "delivery.report.only.error": True,
        "on_delivery": lambda error, _: failures.append(error),
    }
    if transaction:
        options |= {"transactional.id": topic, "transaction.timeout.ms": 600_000}
    producer = confluent_kafka.Producer(options)
    if transaction:
        producer.init_transactions()
        producer.begin_transaction()
    produce, poll = producer.produce, producer.poll

    def patiently(key: bytes, value: bytes, timestamp: int) -> None:
        while True:
            try:
                produce(topic, value, key, timestamp=timestamp)
                return
            except BufferError:
                poll(0.05)

    yield patiently
    producer.flush()
    if failures:
        raise RuntimeError(f"{len(failures)} readings were not written: {failures[0]}")
    if transaction:
        producer.commit_transaction()


@contextmanager
def _writing_slowly(address: str, topic: str, *, transaction: bool) -> Iterator[Send]:
    from vitalwatch.stream.kafka import connect

    with closing(connect(config.Kafka(bootstrap=address))) as broker:
        if not transaction:
            publisher = broker.publisher()
            yield lambda key, value, time: publisher.send(topic, key, value, timestamp=time)
            publisher.close()
            return
        with closing(broker.sink(topic)) as sink:
            sink.begin()
            yield lambda key, value, time: sink.append(topic, key, value, timestamp=time)
            sink.commit({}, None)
