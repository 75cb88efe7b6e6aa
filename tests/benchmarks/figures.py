"""What was measured, beside what it should be."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Target(NamedTuple):
    """A bound that a figure should keep; ``aim`` is what it would better be."""

    side: Literal["≥", "≤"]
    bound: float
    aim: float | None = None

    def met(self, value: float) -> bool:
        """Whether ``value`` keeps the bound."""
        return value >= self.bound if self.side == "≥" else value <= self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: ``values`` of the runs, their ``unit``, perhaps a target."""

    name: str
    values: Sequence[float]
    unit: str = ""
    target: Target | None = None

    @property
    def median(self) -> float:
        """The figure; NaN where nothing was measured."""
        values = [value for value in self.values if not math.isnan(value)]
        return statistics.median(values) if values else math.nan

    def row(self) -> tuple[str, str, str, str, str]:
        """Name, median, spread of the runs, target, and whether it is met."""
        unit = f" {self.unit}" if self.unit else ""
        spread = ""
        if len(self.values) > 1:
            spread = f"{short(min(self.values))} to {short(max(self.values))}"
        wanted = met = ""
        if self.target is not None:
            wanted = f"{self.target.side} {short(self.target.bound)}{unit}"
            if self.target.aim is not None:
                wanted += f", aim {short(self.target.aim)}"
            met = "yes" if self.target.met(self.median) else "NO"
            met = "not measured" if math.isnan(self.median) else met
        return self.name, f"{short(self.median)}{unit}", spread, wanted, met


def short(value: float) -> str:
    """A number with three digits, or all that are before the point."""
    if math.isnan(value):
        return "–"
    if not value:
        return "0"
    digits = max(2 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{digits}f}"


def ratio(name: str, above: Figure, below: Figure, target: Target | None = None) -> Figure:
    """``above / below``, run by run: what disturbs a run disturbs both."""
    runs = zip(above.values, below.values, strict=True)
    return Figure(name, [a / b for a, b in runs], "", target)


HEADINGS = ("figure", "median", "runs", "target", "met")


def table(rows: Iterable[Sequence[str]], headings: Sequence[str] = HEADINGS) -> str:
    """Rows as a Markdown table whose columns also line up for the eye."""
    everything = [tuple(headings), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in everything) for column in range(len(headings))]
    rule = tuple("-" * width for width in widths)
    lines = [everything[0], rule, *everything[1:]]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
