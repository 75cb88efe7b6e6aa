"""Figures as they stand in tables: Markdown, with intervals, a dash where there is nothing."""

import math
from collections.abc import Sequence
from typing import Final

from vitalwatch.evaluation.compare import Figure

DASH: Final = "–"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def percent(value: float) -> str:
    """A share, in whole percents."""
    return DASH if math.isnan(value) else f"{value:.0%}"


def share(figure: Figure) -> str:
    """A share with its interval, in percent."""
    if math.isnan(figure.value):
        return DASH
    if math.isnan(figure.low):
        return percent(figure.value)
    return f"{figure.value:.0%} ({100 * figure.low:.0f} to {100 * figure.high:.0f})"


def points(figure: Figure | None) -> str:
    """A difference of shares with its interval, in points."""
    if figure is None or math.isnan(figure.value):
        return DASH
    if math.isnan(figure.low):
        return f"{100 * figure.value:+.0f}"
    return f"{100 * figure.value:+.0f} ({100 * figure.low:+.0f} to {100 * figure.high:+.0f})"


def number(figure: Figure) -> str:
    """A number with its interval."""
    if math.isnan(figure.value):
        return DASH
    if math.isnan(figure.low):
        return f"{figure.value:.2f}"
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


def minutes(figure: Figure) -> str:
    """Median and quartiles; infinite is never."""
    if math.isnan(figure.value):
        return DASH
    first, middle, third = (
        "never" if math.isinf(each) else f"{each:.0f}"
        for each in (figure.low, figure.value, figure.high)
    )
    return f"{middle} ({first} to {third})"
