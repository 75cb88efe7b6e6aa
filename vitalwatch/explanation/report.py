"""An explanation as a person or a program takes it."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vitalwatch import vitals
from vitalwatch.alarms import explain, wording
from vitalwatch.explanation.gradients import BUCKETS, Attribution
from vitalwatch.explanation.moment import Moment
from vitalwatch.explanation.scores import Scored
from vitalwatch.messages import Alert, rfc3339

if TYPE_CHECKING:
    from vitalwatch.scoring.scorer import Reasons


class VitalReport(msgspec.Struct, frozen=True):
    """One vital's part: ``share`` of the hazard; ``cause`` what most of that is.

    ``observed``, ``expected``, ``low`` and ``high`` in its unit and its device's steps.
    ``direction`` is low, high or within the band of what is usual for the patient, or unknown
    while that is; out of it for so many ``seconds``, 0 where that is not known or not so.
    """

    vital: str
    share: float
    cause: str
    observed: float | None
    expected: float | None
    low: float | None
    high: float | None
    direction: str
    seconds: float


class GradientReport(msgspec.Struct, frozen=True):
    """Integrated gradients, in powers of ten of the hazard.

    ``total`` is what the hazard is more than at the patient's own ``baseline``; contributions by
    bucket and vital add up to it but for ``missed``, after ``steps``; ``exact`` whether that is
    within the ``tolerance``.
    """

    hazard: float
    baseline: float
    total: float
    missed: float
    steps: int
    tolerance: float
    exact: bool
    by_vital: dict[str, float]
    by_time: dict[str, dict[str, float]]


class Report(msgspec.Struct, frozen=True):
    """All of it; ``rarity`` in patient-days, ``evidence`` log10 of the summed hazard."""

    patient: str
    time: int
    moment: str
    why: str
    alert: Alert | None
    sentence: str
    evidence: float
    rarity: float
    vitals: list[VitalReport]
    gradients: GradientReport | None


def report(
    moment: Moment, found: Scored, attribution: Attribution | None, tolerance: float
) -> Report:
    """Put together what was found of a moment."""
    seen = np.flatnonzero(moment.course.seen).tolist()
    order = sorted(seen, key=lambda vital: -float(found.reasons.share[vital]))
    time = int(moment.course.times[-1])
    return Report(
        patient=moment.patient,
        time=time,
        moment=rfc3339(time),
        why=moment.why,
        alert=moment.alert,
        sentence=_sentence(found.reasons),
        evidence=float(found.evidence[-1]),
        rarity=float(found.rarity[-1]),
        vitals=[_vital(found.reasons, vital) for vital in order],
        gradients=None if attribution is None else _gradients(attribution, seen, tolerance),
    )


def _sentence(reasons: "Reasons") -> str:
    """What an alert at this reading would say."""
    columns = {name: getattr(reasons, name)[None] for name in reasons.__slots__}
    columns["expected"] = columns.pop("usual")
    explanation = explain.Explanation(**columns)
    return wording.deterioration(wording.drivers(explanation, 0), explanation, 0)


def _vital(reasons: "Reasons", vital: int) -> VitalReport:
    observed, expected, low, high = (
        wording.in_steps(_known(float(column[vital])), vital)
        for column in (reasons.observed, reasons.usual, reasons.low, reasons.high)
    )
    direction, seconds = "within", 0.0
    if observed is None or low is None or high is None:
        direction = "unknown"
    elif not low <= observed <= high:
        direction = "low" if observed < low else "high"
        # The first value outside says nothing of how long.
        outside = abs(float(reasons.outside[vital]))
        seconds = outside if outside > 1 else 0.0
    return VitalReport(
        vital=vitals.NAMES[vital],
        share=float(reasons.share[vital]),
        cause=explain.CAUSES[int(reasons.cause[vital])],
        observed=observed,
        expected=expected,
        low=low,
        high=high,
        direction=direction,
        seconds=seconds,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _gradients(found: Attribution, seen: list[int], tolerance: float) -> GradientReport:
    by_vital, by_bucket = found.by_vital, found.by_bucket
    return GradientReport(
        hazard=found.score,
        baseline=found.baseline,
        total=found.score - found.baseline,
        missed=found.missed,
        steps=found.steps,
        tolerance=tolerance,
        exact=found.exact,
        by_vital={vitals.NAMES[vital]: float(by_vital[vital]) for vital in seen},
        by_time={
            bucket.name: {vitals.NAMES[vital]: float(row[vital]) for vital in seen}
            for bucket, row in zip(BUCKETS, by_bucket, strict=True)
        },
    )
