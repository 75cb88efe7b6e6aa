"""One patient at a time in front of the alarms, for tests that read like a case history."""

import numpy as np

from vitalwatch import config, vitals
from vitalwatch.alarms import Alarms, Explanation, Transitions
from vitalwatch.alarms.technical import Assessment
from vitalwatch.messages import Alert, Origin
from vitalwatch.state import Table

START = 1_700_000_000_000

HEALTHY = {"hr": 80, "spo2": 97, "rr": 16, "sbp": 120, "dbp": 70, "map": 87, "temp": 37.0}


class Bedside:
    """Feeds readings of one patient; times are seconds since the first."""

    def __init__(self, alarms: Alarms | None = None, row: int = 0, **settings: float) -> None:
        self.table = Table()
        self.alarms = alarms or Alarms(self.table, config.Alarms(**settings), "model")  # type: ignore[arg-type]
        if alarms is None:
            self.table.grow(row + 1)
        self.row = np.array([row])
        self.alerts: list[Alert] = []
        self.assessment: Assessment | None = None

    def read(
        self,
        seconds: float,
        vital: dict[str, float] | None = None,
        rarity: float = np.nan,
        explanation: Explanation | None = None,
        stream: float | None = None,
    ) -> list[str]:
        """One reading; its events as words. ``stream`` is the partition's time, if ahead."""
        time = np.array([START + round(seconds * 1000)])
        ahead = time if stream is None else np.array([START + round(stream * 1000)])
        values = np.full((1, vitals.COUNT), np.nan, dtype=np.float32)
        for name, value in (vital or {}).items():
            values[0, vitals.INDEX[name]] = value
        assessment = self.alarms.assess(self.row, time, values, ahead, np.array([0]))
        rare = np.array([rarity], dtype=np.float32)
        transitions = self.alarms.advance(self.row, time, assessment, rare)
        self.assessment = assessment
        return self._note(transitions, assessment, rare, explanation)

    def hold(self, start: int, end: int, vital: dict[str, float], step: int = 1) -> list[str]:
        """The same reading from ``start`` s up to before ``end`` s; events with their seconds."""
        return [
            f"{second} {event}"
            for second in range(start, end, step)
            for event in self.read(second, vital)
        ]

    def stream(self, seconds: float) -> list[str]:
        """The partition's time goes on without this patient."""
        return self._note(self.alarms.stale(0, START + round(seconds * 1000)), None, None, None)

    def discharge(self, seconds: float) -> list[str]:
        """The patient leaves."""
        gone = np.array([START + round(seconds * 1000)])
        return self._note(self.alarms.discharge(self.row, gone), None, None, None)

    def usable(self) -> dict[str, float]:
        """What of the last reading is a measurement."""
        assert self.assessment is not None
        clean = self.assessment.clean[0].tolist()
        return {n: v for n, v in zip(vitals.NAMES, clean, strict=True) if v == v}

    def _note(
        self,
        transitions: Transitions,
        assessment: Assessment | None,
        rarity: "np.typing.NDArray[np.float32] | None",
        explanation: Explanation | None,
    ) -> list[str]:
        count = len(transitions)
        alerts = self.alarms.alerts(
            transitions,
            ["anna"] * count,
            [Origin("vitals.readings", 0, 7)] * count,
            assessment,
            rarity,
            explanation,
        )
        self.alerts += alerts
        return [f"{alert.event} {alert.condition} {alert.priority}" for alert in alerts]
