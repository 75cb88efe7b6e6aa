"""Fitting a forecaster: truncated backpropagation through time, with carried state.

The gradient reaches back through one chunk of frames; the state goes on through all of a round, so
the network learns to use a memory longer than the gradient's reach. Between rounds, where no state
is carried, a run can be cut and taken up again: everything that decides what comes next is in its
file, and the result is the same bit for bit.
"""

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW

from vitalwatch.errors import CheckpointError, VitalWatchError
from vitalwatch.model.forecaster import Forecaster
from vitalwatch.training.ahead import Ahead
from vitalwatch.training.objective import WEIGHTS, Batch, learn_base, measure, unknown_base
from vitalwatch.training.streams import RATES, Chunk, Job, Size
from vitalwatch.training.validation import Validation, validate

MOST_ROUNDS: Final = 1000
LARGEST_SEED: Final = 999_999 // (MOST_ROUNDS * len(RATES)) - 1
"""Each round of each seed has wards of its own, whose numbers stay within those for training."""

ROUND: Final = Size(patients=32, chunks=48, frames=96)
HELD_APART: Final = Size(patients=32, chunks=24, frames=96)

_WARM_UP: Final = 0.05  # of all updates, in which the rate rises
_LAST_RATE: Final = 0.02  # of the highest
_CLIP: Final = 1.0
_AVERAGED: Final = 480
"""Updates that the mean of the weights reaches back over, ten rounds: each round's patients pull
the weights their way, and a few recorded ones pull hard; the mean has learnt from all of them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training run does; the same plan gives the same weights on the same machine."""

    cell: str
    hidden: int
    seed: int
    rounds: int
    size: Size = ROUND
    rate: float = 4e-3
    every: int = 10  # rounds between validations, each of which is kept on disk
    patience: int = 8  # so many validations without improvement end it
    validated: Size = HELD_APART
    recordings: Path | None = None  # of people to train on beside the simulated ones

    def jobs(self, done: int) -> list[Job]:
        """What is to be made after so many rounds are done: rounds, and validations between."""
        found = []
        for place in range(done, self.rounds):
            number = self.seed * MOST_ROUNDS + place
            found.append(Job("train", number, self.size, self.recordings))
            if self.validates(place + 1):
                found.append(self.validation)
        return found

    @property
    def validation(self) -> Job:
        """What a validation asks for."""
        return Job("validate", self.seed, self.validated, self.recordings)

    def validates(self, done: int) -> bool:
        """Whether a validation follows when so many rounds are done."""
        return done % self.every == 0 or done == self.rounds

    def rate_at(self, update: int) -> float:
        """The optimiser's rate: up in a line, down along a cosine."""
        whole = self.rounds * self.size.chunks
        warm = max(1, round(_WARM_UP * whole))
        if update < warm:
            return self.rate * (update + 1) / warm
        along = (update - warm) / max(1, whole - warm)
        return self.rate * (_LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * along)) / 2)


@dataclass(slots=True)
class Progress:
    """A run at a round's end; ``mean`` is the model with the mean of the last weights."""

    model: Forecaster
    mean: Forecaster
    optimiser: AdamW
    base: Tensor
    rounds: int = 0
    best: float = math.inf
    best_rounds: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    waited: int = 0  # validations since the best


@dataclass(frozen=True, slots=True)
class Fitted:
    """The best of a run: its weights, how it did on patients held apart, and the curve to it."""

    model: Forecaster
    validation: Validation
    rounds: int  # after which it was the best
    curve: list[dict[str, float]]


_KEPT: Final = {"plan"} | {field.name for field in dataclasses.fields(Progress)}
"""What a run's file holds."""

Report = Callable[[int, float, str], None]
"""Called after each update with updates done, loss, and one line about the last validation."""


def begin(plan: Plan, device: torch.device) -> Progress:
    """A run at its start; the same weights on any device."""
    torch.manual_seed(plan.seed)
    model = Forecaster(plan.cell, plan.hidden).to(device)
    mean = copy.deepcopy(model).requires_grad_(False).eval()
    return Progress(model, mean, _optimiser(model, plan), unknown_base(device))


def fit(
    plan: Plan,
    run: Progress,
    keep: Path,
    device: torch.device,
    processes: int,
    report: Report,
) -> Fitted:
    """Go on with a ``run`` until its plan is done, or patients held apart gain nothing more.

    Writes the run to ``keep`` after each validation. Raises VitalWatchError where the loss is not
    a number, and leaves the batch that caused it beside ``keep``.
    """
    news = _line(run)
    with Ahead(plan.jobs(run.rounds), processes) as ahead:
        while run.rounds < plan.rounds and run.waited < plan.patience:
            state = None
            sums = np.zeros(len(WEIGHTS))
            for number, chunk in enumerate(ahead.round()):
                if state is None:
                    state = run.model.cell.blank(len(chunk.fresh))
                update = run.rounds * plan.size.chunks + number
                terms, state = _update(plan, run, chunk, state, update, keep, device)
                sums += terms
                report(update + 1, float(terms @ WEIGHTS), news)
            run.rounds += 1
            if plan.validates(run.rounds):
                found = validate(run.mean, ahead.round(), device)
                _note(run, found, sums / plan.size.chunks)
                save(plan, run, keep)
                news = _line(run)
    if not run.best_weights:
        raise VitalWatchError("This run was never validated: give it at least one round.")
    run.mean.load_state_dict(run.best_weights)
    with Ahead([plan.validation], 0) as again:
        found = validate(run.mean, again.round(), device)
    return Fitted(run.mean, found, run.best_rounds, run.curve)


