"""A ward on a terminal: each patient's latest vitals, rarity and alarm, and the latest alerts.

Fed with decoded messages, it knows no broker. Patients keep their places, priority is told by
marks and words beside the colour, and a value that is no longer fresh is shown as such.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vitalwatch.messages import Alert, Kind, Priority, Reading, ScoreBlock, epoch_ms, rfc3339
from vitalwatch.vitals import INDEX, VITALS

MARKS: Final[dict[Priority, str]] = {"high": "*** HIGH", "medium": "**  MED", "low": "*   LOW"}
STYLES: Final[dict[tuple[Kind, Priority], str]] = {
    ("physiological", "high"): "bold white on red",
    ("physiological", "medium"): "bold black on yellow",
    ("physiological", "low"): "black on cyan",
    ("technical", "high"): "bold cyan",
    ("technical", "medium"): "cyan",
    ("technical", "low"): "dim cyan",
}
_RANK: Final = {"low": 1, "medium": 2, "high": 3}

FRESH_MS: Final = 60_000
"""An older value is dimmed: a cuff's, or one that no longer comes."""

FORGOTTEN_MS: Final = 3_600_000
"""An older value is not shown."""

TREND_MINUTES: Final = 20
_BARS: Final = "▁▂▃▄▅▆▇█"


def span(days: float) -> str:
    """A time in days, short: ``12 d``, ``3 h``, ``5 min``."""
    if days >= 1:
        return f"{min(days, 9999):.0f} d"
    return f"{days * 24:.0f} h" if days * 24 >= 1 else f"{days * 1440:.0f} min"


def clock(ms: int) -> str:
    """Time of day in UTC, ``HH:MM:SS``."""
    return rfc3339(ms)[11:19]


def mark(alert: Alert) -> str:
    """Priority as marks and a word; technical alarms say that they are."""
    return MARKS[alert.priority] + (" technical" if alert.kind == "technical" else "")


def bars(rarities: Sequence[float]) -> str:
    """A sparkline of rarities in days, logarithmic from a quarter of an hour to 100 days."""
    low, high = math.log(0.01), math.log(100)
    parts = [(math.log(max(rarity, 1e-9)) - low) / (high - low) for rarity in rarities]
    return "".join(_BARS[min(max(int(part * len(_BARS)), 0), len(_BARS) - 1)] for part in parts)


@dataclass(slots=True)
class Bed:
    """What is known of one patient: value and time (ms) by vital, alarms by alert id."""

    name: str
    values: dict[str, tuple[float, int]] = field(default_factory=dict)
    alarms: dict[str, Alert] = field(default_factory=dict)
    trend: deque[float] = field(default_factory=lambda: deque(maxlen=TREND_MINUTES))
    minute: int = -1

    def score(self, time: int, rarity: float) -> None:
        """The rarity, in days, of a reading; the trend keeps each minute's largest."""
        if time // 60_000 != self.minute:
            self.minute = time // 60_000
            self.trend.append(rarity)
        else:
            self.trend[-1] = max(self.trend[-1], rarity)

    def worst(self) -> Alert | None:
        """The alarm that matters most: by kind, then priority, then the newest."""

        def weight(alert: Alert) -> tuple[bool, int, int]:
            return alert.kind == "physiological", _RANK[alert.priority], alert.time

        return max(self.alarms.values(), key=weight, default=None)


