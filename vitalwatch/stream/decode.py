"""The one decoder of readings from bytes; the daemon and the JSON Lines reader use it.

What is decided here, so that every input has exactly one outcome:

- NaN and Infinity are not JSON (``not_json``). Numbers written as text, booleans, and numbers
  that no float32 can hold are ``invalid``. A number twice in one reading: the last counts.
- A time must lie in 1970 to 9999 and, where the record has a timestamp, not more than
  ``max_ahead_ms`` after it (``bad_time``): one device with a wrong clock would otherwise make
  the whole partition look stale. Nor more than ``MAX_BEHIND_MS`` before it: a clock that was
  never set says 1970. (A replay's records bear the readings' own times.)
- A vital that this program does not know is counted and ignored; a reading with such vitals
  only is ``no_vitals``. A reading without any vital (``{}``, or all null) is accepted: the
  device says that the patient is connected and nothing is measured.
- An age beyond 0 to 130, a sex in other words than the schema's, or a negative flow of oxygen is
  ``invalid``, as is any field of the wrong type: who writes the readings is to hear of it.
- A value of 0 is passed on as 0: devices show it for "no signal", and saying so is the alarms'
  business.

Plain readings are read in bulk by :mod:`vitalwatch.stream.plain_readings`; all others, and what is
no reading, are looked at one by one here, with the same outcome.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from vitalwatch import context
from vitalwatch.arrays import Bools, Floats, Ints, Spans
from vitalwatch.context import Context
from vitalwatch.errors import RejectedReading
from vitalwatch.messages import SCHEMA_VERSION, SEXES, Reading, epoch_ms
from vitalwatch.readings import Readings
from vitalwatch.stream import plain_readings
from vitalwatch.stream.broker import RecordBatch
from vitalwatch.stream.plain_json import code
from vitalwatch.vitals import COUNT, NAMES

MAX_BYTES: Final = 1 << 20
MAX_AHEAD_MS: Final = 10 * 60 * 1000
MAX_BEHIND_MS: Final = 30 * 24 * 3600 * 1000
END_OF_TIME: Final = 253_402_300_800_000  # 10000-01-01, the first ms that RFC 3339 cannot write

_LARGEST: Final = float(np.finfo(np.float32).max)
_KNOWN: Final = frozenset(NAMES)
_CODES: Final = np.array([code(name) for name in NAMES], dtype=np.int64)


@dataclass(frozen=True, slots=True, order=True)
class Rejected:
    """A record that is not a reading: its index in the batch, and why.

    ``reason`` is a word of :data:`vitalwatch.messages.REJECTIONS`; ``detail`` is for a person
    and holds nothing of the payload but the path of a field.
    """

    index: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one batch holds: its readings and its rejected records, both in log order.

    ``unknown_vitals`` counts values of vitals that this program does not know.
    """

    readings: Readings
    rejected: list[Rejected]
    unknown_vitals: int


