"""A hole in kafka-python's reading of records, closed.

A header's name is text to Kafka, but neither the broker nor a writer in C makes sure that it is
UTF-8. The library gives up on such a record, and so on its partition, for good. This is for where
records are read through its public API; ``kafka_batches`` reads them by itself.
"""

from typing import Any, Final, SupportsIndex

from kafka.record.default_records import DefaultRecordBatch

_READ: Final = DefaultRecordBatch._read_msg


class _Lenient(bytes):
    """Bytes whose parts decode whatever they hold."""

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        found = super().__getitem__(key)
        return _Lenient(found) if isinstance(found, bytes) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


def _read(batch: Any) -> Any:
    """The batch's next record; what is not UTF-8 in a header's name is written as ``\\xff``."""
    try:
        return _READ(batch)
    except UnicodeDecodeError:
        batch._buffer = _Lenient(batch._buffer)  # the place in it moves on with success only
        return _READ(batch)


def read_any_header() -> None:
    """Let the library read records whose headers' names are not UTF-8."""
    DefaultRecordBatch._read_msg = _read
