"""Alerts and dead letters of both sides, sorted on disk.

They are few beside the readings but may stand on their topics in any order and partition, so
they are gathered first. The file is a temporary one of SQLite's, without a name, and goes with
the process.
"""

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from vitalwatch.audit.logs import Record
from vitalwatch.audit.report import HIDDEN, Counts, Difference, Field, Kind, Part, Place, What
from vitalwatch.messages import Alert
from vitalwatch.stream import dead_letters

_HEADERS: Final = frozenset(
    {
        dead_letters.REASON,
        dead_letters.DETAIL,
        dead_letters.TOPIC,
        dead_letters.PARTITION,
        dead_letters.OFFSET,
        dead_letters.TIMESTAMP,
        dead_letters.CUT,
    }
)
_COMMITTED: Final = 0
_RECOMPUTED: Final = 1


class Entry(NamedTuple):
    """An alert or a dead letter: whose it is, and all that is compared, by name.

    ``partition`` and ``offset`` are the reading's; ``name`` tells alerts of one reading apart.
    Texts of which a patient may be the author are there as digests.
    """

    topic: str
    partition: int
    offset: int
    name: str
    content: dict[str, Any]


def alert(record: Record) -> Entry:
    """One record of the alerts topic; raises ValueError for what is no alert."""
    value = record.value or b""
    told = msgspec.json.decode(value, type=Alert)
    content: dict[str, Any] = dict(_flat("", msgspec.json.decode(value)))
    content["patient"] = _digest(told.patient.encode())
    content["key"] = _digest(record.key)
    origin = told.origin
    name = f"{told.alert_id} {told.event}"
    return Entry(origin.topic, origin.partition, origin.offset, name, content)


def letter(record: Record) -> Entry:
    """One record of the dead-letter topic; raises ValueError for what is no dead letter."""
    ours: dict[str, bytes] = {}
    theirs: list[tuple[str, bytes]] = []
    for name, text in reversed(record.headers):  # the record's own come first, of whatever names
        if name in _HEADERS and name not in ours:
            ours[name] = text
        else:
            theirs.append((name, text))
    try:
        topic = ours[dead_letters.TOPIC].decode()
        partition, offset = int(ours[dead_letters.PARTITION]), int(ours[dead_letters.OFFSET])
    except KeyError as error:
        raise ValueError(f"it has no header {error}") from None
    content: dict[str, Any] = {"key": _digest(record.key), "value": _digest(record.value)}
    content |= {name: text.decode(errors="replace") for name, text in sorted(ours.items())}
    content["headers"] = _digest(repr(theirs).encode())
    return Entry(topic, partition, offset, "", content)


class Ledger:
    """Both sides of one kind. Use it as a context."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute(
            "CREATE TABLE entry (partition INTEGER, offset INTEGER, name TEXT, side INTEGER, "
            "content BLOB, at_partition INTEGER, at_offset INTEGER)"
        )
        self._file.execute("CREATE INDEX place ON entry (partition, offset)")
        self._file.execute("BEGIN")  # for good: nobody else reads it
        self._encode = msgspec.json.Encoder().encode

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def committed(self, entry: Entry, record: Place) -> None:
        """Add what was committed, and where."""
        self._add(entry, _COMMITTED, record.partition, record.offset)

    def recomputed(self, entry: Entry) -> None:
        """Add what should be committed."""
        self._add(entry, _RECOMPUTED, None, None)

    def compare(self, part: Part, topic: str, readings: str, model: str, retained: int) -> None:
        """Count in ``part`` what is equal of its partition, and keep the first difference.

        ``topic`` is where the committed ones stand, ``readings`` the input's. Those of another
        model than ``model`` are not compared, nor those of its stretches missed. What is missing
        below the source offset ``retained`` is not there any more, and no fault.
        """
        counts = part.counts[self._kind] = Counts()
        other_model = False
        for entry, committed, recomputed in self._pairs(part.partition):
            source = Place(readings, part.partition, entry.offset)
            found = committed and Place(topic, committed.at_partition, committed.at_offset)
            theirs = msgspec.json.decode(committed.content) if committed else {}
            ours = msgspec.json.decode(recomputed.content) if recomputed else {}
            what: What
            if theirs.get("model", model) != model:
                counts.other_model += 1
                if "score" not in part.counts:
                    part.saw(theirs["model"], entry.offset, entry.offset, goes_on=other_model)
                other_model = True
                continue
            other_model = other_model and not committed
            if committed and recomputed:
                what = "different"
            elif committed:
                what = "twice" if entry.again else "unexpected"
            elif "model" in ours and _within(part, entry.offset):
                continue  # what the other model would have said is not known
            elif entry.offset < retained:
                counts.gone += 1
                continue
            else:
                what = "missing"
            fields = _fields(theirs, ours)
            if not fields:
                counts.equal += 1
                continue
            setattr(counts, what, getattr(counts, what) + 1)
            part.differ(Difference(self._kind, what, source, found, fields, entry.name))

    def _add(
        self, entry: Entry, side: int, at_partition: int | None, at_offset: int | None
    ) -> None:
        content = self._encode(entry.content)
        row = (entry.partition, entry.offset, entry.name, side, content, at_partition, at_offset)
        self._file.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def _pairs(self, partition: int) -> Iterator[tuple["_Pair", "_Row | None", "_Row | None"]]:
        """Both sides of each reading's alerts, by name, in the order of the readings."""
        rows = self._file.execute(
            "SELECT offset, name, side, content, at_partition, at_offset FROM entry "
            "WHERE partition = ? ORDER BY offset, name, side, at_partition, at_offset",
            (partition,),
        )
        for (offset, name), group in itertools.groupby(map(_Row._make, rows), lambda r: r[:2]):
            sides: tuple[list[_Row], list[_Row]] = [], []
            for row in group:
                sides[row.side].append(row)
            for number, (one, other) in enumerate(itertools.zip_longest(*sides)):
                yield _Pair(offset, name, number > 0), one, other


class _Pair(NamedTuple):
    """What two rows have in common; ``again`` if it is not the first such pair."""

    offset: int
    name: str
    again: bool


class _Row(NamedTuple):
    offset: int
    name: str
    side: int
    content: bytes
    at_partition: int
    at_offset: int


def _within(part: Part, offset: int) -> bool:
    return any(stretch.first <= offset <= stretch.last for stretch in part.models)


def _fields(committed: dict[str, Any], recomputed: dict[str, Any]) -> list[Field]:
    """The fields that differ, in the order in which they are written."""
    fields = []
    for name in dict.fromkeys((*recomputed, *committed)):
        one, other = committed.get(name), recomputed.get(name)
        if one != other:
            if name in HIDDEN:
                one, other = one and "(hidden)", other and "(hidden)"
            fields.append(Field(name, one, other))
    return fields


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A message's fields, each with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _flat(f"{name}.{place}", inner)
    else:
        yield name, value


def _digest(content: bytes | None) -> str | None:
    """Size and digest, which tell contents apart without showing them."""
    if content is None:
        return None
    return f"{len(content)} bytes, {hashlib.blake2b(content, digest_size=6).hexdigest()}"