class WardView:
    """All beds by patient, in the order in which they were first seen, and the latest alerts."""

    def __init__(self) -> None:
        self.beds: dict[str, Bed] = {}
        self.events: deque[Alert] = deque(maxlen=50)
        self.now = 0
        self.seen = 0
        self.scored = 0

    def reading(self, reading: Reading) -> None:
        """A reading arrived."""
        bed = self._bed(reading.patient)
        bed.name = reading.bed or bed.name
        self.seen += 1
        time = epoch_ms(reading.time)
        self.now = max(self.now, time)
        for name, value in reading.vitals.items():
            if value:  # 0 is a monitor's way to say that there is no signal
                bed.values[name] = (value, time)

    def scores(self, block: ScoreBlock) -> None:
        """A batch of readings was scored."""
        self.scored += len(block.patients)
        for patient, time, rarity in zip(block.patients, block.times, block.rarity, strict=True):
            self._bed(patient).score(time, rarity)

    def alert(self, alert: Alert) -> None:
        """An alert changed."""
        alarms = self._bed(alert.patient).alarms
        if alert.event == "cleared":
            alarms.pop(alert.alert_id, None)
        else:
            alarms[alert.alert_id] = alert
        self.events.append(alert)

    def _bed(self, patient: str) -> Bed:
        return self.beds.setdefault(patient, Bed(patient))

    def table(self) -> Table:
        """One row a bed."""
        table = Table(expand=True, box=None, header_style="bold", pad_edge=False)
        table.add_column("Bed", no_wrap=True)
        for title, name in (
            ("HR", "hr"),
            ("SpO2", "spo2"),
            ("RR", "rr"),
            ("BP", "sbp"),
            ("Temp", "temp"),
            ("CO2", "etco2"),
        ):
            colour = VITALS[INDEX[name]].colour
            table.add_column(title, style=colour, justify="right", no_wrap=True)
        table.add_column("Once in", justify="right", no_wrap=True)
        table.add_column(f"last {TREND_MINUTES} min", no_wrap=True, min_width=TREND_MINUTES)
        table.add_column("Alarm", no_wrap=True, ratio=1)
        for _, bed in sorted(self.beds.items(), key=lambda item: _natural(item[1].name)):
            table.add_row(*self._row(bed))
        return table

    def _row(self, bed: Bed) -> list[RenderableType]:
        worst = bed.worst()
        style = STYLES[worst.kind, worst.priority] if worst else ""
        pressures = [self._value(bed, name) for name in ("sbp", "dbp")]
        pressure = Text("–") if pressures[0].plain == "–" else Text("/").join(pressures)
        return [
            Text(bed.name, style=style),
            *(self._value(bed, name) for name in ("hr", "spo2", "rr")),
            pressure,
            self._value(bed, "temp"),
            self._value(bed, "etco2"),
            Text(span(bed.trend[-1]) if bed.trend else ""),
            Text(bars(bed.trend), style="dim" if worst is None else ""),
            Text(f"{mark(worst)} {worst.condition.replace('_', ' ')}", style) if worst else Text(),
        ]

    def _value(self, bed: Bed, name: str) -> Text:
        value, time = bed.values.get(name, (0.0, -FORGOTTEN_MS))
        age = self.now - time
        if age >= FORGOTTEN_MS:
            return Text("–", style="dim")
        return Text(_written(name, value), style="dim" if age > FRESH_MS else "")

    def alerts(self, count: int) -> RenderableType:
        """The latest ``count`` alert events, the newest first; at most a third is technical."""
        physiological = [alert for alert in self.events if alert.kind == "physiological"]
        technical = [alert for alert in self.events if alert.kind == "technical"]
        few = max(count // 3, count - len(physiological))
        chosen = physiological[-(count - few) :] if count > few else []
        chosen += technical[-few:] if few else []
        return Group(*map(self.line, sorted(chosen, key=lambda alert: -alert.time)))

    def line(self, alert: Alert) -> Text:
        """One alert event as a line for a person."""
        bed = self._bed(alert.patient).name
        line = Text()
        line.append(f"{clock(alert.time)} ", style="dim")
        if alert.event == "cleared":
            line.append(f"    cleared  bed {bed}: {alert.sentence}", style="dim")
        else:
            line.append(mark(alert), style=STYLES[alert.kind, alert.priority])
            line.append(f" bed {bed}: {alert.sentence}")
        return line


def _written(name: str, value: float) -> str:
    resolution = next(vital.resolution for vital in VITALS if vital.name == name)
    return f"{value:.0f}" if resolution >= 1 else f"{value:.1f}"


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (10**9, name)
