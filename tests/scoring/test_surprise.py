import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch import vitals
from vitalwatch.model import head
from vitalwatch.scoring import features
from vitalwatch.scoring.surprise import surprise


@given(
    st.floats(-10, 10, width=32),
    st.floats(-10, 10, width=32),
    st.floats(0.0625, 2, width=32),
)
def test_a_surprise_is_that_of_the_trained_head(
    value: float, location: float, scale: float
) -> None:
    at, middle, width = (
        np.full(vitals.COUNT, x, dtype=np.float32) for x in (value, location, scale)
    )
    nats = np.empty(vitals.COUNT, dtype=np.float32)
    surprise(at, middle, width, features.STEP, nats)
    parts = (torch.from_numpy(part) for part in (at, middle, width, features.STEP))
    np.testing.assert_allclose(nats, head.surprise(*parts).numpy(), atol=1e-3)


def test_a_surprise_has_an_end() -> None:
    value, location = np.full(2, 1e30, dtype=np.float32), np.zeros(2, dtype=np.float32)
    nats, scale = np.empty(2, dtype=np.float32), np.array([1e-3, 10], dtype=np.float32)
    surprise(value, location, scale, np.full(2, 0.1, dtype=np.float32), nats)
    assert ((nats > 30) & (nats < 50)).all()
