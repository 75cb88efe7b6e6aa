"""Which values are measurements, and what is said of signals that are lost or odd."""

import numpy as np
import pytest

from tests.alarms.bedside import HEALTHY, Bedside
from vitalwatch import vitals

PRESSURES = ("sbp", "dbp", "map")
"""A line that is open to air reads -1 too."""


@pytest.mark.parametrize("name", [name for name in vitals.NAMES if name != "rr"])
@pytest.mark.parametrize("code", [0, -1, -32768])
def test_a_device_code_for_no_value_is_no_measurement_and_no_alarm(name: str, code: int) -> None:
    bed = Bedside()
    zeroed = code == -1 and name in PRESSURES
    assert bed.hold(0, 90, {name: code}) == ([f"0 raised {name}_implausible low"] if zeroed else [])
    assert bed.usable() == {}


def test_all_zeros_before_anything_is_connected_raise_nothing() -> None:
    zeros = dict.fromkeys(vitals.NAMES, 0.0)
    assert Bedside().hold(0, 3600, zeros, step=60) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("map", -17), ("map", 311), ("hr", 306), ("temp", 21.0), ("spo2", 101), ("etco2", 200)],
)
def test_a_value_outside_of_what_lives_is_a_technical_alarm_only(name: str, value: float) -> None:
    bed = Bedside()
    assert bed.hold(0, 60, {name: value}) == [f"0 raised {name}_implausible low"]
    assert bed.usable() == {}


def test_an_artefact_is_over_after_a_minute_of_plausible_values() -> None:
    bed = Bedside()
    bed.read(0, {"hr": 306})
    assert bed.hold(1, 120, HEALTHY) == ["70 cleared hr_implausible low"]


def test_values_after_an_artefact_are_believed_after_a_settling_time() -> None:
    bed = Bedside()
    bed.read(0, {"hr": 306})
    assert bed.read(9.9, {"hr": 80}) == []
    assert bed.usable() == {}
    bed.read(10, {"hr": 80})
    assert bed.usable() == {"hr": 80}


def test_breaths_after_no_breath_are_believed_at_once() -> None:
    bed = Bedside()
    bed.read(0, {"rr": 0})
    bed.read(1, {"rr": 4})
    assert bed.usable() == {"rr": 4}


def test_a_line_that_is_zeroed_raises_no_physiological_alarm() -> None:
    bed = Bedside()
    bed.hold(0, 60, {"map": 78})
    course = [59, 45, 33, 17, -4, -13, -17, -13, -4, 23, 38, 45, 48, 52, 55, 64, 149, 151, 151]
    for second, value in enumerate(course):
        bed.read(60 + 2 * second, {"map": value})
    bed.hold(98, 300, {"map": 79})
    assert [alert.condition for alert in bed.alerts] == ["map_implausible"] * 2
    assert {alert.kind for alert in bed.alerts} == {"technical"}


@pytest.mark.parametrize("plateau", [205, 230, 320])
def test_a_line_that_is_flushed_raises_no_physiological_alarm(plateau: int) -> None:
    bed = Bedside()
    bed.hold(0, 60, {"map": 57})
    course = [190] + [plateau] * 40 + [205, 118, 206, 233, 174, 104, 81, 69]
    for second, value in enumerate(course):
        bed.read(60 + 2 * second, {"map": value})
    bed.hold(160, 300, {"map": 62})
    assert {alert.condition for alert in bed.alerts} == {"map_implausible", "map_no_signal"}


def test_an_artefact_of_one_pressure_makes_the_others_of_its_frame_doubtful() -> None:
    bed = Bedside()
    bed.read(0, {"sbp": 0, "dbp": 0, "map": 130, "hr": 80})
    assert bed.usable() == {"hr": 80}


def test_pressures_without_a_pulse_are_implausible() -> None:
    bed = Bedside()
    assert bed.read(0, {"sbp": 61, "dbp": 59, "map": 60}) == ["raised sbp_implausible low"]
    assert bed.usable() == {}


def test_a_pressure_that_rises_in_minutes_is_believed() -> None:
    bed = Bedside()
    for second in range(240):
        bed.read(second, {"map": 80 + second / 3})
    assert [alert.condition for alert in bed.alerts] == ["map_high"]


