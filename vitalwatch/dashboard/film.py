"""A recording with all that the detector says of it, in memory: what a replay shows.

Files are shown side by side. Those that were recorded at another time than the first are moved so
that they begin with it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from vitalwatch.arrays import Floats, Ints
from vitalwatch.errors import RecordingError
from vitalwatch.messages import Alert, Truth
from vitalwatch.readings import Detection, Readings
from vitalwatch.recordings.recording import Recording


class Detector(Protocol):
    """What this needs of :class:`vitalwatch.detector.Detector`."""

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        """Advance by the readings of some partitions."""


@dataclass(frozen=True, slots=True)
class Film:
    """Scored readings (n,) in order of time, of ``names`` by number; tables are (n, V)."""

    names: list[str]
    patients: Ints
    times: Ints
    values: Floats
    rarity: Floats
    expected: Floats
    low: Floats
    high: Floats
    surprise: Floats
    alerts: list[Alert]
    truths: list[Truth]


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of it; patients are numbers of ``names``."""

    names: list[str]
    patients: Ints
    times: Ints
    tables: list[Floats]
    alerts: list[Alert]

    def moved(self, by: int, names: list[str]) -> "_Part":
        """The same so many ms later, with other names."""
        renamed = dict(zip(self.names, names, strict=True))
        alerts = [
            msgspec.structs.replace(
                alert,
                time=alert.time + by,
                onset=alert.onset + by,
                patient=renamed.get(alert.patient, alert.patient),
            )
            for alert in self.alerts
        ]
        return _Part(names, self.patients, self.times + by, self.tables, alerts)


Bar = Callable[[int], None]


def shoot(
    recordings: Sequence[Recording],
    detector: Callable[[], Detector],
    truths: Sequence[Truth] = (),
    bar: Callable[[str, int], Bar] = lambda _title, _total: lambda _done: None,
) -> Film:
    """Score recordings, each with a detector of its own; ``bar`` begins to show a progress.

    Raises RecordingError for a file that cannot be read.
    """
    parts: list[_Part] = []
    taken: set[str] = set()
    for recording in recordings:
        part = _scored(recording, detector(), bar)
        first = parts[0] if parts else part
        apart = part.times[0] > first.times[-1] or part.times[-1] < first.times[0]
        names = [f"{name} ({recording.name})" if name in taken else name for name in part.names]
        taken.update(names)
        parts.append(part.moved(int(first.times[0] - part.times[0]) if apart else 0, names))
    begins = np.cumsum([0] + [len(part.names) for part in parts])
    patients = np.concatenate(
        [part.patients + begin for part, begin in zip(parts, begins[:-1], strict=True)]
    )
    times = np.concatenate([part.times for part in parts])
    order = np.argsort(times, kind="stable")
    values, rarity, expected, low, high, surprise = (
        np.concatenate(each)[order] for each in zip(*(part.tables for part in parts), strict=True)
    )
    return Film(
        [name for part in parts for name in part.names],
        patients[order],
        times[order],
        values,
        rarity,
        expected,
        low,
        high,
        surprise,
        sorted((alert for part in parts for alert in part.alerts), key=lambda each: each.time),
        list(truths),
    )


def _scored(recording: Recording, detector: Detector, bar: Callable[[str, int], Bar]) -> _Part:
    rows_of, times, alerts = [], [], []
    tables: list[list[Floats]] = [[] for _ in range(6)]
    with recording.stream(bar(f"reading {recording.name}", recording.size)) as stream:
        done = 0
        progress = bar(f"scoring {recording.name}", stream.count)
        for rows in stream.parts:
            readings = stream.readings(rows, recording.name, done)
            (found,) = detector.process([readings])
            rows_of.append(rows["patient"].astype(np.int64))
            times.append(readings.times)
            columns = (readings.values, found.rarity, found.expected, found.low, found.high)
            for table, column in zip(tables, (*columns, found.surprise), strict=True):
                table.append(column)
            alerts += found.alerts
            done += len(rows)
            progress(done)
        return _Part(
            stream.names,
            np.concatenate(rows_of),
            np.concatenate(times),
            [np.concatenate(table) for table in tables],
            alerts,
        )


def truths(path: Path) -> list[Truth]:
    """The truth of simulated patients from a file of JSON Lines. Raises RecordingError."""
    decoder = msgspec.json.Decoder(Truth)
    try:
        lines: Iterable[bytes] = path.read_bytes().splitlines()
    except OSError as error:
        raise RecordingError(f"Cannot read {path}: {error.strerror}.") from None
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(decoder.decode(line))
            except ValueError as error:
                raise RecordingError(
                    f"{path}, line {number}: not a truth as `vitalwatch simulate --truth` writes "
                    f"it: {error}."
                ) from None
    return found
