"""From a ward's frames to readings on the wire, in files and on a broker, at a pace."""

import gzip
import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import msgspec
import numpy as np

from simulator.ward import Ward
from vitalwatch.arrays import Floats, Ints
from vitalwatch.context import PARTS, fields
from vitalwatch.errors import ConfigurationError
from vitalwatch.messages import Reading, Truth, epoch_ms, rfc3339
from vitalwatch.stream.broker import Publisher
from vitalwatch.vitals import NAMES, VITALS

_WHOLE: Final = tuple(vital.resolution >= 1 for vital in VITALS)

CONTEXT: Final = ("age", "sex", "oxygen", "beta_blocker")
"""What readings say of patients beside their vital signs."""

AGAIN_MS: Final = 10 * 60_000
"""It is said with a patient's first reading and again every so often. Nothing of it changes, but
whoever begins to read in the middle, or has only the last minutes to go through again, is to know
it too; and once in ten minutes costs next to nothing."""

_TICK: Final = 0.1
"""Seconds of wall clock between batches when paced: fine enough to look live."""


def readings(patients: Sequence[str], times: Ints, values: Floats) -> Iterator[Reading]:
    """Readings of ``patients (n)`` at ``times (n,)`` in ms with ``values (n, V)``.

    A patient of whom nothing was measured has none.
    """
    for patient, moment, row in zip(patients, times.tolist(), values.tolist(), strict=True):
        vitals: dict[str, float | None] = {
            name: int(value) if whole and value.is_integer() else round(value, 1)
            for name, value, whole in zip(NAMES, row, _WHOLE, strict=True)
            if not isnan(value)
        }
        if vitals:
            yield Reading(patient, moment, vitals)


class Introductions:
    """Has a ward's readings say, now and then, what is known of their patients."""

    def __init__(self, ward: Ward) -> None:
        persons = ward.context
        signs = [np.where(persons[name] > 0, 1, -1) for name in PARTS[1:]]
        parts = np.stack((np.floor(persons["age"]), *signs), axis=1).tolist()
        self._known = dict(zip(ward.patients, map(fields, parts), strict=True))
        self._due: dict[str, int] = {}

    def add(self, plain: Iterable[Reading]) -> Iterator[Reading]:
        """The readings, in order of each patient's time, some of which say more now."""
        for reading in plain:
            moment = epoch_ms(reading.time)
            if moment < self._due.get(reading.patient, moment):
                yield reading
            else:
                self._due[reading.patient] = moment + AGAIN_MS
                yield msgspec.structs.replace(reading, **self._known[reading.patient])


class Output(Protocol):
    """Where readings and truth go."""

    def write(self, readings: Iterable[Reading]) -> int:
        """Write readings; how many there were."""

    def tell(self, truth: Sequence[Truth]) -> None:
        """What has become known of the truth; where it goes elsewhere, nothing happens."""

    def close(self) -> None:
        """Return when all is safely written."""


class _File:
    """Readings to a file; the truth is never among them."""

    def __init__(self, stream: BinaryIO | io.BufferedIOBase) -> None:
        self._stream = stream

    def tell(self, truth: Sequence[Truth]) -> None:
        """Nothing: see :func:`write_truth`."""

    def close(self) -> None:
        """Flush; whoever opened the stream closes it."""
        self._stream.flush()


class JsonLines(_File):
    """Readings as on the wire, one JSON object a line."""

    def write(self, readings: Iterable[Reading]) -> int:
        """Write readings."""
        encode = msgspec.json.Encoder().encode
        lines = [encode(each) + b"\n" for each in readings]
        self._stream.writelines(lines)
        return len(lines)


class Live(JsonLines):
    """JSON Lines for someone who watches."""

    def write(self, readings: Iterable[Reading]) -> int:
        """Write readings, now."""
        count = super().write(readings)
        self._stream.flush()
        return count