def test_a_pressure_that_collapses_is_believed_at_once() -> None:
    bed = Bedside()
    bed.hold(0, 60, {"map": 85})
    assert bed.hold(60, 100, {"map": 38}) == ["75 raised map_low high"]


def test_a_cuff_may_read_much_more_than_the_minute_before() -> None:
    bed = Bedside()
    bed.read(0, {"sbp": 60, "dbp": 30, "map": 40})
    bed.read(60, {"sbp": 130, "dbp": 80, "map": 97})
    assert bed.usable() == {"sbp": 130, "dbp": 80, "map": 97}


def test_a_temperature_probe_is_not_believed_while_it_warms_up_or_falls_out() -> None:
    bed = Bedside()
    for second in range(0, 120, 2):
        bed.read(second, {"temp": round(min(22 + second / 6, 36.5), 1)})
    bed.hold(120, 1000, {"temp": 36.5})
    assert bed.usable() == {"temp": 36.5}
    for second in range(1000, 1200, 2):
        bed.read(second, {"temp": round(36.5 - (second - 1000) / 6, 1)})
    assert {alert.condition for alert in bed.alerts} <= {"temp_implausible", "temp_no_signal"}


@pytest.mark.parametrize(("step", "due"), [(1, 161), (60, 460)])
def test_a_vital_that_used_to_come_is_missed_after_a_minute_and_five_intervals(
    step: int, due: int
) -> None:
    bed = Bedside()
    bed.hold(100 - 10 * step, 101, HEALTHY, step)
    without = {name: value for name, value in HEALTHY.items() if name != "spo2"}
    assert bed.hold(100 + step, 1000, without, step) == [f"{due} raised spo2_no_signal low"]
    assert bed.read(1001, HEALTHY) == ["cleared spo2_no_signal low"]


def test_zeros_in_place_of_a_vital_that_used_to_come_are_a_lost_signal() -> None:
    bed = Bedside()
    bed.hold(0, 60, HEALTHY)
    assert bed.hold(60, 200, {**HEALTHY, "hr": 0}) == ["120 raised hr_no_signal low"]


def test_a_cuff_is_not_missed_between_its_readings() -> None:
    bed = Bedside()
    frame = {"hr": 80.0, "spo2": 97.0}
    cuff = {"sbp": 120.0, "dbp": 70.0, "map": 87.0}
    for second in range(0, 4 * 3600, 15):
        bed.read(second, {**frame, **cuff} if second % 900 == 0 else frame)
    assert bed.alerts == []


def test_a_vital_that_never_came_is_not_missed() -> None:
    assert Bedside().hold(0, 600, {"hr": 80}) == []


def test_a_device_that_was_away_has_not_lost_its_vitals() -> None:
    bed = Bedside(stale_seconds=7200)
    bed.hold(0, 60, HEALTHY)
    assert bed.read(3660, {"hr": 80}) == []
    assert bed.hold(3661, 3700, HEALTHY) == []


def test_devices_that_send_a_frame_for_each_vital_lose_nothing() -> None:
    bed = Bedside()
    for second in range(600):
        for place, (name, value) in enumerate(HEALTHY.items()):
            if name not in ("sbp", "dbp", "map"):
                bed.read(second + place / 10, {name: value})
    assert bed.alerts == []


def test_no_breath_is_apnoea_or_a_sensor_that_is_off() -> None:
    bed = Bedside()
    bed.hold(0, 60, HEALTHY)
    assert bed.hold(60, 200, {**HEALTHY, "rr": 0}) == ["90 raised no_breathing medium"]
    assert bed.alerts[0].kind == "technical"
    assert bed.hold(200, 230, HEALTHY) == ["210 cleared no_breathing medium"]


def test_a_patient_without_readings_is_stale_at_the_deadline_and_not_before() -> None:
    bed = Bedside(stale_seconds=60)
    bed.read(0, HEALTHY)
    assert bed.stream(59.999) == []
    assert bed.stream(75) == ["raised stale medium"]
    assert bed.stream(90) == []
    assert bed.read(100, HEALTHY) == ["cleared stale medium"]
    assert [alert.time - bed.alerts[0].time for alert in bed.alerts] == [0, 40_000]


