"""What an alert says, to programs and to people."""

import json

import msgspec
import numpy as np
import pytest

from tests.alarms.bedside import HEALTHY, START, Bedside
from vitalwatch import vitals
from vitalwatch.alarms import Explanation
from vitalwatch.alarms.explain import DANGEROUS, SUDDEN, UNUSUAL
from vitalwatch.alarms.wording import alert_id, span
from vitalwatch.messages import Alert, Driver


def explain(
    cause: int = UNUSUAL, **by_vital: tuple[float, float, float, float, float]
) -> Explanation:
    """By vital: share, observed, low, high, seconds outside."""
    columns = np.full((5, 1, vitals.COUNT), np.nan, dtype=np.float32)
    columns[0] = 0
    for name, entry in by_vital.items():
        columns[:, 0, vitals.INDEX[name]] = entry
    share, observed, low, high, outside = columns
    middle = ((low + high) / np.float32(2)).astype(np.float32)
    causes = np.full(share.shape, cause, dtype=np.int8)
    return Explanation(share, causes, observed, middle, low, high, outside)


def deterioration(explanation: Explanation | None) -> Alert:
    """The alert that two rare readings raise."""
    bed = Bedside()
    bed.read(0, HEALTHY, rarity=12)
    assert bed.read(120, HEALTHY, 12, explanation) == ["raised deterioration medium"]
    return bed.alerts[0]


def test_a_limit_says_the_value_the_limit_and_for_how_long() -> None:
    bed = Bedside()
    bed.hold(0, 70, {"hr": 145})
    bed.hold(70, 130, {"hr": 165})
    bed.hold(130, 200, {"hr": 90})
    assert [alert.sentence for alert in bed.alerts] == [
        "HR 145 /min (limit 140), high for 60 s",
        "HR 165 /min (limit 160), high for 85 s",
        "HR 90 /min: back within limits, after 3 min",
    ]
    assert bed.alerts[0].drivers == [Driver("hr", 1.0, 145, None, None, None)]


def test_values_are_said_in_the_steps_of_their_device() -> None:
    bed = Bedside()
    bed.hold(0, 20, {"temp": 41.234, "spo2": 77.6})
    assert [alert.sentence for alert in bed.alerts] == [
        "SpO2 78 % (limit 80), low for 15 s",
        "Temp 41.2 °C (limit 41), high for 15 s",
    ]
    assert [alert.drivers[0].observed for alert in bed.alerts] == [78, 41.2]


def test_a_deterioration_names_what_drives_it_most_first() -> None:
    alert = deterioration(
        explain(
            rr=(0.25, 28, 14, 19, 360),
            spo2=(0.70, 88, 95, 98, -240),
            hr=(0.04, 99, 70, 90, 10),
        )
    )
    assert alert.sentence == (
        "SpO2 88 % (expected 95 to 98), low for 4 min, drives 70 %; "
        "RR 28 /min (expected 14 to 19), high for 6 min, drives 25 %"
    )
    assert alert.drivers == [
        Driver("spo2", 0.7, 88, 96, 95, 98),
        Driver("rr", 0.25, 28, 16, 14, 19),
    ]
    assert alert.rarity == 12


def test_a_deterioration_speaks_of_what_is_known_only() -> None:
    alert = deterioration(explain(map=(1.0, 71, np.nan, np.nan, 0)))
    assert alert.sentence == "MAP 71 mmHg, drives 100 %"
    assert alert.drivers == [Driver("map", 1.0, 71, None, None, None)]
    assert deterioration(None).sentence == "Vital signs are rare for a stable patient"


