"""What was found, as Markdown for people and as CSV for further work."""

import csv
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from vitalwatch.evaluation import metrics
from vitalwatch.evaluation.compare import (
    LIMIT_ALARM,
    NEWS2_OF_7,
    PER_HUNDRED,
    RATES,
    Comparison,
    Figure,
    Operation,
    Result,
    difference,
    of_group,
)
from vitalwatch.evaluation.text import DASH, minutes, number, percent, points, share, table

DETAILED: Final = (1.0, 2.0)
"""False alarms a patient-day at which all figures are printed."""

FEWEST_EVENTS: Final = 20
"""Groups with fewer say nothing of a gap."""

GROUPED: Final = 1.0
"""... and at which subgroups are compared."""

_HEADER: Final = ("data", "detector", "false_alarms_a_day", "figure", "value", "low", "high")


def markdown(found: Comparison) -> str:
    """One data set's tables."""
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in found.kinds.items())
    parts = [
        f"## {found.title} ({found.name})\n",
        f"{found.people} people, {found.days:.0f} patient-days, {found.events} events of "
        f"{found.eventful} people ({kinds}); {found.prevalence:.1%} of the readings lie before an "
        f"event. Thresholds from {found.calibrated_on}.\n",
    ]
    if found.test.note:
        parts.append(f"{found.test.note}\n")
    if found.left_out:
        parts.append(f"Not applicable here: {', '.join(found.left_out)}.\n")
    for name, title in (("early", "Caught early"), ("caught", "Caught")):
        parts += [f"### {title}, by false alarms a patient-day\n", _by_rate(found, name)]
    parts += [
        "A cell is the share of events, its 95 % interval by bootstrap over people, and the share "
        "that as many alarms, bunched alike, would catch by chance. An alarm that has been on for "
        "longer than an event's time is none of it, so more alarms can catch less.\n"
    ]
    for rate in DETAILED:
        parts += [f"### At {rate:g} false alarms a patient-day\n", _detailed(found, rate)]
    parts += ["### At the detectors' own settings\n", _detailed(found, None)]
    if found.test.benign:
        title = f"### False alarms per 100 benign events and artefacts, at {GROUPED:g} a day"
        parts += [title + "\n", _benign(found)]
    if found.test.groups:
        title = f"### Subgroups, {found.results[0].name} at {GROUPED:g} false alarms a patient-day"
        parts += [title + "\n", groups(found)]
    return "\n".join(parts)


def write_csv(found: Sequence[Comparison], file: TextIO) -> None:
    """Every figure of every detector at every rate."""
    writer = csv.writer(file)
    writer.writerow(_HEADER)
    for comparison in found:
        for row in _rows(comparison):
            writer.writerow(row)


def write(found: Comparison, folder: Path) -> list[Path]:
    """The tables of one data set as NAME.md and NAME.csv in ``folder``."""
    text, values = folder / f"{found.name}.md", folder / f"{found.name}.csv"
    text.write_text(markdown(found), encoding="utf-8")
    with values.open("w", encoding="utf-8", newline="") as file:
        write_csv([found], file)
    return [text, values]


def _rows(found: Comparison) -> Iterator[tuple[str | float, ...]]:
    ours = found.results[0]
    for result in found.results:
        at = (found.name, result.name)
        yield *at, "", "AUC-PR", result.precision, "", ""
        yield *at, "", "prevalence", found.prevalence, "", ""
        if result.auroc is not None:
            yield *at, "", "time-matched AUROC", *_three(result.auroc)
            less = difference(ours, result, None, "auroc")
            if less is not None and result is not ours:
                yield *at, "", f"{ours.name} less this: AUROC", *_three(less)
        for operation in result.operations:
            rate = "own" if operation.rate is None else f"{operation.rate:g}"
            yield *at, rate, "threshold", operation.threshold.level, "", ""
            for name, figure in operation.figures.items():
                yield *at, rate, name, *_three(figure)
            for name in ("caught", "early", "false"):
                less = difference(ours, result, operation.rate, name)
                if less is not None and result is not ours:
                    yield *at, rate, f"{ours.name} less this: {name}", *_three(less)
            for attribute, group, figures in _by_group(found, operation):
                for name, figure in figures.items():
                    yield *at, rate, f"{name}, {attribute}: {group}", *_three(figure)


def _three(figure: Figure) -> tuple[float | str, float | str, float | str]:
    value, low, high = (
        "" if math.isnan(number) else round(number, 5)
        for number in (figure.value, figure.low, figure.high)
    )
    return value, low, high


