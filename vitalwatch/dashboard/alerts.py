"""Alerts and what people said of them: which are active, which were, in bounded memory."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from vitalwatch.messages import Ack, Alert

KEPT: Final = 5000
"""Alerts that are remembered; the first to be forgotten are those that are over longest."""

EVENTS_KEPT: Final = 20
ACKS_KEPT: Final = 5
ACKS_HELD: Final = 50_000
"""Acknowledged alerts that are remembered; an acknowledgement may be read before its alert."""


@dataclass(slots=True)
class Entry:
    """One alert: ``alert`` is its last event that is not its end; times in ms."""

    alert: Alert
    since: int
    over: int | None = None
    events: deque[Alert] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))

    @property
    def active(self) -> bool:
        """Whether the condition still holds."""
        return self.over is None


class Alerts:
    """All alerts by id, and by patient those that are active."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # by their last event
        self._active: dict[str, dict[str, Entry]] = {}
        self._acks: OrderedDict[str, deque[Ack]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, alert: Alert) -> Entry:
        """An event of an alert; read again, it changes nothing."""
        entry = self._entries.get(alert.alert_id)
        if entry is None:
            entry = self._entries[alert.alert_id] = Entry(alert, alert.time)
            self._forget()
        if alert in entry.events:
            return entry
        entry.events.append(alert)
        entry.since = min(entry.since, alert.time)
        self._entries.move_to_end(alert.alert_id)
        active = self._active.setdefault(alert.patient, {})
        if alert.event == "cleared":
            entry.over = alert.time
            active.pop(alert.alert_id, None)
        else:
            entry.alert, entry.over = alert, None
            active[alert.alert_id] = entry
        if not active:
            del self._active[alert.patient]
        return entry

    def acknowledge(self, ack: Ack) -> bool:
        """Somebody took note; False if that is known."""
        held = self._acks.setdefault(ack.alert_id, deque(maxlen=ACKS_KEPT))
        if ack in held:
            return False
        held.append(ack)
        self._acks.move_to_end(ack.alert_id)
        while len(self._acks) > ACKS_HELD:
            self._acks.popitem(last=False)
        return True

    def reset(self) -> None:
        """Forget all alerts, but not what was acknowledged."""
        self._entries.clear()
        self._active.clear()

    def get(self, alert_id: str) -> Entry | None:
        """An alert that is remembered."""
        return self._entries.get(alert_id)

    def acks(self, alert_id: str) -> list[dict[str, Any]]:
        """Who took note of an alert, the last one last."""
        return [told(ack) for ack in self._acks.get(alert_id, ())]

    def active(self, patient: str) -> list[Entry]:
        """A patient's active alerts."""
        return list(self._active.get(patient, {}).values())

    def latest(self) -> Iterator[Entry]:
        """All that are remembered, those with the newest events first."""
        return reversed(self._entries.values())

    def _forget(self) -> None:
        while len(self._entries) > KEPT:
            oldest = next((key for key, entry in self._entries.items() if not entry.active), None)
            if oldest is None:  # a flood of alerts, all of them active: the oldest goes
                oldest = next(iter(self._entries))
                gone = self._entries[oldest].alert
                self._active.get(gone.patient, {}).pop(oldest, None)
            del self._entries[oldest]


def shown(entry: Entry, acks: list[dict[str, Any]], place: dict[str, Any]) -> dict[str, Any]:
    """An alert as pages get it; ``place`` says whose it is: key, label, ward and bed."""
    return {
        **msgspec.to_builtins(entry.alert),
        **place,
        "state": "active" if entry.active else "over",
        "since_ms": entry.since,
        "over_ms": entry.over,
        "acks": acks,
    }


def told(ack: Ack) -> dict[str, Any]:
    """An acknowledgement as pages get it."""
    return {"alert_id": ack.alert_id, "name": ack.name, "note": ack.note, "time_ms": ack.time}
