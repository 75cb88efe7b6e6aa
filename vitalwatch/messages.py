"""What is on the wire: JSON, one msgspec struct a message, schemas generated from the structs.

Times are UTC; inside the program they are integers, milliseconds since 1970-01-01. Every
message carries its schema version ``v``; readers accept fields that they do not know.
"""

import datetime
from typing import Annotated, Any, Final, Literal

import msgspec

SCHEMA_VERSION: Final = 1

Kind = Literal["physiological", "technical"]
Event = Literal["raised", "escalated", "updated", "cleared"]
Priority = Literal["low", "medium", "high"]
PRIORITIES: Final[tuple[Priority, ...]] = ("low", "medium", "high")
Sex = Literal["female", "male", "other", "unknown"]
SEXES: Final[tuple[Sex, ...]] = ("female", "male", "other", "unknown")
OLDEST: Final = 130
"""Years of age."""

REJECTIONS: Final = {
    "not_json": "the value is not valid JSON or not UTF-8",
    "invalid": "valid JSON, but not a reading: a field is missing, of the wrong type or impossible",
    "version": "the schema version is newer than this program knows",
    "too_large": "the value is larger than a reading can be",
    "tombstone": "the record has no value",
    "no_key": "the record has no key, so its order among the patient's readings is not guaranteed",
    "foreign_key": "the record's key is not the reading's patient",
    "no_vitals": "the reading holds vitals, but none that is known",
    "bad_time": "the time is absurd, or far from the record's timestamp",
    "late": "the time is not after the patient's last reading, or long before the others' readings",
}
"""Reasons for a dead letter: the word in headers and metric labels, and what it means."""

Time = int | Annotated[datetime.datetime, msgspec.Meta(tz=True)]


class Reading(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One frame of one patient's vital signs; topic ``vitals.readings``, keyed by the patient.

    ``time`` is RFC 3339 with an offset, or integer epoch milliseconds. A vital that was not
    measured is absent or null, never 0. ``vitals`` are in the units of
    :data:`vitalwatch.vitals.VITALS`. ``ward`` and ``bed`` are for display only; ``seq``,
    ``device`` and ``quality`` are for others who read the topic: they do not enter a score.

    What is known of the patient may be said in any reading and holds from it on, until something
    else is said or the patient is discharged; a field that is absent or null says nothing, and
    what was never said is not known. ``age`` is in years; ``sex`` may be other or unknown, which
    both mean that it is not known which of the two holds; ``oxygen`` is whether the patient is
    given any, or how much in L/min; ``beta_blocker`` whether the patient takes one. Said again
    every some minutes, it is also known to whoever begins to read later.
    """

    patient: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    time: Time
    vitals: dict[str, float | None]
    v: int = SCHEMA_VERSION
    seq: int | None = None
    device: str | None = None
    quality: dict[str, float] | None = None
    age: Annotated[float, msgspec.Meta(ge=0, le=OLDEST)] | None = None
    sex: Sex | None = None
    oxygen: bool | Annotated[float, msgspec.Meta(ge=0)] | None = None
    beta_blocker: bool | None = None
    ward: str | None = None
    bed: str | None = None


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Where a message came from: a record of a topic, or a reading of a recorded file."""

    topic: str
    partition: int
    offset: int


class Driver(msgspec.Struct, frozen=True, gc=False):
    """One vital's part in an alert: ``share`` of the whole in [0, 1]; the rest in its unit.

    ``expected``, ``low`` and ``high`` are the patient's own normal before this reading, not the
    network's prediction as in :class:`ScoreBlock`.
    """

    vital: str
    share: float
    observed: float | None
    expected: float | None
    low: float | None
    high: float | None


class Alert(msgspec.Struct, frozen=True, gc=False):
    """One event of one alert; topic ``vitals.alerts``, keyed by the patient.

    ``alert_id`` is stable: it derives from patient, condition and the time of the reading that
    raised it, so a rerun, or a replay of the same recording elsewhere, gives the same id, and
    the events of one alert share it. ``rarity`` is in patient-days: a stable patient shows as
    much once in so many days. ``onset`` is when the condition began to hold, ``time`` when this
    event happened (the reading's time, or the stream's time for a lost signal).
    """

    alert_id: str
    patient: str
    event: Event
    kind: Kind
    condition: str
    priority: Priority
    time: int
    onset: int
    rarity: float | None
    drivers: list[Driver]
    sentence: str
    origin: Origin
    model: str
    v: int = SCHEMA_VERSION


class ScoreBlock(msgspec.Struct, frozen=True, gc=False):
    """The scores of one micro-batch of one partition, columnar; topic ``vitals.scores``.

    All lists have one entry a reading, in log order. ``surprise`` (negative log-likelihood,
    nats, two decimals), ``expected``, ``low`` and ``high`` (the central 90 % of the prediction,
    one decimal more than the vital's resolution) are by vital, and null where that vital was not
    measured; a vital that no reading of the block measured is left out. ``rarity`` is in
    patient-days, four significant digits.
    """

    topic: str
    partition: int
    model: str
    offsets: list[int]
    patients: list[str]
    times: list[int]
    rarity: list[float]
    surprise: dict[str, list[float | None]]
    expected: dict[str, list[float | None]]
    low: dict[str, list[float | None]]
    high: dict[str, list[float | None]]
    v: int = SCHEMA_VERSION


class Truth(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What really happens to a simulated patient; its own topic or file, never in readings.

    ``onset`` is when the event begins, ``critical`` when a vital sign first becomes critical
    (null for benign events and for patients who never get there), ``end`` when it is over.
    ``moved`` says since when a deterioration has held which vitals further from where they would be
    without it than adults at rest differ, by name; null where the simulator does not look.
    """

    patient: str
    event: str
    benign: bool
    onset: int
    end: int
    critical: int | None = None
    vital: str | None = None
    moved: dict[str, int] | None = None
    v: int = SCHEMA_VERSION


class Ack(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """That somebody has taken note of an alert; topic ``vitals.acks``, keyed by the alert's id.

    ``name`` is who says so, ``time`` when, ``note`` what else. It changes no score and no alert.
    """

    alert_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    time: int
    note: Annotated[str, msgspec.Meta(max_length=500)] = ""
    v: int = SCHEMA_VERSION


MESSAGES: Final = (Reading, ScoreBlock, Alert, Truth, Ack)


def schemas() -> dict[str, Any]:
    """JSON Schema (2020-12) of every message, by struct name, with shared definitions."""
    _, definitions = msgspec.json.schema_components(MESSAGES, ref_template="#/$defs/{name}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": definitions}


_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def epoch_ms(time: Time) -> int:
    """A message's time as integer milliseconds since 1970-01-01 UTC (rounded half to even)."""
    if isinstance(time, int):
        return time
    return round(time.timestamp() * 1000)


def rfc3339(ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC, for people and files."""
    # Not from a float of seconds: .716 would be .71599… and then cut to .715.
    moment = _EPOCH + datetime.timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
