"""An explanation on a terminal, and as a picture."""

from pathlib import Path

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vitalwatch import vitals
from vitalwatch.alarms.wording import span
from vitalwatch.commands.alert_view import printable
from vitalwatch.commands.ward_view import MARKS
from vitalwatch.commands.ward_view import span as days
from vitalwatch.explanation.report import GradientReport, Report, VitalReport

_FAINT = 0.02
"""Contributions below it, a factor of 1.05, are shown faintly."""


def render(report: Report) -> RenderableType:
    """All of it."""
    title = Text.assemble(
        (printable(report.patient), "bold"), f" at {report.moment} ({printable(report.why)})"
    )
    parts: list[RenderableType] = [title]
    if report.alert is not None:
        alert = report.alert
        parts.append(
            Text(
                f"{MARKS[alert.priority]} {alert.event} {alert.kind} {alert.condition} "
                f"{alert.alert_id}: {printable(alert.sentence)}"
            )
        )
    if report.alert is None or report.alert.sentence != report.sentence:
        parts.append(Text(printable(report.sentence), "bold"))
    parts += [
        Text(
            f"A stable patient shows as much once in {days(report.rarity)}; "
            f"hazard 10^{report.evidence:.2f}."
        ),
        Text(),
        _shares(report.vitals),
    ]
    if report.gradients is not None:
        what = "What raised the risk, and when (powers of ten: +0.30 doubles it)"
        parts += [Text(), Text(what), _heat(report.gradients), Text(), *_sums(report.gradients)]
    return Group(*parts)


def _shares(rows: list[VitalReport]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, justify in (
        ("Vital", "left"), ("Share", "right"), ("Observed", "right"), ("Expected", "right"),
        ("Usual band", "right"), ("", "left"), ("For", "right"), ("Mostly", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=name != "Mostly")  # type: ignore[arg-type]
    for row in rows:
        vital = vitals.INDEX[row.vital]
        table.add_row(
            Text(vitals.VITALS[vital].label),
            f"{100 * row.share:.0f} %",
            f"{_value(row.observed)} {vitals.VITALS[vital].unit}",
            _value(row.expected),
            "not known" if row.low is None else f"{row.low:g} to {_value(row.high)}",
            row.direction if row.direction in ("low", "high") else "",
            span(1000 * row.seconds) if row.seconds else "",
            row.cause if row.share >= 0.005 else "",
        )
    return table


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _heat(found: GradientReport) -> Table:
    """Vitals against time."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("Vital")
    buckets = _buckets(found)
    for name in (*buckets, "all"):
        table.add_column(name, justify="right", no_wrap=True)
    for vital in sorted(found.by_vital, key=lambda name: -found.by_vital[name]):
        cells = [_cell(found.by_time[name][vital]) for name in buckets]
        label = vitals.VITALS[vitals.INDEX[vital]].label
        table.add_row(label, *cells, _cell(found.by_vital[vital]))
    sums = [sum(found.by_time[name].values()) for name in buckets]
    table.add_row("all", *(_cell(total) for total in (*sums, sum(found.by_vital.values()))))
    return table


def _buckets(found: GradientReport) -> list[str]:
    """Names of those to show, the newest first; the last one is seldom used."""
    return [name for name, row in found.by_time.items() if name != "before" or any(row.values())]


def _cell(value: float) -> Text:
    if abs(value) < _FAINT:
        return Text(f"{value:+.2f}" if abs(value) >= 0.005 else "0", "dim")
    return Text(f"{value:+.2f}", "red" if value > 0 else "green")


def _sums(found: GradientReport) -> list[Text]:
    added = sum(found.by_vital.values())
    within = "within" if found.exact else "NOT within"
    return [
        Text(
            f"Compared with every value at the patient's own usual: risk 10^{found.hazard:.2f} "
            f"against 10^{found.baseline:.2f}."
        ),
        Text(
            f"Contributions add up to {added:+.3f} of {found.total:+.3f} in {found.steps} steps: "
            f"{within} the tolerance of {found.tolerance:.0%}."
        ),
    ]


def draw(found: GradientReport, title: str, path: Path) -> None:
    """A heat map of vitals against time; needs matplotlib."""
    from matplotlib.figure import Figure

    names = sorted(found.by_vital, key=lambda name: -found.by_vital[name])
    # The past on the left, as on a chart.
    buckets = _buckets(found)[::-1]
    cells = np.array([[found.by_time[bucket][name] for bucket in buckets] for name in names])
    figure = Figure(figsize=(8, 1.5 + 0.45 * len(names)), layout="constrained")
    axis = figure.subplots()
    most = max(float(np.abs(cells).max()), 0.1)
    image = axis.imshow(cells, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    axis.set_xticks(range(len(buckets)), buckets)
    axis.set_yticks(range(len(names)), [vitals.VITALS[vitals.INDEX[name]].label for name in names])
    for row, column in np.ndindex(cells.shape):
        value = float(cells[row, column])
        dark = abs(value) > 0.6 * most
        if abs(value) >= _FAINT:
            axis.text(
                column, row, f"{value:+.2f}", ha="center", va="center",
                color="white" if dark else "black",
            )  # fmt: skip
    axis.set_title(title)
    figure.colorbar(image, label="contribution to log10 of the risk")
    figure.savefig(path, dpi=120)
