"""How a snapshot lies on the state topic: in parts, each of which tells whether it is whole.

The snapshot of a partition of the readings goes to the same partition of the state topic, under
keys ``group/topic/partition/slot/part``. The topic is compacted: the last record of each key
stays. Generations take the two slots in turn, so the last complete snapshot stays until the one
after it is complete too, however many transactions that takes.

A record's value is four bytes, the length of a header; the header, in JSON; n lengths of names
(two bytes each), the names, and n rows; and a digest of the key and of all of these. The bytes of
numbers are in order of significance, the lowest first.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np

from vitalwatch.adjustment import Adjustment
from vitalwatch.arrays import Spans
from vitalwatch.clock import Clock
from vitalwatch.snapshot import Snapshot
from vitalwatch.stream.broker import Broker, TopicPartition

FORMAT: Final = 2
PART_BYTES: Final = 1_000_000
"""Names and rows of a part are no more than this: below Kafka's customary limit of 1 MiB."""

STRIDE: Final = 16
"""So many offsets are read first, from the end backwards, and then four times as many each time."""

_LENGTH_BYTES: Final = 4
_DIGEST_BYTES: Final = 16
_NAME_BYTES: Final = 2

Record = tuple[bytes, bytes | None]


_Number = Annotated[int, msgspec.Meta(ge=0, le=2**48)]
_Parts = Annotated[int, msgspec.Meta(ge=0, le=100_000)]


class _Whole(msgspec.Struct, frozen=True):
    """What all parts of a snapshot have in common; ``parts`` is their number."""

    format: int
    generation: _Number
    parts: _Parts
    offset: _Number
    clock: Clock
    adjustment: Adjustment
    model: str
    layout: str
    row_bytes: _Number


class _Header(msgspec.Struct, frozen=True):
    """Of one part: its place among the ``parts``, its ``patients``, and reach as in `Turn`."""

    whole: _Whole
    part: _Parts
    patients: _Number
    reach: tuple[_Parts, _Parts]


class Turn(NamedTuple):
    """Whose turn it is: the generation to write, and how many parts each slot may hold already."""

    generation: int
    reach: tuple[int, int]


FIRST: Final = Turn(0, (0, 0))


class Found(NamedTuple):
    """A snapshot, and the offset of the readings that it reflects: the next one to process."""

    snapshot: Snapshot
    offset: int


@dataclass(frozen=True, slots=True)
class Search:
    """What is on the topic: the newest usable snapshot, if any, and whose turn is next.

    ``passed`` says, for a person, what was passed over, and why.
    """

    found: Found | None
    turn: Turn
    passed: list[str]


def prefix(group: str, source: TopicPartition) -> str:
    """What the keys of this partition's snapshots begin with; ``source`` is of the readings."""
    return f"{group}/{source.topic}/{source.partition}"


class Writing(Iterator[Record]):
    """One snapshot's records, one after the other, for as many transactions as it takes.

    ``offset`` is what the snapshot reflects: that of the next reading. ``parts`` is the number of
    parts; tombstones for what an earlier, larger generation left come before the last of them, so
    what is complete is also tidy. ``next_turn`` is for the snapshot after this one.
    """

    def __init__(self, prefix: str, snapshot: Snapshot, offset: int, turn: Turn) -> None:
        slot = turn.generation % 2
        self._key = f"{prefix}/{slot}"
        self._snapshot = snapshot
        self._bounds = _cut(snapshot)
        self.offset = offset
        self.parts = len(self._bounds) - 1
        left = turn.reach[slot]
        other = turn.reach[1 - slot]
        self.next_turn = Turn(turn.generation + 1, _reach(slot, self.parts, other))
        self._reach = _reach(slot, max(left, self.parts), other)  # until it is complete
        self._order = iter([*range(self.parts - 1), *range(self.parts, left), self.parts - 1])
        self._whole = _Whole(
            FORMAT,
            turn.generation,
            self.parts,
            offset,
            snapshot.clock,
            snapshot.adjustment,
            snapshot.model,
            snapshot.layout,
            snapshot.rows.shape[1],
        )

    def __next__(self) -> Record:
        part = next(self._order)
        key = f"{self._key}/{part}".encode()
        return key, self._value(key, part) if part < self.parts else None

    def _value(self, key: bytes, part: int) -> bytes:
        span = slice(self._bounds[part], self._bounds[part + 1])
        reach = self._reach if part < self.parts - 1 else self.next_turn.reach
        header = _Header(self._whole, part, span.stop - span.start, reach)
        text = msgspec.json.encode(header)
        names, rows = self._snapshot.patients[span].packed(), self._snapshot.rows[span]
        content = (
            len(text).to_bytes(_LENGTH_BYTES, "little"),
            text,
            names.lengths.astype("<u2").tobytes(),
            names.data.tobytes(),
            np.ascontiguousarray(rows).data,
        )
        return b"".join((*content, _digest(key, *content)))