def test_a_signal_can_be_lost_again() -> None:
    bed = Bedside(stale_seconds=60)
    bed.hold(0, 30, HEALTHY)
    assert bed.stream(89) == ["raised stale medium"]
    bed.hold(100, 130, HEALTHY)
    assert bed.stream(188.999) == []
    assert bed.stream(189) == ["raised stale medium"]


def test_a_patient_who_is_charted_once_an_hour_is_not_stale_after_minutes() -> None:
    bed = Bedside(stale_seconds=60)
    bed.hold(0, 7 * 3600, HEALTHY, step=3600)
    assert bed.stream(10 * 3600) == []
    assert bed.stream(11 * 3600) == ["raised stale medium"]


def test_the_own_reading_after_a_gap_tells_the_same_as_others_before_it() -> None:
    seen, unseen = Bedside(stale_seconds=60), Bedside(stale_seconds=60)
    for bed in (seen, unseen):
        bed.read(0, HEALTHY)
    seen.stream(75)
    for bed in (seen, unseen):
        bed.read(100, HEALTHY)
    assert [alert.event for alert in unseen.alerts] == ["raised", "cleared"]
    assert unseen.alerts == seen.alerts


def test_a_patient_whose_clock_lags_behind_the_stream_is_cleared_after_he_was_raised() -> None:
    bed = Bedside(stale_seconds=60)
    bed.read(0, HEALTHY)
    assert bed.read(50, HEALTHY, stream=70) == ["raised stale medium", "cleared stale medium"]
    assert [alert.time - bed.alerts[0].time for alert in bed.alerts] == [0, 0]


def test_another_partition_makes_nobody_stale() -> None:
    bed = Bedside(stale_seconds=60)
    bed.read(0, HEALTHY)
    transitions = bed.alarms.stale(1, 10**15)
    assert len(transitions) == 0


def test_a_forgotten_patient_is_not_stale() -> None:
    bed = Bedside(stale_seconds=60)
    bed.read(0, HEALTHY)
    bed.table.clear(np.array([0]))
    assert bed.stream(1000) == []


def test_more_room_forgets_nobody() -> None:
    bed = Bedside(stale_seconds=60)
    bed.read(0, HEALTHY)
    bed.table.grow(1000)
    assert bed.stream(60) == ["raised stale medium"]


def test_a_heart_rate_that_becomes_zero_is_asystole_or_electrodes_off() -> None:
    bed = Bedside()
    bed.hold(0, 60, HEALTHY)
    off = {"hr": 0.0, "spo2": 0.0, "rr": 15.0}
    assert "75 raised no_heartbeat medium" in bed.hold(60, 100, off)


def test_no_heartbeat_with_a_flat_arterial_line_has_high_priority() -> None:
    bed = Bedside()
    bed.hold(0, 60, HEALTHY)
    arrest = {"hr": 0.0, "spo2": 0.0, "rr": 0.0, "sbp": 15.0, "dbp": 12.0, "map": 13.0}
    assert "75 raised no_heartbeat high" in bed.hold(60, 100, arrest)


def test_electrodes_off_while_the_oximeter_finds_a_pulse_is_a_lost_signal_only() -> None:
    bed = Bedside()
    bed.hold(0, 60, HEALTHY)
    assert not [event for event in bed.hold(60, 200, {**HEALTHY, "hr": 0}) if "heartbeat" in event]


def test_a_heart_that_beats_again_clears_the_missing_heartbeat() -> None:
    bed = Bedside()
    bed.hold(0, 60, HEALTHY)
    bed.hold(60, 120, {"hr": 0, "rr": 15})
    assert [e for e in bed.hold(120, 200, HEALTHY) if "cleared no_heartbeat" in e]


def test_zeros_before_any_heartbeat_was_seen_are_no_missing_heartbeat() -> None:
    bed = Bedside()
    assert not [e for e in bed.hold(0, 200, {"hr": 0, "spo2": 0}) if "heartbeat" in e]