class Decoder:
    """Turns record batches into columnar readings. Holds no state; may be shared by threads.

    ``keyed=False`` is for readings that are not on a topic, and so have no keys.
    """

    def __init__(
        self, max_bytes: int = MAX_BYTES, max_ahead_ms: int = MAX_AHEAD_MS, *, keyed: bool = True
    ) -> None:
        self._max_bytes = max_bytes
        self._max_ahead_ms = max_ahead_ms
        self._keyed = keyed
        self._readings = msgspec.json.Decoder(Reading)

    def decode(self, batch: RecordBatch) -> Decoded:
        """Readings of one batch; a record never changes what becomes of its neighbours.

        They keep the batch's bytes alive: their patients are stretches of them.
        """
        count = len(batch)
        data = batch.values.data
        starts, sizes, times, others, speakers = np.empty((5, count), dtype=np.int64)
        values: Floats = np.empty((count, COUNT), dtype=np.float32)
        known: Floats = np.empty((count, context.COUNT), dtype=np.float32)
        read: Bools = np.empty(count, dtype=np.bool_)
        spoke = plain_readings.read(
            data,
            batch.values.starts,
            batch.values.lengths,
            self._keyed,
            batch.keys.data,
            batch.keys.starts,
            batch.keys.lengths,
            batch.timestamps,
            self._max_bytes,
            self._max_ahead_ms,
            MAX_BEHIND_MS,
            END_OF_TIME,
            SCHEMA_VERSION,
            _CODES,
            starts,
            sizes,
            times,
            values,
            others,
            speakers,
            known,
            read,
        )
        more_said: dict[int, list[float]] = {}
        rejected: list[Rejected] = []
        unknown = int(others[read].sum())
        names: list[bytes] = []  # of those read one by one: they may stand in the bytes otherwise
        end = len(data)
        for index in np.flatnonzero(~read).tolist():
            try:
                reading, time = self._look(
                    int(batch.timestamps[index]), batch.keys[index], batch.values[index]
                )
                strange = len(reading.vitals.keys() - _KNOWN)
                unknown += strange
                values[index] = _row(reading.vitals, strange)
                if (said := context.of(reading)) is not None:
                    more_said[index] = said
            except RejectedReading as rejection:
                rejected.append(Rejected(index, rejection.reason, rejection.detail))
                continue
            names.append(reading.patient.encode())
            starts[index], sizes[index], times[index] = end, len(names[-1]), time
            end += len(names[-1])
            read[index] = True
        if self._keyed:
            patients = batch.keys
        elif names:
            more = np.frombuffer(b"".join(names), dtype=np.uint8)
            patients = Spans(np.concatenate((data, more)), starts, sizes)
        else:
            patients = Spans(data, starts, sizes)
        kept = read if rejected else slice(None)
        readings = Readings(
            batch.source.topic,
            batch.source.partition,
            patients.at(kept),
            times[kept],
            values[kept],
            batch.offsets[kept],
            _context(speakers[:spoke], known[:spoke], more_said, read),
        )
        return Decoded(readings, rejected, unknown)

    def _look(self, timestamp: int, key: bytes | None, value: bytes | None) -> tuple[Reading, int]:
        """One record by itself: its reading and the time in ms; raises RejectedReading."""
        if value is None or len(value) > self._max_bytes or (self._keyed and key is None):
            raise self._unfit(value)
        reading = self._reading(value)
        if reading.v != SCHEMA_VERSION:
            raise _foreign_version(reading.v)
        if self._keyed and key != reading.patient.encode():
            raise RejectedReading("foreign_key", "the key is not the reading's patient")
        time = epoch_ms(reading.time)
        if not 0 <= time < END_OF_TIME:
            raise RejectedReading("bad_time", "the time is not in 1970 to 9999")
        if 0 <= timestamp < time - self._max_ahead_ms:  # -1 is Kafka's "no timestamp"
            ahead = (time - timestamp) / 1000
            raise RejectedReading("bad_time", f"{ahead:.0f} s ahead of the timestamp")
        if time < timestamp - MAX_BEHIND_MS:
            behind = (timestamp - time) / 86_400_000
            raise RejectedReading("bad_time", f"{behind:.0f} days behind the timestamp")
        return reading, time

    def _unfit(self, value: bytes | None) -> RejectedReading:
        if value is None:
            return RejectedReading("tombstone", "the record has no value")
        if len(value) > self._max_bytes:
            return RejectedReading("too_large", f"{len(value)} bytes, at most {self._max_bytes}")
        return RejectedReading("no_key", "the key must be the patient")

    def _reading(self, value: bytes) -> Reading:
        try:
            return self._readings.decode(value)
        except RecursionError:
            raise RejectedReading("invalid", "nested too deeply") from None
        except ValueError as error:
            raise _diagnose(value, error) from None


def _row(vitals: Mapping[str, float | None], strange: int) -> list[float]:
    """A reading's row of values, ``strange`` of its vitals being unknown; or RejectedReading."""
    if strange and strange == len(vitals):
        raise RejectedReading("no_vitals", "none of its vitals is known")
    row = [math.nan if value is None else value for value in map(vitals.get, NAMES)]
    if any(abs(value) > _LARGEST for value in row):
        raise RejectedReading("invalid", "a vital is larger than a float32 can hold")
    return row


def _context(
    speakers: Ints, known: Floats, more: Mapping[int, list[float]], read: Bools
) -> Context | None:
    """What is said in some records of a batch: of ``speakers`` (k,) in bulk, and in others.

    ``read`` (n,) are the readings, of which the context gives the places.
    """
    if more:
        speakers = np.concatenate((speakers, np.fromiter(more, dtype=np.int64)))
        known = np.concatenate((known, np.array([*more.values()], dtype=np.float32)))
        order = np.argsort(speakers)
        speakers, known = speakers[order], known[order]
    if not len(speakers):
        return None
    places = speakers if read.all() else (np.cumsum(read) - 1)[speakers]
    return Context(places, known)


def _foreign_version(version: int) -> RejectedReading:
    if version > SCHEMA_VERSION:
        return RejectedReading("version", f"newer than version {SCHEMA_VERSION}")
    return RejectedReading("invalid", "there is no such schema version - at `$.v`")


def _diagnose(value: bytes, error: ValueError) -> RejectedReading:
    """Why a value failed to decode: it is not JSON, of a newer version, or not a reading."""
    try:
        tree = msgspec.json.decode(value)
    except UnicodeDecodeError:
        return RejectedReading("not_json", "not UTF-8")
    except msgspec.ValidationError as wrong:
        return RejectedReading("invalid", str(wrong))
    except msgspec.DecodeError as wrong:
        return RejectedReading("not_json", str(wrong))
    except RecursionError:
        return RejectedReading("invalid", "nested too deeply")
    version = tree.get("v") if isinstance(tree, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        return _foreign_version(version)
    detail = str(error)
    if detail.startswith("Invalid enum value"):  # and goes on with that value
        return RejectedReading("invalid", f"must be one of {', '.join(SEXES)} - at `$.sex`")
    return RejectedReading("invalid", detail)