def find(
    broker: Broker,
    source: TopicPartition,
    prefix: str,
    committed: int,
    layout: str | None = None,
    going_on: Callable[[], None] = lambda: None,
) -> Search:
    """The newest snapshot that is complete, undamaged, and not ahead of the ``committed`` offset.

    ``source`` is the partition of the state topic; with ``layout``, rows of another layout are
    passed over. Reads backwards from the end, and no further than it must: before compaction
    there may be much that is no longer of use. ``going_on`` is called now and then; what it raises
    ends this.
    """
    first, end = broker.bounds(source)
    seen = _Seen(prefix, committed, layout)
    upper, stride = end, STRIDE
    while upper > first and seen.chosen is None:
        lower = max(first, end - stride)
        seen.take(broker, source, lower, upper, going_on)
        seen.judge(all_read=lower == first)
        upper, stride = lower, 4 * stride
    return seen.result()


@dataclass(slots=True)
class _Candidate:
    """A snapshot as far as its parts were seen; ``fault`` is why it cannot be used."""

    last: _Header
    parts: dict[int, tuple[int, bytes]]  # number of patients, and the value
    fault: str = ""


class _Seen:
    """What was read of the state topic so far, from the end backwards."""

    def __init__(self, prefix: str, committed: int, layout: str | None) -> None:
        self._prefix = f"{prefix}/"
        self._committed = committed
        self._layout = layout
        self._candidates: dict[_Whole, _Candidate] = {}
        self._passed: list[str] = []
        self.chosen: _Candidate | None = None

    def take(
        self,
        broker: Broker,
        source: TopicPartition,
        start: int,
        end: int,
        going_on: Callable[[], None],
    ) -> None:
        """Read offsets from ``start`` to below ``end``."""
        wanted = self._prefix.encode()
        slashes = wanted.count(b"/") + 1  # slot/part
        for batch in broker.read(source, start, end):
            going_on()
            for place, key in enumerate(batch.keys):
                # A group's name may begin with what is this partition's prefix.
                if key is not None and key.startswith(wanted) and key.count(b"/") == slashes:
                    value = batch.values[place]
                    if value is not None:
                        self._part(key, value)

    def judge(self, all_read: bool) -> None:
        """Choose, if what is older can no longer matter; ``all_read`` if nothing is older."""
        for candidate in self._newest_first():
            whole = candidate.last.whole
            if candidate.fault:
                continue
            if len(candidate.parts) == whole.parts:
                self.chosen = candidate
                return
            # The last part comes last: where it is not the newest seen, there is none.
            if not all_read and candidate.last.part == whole.parts - 1:
                return
            candidate.fault = "it is incomplete"
            candidate.parts.clear()

    def result(self) -> Search:
        """What was chosen, and what is to be written next."""
        turn, found = FIRST, None
        for candidate in self._newest_first():
            number = candidate.last.whole.generation
            if candidate.fault:
                self._passed.append(f"generation {number}: {candidate.fault}")
            if turn is FIRST:
                turn = Turn(number + 1, candidate.last.reach)
        if self.chosen is not None:
            found = _joined(self.chosen)
            if turn.generation % 2 == self.chosen.last.whole.generation % 2:
                turn = Turn(turn.generation + 1, turn.reach)  # not over the one in use
        return Search(found, turn, self._passed)

    def _newest_first(self) -> list[_Candidate]:
        return sorted(self._candidates.values(), key=lambda c: -c.last.whole.generation)

    def _part(self, key: bytes, value: bytes) -> None:
        header = _header(key, value)
        if isinstance(header, str):
            part = key[len(self._prefix) :].decode(errors="replace")
            self._passed.append(f"part {part}: {header}")
            return
        candidate = self._candidates.get(header.whole)
        if candidate is None:
            candidate = _Candidate(header, {}, self._fault(header.whole))
            self._candidates[header.whole] = candidate
        if header.part > candidate.last.part:
            candidate.last = header
        if not candidate.fault:
            candidate.parts[header.part] = header.patients, value

    def _fault(self, whole: _Whole) -> str:
        if whole.format != FORMAT:
            return f"it is of format {whole.format}"
        if whole.offset > self._committed:
            return "it is ahead of what is committed"
        if self._layout is not None and whole.layout != self._layout:
            return f"its rows are of layout {whole.layout}"
        return ""


