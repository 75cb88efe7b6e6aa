"""Alerts for a terminal: lines of text, or a board of what is active.

Fed with decoded alerts, it knows no broker. Priority is told by marks and words beside the
colour, and technical alerts stand apart from physiological ones.
"""

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vitalwatch.commands.ward_view import MARKS, STYLES, span
from vitalwatch.messages import PRIORITIES, Alert, Kind, rfc3339

_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_CLEARED_KEPT: Final = 50
_KINDS: Final[tuple[Kind, ...]] = ("physiological", "technical")


def printable(text: str) -> str:
    """Text that cannot steer a terminal, wherever it came from."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def line(alert: Alert) -> str:
    """One event as a line of text."""
    rarity = "" if alert.rarity is None else f" (once in {span(alert.rarity)})"
    return printable(
        f"{rfc3339(alert.time)} {MARKS[alert.priority]:<8} {alert.kind:<13} {alert.event:<9} "
        f"{alert.patient}: {alert.sentence}{rarity}"
    )


class Board:
    """The latest event of each alert: of those that are active, and of those seen to clear."""

    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}
        self._lag = 0

    def past(self, alert: Alert, *, keep_cleared: bool) -> None:
        """An event from before we watched."""
        self._put(alert)
        if alert.event == "cleared" and not keep_cleared:
            del self._alerts[alert.alert_id]

    def live(self, alert: Alert, now: int) -> None:
        """An event that arrives ``now``, in ms.

        One of another time is of a replayed recording: time goes on from there then.
        """
        self._put(alert)
        self._lag = now - alert.time if abs(now - alert.time) > _HOUR_MS else 0

    def _put(self, alert: Alert) -> None:
        self._alerts.pop(alert.alert_id, None)
        self._alerts[alert.alert_id] = alert  # the newest event stands last
        if alert.event == "cleared":
            cleared = [a.alert_id for a in self._alerts.values() if a.event == "cleared"]
            for oldest in cleared[:-_CLEARED_KEPT]:
                del self._alerts[oldest]

    def active(self, kind: Kind) -> int:
        """How many alerts of a kind are active."""
        return sum(a.kind == kind and a.event != "cleared" for a in self._alerts.values())

    def render(self, now: int, title: str, height: int) -> RenderableType:
        """All of it, the worst first; ``height`` is that of the terminal, in lines."""
        counts = ", ".join(f"{self.active(kind)} {kind}" for kind in _KINDS)
        room = max(height - 8, 4) // 2  # a sentence often takes two lines
        physiological = self._table("physiological", now, room)
        technical = self._table("technical", now, max(room - physiological.row_count, 2))
        header = Text.assemble((title, "bold"), f"  {counts} active  ", ("Ctrl+C ends", "dim"))
        return Group(header, Text(), physiological, Text(), technical)

    def _table(self, kind: Kind, now: int, room: int) -> Table:
        alerts = sorted(
            (alert for alert in self._alerts.values() if alert.kind == kind),
            key=lambda a: (-1 if a.event == "cleared" else PRIORITIES.index(a.priority), a.time),
            reverse=True,
        )
        table = Table(expand=True, box=None, header_style="bold", pad_edge=False)
        table.add_column(kind.capitalize(), no_wrap=True, min_width=13)
        table.add_column("Patient", no_wrap=True, max_width=16)
        table.add_column("Since", no_wrap=True, justify="right")
        table.add_column("Once in", no_wrap=True, justify="right")
        table.add_column("What", ratio=1)
        for alert in alerts[:room]:
            table.add_row(*self._row(alert, now))
        if len(alerts) > room:
            table.add_row("", "", "", "", Text(f"and {len(alerts) - room} more", "dim"))
        return table

    def _row(self, alert: Alert, now: int) -> list[RenderableType]:
        cleared = alert.event == "cleared"
        since = max(now - self._lag - (alert.time if cleared else alert.onset), 0)
        return [
            Text("cleared", "dim") if cleared else _mark(alert),
            Text(printable(alert.patient)),
            Text(span(since / _DAY_MS)),
            Text("" if alert.rarity is None else span(alert.rarity)),
            Text(printable(alert.sentence), "dim" if cleared else ""),
        ]


def _mark(alert: Alert) -> Text:
    return Text(MARKS[alert.priority], STYLES[alert.kind, alert.priority])