def _by_rate(found: Comparison, name: str) -> str:
    header = ["", *(f"≤ {rate:g}" for rate in RATES), "time-matched AUROC", "AUC-PR"]
    rows = []
    for result in found.results:
        cells = []
        for rate in RATES:
            operation = result.at(rate)
            if operation is None:
                cells.append(DASH)
                continue
            by_chance = operation.figures[f"chance {name}"].value
            cells.append(f"{share(operation.figures[name])}, chance {percent(by_chance)}")
        auroc = DASH if result.auroc is None else number(result.auroc)
        rows.append([result.name, *cells, auroc, f"{result.precision:.3f}"])
    return table(header, rows)


def _detailed(found: Comparison, rate: float | None) -> str:
    ours = found.results[0]
    header = [
        "", "early", f"{ours.name} less this", "caught", f"{ours.name} less this",
        "sudden ones answered", "false a day", "all a day", "realised/promised", "true of alarms",
        "time in alarm", "of the worst 10 %", "delay, min", "lead, min",
        f"min before {NEWS2_OF_7}", f"min before {LIMIT_ALARM}",
    ]  # fmt: skip
    rows = []
    for result in found.results:
        operation = result.at(rate)
        if operation is None:
            continue
        f = operation.figures
        rows.append(
            [
                result.name,
                share(f["early"]),
                _less(ours, result, rate, "early"),
                share(f["caught"]),
                _less(ours, result, rate, "caught"),
                share(f["sudden"]),
                number(f["false"]),
                number(f["alarms"]),
                number(f["realised"]) if "realised" in f else DASH,
                share(f["precision"]),
                percent(f["in alarm"].value),
                percent(f["worst tenth"].value),
                *(minutes(f[name]) for name in ("delay", "lead")),
                *(minutes(f[f"before {name}"]) for name in (NEWS2_OF_7, LIMIT_ALARM)),
            ]
        )
    return table(header, rows)


def _less(ours: Result, other: Result, rate: float | None, name: str) -> str:
    return DASH if ours is other else points(difference(ours, other, rate, name))


def _by_group(
    found: Comparison, operation: Operation
) -> Iterator[tuple[str, str, dict[str, Figure]]]:
    if operation.rate != GROUPED:
        return
    weights = metrics.draws(found.people)
    for attribute, of in found.test.groups.items():
        for group in sorted(set(of)):
            members = [each == group for each in of]
            yield attribute, group, of_group(operation.counts, members, weights)


def _benign(found: Comparison) -> str:
    kinds = sorted({each.kind for each in found.test.benign})
    count = Counter(each.kind for each in found.test.benign)
    rows = [["how many", *(f"{count[kind]}" for kind in kinds)]]
    for result in found.results:
        operation = result.at(GROUPED)
        if operation is not None:
            values = (operation.figures[f"{PER_HUNDRED}{kind}"].value for kind in kinds)
            rows.append([result.name, *(f"{value:.1f}" for value in values)])
    return table(["", *(kind.replace("_", " ") for kind in kinds)], rows)


def groups(found: Comparison) -> str:
    """The first detector's figures by subgroup, and the largest gap between some."""
    operation = found.results[0].at(GROUPED)
    if operation is None:
        return ""
    rows: list[list[str]] = []
    for attribute, group, f in _by_group(found, operation):
        events = f["events"].value
        rows.append(
            [attribute, group, f"{events:.0f}", share(f["caught"]), share(f["early"]),
             number(f["false"])]
        )  # fmt: skip
    text = table(["", "", "events", "caught", "early", "false a day"], rows)
    gaps = group_gaps(found, operation)
    if gaps:
        widest = max(gaps, key=lambda name: gaps[name].value)
        gap = gaps[widest]
        text += (
            f"\nLargest gap in events caught, among groups with {FEWEST_EVENTS} events or more: "
            f"{100 * gap.value:.0f} points ({100 * gap.low:.0f} to {100 * gap.high:.0f}), by "
            f"{widest}.\n"
        )
    return text


def group_gaps(found: Comparison, operation: Operation) -> dict[str, Figure]:
    """By attribute: the largest difference in the share of events caught between its groups.

    Of groups with FEWEST_EVENTS. A bootstrap's gap is never below 0, so neither is its interval.
    """
    counts, weights = operation.counts, metrics.draws(found.people)
    gaps = {}
    for attribute, of in found.test.groups.items():
        shares, drawn = [], []
        for group in sorted(set(of)):
            part = np.array([each == group for each in of], dtype=np.float64)
            events = counts.events * part
            if events.sum() >= FEWEST_EVENTS:
                shares.append(float((counts.caught * part).sum() / events.sum()))
                drawn.append(metrics.ratio(counts.caught * part, events, weights))
        if len(shares) > 1:
            samples = np.ptp(np.stack(drawn), axis=0)
            gaps[attribute] = Figure(float(np.ptp(shares)), *metrics.interval(samples))
    return gaps
