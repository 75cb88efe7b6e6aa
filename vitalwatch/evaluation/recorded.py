"""The recordings of real patients as evaluation data: readings, and clinical events.

Events are what somebody did (a first vasoactive drug, ventilation), what befell (death, sepsis by
the challenge's definition), or what the readings themselves show by a fixed rule. An alarm within
some time before the onset belongs to the event, and is early if some time is left.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Doubles, Floats, Ints
from vitalwatch.errors import RecordingError
from vitalwatch.evaluation.streams import DAY, HOUR, MINUTE, DataSet, Event, Streams
from vitalwatch.recordings.recording import Recording
from vitalwatch.training.people import Person, people, table

Report = Callable[[str], None]
"""Told of each file that cannot be used, and why."""

START: Final = 1_767_254_400_000
"""When records begin whose times count from their own start, ms."""

_FOREVER: Final = 2**61


class Spell(NamedTuple):
    """How long around an onset alarms count; all in ms.

    They belong to the event from ``before`` on, are early until ``margin`` before it, catch it
    until ``grace`` after it, and are not false until ``after`` it.
    """

    before: int
    margin: int
    grace: int
    after: int

    def event(self, record: int, kind: str, onset: int, *, counted: bool = True) -> Event:
        """One with this onset."""
        return Event(
            record,
            kind,
            onset - self.before,
            onset - self.margin,
            onset,
            onset + self.grace,
            min(onset + self.after, _FOREVER),
            counted,
        )


HYPOTENSION: Final = Spell(60 * MINUTE, 10 * MINUTE, 10 * MINUTE, 60 * MINUTE)
SEPSIS: Final = Spell(12 * HOUR, 3 * HOUR, 3 * HOUR, _FOREVER)
TREATMENT: Final = Spell(12 * HOUR, HOUR, HOUR, DAY)

_MAP: Final = vitals.INDEX["map"]
_LOW_SHARE: Final = 0.9 - 1e-9  # of 30 minutes, in an acute hypotensive episode
_FORECAST_MINUTE: Final = 600  # of the 2009 challenge: what is to be foretold follows
_STAY_GAP: Final = DAY  # charting that pauses for longer belongs to another stay


def load(folder: Path, collection: str, report: Report) -> DataSet:
    """One collection of the folder of all recordings.

    Files that cannot be read are told to ``report`` and left out. Raises RecordingError if
    nothing is left.
    """
    everyone = people(folder, collection)
    try:
        data = _LOADERS[collection](folder / collection, everyone, report)
    except (LookupError, TypeError, ValueError) as error:
        # One cell that is none, or a row that another table lacks: what its events are is not sure.
        raise RecordingError(
            f"{folder / collection} does not fit together ({type(error).__name__}: {error}): "
            "compare it with the collection as it was published."
        ) from error
    if not len(data.streams):
        raise RecordingError(f"Nothing in {folder / collection} can be read.")
    return data


def _data_set(
    title: str,
    everyone: list[Person],
    records: Iterable[tuple[str, Ints, Floats]],
    longest: int,
) -> tuple[DataSet, list[str]]:
    """Without events; and the person's name of each record."""
    found = [record for record in records if len(record[1])]
    place = {person.name: number for number, person in enumerate(everyone)}
    names = [name for name, _, _ in found]
    return DataSet(
        everyone[0].collection if everyone else title,
        title,
        Streams.joined((times, values) for _, times, values in found),
        np.array([place[name] for name in names], dtype=np.int64),
        [person.identifier for person in everyone],
        [person.side for person in everyone],
        [],
        longest,
    ), names


def seen_before(data: DataSet, event: Event) -> bool:
    """Whether the record has a reading in the time in which an early alarm could come."""
    begin, end = data.streams.edges[event.record : event.record + 2].tolist()
    times = data.streams.times[begin:end]
    found = np.searchsorted(times, (event.begin, event.early), side="left")
    return bool(found[1] > found[0])


# Acute hypotensive episodes (PhysioNet/CinC 2009): mean pressure alone, a value a minute.


def low_runs(pressure: Doubles, minutes: int = 30) -> Doubles:
    """Of each minute, the share of the ``minutes`` from it on with a mean pressure <= 60 (m,).

    A value that no living patient shows is not low. NaN where fewer minutes follow.
    """
    lowest, _ = vitals.bounds("plausible")
    low = (pressure <= 60) & (pressure >= lowest[_MAP])
    total = np.concatenate(([0], np.cumsum(low)))
    shares = np.full(len(pressure), np.nan)
    if len(pressure) >= minutes:
        shares[: len(pressure) - minutes + 1] = (total[minutes:] - total[:-minutes]) / minutes
    return shares


