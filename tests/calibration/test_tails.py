"""How rare values are, of many and of few."""

import numpy as np
import pytest

from vitalwatch.calibration.tails import weighted_tail
from vitalwatch.scoring.evidence import TAIL_LOGS


def test_of_many_values_each_frequency_is_as_counted() -> None:
    values = np.random.default_rng(0).random(400_000).astype(np.float32)
    found = weighted_tail(values, np.ones(len(values)))
    assert found == pytest.approx(1 - 10.0**-TAIL_LOGS, abs=5e-3)


def test_of_few_values_the_largest_does_not_stand_for_all_rarer_ones() -> None:
    values = np.random.default_rng(0).exponential(1, 600).astype(np.float32)
    found = weighted_tail(values, np.ones(len(values)))
    decades = found[4::4] - found[:-4:4]
    assert (decades > 1).all()
    assert found[-1] > values.max()
