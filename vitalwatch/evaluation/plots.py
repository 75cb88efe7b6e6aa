"""Sensitivity against false alarms a patient-day, as pictures. Needs matplotlib, an extra."""

from pathlib import Path

import numpy as np

from vitalwatch.evaluation.compare import RATES, Comparison

_OURS = ("black", 2.4)


def draw(found: Comparison, folder: Path) -> Path:
    """Curves of all detectors on one data set, to NAME.png in ``folder``."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(13, 5.5), layout="constrained")
    panels = canvas.subplots(1, 2, sharex=True, sharey=True)
    colours = colormaps["tab20"](np.linspace(0, 1, 20))
    for panel, place, title in zip(
        panels, (2, 1), ("caught early", "caught by the onset"), strict=True
    ):
        for number, result in enumerate(found.results):
            colour, width = _OURS if number == 0 else (colours[number % 20], 1.2)
            seen = result.curve[:, ~np.isnan(result.curve[place])]
            order = np.argsort(seen[0], kind="stable")
            panel.plot(
                seen[0][order],
                seen[place][order],
                label=result.name,
                color=colour,
                linewidth=width,
                linestyle="--" if result.name in ("random", "clock") else "-",
            )
        panel.set_title(title)
        panel.set_xscale("log")
        panel.set_xlim(min(RATES) / 4, 2 * max(RATES))
        panel.set_ylim(0, 1)
        panel.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
        panel.minorticks_off()
        panel.grid(visible=True, alpha=0.3)
        panel.set_xlabel("false alarms a patient-day")
    panels[0].set_ylabel("share of events")
    canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    canvas.suptitle(f"{found.title}: {found.people} people, {found.events} events")
    path = folder / f"{found.name}.png"
    canvas.savefig(path, dpi=110)
    return path