def _cinc2009(folder: Path, everyone: list[Person], _: Report) -> DataSet:
    labels = {row["record"]: row for row in table(folder / "labels.csv", "record", "AHE")}
    courses: dict[str, list[float]] = defaultdict(list)
    for row in table(folder / "map_1min_long.csv", "record", "minute", "MAP"):
        courses[row["record"]].append(float(row["MAP"] or "nan"))

    def records() -> Iterator[tuple[str, Ints, Floats]]:
        for name, pressure in courses.items():
            values = np.full((len(pressure), vitals.COUNT), np.nan, dtype=np.float32)
            values[:, _MAP] = pressure
            yield name, START + np.arange(len(pressure)) * MINUTE, values

    data, names = _data_set("acute hypotension, MAP a minute", everyone, records(), 5 * MINUTE)
    events: list[Event] = []
    for record, name in enumerate(names):
        shares = low_runs(np.array(courses[name]))
        low = np.flatnonzero(shares >= _LOW_SHARE)
        wanted = int(labels[name]["AHE"])
        if wanted:
            onset = _FORECAST_MINUTE + int(np.nanargmax(shares[_FORECAST_MINUTE:]))
            # The first minute whose run is low enough; of some, raw values show less than that.
            foretold = low[low >= _FORECAST_MINUTE]
            if len(foretold):
                onset = int(foretold[0])
            events.append(HYPOTENSION.event(record, "hypotension", START + onset * MINUTE))
        # Episodes in what went before are real ones too, and to alarm then is not false.
        for minute in low.tolist():
            if not (wanted and minute >= _FORECAST_MINUTE):
                onset = START + minute * MINUTE
                events.append(HYPOTENSION.event(record, "hypotension", onset, counted=False))
    data.events.extend(events)
    return replace(data, matched=(HYPOTENSION.before, HYPOTENSION.margin))


# Sepsis (PhysioNet/CinC 2019): a row an hour; the label turns 1 six hours before the onset.

_CHARTED: Final = ("HR", "O2Sat", "Temp", "SBP", "MAP", "DBP", "Resp", "EtCO2")
_ORDER: Final = [
    ("hr", "spo2", "temp", "sbp", "map", "dbp", "rr", "etco2").index(name) for name in vitals.NAMES
]
_LABEL_LEADS: Final = 6 * HOUR


def _cinc2019(folder: Path, everyone: list[Person], report: Report) -> DataSet:
    labels: dict[str, Ints] = {}
    groups: dict[str, dict[str, str]] = {"age": {}, "sex": {}}

    def records() -> Iterator[tuple[str, Ints, Floats]]:
        for person in everyone:
            path = next(folder.glob(f"set?/{person.name}.psv"))
            try:
                header, *rows = path.read_text().splitlines()
                if tuple(header.split("|")[: len(_CHARTED)]) != _CHARTED:
                    raise ValueError("its first columns are not those of the challenge")
                values = np.array(
                    [row.split("|", len(_CHARTED))[: len(_CHARTED)] for row in rows],
                    dtype=np.float32,
                )[:, _ORDER]
                tails = np.array([row.rsplit("|", 7)[1:] for row in rows], dtype=np.float64)
                age, male, _, _, _, hours, label = tails.T
            except (OSError, ValueError, IndexError) as error:
                report(f"{path} left out: {error}")
                continue
            labels[person.name] = label.astype(np.int64)
            groups["age"][person.name] = _age(float(age[0]))
            groups["sex"][person.name] = "men" if male[0] else "women"
            yield person.name, START + hours.astype(np.int64) * HOUR, values

    title = "sepsis, charted hourly"
    data, names = _data_set(title, everyone, records(), 4 * HOUR)
    for record, name in enumerate(names):
        begin, end = data.streams.edges[record : record + 2].tolist()
        septic = np.flatnonzero(labels[name])
        if not len(septic):
            continue
        first = int(septic[0])
        onset = int(data.streams.times[min(begin + first, end - 1)]) + _LABEL_LEADS
        # Who is septic from the first row on: nobody knows since when.
        event = SEPSIS.event(record, "sepsis", onset, counted=first > 0)
        data.events.append(event._replace(counted=event.counted and seen_before(data, event)))
    return replace(data, matched=(SEPSIS.before, SEPSIS.margin), groups=_grouped(everyone, groups))


# MIMIC-IV demo: charting as it comes, and what was done.