def _update(
    plan: Plan,
    run: Progress,
    chunk: Chunk,
    state: Tensor,
    update: int,
    keep: Path,
    device: torch.device,
) -> tuple[Any, Tensor]:
    """One step of the optimiser: the five terms of the loss, and the state to carry on."""
    for group in run.optimiser.param_groups:
        group["lr"] = plan.rate_at(update)
    run.model.train()
    run.optimiser.zero_grad()
    errors, after = measure(run.model, Batch.of(chunk, device), state)
    terms = torch.stack(errors.terms(run.base))
    loss = (terms * terms.new_tensor(WEIGHTS)).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), _CLIP)
    if not torch.isfinite(loss) or not torch.isfinite(norm):
        raise VitalWatchError(_broken(plan, update, chunk, state, terms, keep))
    run.optimiser.step()
    _follow(run, update)
    run.base = learn_base(run.base, errors).detach()
    return terms.detach().cpu().numpy().astype(np.float64), after.detach()


@torch.no_grad()
def _follow(run: Progress, update: int) -> None:
    """Let the mean follow the weights: over few updates at first, over _AVERAGED later."""
    part = max(1 / (1 + update / 8), 1 / _AVERAGED)
    for mean, own in zip(run.mean.parameters(), run.model.parameters(), strict=True):
        mean.lerp_(own, part)


def _broken(plan: Plan, update: int, chunk: Chunk, state: Tensor, terms: Tensor, keep: Path) -> str:
    """Write down the batch after which nothing is a number; say which and where."""
    arrays = chunk.arrays() | {"state": state.cpu().numpy()}
    file = keep.with_suffix(".broken.npz")
    np.savez_compressed(file, **arrays)
    odd = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    number, place = divmod(update, plan.size.chunks)
    said = " + ".join(f"{term:.3g}" for term in terms.tolist())
    cause = f"its {', '.join(odd)} is not all numbers" if odd else "all of it is numbers"
    return (
        f"The loss or its gradient is not a number ({said}) in round {number}, chunk {place}; "
        f"the batch is in {file}: {cause}. Where the data are right, try a smaller --rate."
    )


def _note(run: Progress, found: Validation, terms: Any) -> None:
    loss = found.loss
    if loss < run.best:
        run.best, run.best_rounds, run.waited = loss, run.rounds, 0
        run.best_weights = {
            name: tensor.detach().clone() for name, tensor in run.mean.state_dict().items()
        }
    else:
        run.waited += 1
    names = [f"training {name}" for name in ("next", "later", "risk", "event", "recorded event")]
    trained = dict(zip(names, (float(term) for term in terms), strict=True))
    run.curve.append({"rounds": float(run.rounds)} | trained | found.figures())


def _line(run: Progress) -> str:
    if not run.curve:
        return ""
    last = run.curve[-1]
    return f"held apart {last['validation']:.3f}, best {run.best:.3f} ({run.best_rounds} rounds)"


def save(plan: Plan, run: Progress, path: Path) -> None:
    """Write a run, at a round's end, so that it can be taken up again; all of it or nothing."""
    content = {
        "plan": repr(_anywhere(plan)),
        "model": run.model.state_dict(),
        "mean": run.mean.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "base": run.base,
        "rounds": run.rounds,
        "best": run.best,
        "best_rounds": run.best_rounds,
        "best_weights": run.best_weights,
        "curve": run.curve,
        "waited": run.waited,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


def resume(plan: Plan, path: Path, device: torch.device) -> Progress:
    """A run that was written. Raises CheckpointError if it cannot be read, or is another plan's."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        *(OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError),
        pickle.UnpicklingError,
    ) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise CheckpointError(
            f"Cannot go on with {path}: {cause}; leave --resume out to start anew."
        ) from error
    if not isinstance(content, dict) or not content.keys() >= _KEPT:
        raise CheckpointError(
            f"Cannot go on with {path}: it is no training run of this version; leave --resume out "
            "to start anew."
        )
    if content["plan"] != repr(_anywhere(plan)):
        raise CheckpointError(
            f"{path} is another run's, of {content['plan']}: give the same arguments, or leave "
            "--resume out to start anew."
        )
    run = begin(plan, device)
    run.model.load_state_dict(content["model"])
    run.mean.load_state_dict(content["mean"])
    run.optimiser.load_state_dict(content["optimiser"])
    names = [field.name for field in dataclasses.fields(run)]
    for name in set(names) - {"model", "mean", "optimiser"}:
        setattr(run, name, content[name])
    run.base = run.base.to(device)
    return run


def _anywhere(plan: Plan) -> Plan:
    """The same plan wherever the recordings lie."""
    return replace(plan, recordings=plan.recordings and Path("recordings"))


def _optimiser(model: Forecaster, plan: Plan) -> AdamW:
    return AdamW(model.parameters(), lr=plan.rate, weight_decay=1e-4)
