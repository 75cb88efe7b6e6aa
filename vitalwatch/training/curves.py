"""Learning curves: a table that is always written, and a picture of it where matplotlib is."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vitalwatch.model.layout import CHANCES

_PANELS: Final = (
    ("loss", ("validation",)),
    ("nats", ("training next", "training later", "nats next", "nats 15 min", "nats 60 min")),
    ("risk (1: knows only how often)", ("training risk", "risk")),
    ("AUROC of the risk", tuple(f"auroc {chance.name}" for chance in CHANCES)),
)


def write(curve: Sequence[dict[str, float]], path: Path) -> list[Path]:
    """A row a validation to ``path`` (.csv), and beside it the picture; what was written."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, fieldnames=list(curve[0]) if curve else ["rounds"])
        rows.writeheader()
        rows.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in curve)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return [path]
    figure = Figure(figsize=(10, 7), layout="constrained")
    for axis, (title, names) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        for name in names:
            axis.plot([row["rounds"] for row in curve], [row[name] for row in curve], label=name)
        axis.set_title(title)
        axis.set_xlabel("rounds")
        axis.legend()
    picture = path.with_suffix(".png")
    figure.savefig(picture, dpi=120)
    return [path, picture]
