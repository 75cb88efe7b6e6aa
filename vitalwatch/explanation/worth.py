"""What explanations are worth, measured on simulated alerts: top-1 against the truth, removal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator import Ward
from vitalwatch import config, vitals
from vitalwatch.arrays import Bools, Doubles, Floats, Ints, Spans
from vitalwatch.detector import Detector
from vitalwatch.explanation import removal
from vitalwatch.explanation.course import Course
from vitalwatch.explanation.gradients import Attribution, attribute, hazards
from vitalwatch.explanation.removal import SIGNS, VITALS, Case, How, Removals
from vitalwatch.explanation.scores import risk_weight, scored
from vitalwatch.explanation.truth import Named, named
from vitalwatch.messages import Alert
from vitalwatch.readings import Readings

if TYPE_CHECKING:
    from vitalwatch.model.checkpoint import Model

WAYS: Final[tuple[How, ...]] = ("baseline", "missing")

_WITH_GRADIENTS: Final = 24
"""So many alerts at most, evenly taken from all, are explained by gradients: it takes seconds."""

_AT_ONCE: Final = 16  # frames


@dataclass(frozen=True, slots=True)
class Worth:
    """Of the deterioration alerts of one ward, ``alerts`` in all: those ``named`` during a true
    deterioration, and what removing vitals, and signs, did to all of them, by way.

    ``gradients_of_vitals`` and ``gradients_of_signs`` are the same of integrated gradients, removed
    from what these explain, which is the risk.
    """

    alerts: int
    named: Named
    of_vitals: dict[How, Removals]
    of_signs: dict[How, Removals]
    gradients_of_vitals: dict[How, Removals]
    gradients_of_signs: dict[How, Removals]

    def __str__(self) -> str:
        right = self.named
        lines = [
            f"top driver right in {right.share:.1%} of {len(right)} alerts in deteriorations "
            f"({right.moved_share:.1%} moved by then; by lot {right.luck:.1%}), its sign in "
            f"{right.sign_share:.1%}; of {len(right) - sum(right.right)} wrong ones "
            f"{right.wrong_before} were raised before anything had moved"
        ]
        for title, found in (
            ("shares, vitals", self.of_vitals),
            ("shares, signs", self.of_signs),
            ("integrated gradients, vitals", self.gradients_of_vitals),
            ("integrated gradients, signs", self.gradients_of_signs),
        ):
            lines += [
                f"{title}, {way}: without what is blamed the score falls most in "
                f"{removed.share:.1%} of {len(removed)} (by lot {removed.luck:.1%})"
                for way, removed in found.items()
            ]
        return "\n".join(lines)


def worth(model: "Model", settings: config.Alarms, people: Ward, frames: int) -> Worth:
    """Run the detector over the next ``frames`` of a ward with twins, and judge its alerts."""
    times, values = people.read(frames)
    # A frame in which nothing was measured was never sent.
    sent = np.asarray(~np.isnan(values).all(axis=2))
    alerts = [
        alert
        for alert in _alerts(Detector(model, settings), people, times, values, sent)
        if alert.event == "raised" and alert.condition == "deterioration"
    ]
    place = {name: number for number, name in enumerate(people.patients)}
    measured = {
        name: [vitals.NAMES[v] for v in np.flatnonzero(~np.isnan(values[:, row]).all(axis=0))]
        for name, row in place.items()
    }
    told = named(alerts, people.truth, measured)
    whole = {
        name: _course(place[name], times, values, sent) for name in {a.patient for a in alerts}
    }
    courses = [whole[alert.patient].until(alert.time) for alert in alerts]

    def evidence(some: Sequence[Course]) -> Doubles:
        return np.array([found.evidence[-1] for found in scored(model, some)], dtype=np.float64)

    def hazard(some: Sequence[Course]) -> Doubles:
        return hazards(forecaster, some, weight)

    forecaster, weight = model.forecaster(), risk_weight(model)
    found = scored(model, courses)
    shares = [removal.by_share(c, s) for c, s in zip(courses, found, strict=True)]
    some = slice(None, None, -(-len(courses) // _WITH_GRADIENTS) or 1)
    gradients = [
        _by_gradients(attribute(forecaster, course, weight), share)
        for course, share in zip(courses[some], shares[some], strict=True)
    ]
    return Worth(
        len(alerts),
        told,
        {way: removal.removals(evidence, shares, way, VITALS) for way in WAYS},
        {way: removal.removals(evidence, shares, way, SIGNS) for way in WAYS},
        {way: removal.removals(hazard, gradients, way, VITALS) for way in WAYS},
        {way: removal.removals(hazard, gradients, way, SIGNS) for way in WAYS},
    )


def _by_gradients(found: Attribution, share: Case) -> Case:
    """What integrated gradients say of the same reading."""
    part = found.by_vital
    return Case(share.course, share.usual, part, found.stretch(int(part.argmax())))


def _course(row: int, times: Ints, values: Floats, sent: Bools) -> Course:
    kept = sent[:, row]
    return Course.of(times[kept, row], values[kept, row])


def _alerts(
    detector: Detector, people: Ward, times: Ints, values: Floats, sent: Bools
) -> Iterable[Alert]:
    names = people.patients
    for begin in range(0, len(times), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        frame, row = np.nonzero(sent[part])
        at = times[part][frame, row]
        order = np.argsort(at, kind="stable")
        readings = Readings(
            "simulated",
            0,
            Spans.of(names[who] for who in row[order].tolist()),
            at[order],
            values[part][frame, row][order],
            np.arange(len(order)) + begin * len(names),
        )
        yield from detector.process([readings])[0].alerts
