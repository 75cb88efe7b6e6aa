import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitalwatch.arrays import Floats
from vitalwatch.model import layout
from vitalwatch.model.forecaster import Forecaster
from vitalwatch.model.layout import CELLS, CONTEXT, FEATURES, INPUTS, V
from vitalwatch.scoring import cells, features, forecast, known
from vitalwatch.scoring.cells import Room, Weights

ROWS = 32
HIDDEN = {"rnn": 5, "gru": 64, "lstm": 9, "attention": 12, "tcn": 6}
STEPS = np.tile(features.STEP, ROWS)
SAID = len(layout.KNOTS) * 3 * V


@functools.cache
def forecaster(kind: str) -> Forecaster:
    torch.manual_seed(2)
    made = Forecaster(kind, HIDDEN[kind])
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(1.5)
        made.decay.onset.fill_(0.1)
    return made.eval()


class Compiled:
    """A forecaster's steps for some patients who are at the start."""

    def __init__(self, kind: str) -> None:
        made = forecaster(kind)
        weights = made.weights()
        self.units = HIDDEN[kind]
        self.kind, self.weights = CELLS.index(kind), Weights.of(kind, weights)
        self.head = forecast.Head.of(weights)
        self.room, self.row = Room.of(self.weights, ROWS), cells.rows(ROWS, self.units)
        self.ahead, self.logits = forecast.Ahead.of(ROWS), self.head.logits(ROWS)
        self.state = np.zeros((ROWS, made.cell.width), dtype=np.float32)

    def read(self, told: Floats, ahead: Floats) -> list[Floats]:
        """Location, scale and logits after a reading with features ``told (n, F)``, and state."""
        count = len(told)
        location, scale = (np.empty((count, V), dtype=np.float32) for _ in range(2))
        self.row[:count, 1 + self.units :][:, :FEATURES] = told
        forecast.decay(self.head, self.row, self.units, count)
        cells.advance(self.kind, self.row, self.state, self.weights, self.room, count)
        cells.bring(self.state, 0, self.units, self.row, count)
        memory = features.Memory.blank(count)
        memory.last[:], memory.mean[:] = told[:, layout.LAST], told[:, layout.MEAN]
        forecast.look_ahead(
            self.row, self.head, ahead, memory.parts, STEPS, self.ahead, location, scale
        )
        forecast.risk(self.row, self.head, self.logits, count)
        logits = self.logits[:count, : len(layout.RISKS) * V].copy()
        return [location, scale, logits, self.state[:count].copy()]


def readings(frames: int, count: int, seed: int) -> tuple[Floats, Floats]:
    """Features ``(T, n, F)`` and seconds ahead ``(T, n)``."""
    generator = np.random.default_rng(seed)
    told = generator.normal(size=(frames, count, FEATURES)).astype(np.float32)
    told[..., layout.DEVIATION] = generator.uniform(0.1, 2, (frames, count, V))
    for column in (layout.AGE, slice(layout.ELAPSED, layout.ELAPSED + 1)):
        told[..., column] = generator.uniform(0, 1.5, told[..., column].shape)
    ahead = 10 ** generator.uniform(-1, 5, (frames, count))
    return told, ahead.astype(np.float32)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("count", [1, 7, ROWS])
def test_a_step_and_what_is_said_are_those_of_the_forecaster_that_was_trained(
    kind: str, count: int
) -> None:
    made, compiled = forecaster(kind), Compiled(kind)
    state = made.cell.blank(count)
    for told, ahead in zip(*readings(70, count, count), strict=True):
        features_ = torch.from_numpy(told)[None]
        with torch.inference_mode():
            output, inputs, state = made(features_, state)
            prediction = made.predict(made.said(output), features_, torch.from_numpy(ahead)[None])
            risks = made.risks(output, inputs)
        parts = (prediction.location[0], prediction.scale[0], risks[0].reshape(count, -1), state)
        found = compiled.read(told, ahead)
        for part, wanted in zip(found, parts, strict=True):
            np.testing.assert_allclose(part, wanted.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", CELLS)
@given(count=st.integers(1, ROWS), data=st.data())
@settings(max_examples=20)
def test_a_patient_has_the_same_bits_alone_as_in_company(
    kind: str, count: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, count - 1))
    together, alone = Compiled(kind), Compiled(kind)
    for told, ahead in zip(*readings(20, count, count), strict=True):
        own = slice(place, place + 1)
        wanted = together.read(told, ahead)
        found = alone.read(told[own], ahead[own])
        assert [part[own].tobytes() for part in wanted] == [part.tobytes() for part in found]


@given(st.floats(0, 1e7))
def test_a_prediction_at_any_time_lies_between_those_of_its_knots(ahead: float) -> None:
    compiled = Compiled("gru")
    weights = forecaster("gru").weights()
    weights["head.weight"] = np.zeros_like(weights["head.weight"])
    weights["head.bias"] = (np.arange(SAID) / 10).astype(np.float32)
    head, memory = forecast.Head.of(weights), features.Memory.blank(1)

    def location(seconds: float) -> Floats:
        found, scale = (np.empty((1, V), dtype=np.float32) for _ in range(2))
        time = np.array([seconds], dtype=np.float32)
        forecast.look_ahead(
            compiled.row, head, time, memory.parts, STEPS, compiled.ahead, found, scale
        )
        return found

    knots = [0.0, *layout.KNOTS, 1e7]
    after = next(k for k, seconds in enumerate(knots) if seconds >= np.float32(ahead) - 1e-3)
    lower, upper = location(knots[max(after - 1, 0)]), location(knots[after])
    assert (location(ahead) >= lower - 1e-4).all()
    assert (location(ahead) <= upper + 1e-4).all()


def test_features_are_read_after_the_reading_has_gone_in() -> None:
    memory = features.Memory.blank(1)
    value = np.full((3, 1, V), np.nan, dtype=np.float32)
    value[0, 0, 0], value[2, 0, 1] = 1.5, -0.5
    elapsed = np.array([[0], [10], [20]], dtype=np.float32)
    who = np.array([[0.5, 1, -1, 0, 1]], dtype=np.float32)
    told = np.empty((3, 1, FEATURES), dtype=np.float32)
    known.follow(memory.parts, elapsed, value, who, features.STEP, told)
    assert told[:, 0, 0].tolist() == [1.5, 1.5, 1.5]
    assert told[:, 0, V].tolist() == [1, 0, 0]
    ages = [0, layout.squash(10), layout.squash(30)]
    np.testing.assert_allclose(told[:, 0, 2 * V], ages, rtol=1e-6)
    assert told[1, 0, 1] == 0
    assert told[2, 0, 1] == -0.5
    assert told[2, 0, 2 * V + 1] == 0
    assert told[:, 0, 3 * V].tolist() == [1.5, 1.5, 1.5]
    squashed = [layout.squash(seconds) for seconds in (0, 10, 20)]
    np.testing.assert_allclose(told[:, 0, layout.ELAPSED], squashed, rtol=1e-6)
    assert (told[:, 0, CONTEXT] == who).all()
    assert INPUTS == FEATURES + V
