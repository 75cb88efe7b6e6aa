"""What should have come out, from one uninterrupted run of the same log, and what differs."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from vitalwatch import config
from vitalwatch.detector import Detector
from vitalwatch.messages import REJECTIONS, Alert, ScoreBlock
from vitalwatch.model.checkpoint import Model
from vitalwatch.stream.broker import Headers, RecordBatch
from vitalwatch.stream.dead_letters import OFFSET, PARTITION, REASON, dead_letter
from vitalwatch.stream.decode import Decoder
from vitalwatch.stream.score_blocks import blocks

Place = tuple[int, int]  # partition and offset of the input

_TABLES: Final = ("surprise", "expected", "low", "high")


class Difference(AssertionError):  # noqa: N818 - what it says is what was seen
    """An output that the uninterrupted run does not have so, or one that is missing."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, with its headers."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def place(self) -> Place:
        """Where in the input it came from."""
        told = dict(self.headers)
        return int(told[PARTITION]), int(told[OFFSET])

    def __str__(self) -> str:
        return f"{dict(self.headers)[REASON].decode()} of key {self.key!r}: {self.value!r:.80}"


class Oracle:
    """Runs along with the input; every output that comes is struck off what is expected.

    What has come and was as expected is forgotten, so that a run may be long.
    """

    def __init__(self, model: Model, settings: config.Settings) -> None:
        self._model = model.fingerprint
        self._detector = Detector(model, settings.alarms)
        self._decoder = Decoder()
        self._ends: dict[int, int] = {}
        self._scores: dict[Place, dict[str, Any]] = {}
        self._alerts: dict[str, deque[Alert]] = {}
        self._letters: dict[Place, Letter] = {}
        self.checked = {"scores": 0, "alerts": 0, "dead letters": 0}
        self.events: dict[str, int] = {}

    def run(self, batch: RecordBatch) -> None:
        """Advance by the next records of one partition of the input."""
        partition = batch.source.partition
        decoded = self._decoder.decode(batch)
        (detection,) = self._detector.process([decoded.readings])
        rejected = [(each.index, each.reason, each.detail) for each in decoded.rejected]
        index = {int(offset): place for place, offset in enumerate(batch.offsets.tolist())}
        late = decoded.readings.offsets[detection.late].tolist()
        rejected += [(index[offset], "late", REJECTIONS["late"]) for offset in late]
        for place, reason, detail in rejected:
            letter = _plain(*dead_letter(batch, place, reason, detail))
            self._letters[letter.place] = letter
        for _, value, _ in blocks(decoded.readings, detection, self._model, "block"):
            self._scores.update(_by_reading(msgspec.json.decode(value, type=ScoreBlock)))
        for alert in detection.alerts:
            wired = msgspec.json.decode(msgspec.json.encode(alert), type=Alert)
            self._alerts.setdefault(alert.patient, deque()).append(wired)
        self._ends[partition] = batch.next_offset

    def score(self, value: bytes) -> None:
        """A committed block of scores."""
        for place, score in _by_reading(msgspec.json.decode(value, type=ScoreBlock)):
            wanted = self._scores.pop(place, None)
            self._compare("score of the reading", place, wanted, score)
            self.checked["scores"] += 1

    def alert(self, value: bytes) -> None:
        """A committed alert; those of one patient in the order in which they were written."""
        alert = msgspec.json.decode(value, type=Alert)
        queue = self._alerts.get(alert.patient, deque())
        wanted = queue.popleft() if queue else None
        place = (alert.origin.partition, alert.origin.offset)
        self._compare("alert from", place, wanted, alert)
        self.checked["alerts"] += 1
        self.events[alert.event] = self.events.get(alert.event, 0) + 1

    def letter(self, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """A committed dead letter."""
        letter = _plain(key, value, headers)
        self._compare("dead letter of", letter.place, self._letters.pop(letter.place, None), letter)
        self.checked["dead letters"] += 1

    def complete(self) -> None:
        """Raise Difference if something is still to come."""
        alerts = [alert for queue in self._alerts.values() for alert in queue]
        missing = [f"the score of partition {p}, offset {o}" for p, o in sorted(self._scores)]
        missing += [f"the dead letter of partition {p}, offset {o}" for p, o in self._letters]
        missing += [f"the alert {_shown(alert)}" for alert in alerts]
        if missing:
            counts = f"{len(self._scores)} scores, {len(self._letters)} dead letters"
            raise Difference(
                f"Missing: {missing[0]} ({counts} and {len(alerts)} alerts in all are missing)."
            )

    def _compare(self, what: str, place: Place, wanted: Any, found: Any) -> None:
        if wanted == found:
            return
        where = f"{what} partition {place[0]}, offset {place[1]}"
        if wanted is None:
            past = place[1] < self._ends.get(place[0], 0)
            why = "is there twice, or should not be" if past else "is of a record that is not there"
            raise Difference(f"The {where} {why}: {_shown(found)}")
        raise Difference(
            f"The {where} differs:\n  found    {_shown(found)}\n  expected {_shown(wanted)}"
        )


def _by_reading(block: ScoreBlock) -> Iterator[tuple[Place, dict[str, Any]]]:
    """A block's scores one by one; a vital that was not measured is in none of the tables."""
    tables = {name: getattr(block, name) for name in _TABLES}
    for index, offset in enumerate(block.offsets):
        score: dict[str, Any] = {
            name: {vital: row[index] for vital, row in table.items() if row[index] is not None}
            for name, table in tables.items()
        }
        score |= {name: getattr(block, name)[index] for name in ("patients", "times", "rarity")}
        yield (block.partition, offset), score | {"topic": block.topic, "model": block.model}


def _plain(key: bytes | None, value: bytes | None, headers: Headers) -> Letter:
    return Letter(
        None if key is None else bytes(key),
        None if value is None else bytes(value),
        tuple((name, bytes(content)) for name, content in headers),
    )


def _shown(found: Any) -> str:
    if isinstance(found, Alert):
        head = f"{found.event} {found.condition} {found.priority} of {found.patient}"
        return f"{head} at {found.origin}, {found}"
    return str(found)
