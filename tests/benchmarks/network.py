"""The network's step beside the bare matrix product that it cannot do without, and the state."""

import time
from collections.abc import Callable

import torch

from tests.benchmarks.context import Context
from tests.benchmarks.figures import Figure, Target, ratio
from vitalwatch import config
from vitalwatch.compiled import compiled
from vitalwatch.detector import Detector
from vitalwatch.model import checkpoint
from vitalwatch.model.shapes import INPUTS
from vitalwatch.scoring.passes import CHUNK, Workspace
from vitalwatch.scoring.prediction import Weights, step

BATCH = 1000


def measure(context: Context) -> list[Figure]:
    """µs a row at a batch of 1,000, on one thread, and bytes of state a patient."""
    size = context.size
    torch.set_num_threads(1)
    model = checkpoint.load()
    hidden, made = model.hidden, Weights.of(model.weights)
    work = Workspace.of(made)
    work.x[:, : INPUTS + hidden] = torch.randn(CHUNK, INPUTS + hidden).numpy()
    both = torch.randn(BATCH, INPUTS + hidden)
    weights = torch.randn(INPUTS + hidden, 4 * hidden)
    products, steps = [], []
    with torch.inference_mode():
        for _ in range(max(size.runs, 3)):
            products.append(_per_row(lambda: torch.mm(both, weights), size.moment))
            steps.append(_per_row(lambda: _steps(made, work), size.moment))
    taken = Figure(f"LSTM step, cell and head, batch of {BATCH:,}", steps, "µs/row")
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
def _steps(weights: Weights, work: Workspace) -> None:
    """A batch as the scorer takes it, in chunks."""
    for begin in range(0, BATCH, CHUNK):
        count = min(CHUNK, BATCH - begin)
        step(work.x, weights, work.gates, work.cell, work.hidden, work.heads, count)


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
