"""A film in the feed's place: it plays into the ward, and can be paused, sped up and sought in."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from vitalwatch.dashboard.alerts import told
from vitalwatch.dashboard.clients import Events
from vitalwatch.dashboard.feed import TICK_SECONDS, Status, publish_numbers
from vitalwatch.dashboard.film import Film
from vitalwatch.dashboard.ward import GONE_MS, Ward
from vitalwatch.messages import Ack, Alert

FASTEST: Final = 10_000.0
STEP_SECONDS: Final = 0.1
STATE_SECONDS: Final = 1.0
AT_ONCE: Final = 20_000
"""Readings that go into the ward while nobody else may look."""

ALERTS_AT_ONCE: Final = 50
"""More alerts than that in one step are told as the whole ward anew."""

TIMELINE: Final = 5000


class Replay:
    """Plays a film from its beginning. ``clock`` gives seconds from any start."""

    mode = "replay"

    def __init__(
        self,
        film: Film,
        title: str,
        ward: Ward,
        events: Events,
        *,
        speed: float = 1.0,
        on_anew: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._film = film
        self._ward = ward
        self._events = events
        self._on_anew = on_anew
        self._clock = clock
        self._lock = threading.RLock()
        self._begin, self._end = int(film.times[0]), int(film.times[-1])
        self._at = float(self._begin)
        self._last = clock()
        self._speed = speed
        self._playing = True
        self._reading = self._alert = 0
        self._rows = ward.rows(film.names)
        self._timeline = _timeline(film, ward)
        self.status = Status("ok", f"Replaying {title}.")
        ward.at = self._begin

    def run(self, stop: threading.Event) -> None:
        """Play until ``stop`` is set."""
        numbers_due = state_due = 0.0
        while not stop.wait(STEP_SECONDS):
            with self._lock:
                self._step()
                now = self._clock()
                if now >= numbers_due:
                    numbers_due = now + TICK_SECONDS
                    publish_numbers(self._ward, self._events)
                if now >= state_due:
                    state_due = now + STATE_SECONDS
                    self._tell()

    def state(self) -> dict[str, Any]:
        """Where it is, in ms."""
        with self._lock:
            return {
                "playing": self._playing,
                "speed": self._speed,
                "at_ms": round(self._at),
                "from_ms": self._begin,
                "to_ms": self._end,
            }

    def timeline(self) -> dict[str, Any]:
        """All alerts of the film, and what really happened where that is known."""
        return self._timeline

    def command(self, action: str, speed: float | None, to_ms: int | None) -> dict[str, Any]:
        """Play, pause, change the speed or seek; where it is then. Raises ValueError."""
        with self._lock:
            self._step()
            if action == "play":
                if self._at >= self._end:
                    self._seek(self._begin)
                self._playing = True
            elif action == "pause":
                self._playing = False
            elif action == "speed":
                if speed is None or not 0 < speed <= FASTEST:
                    raise ValueError(f"The speed must be above 0 and at most {FASTEST:g}.")
                self._speed = speed
            elif action == "seek":
                if to_ms is None:
                    raise ValueError("Say where to: to_ms.")
                self._seek(min(max(to_ms, self._begin), self._end))
            else:
                raise ValueError("The action must be play, pause, speed or seek.")
            self._tell()
            return self.state()

    def acknowledged(self, ack: Ack) -> None:
        """Somebody took note; it is kept as long as the replay runs."""
        if self._ward.acknowledge(ack):
            self._events.publish_from_thread("ack", told(ack))

    def _step(self) -> None:
        """Go on by the time that has passed."""
        now = self._clock()
        passed, self._last = now - self._last, now
        if not self._playing:
            return
        self._at = min(self._at + passed * 1000 * self._speed, self._end)
        self._playing = self._at < self._end
        alerts = self._show(round(self._at))
        if len(alerts) > ALERTS_AT_ONCE:
            self._on_anew()
        else:
            for shown in alerts:
                self._events.publish_from_thread("alert", shown)

    def _seek(self, to: int) -> None:
        """Show the ward as it was then."""
        if to < self._at:
            self._ward.reset()
            self._alert = 0
            # What is older than a day leaves no trace in a ward.
            self._reading = int(np.searchsorted(self._film.times, to - GONE_MS))
        self._at = float(to)
        self._last = self._clock()
        self._show(to)
        self._ward.numbers()  # they are told with all the rest
        self._on_anew()

    def _show(self, to: int) -> list[dict[str, Any]]:
        """Bring the ward up to a time; the alerts on the way there, as pages get them."""
        film, ward = self._film, self._ward
        end = int(np.searchsorted(film.times, to, side="right"))
        ward.at = to
        for begin in range(self._reading, end, AT_ONCE):
            span = slice(begin, min(begin + AT_ONCE, end))
            rows = self._rows[film.patients[span]]
            times = film.times[span]
            ward.readings(rows, times, film.values[span])
            ward.scored(
                rows,
                times,
                film.rarity[span],
                film.expected[span],
                film.low[span],
                film.high[span],
                film.surprise[span],
            )
        self._reading = max(self._reading, end)
        shown: deque[dict[str, Any]] = deque(maxlen=ALERTS_AT_ONCE + 1)
        while self._alert < len(film.alerts) and film.alerts[self._alert].time <= to:
            shown.append(ward.alert(film.alerts[self._alert]))
            self._alert += 1
        return list(shown)

    def _tell(self) -> None:
        self._events.publish_from_thread("replay", self.state())


def _timeline(film: Film, ward: Ward) -> dict[str, Any]:
    begun: dict[str, tuple[Alert, dict[str, Any]]] = {}
    for alert in film.alerts:
        if alert.alert_id not in begun:
            mark = {
                "alert_id": alert.alert_id,
                "key": ward.key(alert.patient),
                "label": alert.patient,
                "kind": alert.kind,
                "priority": alert.priority,
                "condition": alert.condition,
                "time_ms": alert.time,
                "over_ms": None,
            }
            begun[alert.alert_id] = alert, mark
        elif alert.event == "cleared":
            begun[alert.alert_id][1]["over_ms"] = alert.time
    return {
        "alerts": [mark for _, mark in begun.values()][:TIMELINE],
        "events": [
            {
                "key": ward.key(truth.patient),
                "label": truth.patient,
                "event": truth.event,
                "benign": truth.benign,
                "from_ms": truth.onset,
                "to_ms": truth.end,
                "critical_ms": truth.critical,
            }
            for truth in film.truths
        ][:TIMELINE],
    }
