import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.model import head
from vitalwatch.model.network import Network
from vitalwatch.model.shapes import INPUTS
from vitalwatch.scoring import features, passes, prediction
from vitalwatch.scoring.passes import CHUNK, Workspace
from vitalwatch.scoring.prediction import LOCATION, SCALE, Weights


def network(hidden: int) -> Network:
    torch.manual_seed(hidden)
    made = Network(hidden)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3)
    return made.eval()


class Compiled:
    """Steps of a network for some patients who are at the start."""

    def __init__(self, made: Network) -> None:
        self.weights = Weights.of(made.weights())
        self.work = Workspace.of(self.weights)
        self.step_size = passes.scales()[passes.STEP]

    def step(self, inputs: Floats) -> tuple[Floats, Floats]:
        """Location and scale (n, V) for inputs (n, INPUTS)."""
        work, count = self.work, len(inputs)
        units = work.cell.shape[1]
        work.x[:count, :INPUTS] = inputs
        work.x[:, INPUTS : INPUTS + units] = work.hidden[:, :units]
        prediction.step(work.x, self.weights, work.gates, work.cell, work.hidden, work.heads, count)
        last = np.ascontiguousarray(inputs[:, : vitals.COUNT]).ravel()
        mean = np.ascontiguousarray(inputs[:, 3 * vitals.COUNT : 4 * vitals.COUNT]).ravel()
        prediction.predict(work.heads, last, mean, self.step_size, work.prediction, count)
        found = work.prediction[:, : count * vitals.COUNT].reshape(3, count, vitals.COUNT)
        return found[LOCATION].copy(), found[SCALE].copy()


@pytest.mark.parametrize("hidden", [5, 64])
@pytest.mark.parametrize("count", [1, 2, 31, 32])
def test_a_step_is_that_of_the_network_that_was_trained(hidden: int, count: int) -> None:
    made = network(hidden)
    compiled, state = Compiled(made), None
    generator = np.random.default_rng(count)
    for _ in range(20):
        inputs = generator.normal(size=(count, INPUTS)).astype(np.float32)
        with torch.inference_mode():
            wanted, state = made(torch.from_numpy(inputs)[None], state)
        location, scale = compiled.step(inputs)
        np.testing.assert_allclose(location, wanted.location[0].numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(scale, wanted.scale[0].numpy(), rtol=1e-5, atol=1e-6)


def bits(found: tuple[Floats, Floats]) -> list[bytes]:
    return [part.tobytes() for part in found]


@given(st.integers(1, CHUNK), st.data())
def test_a_row_of_a_step_has_the_same_bits_alone_as_in_company(
    count: int, data: st.DataObject
) -> None:
    made = network(64)
    place = data.draw(st.integers(0, count - 1))
    together, alone = Compiled(made), Compiled(made)
    generator = np.random.default_rng(count)
    for _ in range(3):
        inputs = generator.normal(size=(count, INPUTS)).astype(np.float32)
        own = slice(place, place + 1)
        location, scale = together.step(inputs)
        assert bits((location[own], scale[own])) == bits(alone.step(inputs[own]))


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
    prediction.surprise(at, middle, width, features.STEP, nats)
    parts = (torch.from_numpy(part) for part in (at, middle, width, features.STEP))
    np.testing.assert_allclose(nats, head.surprise(*parts).numpy(), atol=1e-3)


def test_a_surprise_has_an_end() -> None:
    value, location = np.full(2, 1e30, dtype=np.float32), np.zeros(2, dtype=np.float32)
    nats, scale = np.empty(2, dtype=np.float32), np.array([1e-3, 10], dtype=np.float32)
    prediction.surprise(value, location, scale, np.full(2, 0.1, dtype=np.float32), nats)
    assert ((nats > 30) & (nats < 50)).all()
