"""Records that are no readings: kept as they came, with why and where from in the headers."""

from typing import Final, NamedTuple

from vitalwatch.stream.broker import Headers, RecordBatch

REASON: Final = "reason"
DETAIL: Final = "detail"
TOPIC: Final = "source-topic"
PARTITION: Final = "source-partition"
OFFSET: Final = "source-offset"
TIMESTAMP: Final = "source-timestamp"


class DeadLetter(NamedTuple):
    """One record for the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(batch: RecordBatch, index: int, reason: str, detail: str) -> DeadLetter:
    """The dead letter of record ``index`` of a batch, with key, value and headers as they were.

    ``reason`` is a word of :data:`vitalwatch.messages.REJECTIONS`. A record without key and
    value cannot be written again as it was; its value becomes empty.
    """
    key, value = batch.keys[index], batch.values[index]
    headers = (
        *batch.headers[index],
        (REASON, reason.encode()),
        (DETAIL, detail.encode()),
        (TOPIC, batch.source.topic.encode()),
        (PARTITION, str(batch.source.partition).encode()),
        (OFFSET, str(batch.offsets[index]).encode()),
        (TIMESTAMP, str(batch.timestamps[index]).encode()),
    )
    return DeadLetter(key, b"" if key is None and value is None else value, headers)
