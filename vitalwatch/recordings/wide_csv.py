"""Recordings as wide CSV: a row a reading, a column a vital sign.

Columns may also be parted by semicolons, tabs or bars (the PhysioNet challenges' ``.psv``). They
are found by name, in any order and case:

- ``time``: seconds from any start, or ISO 8601; a time without an offset is UTC. ``minute`` and
  ``ICULOS`` (hours) count as well.
- ``patient``: may be absent, the file's name is the patient then.
- vital signs: the names of :data:`vitalwatch.vitals.VITALS`, or those of bedside monitors'
  exports. Where a vital has several columns the one that comes first in :data:`COLUMNS` and has
  a value other than 0 counts: arterial pressure comes before the cuff's.
- what is known of the patient: ``age`` in years, ``sex`` (female or male, also F or M; other,
  unknown), ``oxygen`` (yes or no, or the flow in L/min) and ``beta_blocker`` (yes or no). What a
  row says holds for the rows after it that say nothing.

Blank, NaN and NA mean not measured. A value of 0 stays 0: it is how devices show a sensor that
is off. All other columns are ignored.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, compress, islice
from typing import Final, TextIO

import msgspec
import numpy as np

from vitalwatch.arrays import Bools, Doubles
from vitalwatch.context import SIGNS, fields
from vitalwatch.errors import RecordingError
from vitalwatch.messages import OLDEST, Reading
from vitalwatch.recordings.lines import lines_of
from vitalwatch.recordings.rows import ROW, Dropped, Patients, Rows
from vitalwatch.stream.decode import END_OF_TIME
from vitalwatch.vitals import INDEX, NAMES

TIME: Final = {"time": 1, "time [s]": 1, "minute": 60, "iculos": 3600}
"""Columns that may hold the time, and the seconds of their unit."""

PATIENT: Final = ("patient", "patient_id", "record")
COLUMNS: Final = {
    "hr": ("hr", "heart_rate"),
    "spo2": ("spo2", "o2sat"),
    "rr": ("rr", "resp", "respiratory_rate"),
    "sbp": ("sbp", "abpsys", "nbpsys"),
    "dbp": ("dbp", "abpdias", "nbpdias"),
    "map": ("map", "abpmean", "nbpmean"),
    "temp": ("temp", "temp_c"),
    "etco2": ("etco2",),
}
"""For each vital the columns that may hold it, the preferred one first."""

CONTEXT: Final = ("age", "sex", "oxygen", "beta_blocker")
"""Columns for what is known of the patient, in the order of :data:`vitalwatch.context.PARTS`."""

_DELIMITERS: Final = ",;\t|"
_ROWS_AT_ONCE: Final = 1024  # more makes Python's garbage collector slow
_LARGEST: Final = float(np.finfo(np.float32).max)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NEVER: Final = -1
_YES_OR_NO: Final = {"yes": 1.0, "true": 1.0, "no": -1.0, "false": -1.0}
_NOTHING: Final = frozenset(("", "na", "nan"))
_SIGNS: Final[dict[str, Mapping[str, float]]] = {
    "sex": dict(SIGNS) | {"f": 1.0, "m": -1.0},
    "oxygen": _YES_OR_NO,
    "beta_blocker": _YES_OR_NO | {"1": 1.0, "0": -1.0},
}


class WideCsv:
    """The rows of one CSV file; ``line`` is how far it has been read.

    Raises RecordingError if the header names no time or no vital sign.
    """

    def __init__(self, text: TextIO, patient: str) -> None:
        self.line = 1
        self._text = text  # whose end would close the file, if nobody held it
        rest = lines_of(text)
        first = next(rest, "")
        delimiter = max(_DELIMITERS, key=first.count)
        self._reader = csv.reader(chain([first], rest), delimiter=delimiter)
        self._header = next(self._reader, [])
        self._only_patient = patient
        places: dict[str, int] = {}
        for place, name in enumerate(self._header):
            places.setdefault(name.strip().lower(), place)
        times = [name for name in TIME if name in places]
        self._patient = next((places[name] for name in PATIENT if name in places), None)
        self._vitals = {
            vital: found
            for vital, names in COLUMNS.items()
            if (found := [places[name] for name in names if name in places])
        }
        self._context = {name: places[name] for name in CONTEXT if name in places}
        if not times or not self._vitals:
            what = "a vital sign" if times else "time"
            raise RecordingError(
                f"line 1 names no column for {what}. A recording is a CSV file with columns "
                f"such as patient, time, {', '.join(NAMES)}, or JSON Lines of readings."
            )

        self._time = places[times[0]]
        self._unit = TIME[times[0]]

    @property
    def ignored(self) -> str | None:
        """What of the file is not used, in words."""
        used = {self._time, self._patient, *self._context.values()}.union(*self._vitals.values())
        names = [name.strip() for place, name in enumerate(self._header) if place not in used]
        return f"ignored columns {', '.join(names)}" if names else None

    def parts(self, patients: Patients, dropped: Dropped) -> Iterator[Rows]:
        """All rows in the order of the file."""
        width = len(self._header)
        while True:
            read = [(row, self._reader.line_num) for row in islice(self._reader, _ROWS_AT_ONCE)]
            if not read:
                return
            lines = [line for row, line in read if row]
            rows = [row for row, _ in read if row]
            self.line = read[-1][1]
            fit = [len(row) == width for row in rows]
            if not all(fit):
                unfit = [line for line, fits in zip(lines, fit, strict=True) if not fits]
                dropped.add("wrong number of columns", len(unfit), unfit[0])
                rows, lines = list(compress(rows, fit)), list(compress(lines, fit))
            if rows:
                yield self._columns(list(zip(*rows, strict=True)), lines, patients, dropped)

    def _columns(
        self,
        columns: Sequence[Sequence[str]],
        lines: list[int],
        patients: Patients,
        dropped: Dropped,
    ) -> Rows:
        rows: Rows = np.zeros(len(lines), ROW)
        rows["time"] = [_time(text, self._unit) for text in columns[self._time]]
        names = [self._only_patient] * len(lines)
        if self._patient is not None:
            names = [name.strip() for name in columns[self._patient]]
        rows["values"] = math.nan
        bad_number: Bools = np.zeros(len(lines), np.bool_)
        for vital, places in self._vitals.items():
            values = _numbers(columns[places[0]])
            bad_number |= np.abs(values) > _LARGEST
            for place in places[1:]:
                others = _numbers(columns[place])
                bad_number |= np.abs(others) > _LARGEST
                absent = np.isnan(values) | ((values == 0) & (others != 0) & ~np.isnan(others))
                values = np.where(absent, others, values)
            rows["values"][:, INDEX[vital]] = values
        rows["context"] = math.nan
        for name, place in self._context.items():
            rows["context"][:, CONTEXT.index(name)] = [_said(name, text) for text in columns[place]]
        good: Bools = np.ones(len(lines), np.bool_)
        for reason, bad in {
            "bad patient": np.array([not 1 <= len(name) <= 256 for name in names]),
            "bad time": rows["time"] == _NEVER,
            "bad number": bad_number,
            **{f"bad {name}": np.isinf(rows["context"][:, i]) for i, name in enumerate(CONTEXT)},
        }.items():
            if (bad & good).any():
                dropped.add(reason, int((bad & good).sum()), lines[int((bad & good).argmax())])
                good &= ~bad
        if not good.all():
            rows, names = rows[good], list(compress(names, good))
        rows["patient"] = [patients[name] for name in names]
        return rows

    def messages(self, rows: Rows, names: Sequence[str], shift: int) -> Iterator[bytes]:
        """Each row as a reading on the wire, ``shift`` ms later than recorded."""
        encode = msgspec.json.Encoder().encode
        times = (rows["time"] + shift).tolist()
        for patient, time, row, said in zip(
            rows["patient"].tolist(),
            times,
            rows["values"].tolist(),
            rows["context"].tolist(),
            strict=True,
        ):
            values = {name: value for name, value in zip(NAMES, row, strict=True) if value == value}
            yield encode(Reading(names[patient], time, values, **fields(said)))


@lru_cache(maxsize=1 << 16)
def _time(text: str, unit: float = 1) -> int:
    """Milliseconds since 1970; -1 for what is no time in 1970 to 9999. ``unit`` is in s."""
    try:
        seconds = float(text) * unit
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            return _NEVER
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        ms = round((moment - _EPOCH) / _MILLISECOND)
    else:
        ms = round(seconds * 1000) if 0 <= seconds < END_OF_TIME / 1000 else _NEVER
    return ms if 0 <= ms < END_OF_TIME else _NEVER


def _numbers(texts: Sequence[str]) -> Doubles:
    """One column, ``(n,)``: NaN where nothing was measured, infinite where it is no number."""
    if not any(texts):
        return np.full(len(texts), math.nan)
    try:
        return np.array([float(text) if text else math.nan for text in texts])
    except ValueError:
        return np.array([_number(text.strip()) for text in texts])


def _number(text: str) -> float:
    if text.lower() in ("", "na"):
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.inf


@lru_cache(maxsize=1 << 12)
def _said(name: str, text: str) -> float:
    """What a cell of a column of CONTEXT says: NaN if nothing, infinite if it makes no sense."""
    word = text.strip().lower()
    if word in _NOTHING:
        return math.nan
    signs = _SIGNS.get(name, {})
    if word in signs:
        return signs[word]
    number = _number(word) if name in ("age", "oxygen") else math.inf
    if name == "age":
        return number if 0 <= number <= OLDEST else math.inf
    if not 0 <= number < math.inf:
        return math.inf
    return 1.0 if number > 0 else -1.0
