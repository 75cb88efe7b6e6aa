"""Records that kafka-python cannot read by itself."""

from collections.abc import Callable

from vitalwatch.stream.broker import TopicPartition, TopicSpec
from vitalwatch.stream.kafka import KafkaBroker


class Latin1(str):
    """A header's name as a careless writer encodes it."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1", errors)


def test_a_header_whose_name_is_not_utf8_does_not_hold_up_its_partition(
    kafka: KafkaBroker, name: Callable[[str], str]
) -> None:
    topic = name("topic")
    kafka.create([TopicSpec(topic, 1)])
    publisher = kafka.publisher()
    publisher.send(topic, b"k", b"before")
    publisher.send(topic, b"k", b"odd", headers=[(Latin1("größe"), b"1"), ("plain", b"2")])
    publisher.send(topic, b"k", b"after", headers=[("größe", b"3")])
    publisher.close()

    batches = list(kafka.read(TopicPartition(topic, 0), 0))

    assert [value for batch in batches for value in batch.values] == [b"before", b"odd", b"after"]
    assert [list(headers) for batch in batches for headers in batch.headers] == [
        [],
        [("gr\\xf6\\xdfe", b"1"), ("plain", b"2")],
        [("größe", b"3")],
    ]
