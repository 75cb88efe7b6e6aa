"""How good a forecaster is on simulated patients held apart from its training."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from vitalwatch import vitals
from vitalwatch.arrays import Bools, Doubles, Floats
from vitalwatch.model import layout
from vitalwatch.model.forecaster import Forecaster
from vitalwatch.training.objective import WEIGHTS, Batch, entropy, measure
from vitalwatch.training.streams import Chunk


@dataclass(frozen=True, slots=True)
class Validation:
    """``next (V,)`` and ``later (Q, V)``: mean nats; ``risk`` and ``event`` (2,): the last terms
    of the objective, 1 for who says only how often each comes true, of events for simulated and
    for real people; ``auroc (W, V)`` of the risks, NaN where no patient, or every one, became
    critical, and ``event_auroc`` (2,); ``came (W + 2, V)``.
    """

    next: Doubles
    later: Doubles
    risk: float
    event: Doubles
    auroc: Doubles
    event_auroc: tuple[float, float]
    came: Doubles

    @property
    def loss(self) -> float:
        """The sum of the objective's terms."""
        terms = float(self.next.mean()), float(self.later.mean()), self.risk, *self.event.tolist()
        return float(sum(w * term for w, term in zip(WEIGHTS, terms, strict=True)))

    def figures(self) -> dict[str, float]:
        """All that a learning curve shows, by name."""
        minutes = [round(seconds / 60) for seconds in layout.HORIZONS]
        return {
            "validation": self.loss,
            "nats next": float(self.next.mean()),
            **{f"nats {m} min": float(n.mean()) for m, n in zip(minutes, self.later, strict=True)},
            "risk": self.risk,
            "event": float(self.event[0]),
            "recorded event": float(self.event[1]),
            "auroc event": self.event_auroc[0],
            "auroc recorded event": self.event_auroc[1],
            **{
                f"auroc {c.name}": float(np.nanmean(a)) if np.isfinite(a).any() else float("nan")
                for c, a in zip(layout.CHANCES, self.auroc, strict=True)
            },
        }


def validate(model: Forecaster, chunks: Iterable[Chunk], device: torch.device) -> Validation:
    """Run a ``model`` over a round of patients."""
    state = None
    sums = []
    logits: list[Floats] = []
    truth: list[Floats] = []
    counted: list[Floats] = []
    hazards: list[Floats] = []
    events: list[Floats] = []
    asked_events: list[Floats] = []
    real: list[Bools] = []
    with torch.inference_mode():
        for chunk in chunks:
            if state is None:
                state = model.cell.blank(len(chunk.fresh))
            errors, state = measure(model, Batch.of(chunk, device), state)
            sums.append(
                [
                    (mean * count).double().cpu().numpy()
                    for mean, count in (
                        (errors.next, errors.next_count),
                        (torch.ones_like(errors.next), errors.next_count),
                        (errors.later, errors.later_count),
                        (torch.ones_like(errors.later), errors.later_count),
                        (errors.risk, errors.risk_count),
                        (errors.came[:-2], errors.risk_count),
                        (torch.ones_like(errors.risk), errors.risk_count),
                        (errors.event, errors.event_count),
                        (errors.came[-2:, 0], errors.event_count),
                        (torch.ones_like(errors.event), errors.event_count),
                    )
                ]
            )
            logits.append(errors.logits.cpu().numpy())
            truth.append(chunk.risk)
            counted.append(chunk.risk_counts)
            hazards.append(errors.hazard.cpu().numpy())
            events.append(chunk.event)
            asked_events.append(chunk.event_counts)
            real.append(np.broadcast_to(chunk.real, chunk.event.shape))
    total = [np.sum(column, axis=0) for column in zip(*sums, strict=True)]
    nats, asked, later, later_asked, risk, came, risk_asked, event, under_way, event_asked = total
    came = came / np.maximum(risk_asked, 1)
    usual = entropy(torch.from_numpy(came)).numpy()
    share = under_way / np.maximum(event_asked, 1)
    told, truly = np.concatenate(asked_events) > 0, np.concatenate(real)
    hazard, event_true = np.concatenate(hazards), np.concatenate(events) > 0
    return Validation(
        next=nats / np.maximum(asked, 1),
        later=later / np.maximum(later_asked, 1),
        risk=float((risk / np.maximum(risk_asked, 1) / usual).mean()),
        auroc=_aurocs(np.concatenate(logits), np.concatenate(truth), np.concatenate(counted) > 0),
        event=event / np.maximum(event_asked, 1) / entropy(torch.from_numpy(share)).numpy(),
        event_auroc=(
            auroc(hazard[told & ~truly], event_true[told & ~truly]),
            auroc(hazard[told & truly], event_true[told & truly]),
        ),
        came=np.concatenate((came, np.repeat(share[:, None], vitals.COUNT, axis=1))),
    )


def _aurocs(logits: Floats, truth: Floats, counted: Bools) -> Doubles:
    found = np.full((len(layout.CHANCES), vitals.COUNT), np.nan)
    for risk in range(len(layout.CHANCES)):
        for vital in range(vitals.COUNT):
            asked = counted[..., risk, vital]
            found[risk, vital] = auroc(
                logits[..., risk, vital][asked], truth[..., risk, vital][asked] > 0
            )
    return found


def auroc(score: Floats, true: Bools) -> float:
    """Chance that a true one scores above a false one, ties counting half; NaN without both."""
    positives = int(true.sum())
    negatives = len(true) - positives
    if not positives or not negatives:
        return float("nan")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    return float(
        (rank[place][true].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    )
