"""The network's step beside the bare matrix product that it cannot do without, and the state."""

import time
from collections.abc import Callable

import torch

from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure, Target, ratio
from vitalwatch import config
from vitalwatch.arrays import Floats
from vitalwatch.compiled import compiled
from vitalwatch.detector import Detector
from vitalwatch.model import checkpoint
from vitalwatch.model.layout import INPUTS
from vitalwatch.scoring import cells, forecast
from vitalwatch.scoring.cells import Room, Weights
from vitalwatch.scoring.passes import CHUNK
from vitalwatch.scoring.products import aligned

BATCH = 1000


def measure(context: Context) -> list[Figure]:
    """µs a row at a batch of 1,000, on one thread, and bytes of state a patient."""
    size = context.size
    torch.set_num_threads(1)
    model = checkpoint.load()
    hidden, made = model.hidden, Weights.of(model.cell, model.weights)
    head = forecast.Head.of(model.weights)
    room, x, net = Room.of(made, CHUNK), cells.inputs(CHUNK), aligned(CHUNK, 2 * hidden)
    row, wide = head.rows(CHUNK)
    logits = aligned(CHUNK, head.risks.shape[1])
    x[:, :INPUTS] = torch.randn(CHUNK, INPUTS).numpy()
    both = torch.randn(BATCH, INPUTS + hidden)
    weights = torch.randn(INPUTS + hidden, 4 * hidden)
    products, steps = [], []
    with torch.inference_mode():
        for _ in range(max(size.runs, 3)):
            products.append(_per_row(lambda: torch.mm(both, weights), size.moment))
            steps.append(
                _per_row(lambda: _steps(made, head, room, x, net, row, wide, logits), size.moment)
            )
    taken = Figure(f"LSTM step, cell and risks, batch of {BATCH:,}", steps, "µs/row")
    shape = f"{INPUTS + hidden} x {4 * hidden}"
    product = Figure(f"matrix product of that shape, {shape}", products, "µs/row")
    held = Detector(model, config.Alarms()).row_bytes
    return [
        taken,
        product,
        ratio("LSTM step / matrix product", taken, product, Target("≤", 1.6)),
        Figure("state a patient", [held], "bytes", Target("≤", 2500)),
    ]


@compiled
def _steps(
    weights: Weights,
    head: forecast.Head,
    room: Room,
    x: Floats,
    net: Floats,
    row: Floats,
    wide: Floats,
    logits: Floats,
) -> None:
    """A batch as the scorer takes it, in chunks."""
    units = row.shape[1] - 4
    for begin in range(0, BATCH, CHUNK):
        count = min(CHUNK, BATCH - begin)
        cells.lstm(x, net, weights, room, count)
        forecast.bring(net, units, row, count)
        forecast.risk(net, units, x, head, wide, logits, count)


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