@pytest.mark.parametrize(
    ("course", "sentence"),
    [
        (
            [{"map": 311.0}],
            "MAP 311 mmHg is not plausible: line flushed, damped or being zeroed",
        ),
        ([{"temp": 21.4}], "Temp 21.4 °C is not plausible: probe not in place"),
        ([{"hr": 306.0}], "HR 306 /min is not plausible: artefact"),
        (
            [{"hr": 80.0}] * 10 + [{"spo2": 97.0}] * 70,
            "HR: no signal for 61 s: check the electrodes",
        ),
        (
            [{"rr": 14.0}] + [{"rr": 0.0}] * 31,
            "No breathing signal for 30 s: apnoea, or sensor off",
        ),
    ],
)
def test_a_technical_alarm_says_what_to_check(
    course: list[dict[str, float]], sentence: str
) -> None:
    bed = Bedside()
    for second, frame in enumerate(course):
        bed.read(second, frame, rarity=0.01)
    assert [alert.sentence for alert in bed.alerts] == [sentence]
    assert bed.alerts[0].rarity is None


def test_a_lost_signal_and_its_return_are_said() -> None:
    bed = Bedside(stale_seconds=60)
    bed.read(0, HEALTHY)
    bed.read(600, HEALTHY)
    assert [alert.sentence for alert in bed.alerts] == [
        "No readings: device off, or connection lost",
        "Readings are back, after 9 min",
    ]


def test_a_discharge_says_that_nobody_watches_any_more() -> None:
    bed = Bedside()
    bed.hold(0, 20, {"spo2": 78})
    bed.discharge(60)
    assert bed.alerts[-1].sentence == "No longer watched, after 60 s"


def test_the_identity_of_an_alarm_is_the_patient_the_condition_and_when_it_was_raised() -> None:
    given = alert_id("anna", "hr_high", 1000)
    assert given == alert_id("anna", "hr_high", 1000)
    assert len(given) == 32
    others = {
        alert_id("berta", "hr_high", 1000),
        alert_id("anna", "hr_low", 1000),
        alert_id("anna", "hr_high", 1001),
        alert_id("anna:hr", "_high", 1000),
    }
    assert len(others | {given}) == 5


def test_the_same_alarm_raised_twice_has_two_identities() -> None:
    bed = Bedside(stale_seconds=3600)
    for start in (0, 1000):
        bed.hold(start, start + 16, {"hr": 165})
        bed.hold(start + 16, start + 60, {"hr": 80})
    assert [alert.event for alert in bed.alerts] == ["raised", "cleared"] * 2
    assert len({alert.alert_id for alert in bed.alerts}) == 2


def test_an_alert_carries_its_times_its_origin_and_its_model() -> None:
    bed = Bedside()
    bed.hold(5, 30, {"spo2": 78})
    alert = bed.alerts[0]
    assert (alert.onset, alert.time) == (START + 5000, START + 20_000)
    assert (alert.kind, alert.patient, alert.model) == ("physiological", "anna", "model")
    assert alert.origin.offset == 7


def test_an_alert_can_go_on_the_wire_and_come_back() -> None:
    alert = deterioration(explain(spo2=(1.0, 88, 95, 98, -240)))
    wire = msgspec.json.encode(alert)
    assert msgspec.json.decode(wire, type=Alert) == alert
    assert json.loads(wire)["drivers"][0]["vital"] == "spo2"


@pytest.mark.parametrize(
    ("ms", "words"),
    [(400, "0 s"), (89_000, "89 s"), (90_000, "2 min"), (5_300_000, "88 min"), (9e6, "2 h")],
)
def test_durations_are_said_as_people_say_them(ms: float, words: str) -> None:
    assert span(ms) == words


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (DANGEROUS, "(limit 60)"),
        (SUDDEN, "(sudden change within 60 to 90)"),
        (UNUSUAL, "(at the edge of 60 to 90)"),
    ],
)
def test_a_value_inside_its_expected_range_is_not_said_to_be_outside(cause: int, said: str) -> None:
    sentence = deterioration(explain(cause, map=(1.0, 65, 60, 90, -120))).sentence
    assert said in sentence
    assert "expected" not in sentence
    assert "low" not in sentence.replace("limit", "")


def test_the_first_value_outside_says_nothing_of_how_long() -> None:
    first = deterioration(explain(map=(1.0, 55, 60, 90, -1))).sentence
    assert "(expected 60 to 90), low, drives" in first
