"""Integrated gradients: what adds up to what, and who gets the credit."""

import numpy as np
import pytest
import torch

from simulator import Ward
from vitalwatch import vitals
from vitalwatch.arrays import Bools, Floats
from vitalwatch.explanation import gradients
from vitalwatch.explanation.course import Course
from vitalwatch.explanation.gradients import BUCKETS, attribute
from vitalwatch.model import layout
from vitalwatch.model.forecaster import Forecaster

torch.set_num_threads(1)

NO_OFFSET = np.zeros((len(layout.RISKS), layout.V), dtype=np.float32)


def forecaster(cell: str = "gru", seed: int = 3) -> Forecaster:
    """One with random weights that says more than one that is freshly made."""
    torch.manual_seed(seed)
    made = Forecaster(cell, 12).eval()
    for parameter in made.parameters():
        parameter.requires_grad_(False)
    made.risk.weight.normal_(0, 0.4)
    return made


def course(hours: float = 1.0, interval: float = 20.0) -> Course:
    """A patient who bleeds."""
    ward = Ward(1, 4, interval, scenarios="haemorrhage", share=1.0, onset=(60, 60))
    times, values = ward.read(int(hours * 3600 / interval))
    return Course.of(times[:, 0], values[:, 0])


def hazard(model: Forecaster, told: Floats, seen: Bools) -> float:
    """Log10 of the summed hazard, plainly."""
    output, inputs, _ = model(torch.from_numpy(told)[:, None], model.cell.blank(1))
    logits = model.risks(output[-1, 0], inputs[-1, 0]).double().numpy()
    return float(np.log10(np.log1p(np.exp(logits))[:, seen].sum()))


@pytest.mark.parametrize("cell", layout.CELLS)
def test_contributions_add_up_to_the_difference_from_the_patients_own_baseline(cell: str) -> None:
    model, patient = forecaster(cell), course()
    found = attribute(model, patient, NO_OFFSET)
    told = patient.features()
    usual = told.copy()
    usual[:, layout.LAST] = told[:, layout.MEAN]
    assert found.score == pytest.approx(hazard(model, told, patient.seen), abs=1e-4)
    assert found.baseline == pytest.approx(hazard(model, usual, patient.seen), abs=1e-4)
    difference = found.score - found.baseline
    assert abs(difference) > 0.05
    assert found.exact
    assert found.by_reading.sum() + found.missed == pytest.approx(difference, abs=1e-6)
    assert abs(found.missed) <= max(0.01 * abs(difference), gradients.NEGLIGIBLE)
    np.testing.assert_allclose(found.by_bucket.sum(axis=0), found.by_vital, atol=1e-9)


def test_the_hazard_of_a_chance_is_its_softplus_however_small() -> None:
    logits = torch.tensor([[[-60.0, 5.0], [-15.1, -14.9], [30.0, 0.0]]])
    weight = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-torch.inf, 0.0]])
    for one, seen in (((0, 0), [True, False]), ((1, 0), [True, False]), ((1, 1), [False, True])):
        alone = torch.full((3, 2), -torch.inf)
        alone[one] = weight[one]
        found = gradients.log_hazard(logits, alone, torch.tensor(seen))
        chance = float(logits[0][one].double().sigmoid())
        expected = np.log10(-np.log1p(-chance)) + float(weight[one])
        assert float(found[0]) == pytest.approx(expected, abs=1e-4)
    both = gradients.log_hazard(logits, weight, torch.tensor([True, True]))
    hazards = np.log1p(np.exp(logits[0].double().numpy())) * 10 ** weight.double().numpy()
    assert float(both[0]) == pytest.approx(np.log10(hazards.sum()), abs=1e-5)


def test_more_steps_are_taken_until_the_sum_is_exact() -> None:
    told: list[int] = []
    found = attribute(forecaster(seed=5), course(), NO_OFFSET, report=told.append)
    assert told == list(gradients.STEPS[: len(told)])
    assert found.steps == told[-1]


def test_what_was_never_measured_has_no_part() -> None:
    patient = course()
    values = patient.values.copy()
    values[:, vitals.INDEX["map"]] = np.nan
    found = attribute(forecaster(), Course.of(patient.times, values), NO_OFFSET)
    assert not found.by_reading[:, vitals.INDEX["map"]].any()
    assert found.by_reading[np.isnan(values)].any() == np.False_


def test_a_value_that_is_the_patients_own_baseline_has_no_part() -> None:
    patient = course()
    values = patient.values.copy()
    values[:, vitals.INDEX["hr"]] = 80
    found = attribute(forecaster(), Course.of(patient.times, values), NO_OFFSET)
    assert not found.by_vital[vitals.INDEX["hr"]]
    assert found.by_vital.any()


def test_a_cuffs_value_has_the_credit_for_as_long_as_it_is_the_last_one() -> None:
    patient = course()
    values = patient.values.copy()
    for name, usual, low in (("sbp", 120, 80), ("dbp", 75, 45), ("map", 90, 57)):
        cuff = np.full(len(values), np.nan, dtype=np.float32)
        cuff[::45], cuff[-20] = usual, low  # every 15 min, and a low one 19 readings ago
        values[:, vitals.INDEX[name]] = cuff
    found = attribute(forecaster(), Course.of(patient.times, values), NO_OFFSET)
    pressures = [vitals.INDEX[name] for name in ("sbp", "dbp", "map")]
    assert set(np.flatnonzero(found.by_reading[:, pressures].any(axis=1))) <= {
        *range(0, len(values), 45),
        len(values) - 20,
    }
    assert found.by_reading[-20, pressures].all()
    names = [bucket.name for bucket in BUCKETS]
    assert np.abs(found.by_bucket[names.index("5-15 min"), pressures]).sum() > 0


def test_hours_before_those_that_are_looked_at_have_no_part() -> None:
    patient = course(hours=5, interval=60)
    found = attribute(forecaster("lstm"), patient, NO_OFFSET)
    ago = patient.times[-1] - patient.times
    assert not found.by_reading[ago > gradients.REACH_MS].any()
    assert found.exact


def test_of_hourly_readings_a_day_is_looked_at() -> None:
    ward = Ward(1, 4, 3600.0, scenarios="sepsis", share=1.0, onset=(60, 60))
    times, values = ward.read(40)
    found = attribute(forecaster(), Course.of(times[:, 0], values[:, 0]), NO_OFFSET)
    assert np.count_nonzero(found.by_reading.any(axis=1)) > 10
    assert found.by_bucket[-1].any()


def test_a_single_reading_is_explained_too() -> None:
    patient = course()
    found = attribute(forecaster(), patient.until(int(patient.times[0])), NO_OFFSET)
    assert found.by_reading.shape == (1, vitals.COUNT)
    assert found.exact


def test_a_stretch_is_where_most_of_a_contribution_came_up() -> None:
    by_reading = np.zeros((5, vitals.COUNT))
    by_reading[:, 0] = (0.0, 0.05, 0.05, 0.4, 0.5)
    times = np.arange(5) * 1000
    found = gradients.Attribution(times, by_reading, 1.0, 0.0, 8, 0.0, exact=True)
    assert found.stretch(0) == 1000
    assert found.stretch(0, 1.0) == 3000
