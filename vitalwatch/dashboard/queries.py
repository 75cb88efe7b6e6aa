"""What a page asks for: a patient's history, and alerts by filters."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import numpy as np

from vitalwatch.dashboard.alerts import Entry
from vitalwatch.dashboard.history import History
from vitalwatch.dashboard.rings import RARITY, Window
from vitalwatch.dashboard.ward import Person, Ward, numbers
from vitalwatch.errors import BrokerError
from vitalwatch.vitals import NAMES, VITALS

MOST_POINTS: Final = 4000
MOST_MS: Final = 25 * 3_600_000
GAP_MS: Final = 60_000
"""A patient without any reading for longer than that has a gap, and one of three intervals."""

MOST_ALERTS: Final = 500
FINE_MS: Final = 3_600_000
"""So short a time is shown as it was measured, also where the ward keeps minutes alone."""


class HistoryQuery(msgspec.Struct, forbid_unknown_fields=True):
    """A patient's vital signs from a time to another, in ms, in about so many points each."""

    key: str
    from_ms: int
    to_ms: int
    points: int = 600


class AlertQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Alerts that all of what is given applies to; ``before`` is a time to go on from."""

    kinds: list[str] | None = None
    priorities: list[str] | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    search: str = ""
    ward: str = ""
    key: str = ""
    alert_id: str = ""
    acknowledged: bool | None = None
    active: bool | None = None
    limit: int = 100
    before: int | None = None


class Queries:
    """Answers from a ward."""

    def __init__(self, ward: Ward, older: History | None = None) -> None:
        """``older`` reads what the ward does not keep, where there are topics."""
        self._ward = ward
        self._older = older

    def history(self, query: HistoryQuery) -> dict[str, Any] | None:
        """A patient's history; None for a patient who is not known."""
        person = self._ward.person(query.key)
        if person is None:
            return None
        begin = max(query.from_ms, query.to_ms - MOST_MS)
        end = max(query.to_ms, begin)
        points = min(max(query.points, 2), MOST_POINTS)
        window = self._windows(person, begin, end)
        found = {}
        for vital, name in enumerate(NAMES):
            series = window(vital, points)
            if len(series.times):
                found[name] = _told(series) | {"artefacts": _artefacts(series, vital)}
        rarity = window(RARITY, points)
        wanted = AlertQuery(key=query.key, from_ms=begin, to_ms=end, limit=MOST_ALERTS)
        return {
            "key": query.key,
            "from_ms": begin,
            "to_ms": end,
            "vitals": found,
            "rarity": {
                "t": rarity.times.tolist(),
                "v": [None if day != day else float(f"{10**day:.4g}") for day in rarity.most],
            },
            "gaps": _gaps(window(RARITY, MOST_POINTS)),
            "alerts": self.alerts(wanted)["alerts"],
        }

    def _windows(self, person: Person, begin: int, end: int) -> Callable[[int, int], Window]:
        """What gives a series of about so many points: from the ward, or older from the topics."""
        by_minute, whole = self._ward.span(person.row)
        wanted = begin < by_minute or (begin < whole and end - begin <= FINE_MS)
        if wanted and self._older is not None:
            try:
                rings = self._older.read(person.name, begin, end)
            except BrokerError:
                rings = None  # what is kept is better than nothing, and the page says that it is
            if rings is not None:
                return lambda vital, points: rings.window(0, vital, begin, end, points)
        return lambda vital, points: self._ward.window(person.row, vital, begin, end, points)

    def alerts(self, query: AlertQuery) -> dict[str, Any]:
        """Alerts, those with the newest events first, and whether there are more."""
        limit = min(max(query.limit, 1), MOST_ALERTS)
        shown: list[dict[str, Any]] = []
        for _, each in self._chosen(query):
            if len(shown) == limit:
                return {"alerts": shown, "more": True}
            shown.append(each)
        return {"alerts": shown, "more": False}

    def export(self, query: AlertQuery) -> bytes:
        """All events of alerts as they were published, a line each, with who took note."""
        lines: list[Any] = []
        for entry, shown in self._chosen(query):
            lines += entry.events
            lines += [{"acknowledged": ack} for ack in shown["acks"]]
        return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)

    def _chosen(self, query: AlertQuery) -> Iterator[tuple[Entry, dict[str, Any]]]:
        with self._ward.lock:
            entries = list(self._ward.alerts.latest())
        needle = query.search.casefold()
        for entry in entries:
            last = entry.events[-1].time if entry.events else entry.alert.time
            if (
                (query.alert_id and entry.alert.alert_id != query.alert_id)
                or (query.kinds is not None and entry.alert.kind not in query.kinds)
                or (query.priorities is not None and entry.alert.priority not in query.priorities)
                or (query.to_ms is not None and entry.since > query.to_ms)
                or (query.from_ms is not None and (entry.over or _NOW) < query.from_ms)
                or (query.active is not None and entry.active != query.active)
                or (query.before is not None and last >= query.before)
            ):
                continue
            shown = self._ward.shown(entry.alert.alert_id)
            if (
                shown is None
                or (query.key and shown["key"] != query.key)
                or (query.ward and shown["ward"] != query.ward)
                or (query.acknowledged is not None and bool(shown["acks"]) != query.acknowledged)
                or (needle and needle not in _text(shown))
            ):
                continue
            yield entry, shown


_NOW: Final = 2**62


def _text(shown: dict[str, Any]) -> str:
    words = ("label", "ward", "bed", "sentence", "condition")
    return " ".join(str(shown[word]) for word in words).casefold()


def _told(window: Window) -> dict[str, Any]:
    return {
        "t": window.times.tolist(),
        "v": numbers(window.value),
        "min": numbers(window.least),
        "max": numbers(window.most),
        "expected": numbers(window.expected),
        "lo": numbers(window.low),
        "hi": numbers(window.high),
        "surprise": numbers(window.surprise),
    }


def _artefacts(window: Window, vital: int) -> list[int]:
    """Times of values that no living patient has, in ms."""
    low, high = VITALS[vital].plausible
    outside = (window.least < low) | (window.most > high)
    return window.times[outside].tolist()  # type: ignore[no-any-return]


def _gaps(window: Window) -> list[list[int]]:
    """From when to when there were no readings at all, in ms."""
    steps = np.diff(window.times)
    if not len(steps):
        return []
    longest = max(GAP_MS, 3 * float(np.median(steps)))
    places = np.flatnonzero(steps > longest)
    return [[int(window.times[place]), int(window.times[place + 1])] for place in places.tolist()]
