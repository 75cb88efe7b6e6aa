import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import Ward
from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.calibration.units import doubts


def ward() -> Floats:
    _, values = Ward(patients=6, seed=3, interval=60).read(200)
    return np.asarray(values.reshape(-1, vitals.COUNT))


@pytest.mark.parametrize(
    ("vital", "factor", "offset", "said"),
    [
        ("temp", 1.8, 32.0, "°F: it must be in °C"),
        ("temp", 1.0, 273.15, "K: it must be in °C"),
        ("sbp", 0.133, 0.0, "kPa: it must be in mmHg"),
        ("dbp", 0.133, 0.0, "kPa: it must be in mmHg"),
        ("map", 0.133, 0.0, "kPa: it must be in mmHg"),
        ("etco2", 0.133, 0.0, "kPa or %: it must be in mmHg"),
        ("spo2", 0.01, 0.0, "a fraction: it must be in %"),
        ("hr", 1 / 60, 0.0, "beats per second: it must be in /min"),
        ("rr", 100.0, 0.0, "which no patient has (1 to 90)"),
    ],
)
def test_wrong_units_are_named_with_what_was_seen(
    vital: str, factor: float, offset: float, said: str
) -> None:
    values = ward()
    column = vitals.INDEX[vital]
    shown = np.where(np.isnan(values[:, column]), vitals.VITALS[column].typical, values[:, column])
    values[:, column] = shown * factor + offset
    (doubt,) = doubts(values)
    assert doubt.startswith(f"{vital} has the middle value ")
    assert said in doubt


def test_patients_of_the_simulator_are_in_the_right_units() -> None:
    assert not doubts(ward())


@pytest.mark.parametrize(
    "of_the_young",
    [{"hr": 150, "rr": 45, "sbp": 75, "dbp": 40, "map": 50}, {"hr": 62, "sbp": 165, "dbp": 60}],
)
def test_neither_infants_nor_the_very_old_are_in_doubt(of_the_young: dict[str, float]) -> None:
    values = np.full((50, vitals.COUNT), np.nan, dtype=np.float32)
    for vital, value in of_the_young.items():
        values[:, vitals.INDEX[vital]] = value
    assert not doubts(values)


@given(st.floats(0, 0.95))
def test_sensors_that_are_off_say_nothing_of_units(share: float) -> None:
    values = ward()
    values[np.random.default_rng(0).random(values.shape) < share] = 0
    assert not doubts(values)