def _mimic4(folder: Path, everyone: list[Person], _: Report) -> DataSet:
    stays = list(table(folder / "stays.csv", "patient_id", "age", "sex"))
    groups = {
        "age": {row["patient_id"]: _age(float(row["age"] or "nan")) for row in stays},
        "sex": {row["patient_id"]: {"Female": "women", "Male": "men"}[row["sex"]] for row in stays},
    }
    pieces: list[tuple[str, Ints, Floats]] = []
    for name, times, values in _wide(folder / "vitals_wide.csv.gz"):
        cuts = np.flatnonzero(np.diff(times) > _STAY_GAP) + 1
        parts = zip(np.split(times, cuts), np.split(values, cuts), strict=True)
        pieces += [(name, at, what) for at, what in parts]
    title = "deterioration, charted as it comes"
    data, names = _data_set(title, everyone, pieces, 4 * HOUR)
    kinds = {
        "vasoactive_first_start": "vasoactive drug",
        "invasive_vent_first_record": "ventilation",
        "in_hospital_death": "death",
    }
    records: dict[str, list[int]] = defaultdict(list)
    for record, name in enumerate(names):
        records[name].append(record)
    done: set[tuple[int, str]] = set()
    acts = table(folder / "events.csv", "patient_id", "time", "event")
    for row in sorted(acts, key=lambda row: row["time"]):
        for record in records[row["patient_id"]]:
            event = TREATMENT.event(record, kinds[row["event"]], _moment(row["time"]))
            begin, end = data.streams.edges[record : record + 2].tolist()
            if event.end < data.streams.times[begin] or event.begin > data.streams.times[end - 1]:
                continue
            # Of a stay's vasoactive drugs only the first says that something has changed.
            first = (record, event.kind) not in done
            data.events.append(event._replace(counted=first and seen_before(data, event)))
            done.add((record, event.kind))
    return replace(data, groups=_grouped(everyone, groups))


# MIMIC-II: three monitors' numerics, a value a minute.


def _mimic2(folder: Path, everyone: list[Person], report: Report) -> DataSet:
    records = list(_files(folder, everyone, report))
    title = "sustained crossings, a reading a minute"
    data, names = _data_set(title, everyone, records, 5 * MINUTE)
    episodes: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for row in table(folder / "derived_events.csv", "file", "rule", "start_time", "end_time"):
        name = row["file"].removesuffix(".csv")
        if name in names:
            spell = _moment(row["start_time"]), _moment(row["end_time"]), row["rule"]
            episodes[names.index(name)].append(spell)
    for record, spells in episodes.items():
        over = -_FOREVER
        for start, end, rule in sorted(spells):
            # What begins within the hour after another episode cannot be foretold apart from it.
            event = HYPOTENSION.event(record, rule, start, counted=start > over + 60 * MINUTE)
            event = event._replace(end=max(event.end, end))
            data.events.append(event._replace(counted=event.counted and seen_before(data, event)))
            over = max(over, end)
    return data


# Recordings without events: what is raised there is false, or at least of no known use.


def _uneventful(title: str) -> Callable[[Path, list[Person], Report], DataSet]:
    def read(folder: Path, everyone: list[Person], report: Report) -> DataSet:
        tables = sorted(folder.glob("vitals.csv.gz"))
        records = _wide(tables[0]) if tables else _files(folder, everyone, report)
        return _data_set(title, everyone, records, 5 * MINUTE)[0]

    return read


_LOADERS: Final[Mapping[str, Callable[[Path, list[Person], Report], DataSet]]] = {
    "bidmc-numerics": _uneventful("intensive care, a reading a second, no events"),
    "cinc2009-train": _cinc2009,
    "cinc2019-sample": _cinc2019,
    "mimic2-numerics": _mimic2,
    "mimic4-demo-vitals": _mimic4,
    "noneeg": _uneventful("healthy people with a wearable, no events"),
    "sedation-oximetry": _uneventful("sedation, a reading a second, no events"),
    "vitaldb-surgery": _uneventful("anaesthesia, a reading every 2 s, no events"),
}


def _files(
    folder: Path, everyone: list[Person], report: Report
) -> Iterator[tuple[str, Ints, Floats]]:
    for person in everyone:
        try:
            yield from _wide(folder / f"{person.name}.csv")
        except RecordingError as error:
            report(f"left out: {error}")


def _wide(path: Path) -> Iterator[tuple[str, Ints, Floats]]:
    """Times and values of each patient of a wide CSV file."""
    with Recording(path).stream() as stream:
        rows = np.concatenate([part[["patient", "time", "values"]] for part in stream.parts])
    for number, name in enumerate(stream.names):
        own = rows[rows["patient"] == number]
        yield name, own["time"].copy(), own["values"].astype(np.float32)


def _moment(text: str) -> int:
    """A time in ISO 8601, UTC if it does not say, in ms."""
    time = datetime.fromisoformat(text)
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _age(years: float) -> str:
    return "unknown" if np.isnan(years) else "65 and older" if years >= 65 else "under 65"


def _grouped(
    everyone: list[Person], groups: Mapping[str, Mapping[str, str]]
) -> dict[str, list[str]]:
    return {
        attribute: [of.get(person.name, "unknown") for person in everyone]
        for attribute, of in groups.items()
    }
