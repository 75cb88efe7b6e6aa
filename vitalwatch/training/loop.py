"""Training by truncated backpropagation through time, with carried state.

The gradient reaches back through one chunk of frames; the state goes on through all of them, so
the network learns to use a memory longer than the gradient's reach.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from vitalwatch.model import head
from vitalwatch.model.network import Network
from vitalwatch.training.data import Chunk, Purpose, Sequences, ward

INTERVALS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds between readings in training: one model for all."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training run does; the same plan gives the same weights on the same machine."""

    hidden: int
    seed: int
    rounds: int  # fresh wards, so fresh patients, each
    patients: int = 32  # a ward; one ward an interval
    chunks: int = 24  # a round
    frames: int = 96  # a chunk: the reach of the gradient
    rate: float = 4e-3

    @property
    def updates(self) -> int:
        """Steps of the optimiser."""
        return self.rounds * self.chunks


def loss(
    network: Network, chunk: Chunk, state: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Mean surprise (nats) over what was measured, each vital counting alike; and the state."""
    prediction, state = network(chunk.inputs, state)
    nats = head.surprise(chunk.values, prediction.location, prediction.scale, network.step)
    measured = chunk.seen.sum(dim=(0, 1))
    by_vital = (nats * chunk.seen).sum(dim=(0, 1)) / measured.clamp(min=1)
    return by_vital.sum() / (measured > 0).sum(), state


def _sequences(purpose: Purpose, seed: int, patients: int) -> Sequences:
    """Wards where nobody deteriorates: what the network has learnt to expect is no surprise."""
    return Sequences(
        [
            ward(purpose, seed * len(INTERVALS) + i, patients, interval, None)
            for i, interval in enumerate(INTERVALS)
        ]
    )


def train(plan: Plan, report: Callable[[int, float], None]) -> Network:
    """Train a network; ``report(updates done, loss)`` after each update."""
    torch.manual_seed(plan.seed)
    network = Network(plan.hidden)
    optimiser = AdamW(network.parameters(), lr=plan.rate, weight_decay=1e-4)
    schedule = OneCycleLR(optimiser, max_lr=plan.rate, total_steps=plan.updates)
    done = 0
    for chunks in _rounds(plan):
        state: tuple[Tensor, Tensor] | None = None
        for chunk in chunks:
            optimiser.zero_grad()
            value, state = loss(network, chunk, state)
            if not torch.isfinite(value):
                raise FloatingPointError(f"the loss is not a number after {done} updates")
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            state = (state[0].detach(), state[1].detach())
            done += 1
            report(done, value.item())
    return network.eval()


def _rounds(plan: Plan) -> Iterator[Iterator[Chunk]]:
    for number in range(plan.rounds):
        sequences = _sequences("train", plan.seed * 1000 + number, plan.patients)
        yield (sequences.chunk(plan.frames) for _ in range(plan.chunks))


def validate(network: Network, plan: Plan) -> float:
    """Mean surprise (nats) on patients not trained on."""
    sequences = _sequences("validate", plan.seed, plan.patients)
    state: tuple[Tensor, Tensor] | None = None
    values = []
    with torch.inference_mode():
        for _ in range(plan.chunks):
            value, state = loss(network, sequences.chunk(plan.frames), state)
            values.append(value.item())
    return sum(values[1:]) / (len(values) - 1)
