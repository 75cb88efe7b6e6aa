import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.model import checkpoint
from vitalwatch.scoring import evidence, features
from vitalwatch.scoring.evidence import LIMITS, TAIL_LOGS, TERMS, Calibration

TABLES = Calibration.of(checkpoint.load().calibration).tables()


def standardised(name: str, value: float) -> Floats:
    row = np.full(vitals.COUNT, np.nan, dtype=np.float32)
    row[vitals.INDEX[name]] = value
    return features.standardise(row)


def danger(value: Floats) -> Floats:
    out = np.empty_like(value)
    evidence.danger(value, LIMITS[0], LIMITS[1], out)
    return out


def hazard(term: str, answers: Floats) -> Floats:
    out, number = np.empty_like(answers), TERMS.index(term)
    even = np.ones(vitals.COUNT, dtype=np.float32)
    evidence.hazard(answers, TABLES.tails[number], TABLES.tails_beyond[number], even, out)
    return out


def rarity(sums: Floats) -> Floats:
    out = np.empty_like(sums)
    evidence.rarity(sums, TABLES.sums, TABLES.log_days, TABLES.days_beyond, out)
    return out


def test_danger_is_nothing_at_the_typical_value_and_one_at_either_limit() -> None:
    for vital in vitals.VITALS:
        place = vitals.INDEX[vital.name]
        assert danger(standardised(vital.name, vital.typical))[place] == 0
        for end in vital.limit:
            if end is not None:
                assert abs(danger(standardised(vital.name, end))[place] - 1) < 1e-5


def test_much_oxygen_is_no_danger_and_no_level() -> None:
    memory = features.Memory.blank(1)
    place = vitals.INDEX["spo2"]
    high = standardised("spo2", 100)
    assert danger(high)[place] <= 0
    level = np.empty_like(high)
    evidence.level(high, memory.mean[0], memory.deviation[0], LIMITS[0], LIMITS[1], level)
    assert level[place] < 0


@given(st.sampled_from(TERMS), st.lists(st.floats(-10, 1e6, width=32), min_size=2, max_size=20))
def test_a_greater_answer_never_weighs_less(term: str, answers: list[float]) -> None:
    column = np.sort(np.array(answers, dtype=np.float32))
    weighed = hazard(term, np.repeat(column[:, None], vitals.COUNT, axis=1))
    assert (np.diff(weighed, axis=0) >= 0).all()
    assert (weighed >= 0).all()
    assert np.isfinite(weighed).all()


@given(st.sampled_from(TERMS), st.floats(0, 1))
def test_an_answer_weighs_what_lies_between_its_neighbours_in_the_table(
    term: str, part: float
) -> None:
    tails = TABLES.tails[TERMS.index(term)].astype(np.float64)
    for place in range(len(TAIL_LOGS) - 1):
        answers = tails[:, place] + part * (tails[:, place + 1] - tails[:, place])
        between = answers.astype(np.float32)[None]
        wanted = [np.interp(between[0, v], tails[v], TAIL_LOGS) for v in range(vitals.COUNT)]
        hazards = np.where(np.array(wanted) > 1, 10 ** np.array(wanted), 0)
        found = hazard(term, between)[0]
        near = np.abs(np.array(wanted) - 1) < 1e-5  # ordinary, or just not any more
        np.testing.assert_allclose(found[~near], hazards[~near], rtol=1e-4)


@given(st.lists(st.floats(-9, 20, width=32), min_size=2, max_size=20))
def test_more_evidence_is_never_less_rare(sums: list[float]) -> None:
    found = rarity(np.sort(np.array(sums, dtype=np.float32)))
    assert (np.diff(found) >= 0).all()
    assert (found > 0).all()


def test_at_a_tabulated_evidence_the_rarity_is_the_tabulated_one() -> None:
    found = rarity(TABLES.sums.astype(np.float32))
    np.testing.assert_allclose(np.log10(found), np.minimum(TABLES.log_days, 5.56), atol=1e-4)


def test_a_vital_not_measured_weighs_nothing() -> None:
    nothing = np.full((3, vitals.COUNT), np.nan, dtype=np.float32)
    assert (hazard("surprise", nothing) == 0).all()


@given(st.lists(st.floats(0, 1e6, width=32), min_size=2, max_size=8))
def test_more_hazards_are_never_less_evidence(hazards: list[float]) -> None:
    total, before = np.float32(0), -np.inf
    for each in hazards:
        total += np.float32(each)
        found = float(evidence.logarithm(total))
        assert found >= before - 1e-6
        before = found
        assert found == pytest.approx(max(np.log10(max(float(total), 1e-9)), -9), abs=1e-4)
