"""All that the pages are told: patients with their latest values and histories, and alerts.

One thread writes, several read: every method takes the lock. What is kept of a patient does not
grow with time, and patients who are gone are forgotten.
"""

import hashlib
import hmac
import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vitalwatch.arrays import Floats, Ints
from vitalwatch.dashboard.alerts import Alerts, Entry, shown
from vitalwatch.dashboard.columns import score_columns
from vitalwatch.dashboard.latest import Latest, newest, newest_scores
from vitalwatch.dashboard.rings import MINUTE_MS, Rings, Window
from vitalwatch.messages import PRIORITIES, Ack, Alert, ScoreBlock
from vitalwatch.vitals import INDEX, NAMES, VITALS, bounds

PATIENTS: Final = 5000
"""More patients than that are not shown, and that is said."""

GONE_MS: Final = 24 * 3_600_000
"""Who has had no reading for so long is gone."""

NO_DATA_MS: Final = 60_000
STREAM_MS: Final = 10 * MINUTE_MS
"""Readings further than that from now are of another time, which then goes on from there."""

SPARK_MS: Final = 30 * MINUTE_MS
SPARK_POINTS: Final = 60
RECENT_ALERTS: Final = 200

_FOREVER: Final = 2**62


@dataclass(slots=True)
class Person:
    """Who a row is: the identifier on the wire, the pages' key, and where the bed is."""

    name: str
    key: str
    row: int
    ward: str = ""
    bed: str = ""

    def place(self) -> dict[str, Any]:
        """What pages show of it."""
        return {"key": self.key, "label": self.name, "ward": self.ward, "bed": self.bed}


