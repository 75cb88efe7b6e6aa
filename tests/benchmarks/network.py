"""The network's step beside the bare matrix product that it cannot do without, all of scoring, and
the state."""

import time
from collections.abc import Callable

import numpy as np
import torch

from simulator import Ward
from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure, Target, ratio
from tests.benchmarks.load import SEED
from vitalwatch import config
from vitalwatch.arrays import Floats, Ints, Spans
from vitalwatch.compiled import compiled
from vitalwatch.detector import Detector
from vitalwatch.model import checkpoint
from vitalwatch.model.checkpoint import Model
from vitalwatch.model.layout import INPUTS
from vitalwatch.readings import Readings
from vitalwatch.scoring import cells, forecast
from vitalwatch.scoring.cells import Room, Weights
from vitalwatch.scoring.evidence import Calibration
from vitalwatch.scoring.products import aligned
from vitalwatch.scoring.scorer import Scorer
from vitalwatch.scoring.workspace import CHUNK
from vitalwatch.state import Table

BATCH = 1000
_FRAMES = 60  # of a ward: five minutes, in which older forecasts come into use
_WARMING = 20  # of them, before it counts


def measure(context: Context) -> list[Figure]:
    """µs a row at a batch of 1,000, on one thread, and bytes of state a patient."""
    size = context.size
    torch.set_num_threads(1)
    model = checkpoint.load()
    hidden, made = model.hidden, Weights.of(model.cell, model.weights)
    head = forecast.Head.of(model.weights)
    room, row, net = Room.of(made, CHUNK), cells.rows(CHUNK, hidden), aligned(CHUNK, 2 * hidden)
    logits = head.logits(CHUNK)
    row[:, 1 + hidden : 1 + hidden + INPUTS] = torch.randn(CHUNK, INPUTS).numpy()
    both = torch.randn(BATCH, INPUTS + hidden)
    weights = torch.randn(INPUTS + hidden, 4 * hidden)
    ward = frames()
    products, steps, scores, all_of_it = [], [], [], []
    with torch.inference_mode():
        for _ in range(max(size.runs, 3)):
            products.append(_per_row(lambda: torch.mm(both, weights), size.moment))
            steps.append(_per_row(lambda: _steps(made, head, room, row, net, logits), size.moment))
            scores.append(_scoring(model, ward))
            all_of_it.append(detecting(model, ward))
    taken = Figure(f"LSTM step, cell and risks, batch of {BATCH:,}", steps, "µs/row")
    shape = f"{INPUTS + hidden} x {4 * hidden}"
    product = Figure(f"matrix product of that shape, {shape}", products, "µs/row")
    held = Detector(model, config.Alarms()).row_bytes
    rounds = f"µs a reading in rounds of {BATCH:,}"
    return [
        taken,
        product,
        ratio("LSTM step / matrix product", taken, product, Target("≤", 1.6)),
        Figure(f"scoring, {rounds}", scores, "µs", Target("≤", 2)),
        Figure(f"scoring and alarms, {rounds}", all_of_it, "µs", Target("≤", 3)),
        Figure("state a patient", [held], "bytes", Target("≤", 2500)),
    ]


@compiled
def _steps(
    weights: Weights, head: forecast.Head, room: Room, row: Floats, net: Floats, logits: Floats
) -> None:
    """A batch as the scorer takes it, in chunks."""
    for begin in range(0, BATCH, CHUNK):
        count = min(CHUNK, BATCH - begin)
        cells.lstm(row, net, weights, room, count)
        cells.bring(net, 0, weights.units, row, count)
        forecast.risk(row, head, logits, count)


def frames() -> list[tuple[Ints, Floats]]:
    """Readings of a ward: times and values of each frame."""
    ward = Ward(patients=BATCH, seed=SEED, interval=5.0)
    return [ward.step() for _ in range(_FRAMES)]


def _scoring(model: Model, frames: list[tuple[Ints, Floats]]) -> float:
    """µs of processor time a reading: the network and all evidence, up to the rarity."""
    table, rows = Table(), np.arange(BATCH)
    scorer, calibration = Scorer(table, model), Calibration.of(model.calibration)
    table.grow(BATCH)

    def step(frame: int) -> None:
        times, values = frames[frame]
        scorer.step(rows, times, values.astype(np.float32), calibration)

    return _per_reading(step)


def detecting(model: Model, frames: list[tuple[Ints, Floats]]) -> float:
    """The same with what comes before and after: whose reading it is, artefacts and alarms."""
    detector = Detector(model, config.Alarms())
    patients = Spans.of(map(str, range(BATCH)))

    def step(frame: int) -> None:
        times, values = frames[frame]
        offsets = np.arange(BATCH) + frame * BATCH
        read = Readings("ward", 0, patients, times, values.astype(np.float32), offsets)
        detector.process([read])

    return _per_reading(step)


def _per_reading(step: Callable[[int], None]) -> float:
    """µs of processor time a reading, of the middle one of all frames once it is warm."""
    seconds = []
    for frame in range(_FRAMES):
        began = time.process_time()
        step(frame)
        seconds.append(time.process_time() - began)
    return float(np.median(seconds[_WARMING:])) / BATCH * 1e6


def _per_row(work: Callable[[], object], seconds: float) -> float:
    """µs a row: the least of many blocks, because others can only add to it."""
    work()
    end, best = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(10):
            work()
        best = min(best, (time.perf_counter() - began) / 10)
    return best / BATCH * 1e6
