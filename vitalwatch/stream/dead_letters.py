"""Records that are no readings: kept as they came, with why and where from in the headers."""

from typing import Final, NamedTuple

from vitalwatch.stream.broker import Headers, RecordBatch
from vitalwatch.stream.topics import LARGEST_RECORD

REASON: Final = "reason"
DETAIL: Final = "detail"
TOPIC: Final = "source-topic"
PARTITION: Final = "source-partition"
OFFSET: Final = "source-offset"
TIMESTAMP: Final = "source-timestamp"
CUT: Final = "cut-from-bytes"

ROOM: Final = 64 * 1024
"""So many bytes of a dead letter are left for what is added to the record as it was."""

KEPT: Final = 1 << 20
"""So many bytes are left of the value of a record that is too large to be written again."""


_FRAME: Final = 10
"""A header's lengths take so many bytes at most."""


class DeadLetter(NamedTuple):
    """One record for the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(batch: RecordBatch, index: int, reason: str, detail: str) -> DeadLetter:
    """The dead letter of record ``index`` of a batch, with key, value and headers as they were.

    ``reason`` is a word of :data:`vitalwatch.messages.REJECTIONS`. A record without key and
    value, and a header without a value, cannot be written again as they were: the value becomes
    empty. Nor can a record so large that the reason does not fit beside it: the beginning of its
    value is kept, and its size; the whole is where it came from.
    """
    key, value = batch.keys[index], batch.values[index]
    if key is None and value is None:
        value = b""
    headers = [(name, content or b"") for name, content in batch.headers[index]]
    size = len(key or b"") + len(value or b"")
    size += sum(len(name.encode()) + len(content) + _FRAME for name, content in headers)
    if size > LARGEST_RECORD - ROOM:
        key, value, headers = None, (value or b"")[:KEPT], [(CUT, str(size).encode())]
    headers += (
        (REASON, reason.encode()),
        (DETAIL, detail.encode()),
        (TOPIC, batch.source.topic.encode()),
        (PARTITION, str(batch.source.partition).encode()),
        (OFFSET, str(batch.offsets[index]).encode()),
        (TIMESTAMP, str(batch.timestamps[index]).encode()),
    )
    return DeadLetter(key, value, headers)