class Ward:
    """Everybody on the stream. ``secret`` makes the keys that stand for patients in requests."""

    def __init__(
        self,
        secret: bytes = b"",
        *,
        most: int = PATIENTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._near_at = -_FOREVER  # by the clock, when a reading of about then came
        self._elsewhen = True  # whether the stream is of another time than the clock
        self.lock = threading.RLock()
        self.alerts = Alerts()
        self.turned_away = 0
        self.people_changed = False  # who is here, or where: the pages are to be told all anew
        self.since = 0  # in ms: what is older than that was not read when the server started
        self.at: int | None = None  # of a replay: the time that it has come to
        self._secret = secret or secrets.token_bytes(32)
        self._most = most
        self._people: dict[str, Person] = {}  # in the order in which they came
        self._by_key: dict[str, Person] = {}
        self._free: list[int] = []
        self._rings = Rings()
        self._stream = 0
        self._latest = Latest.of(0)

    @property
    def nbytes(self) -> int:
        """Bytes that the histories may take."""
        return self._rings.nbytes

    def __len__(self) -> int:
        return len(self._people)

    def now(self, clock_ms: int) -> int:
        """The time that ages are told from, in ms: the clock's, or the stream's if that differs.

        A stream that falls silent stays of the time that it was of, or everybody would look as if
        just heard; and one device whose clock is wrong does not move the others to another time.
        """
        if self.at is not None:
            return self.at
        return self._stream if self._elsewhen and self._stream else clock_ms

    # -- what comes in ---------------------------------------------------------------------------

    def rows(self, patients: Sequence[str]) -> Ints:
        """Rows of patients (n,), new ones among them; -1 for who finds no room."""
        people = self._people
        found = [people.get(name) for name in patients]
        if None in found:
            found = [self._person(name) for name in patients]
        return np.array([-1 if person is None else person.row for person in found], dtype=np.int64)

    def introduce(self, patient: str, ward: str | None, bed: str | None) -> None:
        """Where a patient is."""
        with self.lock:
            person = self._people.get(patient)
            if person is not None:
                place = ward or person.ward, bed or person.bed
                self.people_changed |= place != (person.ward, person.bed)
                person.ward, person.bed = place

    def unplaced(self, rows: Ints, times: Ints) -> Ints:
        """Places (k,) of readings, one a patient, that are to be asked for ward and bed."""
        due = np.flatnonzero((rows >= 0) & (times >= self._latest.ask[rows]))
        chosen = due[np.unique(rows[due], return_index=True)[1]]
        self._latest.ask[rows[chosen]] = times[chosen] + MINUTE_MS
        return chosen

    def readings(self, rows: Ints, times: Ints, values: Floats) -> None:
        """Readings of ``rows`` (n,) at ``times`` (n,) in ms; ``values`` (n, V), else NaN."""
        known = rows >= 0
        if not known.all():
            rows, times, values = rows[known], times[known], values[known]
        if not len(rows):
            return
        with self.lock:
            self._rings.readings(rows, times, values)
            latest = self._latest
            newest(rows, times, values, latest.times, latest.values, latest.last)
            self._latest.changed[rows] = True
            self._stream = max(self._stream, int(times.max()))
            clock = round(self._clock() * 1000)
            if (np.abs(times - clock) <= STREAM_MS).any():
                self._near_at, self._elsewhen = clock, False
            elif clock - self._near_at > STREAM_MS:
                self._elsewhen = True

    def scores(self, block: ScoreBlock) -> None:
        """Scores of readings, which may have come already or not.

        Raises OverflowError, and knows nobody new, where a number is larger than any column's.
        """
        times, rarity, tables = score_columns(block)
        rows = self.rows(block.patients)
        here = rows >= 0  # the others found no room
        self.scored(rows[here], times[here], rarity[here], *(table[here] for table in tables))

    def scored(
        self,
        rows: Ints,
        times: Ints,
        rarity: Floats,
        expected: Floats,
        low: Floats,
        high: Floats,
        surprise: Floats,
    ) -> None:
        """The same as columns; all but the first three are (n, V)."""
        if not len(rows):
            return
        with self.lock:
            self._rings.scores(rows, times, rarity, (expected, low, high, surprise))
            latest = self._latest
            newest_scores(
                rows, times, rarity, expected, low, high,
                latest.scored, latest.rarity, latest.bands,
            )  # fmt: skip
            self._latest.changed[rows] = True

    def alert(self, alert: Alert) -> dict[str, Any]:
        """An alert's event; the alert as pages get it."""
        with self.lock:
            entry = self.alerts.put(alert)
            return self._shown(entry)

    def acknowledge(self, ack: Ack) -> bool:
        """An acknowledgement; False if it is known."""
        with self.lock:
            return self.alerts.acknowledge(ack)

    def forget_gone(self) -> int:
        """Let go of who is gone by now; how many."""
        with self.lock:
            last = np.maximum(self._latest.last, self._latest.scored)
            before = self.now(round(self._clock() * 1000)) - GONE_MS
            gone = [each for each in self._people.values() if 0 < last[each.row] < before]
            self.people_changed |= bool(gone)
            for person in gone:
                del self._people[person.name], self._by_key[person.key]
                self._rings.forget(person.row)
                self._latest.put(slice(person.row, person.row + 1), Latest.of(1))
                self._free.append(person.row)
            return len(gone)

    def reset(self) -> None:
        """Know of the same patients, and nothing else but what was acknowledged."""
        with self.lock:
            self._rings.reset()
            self._latest = Latest.of(len(self._latest.last))
            self.alerts.reset()
            self._stream, self._elsewhen, self._near_at = 0, True, -_FOREVER

    # -- what goes out ---------------------------------------------------------------------------

    def person(self, key: str) -> Person | None:
        """Whom a key stands for."""
        return self._by_key.get(key)

    def numbers(self) -> list[Any]:
        """What has changed since it was last asked, a list a patient."""
        with self.lock:
            changed = self._latest.changed
            people = [person for person in self._people.values() if changed[person.row]]
            rows = np.array([person.row for person in people], dtype=np.int64)
            self._latest.changed[:] = False
            if not len(rows):
                return []
            last, rarity = self._latest.last[rows], self._latest.rarity[rows]
            values, bands = self._latest.values[rows], self._latest.bands[rows]
            current = (self._latest.times[rows] == last[:, None]) & ~np.isnan(values)
        lasts, rarities = last.tolist(), rarity.tolist()
        told: list[Any] = []
        numbers, expected = values.tolist(), bands.tolist()
        for place, (person, shown_) in enumerate(zip(people, current.tolist(), strict=True)):
            vitals, band = {}, {}
            for vital, here in enumerate(shown_):
                if here:
                    vitals[NAMES[vital]] = _number(numbers[place][vital])
                    if expected[place][vital][0] == expected[place][vital][0]:
                        band[NAMES[vital]] = [_number(each) for each in expected[place][vital]]
            told.append([person.key, lasts[place], vitals, _rarity(rarities[place]), band])
        return told

    def patients(self, clock_ms: int) -> list[dict[str, Any]]:
        """All patients, in the order in which they came."""
        told = []
        with self.lock:
            now, people = self.now(clock_ms), list(self._people.values())
        for person in people:
            with self.lock:  # not for all at once: what comes in need not wait for so long
                told.append(self._patient(person, now))
        return told

    def listed(self) -> list[dict[str, Any]]:
        """Alerts that are active, and the latest of the others."""
        with self.lock:
            found, others = [], 0
            for entry in self.alerts.latest():
                if entry.active or others < RECENT_ALERTS:
                    found.append(self._shown(entry))
                    others += not entry.active
            return found

    def shown(self, alert_id: str) -> dict[str, Any] | None:
        """One alert as pages get it."""
        with self.lock:
            entry = self.alerts.get(alert_id)
            return None if entry is None else self._shown(entry)

    def window(self, row: int, vital: int, begin: int, end: int, points: int) -> Window:
        """A series of a patient; see :meth:`vitalwatch.dashboard.rings.Rings.window`."""
        with self.lock:
            return self._rings.window(row, vital, begin, end, points)

    def span(self, row: int) -> tuple[int, int]:
        """Since when a patient's readings are kept by the minute, and as they came; in ms.

        0 where none have been let go of, and none been left out when the server started.
        """
        with self.lock:
            first = self._rings.first(row)
            return min(first, self.since), self._rings.whole_since(row)

    def _shown(self, entry: Entry) -> dict[str, Any]:
        name = entry.alert.patient
        person = self._people.get(name)
        place = (
            {"key": self.key(name), "label": name, "ward": "", "bed": ""}
            if person is None
            else person.place()
        )
        return shown(entry, self.alerts.acks(entry.alert.alert_id), place)

    def _patient(self, person: Person, now: int) -> dict[str, Any]:
        row = person.row
        active = self.alerts.active(person.name)
        vitals = {
            name: {
                "v": _number(self._latest.values[row, vital].item()),
                "at_ms": int(self._latest.times[row, vital]),
                **dict(
                    zip(
                        ("expected", "lo", "hi"),
                        map(_number, self._latest.bands[row, vital].tolist()),
                        strict=True,
                    )
                ),
            }
            for vital, name in enumerate(NAMES)
            if self._latest.times[row, vital]
        }
        physiological = [e.alert for e in active if e.alert.kind == "physiological"]
        technical = len(physiological) < len(active)
        worst = max(physiological, key=lambda a: PRIORITIES.index(a.priority), default=None)
        silent = now - int(self._latest.last[row]) > NO_DATA_MS
        return {
            **person.place(),
            "last_ms": int(self._latest.last[row]),
            "vitals": vitals,
            "rarity": _rarity(self._latest.rarity[row].item()),
            "spark": self._spark(row, worst, now),
            "state": "no_data" if silent else "technical" if technical else "ok",
            "priority": None if worst is None else worst.priority,
            "alert_ids": [entry.alert.alert_id for entry in active],
        }

    def _spark(self, row: int, worst: Alert | None, now: int) -> dict[str, Any] | None:
        """The last half hour of what drives the worst alert, else of the first vital there is."""
        wanted = [driver.vital for driver in worst.drivers[:1]] if worst else []
        for name in (*wanted, *NAMES):
            vital = INDEX.get(name)
            if vital is not None and now - self._latest.times[row, vital] < SPARK_MS:
                window = self._rings.window(row, vital, now - SPARK_MS, now, SPARK_POINTS)
                return {
                    "vital": name,
                    "t": window.times.tolist(),
                    "v": numbers(window.value),
                    "lo": numbers(window.low),
                    "hi": numbers(window.high),
                }
        return None

    # -- rows ------------------------------------------------------------------------------------

    def key(self, name: str) -> str:
        """What stands for a patient where its identifier must not."""
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()[:16]

    def _person(self, name: str) -> Person | None:
        person = self._people.get(name)
        if person is None:
            if len(self._people) >= self._most:
                self.turned_away += 1
                return None
            with self.lock:
                if not self._free:
                    held = len(self._latest.last)
                    larger = Latest.of(max(64, 2 * held))
                    larger.put(slice(held), self._latest)
                    self._latest = larger
                    self._rings.cover(len(larger.last))
                    self._free.extend(range(len(larger.last) - 1, held - 1, -1))
                person = Person(name, self.key(name), self._free.pop())
                self._people[name] = self._by_key[person.key] = person
                self.people_changed = True
        return person


def _number(value: float) -> float | None:
    """A float32 with the digits that it was written with."""
    return None if math.isnan(value) else round(value, 2)


def _rarity(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def numbers(values: Any) -> list[float | None]:
    """An array for JSON: None where there is none."""
    return [None if value != value else round(value, 2) for value in values.tolist()]


def vitals() -> list[dict[str, Any]]:
    """What pages need to know of the vital signs, in order."""
    plausible = bounds("plausible")
    return [
        {
            "name": vital.name,
            "label": vital.label,
            "unit": vital.unit,
            "colour": vital.colour,
            "decimals": 0 if vital.resolution >= 1 else 1,
            "limits": list(vital.limit),
            "critical": list(vital.critical),
            "plausible": [float(plausible[0][place]), float(plausible[1][place])],
        }
        for place, vital in enumerate(VITALS)
    ]
