"""Forecasts that are kept, and the surprise at what came."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitalwatch import vitals
from vitalwatch.arrays import Floats
from vitalwatch.model import checkpoint, head, layout
from vitalwatch.scoring import features, foretold
from vitalwatch.scoring.known import follow
from vitalwatch.scoring.scorer import Scorer
from vitalwatch.state import NEVER, Table

START = 1_700_000_000_000
MODEL = checkpoint.load()


def course(interval: float, count: int) -> Floats:
    """Values (T, V) of a patient whose heart rate climbs."""
    values = np.full((count, vitals.COUNT), np.nan, dtype=np.float32)
    values[:, vitals.INDEX["hr"]] = np.round(80 + 20 * np.arange(count) * interval / 3600)
    values[::3, vitals.INDEX["spo2"]] = 96
    return values


def by_hand(values: Floats, interval: float) -> Floats:
    """Surprise (T, V): the mean of nats after all forecasts that are as old as a horizon."""
    made = MODEL.forecaster()
    memory, state = features.Memory.blank(1), made.cell.blank(1)
    who = np.zeros((1, len(layout.CONTEXT_NAMES)), dtype=np.float32)
    step = torch.from_numpy(features.STEP)
    kept: list[tuple[torch.Tensor, torch.Tensor, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]]
    kept, found = [], []
    for number, row in enumerate(values):
        shown = features.standardise(row[None])
        value = torch.from_numpy(shown)
        nats = []
        back = {1: interval} | {
            round(h / interval): h for h in layout.HORIZONS if round(h / interval) > 1
        }
        for readings, ahead in back.items():
            if readings <= number:
                said, told, seen = kept[number - readings]
                one = made.predict(said, told, torch.tensor([[ahead]]))
                each = head.surprise(value, one.location[0], one.scale[0], step)[0].numpy()
                nats.append(np.where(seen, each, np.nan))
        found.append(np.nanmean(nats, axis=0) if nats else np.full(vitals.COUNT, np.nan))
        known = np.empty((1, 1, layout.FEATURES), dtype=np.float32)
        passed = np.full((1, 1), interval if number else 0, dtype=np.float32)
        follow(memory.parts, passed, shown[None], who, features.STEP, known)
        features_ = torch.from_numpy(known)
        output, _, state = made(features_, state)
        kept.append((made.said(output), features_, memory.watched[0] > 0))
    return np.array(found)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_a_surprise_is_the_mean_over_all_horizons_by_the_network_that_was_trained() -> None:
    # Every half horizon is a multiple of it: what was foretold is exactly as old as the horizon.
    interval, values = 30.0, course(30.0, 260)
    table = Table()
    scorer = Scorer(table, MODEL)
    start = START - START % 3_600_000
    wanted = by_hand(values, interval)
    for number, row in enumerate(values):
        time = np.array([start + int(number * interval * 1000)])
        found = scorer.step(np.array([0]), time, row[None], None).answers.surprise[0]
        exact = number % 120 == 0 and number > 0
        for vital in np.flatnonzero(~np.isnan(row)):
            if number and exact:
                assert found[vital] == pytest.approx(wanted[number, vital], rel=0.02, abs=0.02)


@given(st.floats(-40, 40, width=32))
def test_what_is_kept_is_off_by_half_a_step_at_most(number: float) -> None:
    found = float(foretold.kept(np.float32(number))) / float(foretold.STEPS)
    most = (2**15 - 1) / float(foretold.STEPS)
    bounded = min(max(number, -most), most)
    assert abs(found - bounded) <= 0.51 / float(foretold.STEPS) + 1e-6 * abs(bounded)


@given(st.floats(0.2, 7), st.integers(0, 3_600_000))
def test_where_readings_come_often_one_forecast_is_about_as_old_as_each_horizon(
    interval: float, shift: int
) -> None:
    at = np.full(len(layout.HORIZONS) * foretold.SLOTS, NEVER, dtype=np.int64)
    for number in range(int(7200 / interval)):
        time = START + shift + int(number * interval * 1000)
        for h, seconds in enumerate(layout.HORIZONS):
            horizon = int(1000 * seconds)
            own = at[h * foretold.SLOTS : (h + 1) * foretold.SLOTS]
            if number * interval > 1.5 * seconds:
                assert np.abs(time - own - horizon).min() <= horizon // 4 + 1000 * interval
            half = time // (horizon // 2)
            if own[half % foretold.SLOTS] // (horizon // 2) != half:
                own[half % foretold.SLOTS] = time
