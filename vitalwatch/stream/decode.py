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
- A value of 0 is passed on as 0: devices show it for "no signal", and saying so is the alarms'
  business.
"""

import itertools
import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from vitalwatch.arrays import Bools, Spans
from vitalwatch.errors import RejectedReading
from vitalwatch.messages import SCHEMA_VERSION, Reading, epoch_ms
from vitalwatch.readings import Readings
from vitalwatch.stream.broker import RecordBatch
from vitalwatch.vitals import COUNT, NAMES

MAX_BYTES: Final = 1 << 20
MAX_AHEAD_MS: Final = 10 * 60 * 1000
MAX_BEHIND_MS: Final = 30 * 24 * 3600 * 1000
END_OF_TIME: Final = 253_402_300_800_000  # 10000-01-01, the first ms that RFC 3339 cannot write

_LARGEST: Final = float(np.finfo(np.float32).max)
_KNOWN: Final = frozenset(NAMES)
_Vitals = msgspec.defstruct(
    "_Vitals",
    [(name, float | None, math.nan) for name in NAMES],
    gc=False,
    forbid_unknown_fields=True,
)
_columns = operator.attrgetter(*NAMES)


class _Frame(Reading, frozen=True, gc=False):
    """A reading with known vitals only: without a dict, it decodes twice as fast."""

    vitals: _Vitals  # type: ignore[valid-type]


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
        self._frames = msgspec.json.Decoder(_Frame)
        self._readings = msgspec.json.Decoder(Reading)

    def decode(self, batch: RecordBatch) -> Decoded:
        """Readings of one batch; a record never changes what becomes of its neighbours."""
        patients: list[str] = []
        times: list[int] = []
        cells: list[float | None] = []  # row after row of COUNT vitals
        kept: list[int] = []
        rejected: list[Rejected] = []
        unknown = 0
        frames, max_bytes, keyed = self._frames.decode, self._max_bytes, self._keyed
        records = zip(batch.timestamps.tolist(), batch.keys, batch.values, strict=True)
        for index, (timestamp, key, value) in enumerate(records):
            try:
                if value is None or len(value) > max_bytes or (keyed and key is None):
                    raise self._unfit(value)
                strange = 0
                row: Iterable[float | None]
                try:
                    reading: Reading = frames(value)
                    row = _columns(reading.vitals)
                except (ValueError, RecursionError):
                    reading = self._reading(value)
                    row = map(reading.vitals.get, NAMES)
                    strange = len(reading.vitals.keys() - _KNOWN)
                if reading.v != SCHEMA_VERSION:
                    raise _foreign_version(reading.v)
                if keyed and key != reading.patient.encode():
                    raise RejectedReading("foreign_key", "the key is not the reading's patient")
                time = reading.time if type(reading.time) is int else epoch_ms(reading.time)
                if not 0 <= time < END_OF_TIME:
                    raise RejectedReading("bad_time", "the time is not in 1970 to 9999")
                if 0 <= timestamp < time - self._max_ahead_ms:  # -1 is Kafka's "no timestamp"
                    ahead = (time - timestamp) / 1000
                    raise RejectedReading("bad_time", f"{ahead:.0f} s ahead of the timestamp")
                if time < timestamp - MAX_BEHIND_MS:
                    behind = (timestamp - time) / 86_400_000
                    raise RejectedReading("bad_time", f"{behind:.0f} days behind the timestamp")
                if strange:
                    unknown += strange
                    if strange == len(reading.vitals):
                        raise RejectedReading("no_vitals", "none of its vitals is known")
            except RejectedReading as rejection:
                rejected.append(Rejected(index, rejection.reason, rejection.detail))
                continue
            patients.append(reading.patient)
            times.append(time)
            cells.extend(row)
            kept.append(index)
        values = np.array(cells, dtype=np.float64).reshape(-1, COUNT)
        indices = np.array(kept, dtype=np.int64)
        fits: Bools = np.logical_not((np.abs(values) > _LARGEST).any(axis=1))
        if not fits.all():
            detail = "a vital is larger than a float32 can hold"
            rejected.extend(Rejected(int(index), "invalid", detail) for index in indices[~fits])
            rejected.sort()
            patients = list(itertools.compress(patients, fits))
        readings = Readings(
            batch.source.topic,
            batch.source.partition,
            Spans.of(patients),
            np.array(times, dtype=np.int64)[fits],
            values[fits].astype(np.float32),
            batch.offsets[indices[fits]],
        )
        return Decoded(readings, rejected, unknown)

    def _unfit(self, value: bytes | None) -> RejectedReading:
        if value is None:
            return RejectedReading("tombstone", "the record has no value")
        if len(value) > self._max_bytes:
            return RejectedReading("too_large", f"{len(value)} bytes, at most {self._max_bytes}")
        return RejectedReading("no_key", "the key must be the patient")

    def _reading(self, value: bytes) -> Reading:
        """The slow way: for vitals that are not known, and to say what is wrong."""
        try:
            return self._readings.decode(value)
        except RecursionError:
            raise RejectedReading("invalid", "nested too deeply") from None
        except ValueError as error:
            raise _diagnose(value, error) from None


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
    return RejectedReading("invalid", str(error))
