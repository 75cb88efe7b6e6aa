"""The whole detector, as it is set, on recordings in which nothing is known to have happened."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from vitalwatch import config, vitals
from vitalwatch.arrays import Spans
from vitalwatch.detector import Detector
from vitalwatch.evaluation.streams import DataSet
from vitalwatch.model.checkpoint import Model
from vitalwatch.readings import Readings

_BATCH: Final = 4096
_LOWEST, _HIGHEST = vitals.bounds("plausible")


@dataclass(frozen=True)
class Check:
    """Alarms raised in so many ``hours`` of so many ``people``, by condition.

    ``implausible`` physiological ones were raised by a reading in which the vital that drives
    them most is no value of a living patient.
    """

    name: str
    title: str
    people: int
    hours: float
    physiological: Counter[str]
    technical: Counter[str]
    implausible: int

    def an_hour(self, kind: Counter[str]) -> float:
        """Alarms a person-hour."""
        return kind.total() / self.hours if self.hours else float("nan")


def check(model: Model, settings: config.Alarms, data: DataSet) -> Check:
    """Run every record of ``data`` through the detector, each as a patient of its own."""
    streams = data.streams
    detector = Detector(model, settings)
    order = np.argsort(streams.times, kind="stable")
    physiological: Counter[str] = Counter()
    technical: Counter[str] = Counter()
    implausible = 0
    for begin in range(0, len(order), _BATCH):
        places = order[begin : begin + _BATCH]
        found = detector.process(
            [
                Readings(
                    data.name,
                    0,
                    Spans.of(str(record) for record in streams.record[places].tolist()),
                    streams.times[places],
                    streams.values[places],
                    np.arange(begin, begin + len(places)),
                )
            ]
        )[0]
        for alert in found.alerts:
            if alert.event not in ("raised", "updated"):
                continue
            if alert.kind == "technical":
                technical[alert.condition] += 1
                continue
            physiological[alert.condition] += 1
            shown = streams.values[order[alert.origin.offset]]
            outside = (shown < _LOWEST) | (shown > _HIGHEST)
            implausible += any(outside[vitals.INDEX[each.vital]] for each in alert.drivers[:1])
    hours = 24 * float(data.duration.sum())
    return Check(
        data.name, data.title, len(data.names), hours, physiological, technical, implausible
    )


def markdown(found: list[Check]) -> str:
    """All checks as one table."""
    lines = [
        "## Needless alarms, as set, where no events are known\n",
        "| | people | hours | physiological an hour | most often | on an implausible value | "
        "technical an hour |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in found:
        most = ", ".join(f"{name} {count}" for name, count in each.physiological.most_common(3))
        lines.append(
            f"| {each.title} ({each.name}) | {each.people} | {each.hours:.1f} "
            f"| {each.an_hour(each.physiological):.2f} | {most or '–'} | {each.implausible} "
            f"| {each.an_hour(each.technical):.2f} |"
        )
    return "\n".join(lines) + "\n"
