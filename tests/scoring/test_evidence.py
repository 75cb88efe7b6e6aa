import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.model import checkpoint
from vitalwatch.scoring import evidence, features
from vitalwatch.scoring.evidence import TERMS, Calibration


def standardised(name: str, value: float) -> Floats:
    row = np.full((1, vitals.COUNT), np.nan, dtype=np.float32)
    row[0, vitals.INDEX[name]] = value
    return features.standardise(row)


def test_danger_is_nothing_at_the_typical_value_and_one_at_either_limit() -> None:
    for vital in vitals.VITALS:
        place = vitals.INDEX[vital.name]
        assert evidence.danger(standardised(vital.name, vital.typical))[0, place] == 0
        for end in vital.limit:
            if end is not None:
                danger = evidence.danger(standardised(vital.name, end))[0, place]
                assert abs(danger - 1) < 1e-5


def test_much_oxygen_is_no_danger_and_no_level() -> None:
    memory = features.Memory(features.Memory.blank(1))
    place = vitals.INDEX["spo2"]
    high = standardised("spo2", 100)
    assert evidence.danger(high)[0, place] <= 0
    assert evidence.level(memory, high)[0, place] < 0


@given(st.sampled_from(TERMS), st.lists(st.floats(-10, 1e6, width=32), min_size=2, max_size=20))
def test_a_greater_answer_never_weighs_less(term: str, answers: list[float]) -> None:
    calibration = Calibration.of(checkpoint.load().calibration)
    column = np.sort(np.array(answers, dtype=np.float32))
    weighed = calibration.excess(term, np.repeat(column[:, None], vitals.COUNT, axis=1))
    assert (np.diff(weighed, axis=0) >= 0).all()
    assert (weighed >= 0).all()
    assert np.isfinite(weighed).all()


@given(st.lists(st.floats(0, 200, width=32), min_size=2, max_size=20))
def test_more_evidence_is_never_less_rare(sums: list[float]) -> None:
    calibration = Calibration.of(checkpoint.load().calibration)
    rarity = calibration.rarity(np.sort(np.array(sums, dtype=np.float32)))
    assert (np.diff(rarity) >= 0).all()
    assert (rarity > 0).all()


def test_a_vital_not_measured_weighs_nothing() -> None:
    calibration = Calibration.of(checkpoint.load().calibration)
    nothing = np.full((3, vitals.COUNT), np.nan, dtype=np.float32)
    assert (calibration.excess("surprise", nothing) == 0).all()
