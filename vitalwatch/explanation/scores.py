"""What the scorer says along courses: evidence, and its exact shares at their ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints
from vitalwatch.explanation.course import Course
from vitalwatch.scoring.evidence import RISK, Calibration
from vitalwatch.scoring.scorer import Reasons, Scorer
from vitalwatch.state import Table

if TYPE_CHECKING:
    from vitalwatch.model.checkpoint import Model


@dataclass(frozen=True, slots=True)
class Scored:
    """A course's ``evidence (T,)`` and ``rarity (T,)``, patient-days, after each reading.

    ``reasons`` are those at its last reading, whose columns are ``(V,)`` each.
    """

    evidence: Floats
    rarity: Floats
    reasons: Reasons


def scored(model: "Model", courses: Sequence[Course]) -> list[Scored]:
    """Score courses side by side, each as a patient of its own; none may be empty."""
    table = Table()
    scorer = Scorer(table, model)
    calibration = Calibration.of(model.calibration)
    table.grow(len(courses))
    context = table["context"]
    lengths = np.array([len(course) for course in courses])
    # Longest first, so that those who still have a reading are the first rows.
    order = np.argsort(-lengths, kind="stable")
    evidence = [np.empty(length, dtype=np.float32) for length in lengths]
    rarity = [np.empty(length, dtype=np.float32) for length in lengths]
    reasons: dict[int, Reasons] = {}
    for k in range(int(lengths.max(initial=0))):
        going = order[: int(np.count_nonzero(lengths > k))]
        rows: Ints = np.arange(len(going))
        times = np.array([courses[place].times[k] for place in going], dtype=np.int64)
        values = np.stack([courses[place].values[k] for place in going])
        for row, place in enumerate(going):
            context[row] = courses[place].context[k]
        found = scorer.step(rows, times, values, calibration)
        for row, place in enumerate(going):
            evidence[place][k], rarity[place][k] = found.evidence[row], found.rarity[row]
        ends = np.flatnonzero(lengths[going] == k + 1)
        if len(ends):
            why = scorer.explain(found, ends)
            for row in ends.tolist():
                reasons[int(going[row])] = _only(why, row)
    return [Scored(evidence[place], rarity[place], reasons[place]) for place in range(len(courses))]


def _only(reasons: Reasons, row: int) -> Reasons:
    """One reading's; columns ``(V,)``."""
    columns = {name: getattr(reasons, name)[row].copy() for name in reasons.__slots__}
    assert all(column.shape == (vitals.COUNT,) for column in columns.values())  # noqa: S101
    return Reasons(**columns)


def risk_weight(model: "Model") -> Floats:
    """Log10 offsets (R, V) of the hazards that the forecaster's risks are."""
    return Calibration.of(model.calibration).weights[RISK:]