class WideCsv(_File):
    """One row a reading, one column a vital sign; blank where it was not measured, or not said."""

    def __init__(self, stream: BinaryIO | io.BufferedIOBase) -> None:
        super().__init__(stream)
        stream.write(",".join(("patient", "time", *NAMES, *CONTEXT)).encode() + b"\n")

    def write(self, readings: Iterable[Reading]) -> int:
        """Write readings."""
        count = 0
        for each in readings:
            columns = [str(each.vitals.get(name, "")) for name in NAMES]
            parts = [getattr(each, name) for name in CONTEXT]
            columns += ["" if part is None else str(part).lower() for part in parts]
            row = ",".join((each.patient, rfc3339(epoch_ms(each.time)), *columns))
            self._stream.write(row.encode() + b"\n")
            count += 1
        return count


class Topics:
    """Readings to one topic, the truth to another; keyed by patient, stamped with event time."""

    def __init__(self, publisher: Publisher, readings_topic: str, truth_topic: str) -> None:
        self._publisher = publisher
        self._readings = readings_topic
        self._truth = truth_topic
        self._encoder = msgspec.json.Encoder()

    def write(self, readings: Iterable[Reading]) -> int:
        """Publish readings."""
        count = 0
        for each in readings:
            key, value = each.patient.encode(), self._encoder.encode(each)
            self._publisher.send(self._readings, key, value, timestamp=epoch_ms(each.time))
            count += 1
        return count

    def tell(self, truth: Sequence[Truth]) -> None:
        """Publish truth; a deterioration comes again when it becomes critical."""
        for each in truth:
            key, value = each.patient.encode(), self._encoder.encode(each)
            self._publisher.send(self._truth, key, value, timestamp=max(each.onset, 0))

    def close(self) -> None:
        """Flush the publisher; whoever opened it closes it."""
        self._publisher.flush()


def create(path: Path) -> io.BufferedIOBase:
    """A new file to write, compressed if its name ends in ``.gz``.

    Raises ConfigurationError if it cannot be written.
    """
    try:
        raw = path.open("wb")
    except OSError as error:
        raise ConfigurationError(f"Cannot write {path}: {error.strerror}.") from None
    if path.suffix != ".gz":
        return raw
    # Neither name nor time goes into the file: the same readings give the same bytes.
    return _Gzip(raw)


class _Gzip(gzip.GzipFile):
    """Closes the file below it as well."""

    def __init__(self, raw: io.BufferedWriter) -> None:
        super().__init__("", "wb", compresslevel=6, fileobj=raw, mtime=0)
        self._raw = raw

    def close(self) -> None:
        super().close()
        self._raw.close()


class Pace:
    """Makes simulated time pass at ``speed`` times wall-clock time; infinite is unhindered."""

    def __init__(
        self,
        speed: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.speed = speed
        self._clock = clock
        self._sleep = sleep
        self._began = clock()

    def wait(self, elapsed: float) -> None:
        """Return when ``elapsed`` simulated seconds since the beginning are due."""
        if np.isinf(self.speed):
            return
        ahead = self._began + elapsed / self.speed - self._clock()
        if ahead > 0:
            self._sleep(ahead)


def play(ward: Ward, output: Output, pace: Pace, frames: int | None) -> Iterator[int]:
    """Write ``frames`` frames of the ward, or frames without end.

    Yields the number of readings of each frame as it is done. Each patient's reading goes out
    when it is due; all are written in order of time.
    """
    first = None
    introductions = Introductions(ward)
    for times, values in ward.frames(frames):
        written = 0
        order = np.argsort(times, kind="stable")
        if first is None:
            first = int(times[order[0]])
            ticks = np.floor((times - first) / (1000 * _TICK * pace.speed))
            cuts = np.flatnonzero(np.diff(ticks[order])) + 1
        for who in np.split(order, cuts):
            pace.wait((int(times[who[0]]) - first) / 1000)
            names = [ward.patients[row] for row in who]
            written += output.write(introductions.add(readings(names, times[who], values[who])))
        output.tell(ward.news())
        yield written


def write_truth(path: Path, truth: Sequence[Truth]) -> None:
    """Write the truth as JSON Lines.

    Raises ConfigurationError if the file cannot be written.
    """
    encoder = msgspec.json.Encoder()
    with create(path) as stream:
        stream.writelines(encoder.encode(each) + b"\n" for each in truth)
