"""A dead letter can be written whatever the record was, or it would hold up its partition."""

from typing import Any

import pytest

from vitalwatch.stream.broker import Headers, RecordBatch, TopicPartition
from vitalwatch.stream.dead_letters import CUT, REASON, DeadLetter, dead_letter
from vitalwatch.stream.topics import LARGEST_RECORD

OVERHEAD = 200  # what Kafka puts around a record


def letter(
    key: bytes | None, value: bytes | None, headers: Headers = (), topic: str = "t" * 249
) -> DeadLetter:
    source = TopicPartition(topic, 7)
    batch = RecordBatch.of(source, [40], [1_700_000_000_000], [key], [value], [headers], 41)
    return dead_letter(batch, 0, "not_json", "why")


def size(of: DeadLetter) -> int:
    headers = sum(len(name.encode()) + len(content) + 10 for name, content in of.headers)
    return len(of.key or b"") + len(of.value or b"") + headers + OVERHEAD


def test_a_record_is_kept_as_it_was_beside_why_and_where_from() -> None:
    kept = letter(b"p1", b"{", [("device", b"x")], topic="readings")

    assert (kept.key, kept.value) == (b"p1", b"{")
    assert dict(kept.headers) == {
        "device": b"x",
        "reason": b"not_json",
        "detail": b"why",
        "source-topic": b"readings",
        "source-partition": b"7",
        "source-offset": b"40",
        "source-timestamp": b"1700000000000",
    }


@pytest.mark.parametrize(
    "record",
    [
        (b"p1", bytes(LARGEST_RECORD - 100)),
        (bytes(LARGEST_RECORD - 100), None),
        (b"p1", b"{", [("h", bytes(LARGEST_RECORD - 100))]),
        (b"p1", b"{", [("", b"")] * (LARGEST_RECORD // 3)),
    ],
    ids=["value", "key", "header", "headers"],
)
def test_a_record_as_large_as_a_topic_takes_still_fits_with_its_reason(record: Any) -> None:
    cut = letter(*record)

    assert size(cut) <= LARGEST_RECORD
    assert dict(cut.headers)[REASON] == b"not_json"
    assert int(dict(cut.headers)[CUT]) > LARGEST_RECORD - 200
    assert (record[1] or b"").startswith(cut.value or b"")


def test_a_10_mb_message_is_kept_whole() -> None:
    value = bytes(10 * 2**20)

    assert letter(b"p1", value).value == value


def test_a_header_without_a_value_becomes_empty() -> None:
    nothing: Any = None

    assert ("trace", b"") in list(letter(b"p1", b"{", [("trace", nothing)]).headers)


def test_a_record_without_key_and_value_becomes_empty() -> None:
    assert letter(None, None)[:2] == (None, b"")
    assert letter(b"p1", None)[:2] == (b"p1", None)
