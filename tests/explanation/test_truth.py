"""Whether the top driver is what the simulator moved."""

import math

import pytest

from vitalwatch.explanation.truth import named
from vitalwatch.messages import Alert, Driver, Origin, Truth

MEASURED = {"anna": ("hr", "spo2", "rr", "map"), "berta": ("hr", "map")}


def alert(patient: str, time: int, top: str, **fields: str) -> Alert:
    told = {"event": "raised", "kind": "physiological", "condition": "deterioration"} | fields
    return Alert(
        alert_id="0" * 32,
        patient=patient,
        priority="medium",
        time=time,
        onset=time,
        rarity=3.0,
        drivers=[Driver(top, 1.0, None, None, None, None)],
        sentence="",
        origin=Origin("t", 0, 0),
        model="m",
        **told,  # type: ignore[arg-type]
    )


SEPSIS = Truth("anna", "sepsis", False, 100, 900, 700, "map", {"rr": 300, "map": 650})
SHOCK = Truth("berta", "haemorrhage", False, 100, 900, 800, "map", {"map": 650})
BEDTIME = Truth("berta", "sleep", True, 0, 1000)


def test_what_was_moved_by_then_is_right_and_so_is_what_will_be_critical() -> None:
    alerts = [
        alert("anna", 400, "rr"),
        alert("anna", 400, "map"),  # not moved yet, but it is what sepsis will make critical
        alert("anna", 200, "rr"),  # before it was moved
        alert("anna", 800, "hr"),
    ]
    found = named(alerts, [SEPSIS, BEDTIME], MEASURED)
    assert found.right == [True, True, False, False]
    assert found.moved == [True, False, False, False]
    assert found.share == 0.5
    assert found.before == [False, False, True, False]
    assert found.wrong_before == 1
    assert found.by_luck == [0.5, 0.5, 0.25, 0.5]


def test_the_three_pressures_are_one_sign() -> None:
    found = named([alert("berta", 700, "sbp"), alert("berta", 700, "hr")], [SHOCK], MEASURED)
    assert found.right == [False, False]
    assert found.sign == [True, False]
    assert found.sign_share == 0.5


@pytest.mark.parametrize(
    "other",
    [
        alert("anna", 50, "rr"),
        alert("anna", 950, "rr"),
        alert("berta", 400, "hr"),
        alert("anna", 400, "rr", event="cleared"),
        alert("anna", 400, "rr", condition="rr_high"),
    ],
)
def test_what_is_not_raised_in_a_deterioration_or_not_by_the_score_does_not_count(
    other: Alert,
) -> None:
    found = named([other], [SEPSIS, BEDTIME], MEASURED)
    assert len(found) == 0
    assert math.isnan(found.share)


def test_a_truth_without_what_was_moved_is_refused() -> None:
    with pytest.raises(ValueError, match="twins=True"):
        named([], [Truth("anna", "sepsis", False, 100, 900)], MEASURED)