def _header(key: bytes, value: bytes) -> _Header | str:
    """The header of an undamaged part; else what is wrong."""
    content = memoryview(value)[:-_DIGEST_BYTES]
    if _digest(key, content) != value[-_DIGEST_BYTES:]:
        return "damaged"
    try:
        header = msgspec.json.decode(content[_LENGTH_BYTES : _payload(value)], type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "written by another version"
    whole, begin = header.whole, _payload(value)
    rows = begin + header.patients * (_NAME_BYTES + whole.row_bytes)
    if header.part >= whole.parts or rows > len(content):
        return "not what its header says"
    sizes = np.frombuffer(value, "<u2", header.patients, begin)
    if rows + int(sizes.sum(dtype=np.int64)) != len(content):
        return "not what its header says"
    return header


def _payload(value: bytes) -> int:
    """Where the names and rows of a part begin."""
    return _LENGTH_BYTES + int.from_bytes(value[:_LENGTH_BYTES], "little")


def _joined(candidate: _Candidate) -> Found:
    whole = candidate.last.whole
    names, lengths, rows = [], [], []
    for part in range(whole.parts):
        number, value = candidate.parts[part]
        begin = _payload(value)
        sizes = np.frombuffer(value, "<u2", number, begin)
        content = np.frombuffer(value, np.uint8)[begin + sizes.nbytes : -_DIGEST_BYTES]
        end = int(sizes.sum(dtype=np.int64))
        names.append(content[:end])
        lengths.append(sizes.astype(np.int64))
        rows.append(content[end:].reshape(number, whole.row_bytes))
    count = np.concatenate(lengths)
    patients = Spans(np.concatenate(names), np.cumsum(count) - count, count)
    snapshot = Snapshot(
        whole.model,
        whole.layout,
        whole.clock,
        whole.adjustment,
        patients,
        np.concatenate(rows),
    )
    return Found(snapshot, whole.offset)


def _cut(snapshot: Snapshot) -> list[int]:
    """Which patients each part begins with, and their number at the end."""
    sizes = snapshot.patients.lengths + 2 + snapshot.rows.shape[1]
    ends = np.concatenate(([0], np.cumsum(sizes)))
    bounds = [0]
    while bounds[-1] < len(sizes):
        fits = int(np.searchsorted(ends, ends[bounds[-1]] + PART_BYTES, side="right")) - 1
        bounds.append(max(fits, bounds[-1] + 1))
    return bounds if len(bounds) > 1 else [0, 0]


def _reach(slot: int, parts: int, other: int) -> tuple[int, int]:
    return (parts, other) if slot == 0 else (other, parts)


def _digest(key: bytes, *content: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(key, digest_size=_DIGEST_BYTES)
    for each in content:
        digest.update(each)
    return digest.digest()
