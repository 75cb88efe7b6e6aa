"""Recordings of a Kafka topic, record for record, as ``kcat -J`` writes them.

Each line is a JSON object with the record's ``topic``, ``partition``, ``offset``, time ``ts`` (ms),
``headers`` (names and values in turn), ``key`` and ``payload``; null is no key, or no value. Bytes
that are not UTF-8 stand in the strings as they are.
"""

import json
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from vitalwatch.errors import RecordingError
from vitalwatch.recordings.lines import lines_of
from vitalwatch.stream.broker import RecordBatch, TopicPartition, TopicSpec

_AT_ONCE: Final = 4096
"""Records in a run, at most."""


class _Place(msgspec.Struct):
    """What the index needs of a line."""

    topic: str
    partition: int
    offset: int
    ts: int = -1


class _Line(_Place):
    """A line as it is read."""

    key: str | None = None
    payload: str | None = None
    headers: list[str | None] | None = None


@dataclass(slots=True)
class _Run:
    """Neighbouring lines of one partition: where they begin, and what they hold."""

    file: int
    position: int
    line: int
    first: int
    last: int
    count: int
    latest: int  # of their times, ms


class TopicFile:
    """One topic in one or more files; to be read like the topic itself, as far as it goes.

    ``topic`` is its name, empty if there are no records.
    Only where each partition's records stand is kept in memory, a few bytes a thousand of them.
    Raises RecordingError, with file and line, for what is not such a recording, and where a
    partition's offsets do not ascend from line to line and from file to file.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._runs: dict[int, list[_Run]] = {}
        self.topic = ""
        for number in range(len(paths)):
            self._index(number)

    def topics(self, names: Collection[str]) -> dict[str, TopicSpec]:
        """The topic, if it is among ``names``; its partitions as far as they are known here."""
        return {
            name: TopicSpec(name, max(self._runs, default=-1) + 1)
            for name in names
            if name == self.topic
        }

    def bounds(self, source: TopicPartition) -> tuple[int, int]:
        """The first offset recorded, and the one after the last; (0, 0) if there is none."""
        runs = self._of(source)
        return (runs[0].first, runs[-1].last + 1) if runs else (0, 0)

    def offset_at(self, source: TopicPartition, timestamp: int) -> int:
        """The first offset with this timestamp (ms) or a later one, else the end."""
        first, end = self.bounds(source)
        for run in self._of(source):
            if run.latest >= timestamp:
                first = run.first
                break
        else:
            return end
        for batch in self.read(source, first, end):
            for offset, time in zip(batch.offsets.tolist(), batch.timestamps.tolist(), strict=True):
                if time >= timestamp:
                    found: int = offset
                    return found
        return end

    def read(
        self, source: TopicPartition, start: int, end: int | None = None
    ) -> Iterator[RecordBatch]:
        """The records with offsets from ``start`` to below ``end``."""
        runs = self._of(source)
        begin = bisect_right(runs, start, key=lambda run: run.last + 1)
        with ExitStack() as stack:
            files: dict[int, BinaryIO] = {}
            for run in runs[begin:]:
                if end is not None and run.first >= end:
                    return
                if run.file not in files:
                    files[run.file] = stack.enter_context(self._paths[run.file].open("rb"))
                batch = self._batch(source, run, files[run.file], start, end)
                if len(batch):
                    yield batch

    def _of(self, source: TopicPartition) -> list[_Run]:
        return self._runs.get(source.partition, []) if source.topic == self.topic else []

    def _index(self, number: int) -> None:
        """Find each partition's runs in one file."""
        decode = msgspec.json.Decoder(_Place).decode
        path, position = self._paths[number], 0
        run: _Run | None = None
        partition = -1
        try:
            with path.open("rb") as file:
                for line, text in enumerate(lines_of(file, f"{path}, "), 1):
                    start, position = position, position + len(text)
                    if text.isspace():
                        run = None
                        continue
                    try:
                        place = decode(text)
                    except ValueError:
                        raise _foreign(path, line) from None
                    self._check(place, path, line)
                    if run is None or run.count == _AT_ONCE or place.partition != partition:
                        partition = place.partition
                        run = _Run(number, start, line, place.offset, place.offset, 0, place.ts)
                        self._runs.setdefault(partition, []).append(run)
                    run.last = place.offset
                    run.latest = max(run.latest, place.ts)
                    run.count += 1
        except OSError as error:
            raise RecordingError(f"Cannot read {path}: {error.strerror}.") from None

    def _check(self, place: _Place, path: Path, line: int) -> None:
        self.topic = self.topic or place.topic
        if place.topic != self.topic:
            raise RecordingError(
                f"{path}, line {line}: a record of {place.topic} after records of {self.topic}: "
                "record each topic into files of its own."
            )
        runs = self._runs.get(place.partition)
        if place.partition < 0 or (runs and place.offset <= runs[-1].last):
            raise RecordingError(
                f"{path}, line {line}: offset {place.offset} of partition {place.partition} does "
                "not come after the one before it: give the files in the order of their recording, "
                "each once."
            )

    def _batch(
        self, source: TopicPartition, run: _Run, file: BinaryIO, start: int, end: int | None
    ) -> RecordBatch:
        file.seek(run.position)
        lines = [
            _line(file.readline(), self._paths[run.file], run.line + place)
            for place in range(run.count)
        ]
        lines = [
            line for line in lines if start <= line.offset and (end is None or line.offset < end)
        ]
        return RecordBatch.of(
            source,
            [line.offset for line in lines],
            [line.ts for line in lines],
            [_bytes(line.key) for line in lines],
            [_bytes(line.payload) for line in lines],
            [_headers(line.headers or []) for line in lines],
            next_offset=lines[-1].offset + 1 if lines else start,
        )


def _line(text: bytes, path: Path, number: int) -> _Line:
    try:
        return msgspec.json.decode(text, type=_Line)
    except ValueError:
        pass
    try:  # bytes that are no UTF-8 are kept as they are, or the record would be another one
        return msgspec.convert(json.loads(text.decode(errors="surrogateescape")), _Line)
    except ValueError:
        raise _foreign(path, number) from None


def _foreign(path: Path, line: int) -> RecordingError:
    return RecordingError(
        f"{path}, line {line}: this is no record as `kcat -C -J` writes it, with topic, partition, "
        "offset, ts, key and payload."
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode(errors="surrogateescape")


def _headers(flat: Sequence[str | None]) -> list[tuple[str, bytes]]:
    """Names and values in turn, as pairs; what of a name is not UTF-8 is written as ``\\xff``."""
    return [
        ((_bytes(name) or b"").decode(errors="backslashreplace"), _bytes(value) or b"")
        for name, value in zip(flat[::2], flat[1::2], strict=False)
    ]
