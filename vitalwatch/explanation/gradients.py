"""Integrated gradients of a forecaster's risk: which vital, at which past time, raised it.

What is explained is log10 of the summed hazard, so a contribution of 0.3 is a factor of two. It is
compared with the same course of times on which every value lies at the patient's own baseline, as
that was known at the time (Sundararajan and others, 2017, integrate from such a baseline): what is
normal for this patient, and not for a population, is what a person would call nothing to explain,
and since times and gaps stay what they were, none of the difference is put down to them. The
contributions add up to the difference between the two, up to the error of the numerical integral,
which is made as small as asked by taking more steps.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vitalwatch.arrays import Doubles, Floats, Ints
from vitalwatch.explanation.course import Course
from vitalwatch.model import layout
from vitalwatch.model.forecaster import Forecaster


class Bucket(NamedTuple):
    """A stretch of the past, from ``newest`` to before ``oldest`` ms ago."""

    name: str
    newest: int
    oldest: int


_MINUTE: Final = 60_000
BUCKETS: Final = (
    Bucket("last minute", 0, _MINUTE),
    Bucket("1-5 min", _MINUTE, 5 * _MINUTE),
    Bucket("5-15 min", 5 * _MINUTE, 15 * _MINUTE),
    Bucket("15-60 min", 15 * _MINUTE, 60 * _MINUTE),
    Bucket("1-4 h", 60 * _MINUTE, 240 * _MINUTE),
    Bucket("before", 240 * _MINUTE, 1 << 62),
)
"""The last holds something only where readings are so far apart that few fit in four hours."""

REACH_MS: Final = 240 * _MINUTE
FEWEST: Final = 24
"""Readings are attributed to over the last four hours, or over so many where those are longer."""

STEPS: Final = (8, 16, 32, 64, 128, 256)
"""Points of the integral: more, until it is as exact as asked."""

TOLERANCE: Final = 0.01
"""The sum may miss the difference by so much of it."""

NEGLIGIBLE: Final = 0.002
"""Or by so many powers of ten: half a percent of the hazard."""

_TINY: Final = -15.0
_FRAMES: Final = 512  # at once: attention holds the square of it
_ROWS: Final = 60_000  # frames times points at once, that memory holds


@dataclass(frozen=True, slots=True)
class Attribution:
    """Contributions to log10 of the summed hazard at a course's last reading.

    ``by_reading (T, V)``, in powers of ten, stands at the reading that measured the value, 0 where
    none was; ``score`` is log10 of the hazard, ``baseline`` what it would be with every value at
    the patient's own baseline. ``steps`` of the integral were taken; ``missed`` is what the sum
    lacks of the difference, and ``exact`` whether that is within the tolerance.
    """

    times: Ints
    by_reading: Doubles
    score: float
    baseline: float
    steps: int
    missed: float
    exact: bool

    @property
    def by_vital(self) -> Doubles:
        """Sum over time, (V,)."""
        return np.asarray(self.by_reading.sum(axis=0))

    @property
    def by_bucket(self) -> Doubles:
        """Sum over each of BUCKETS, (B, V)."""
        ago = self.times[-1] - self.times
        return np.stack(
            [
                self.by_reading[(ago >= bucket.newest) & (ago < bucket.oldest)].sum(axis=0)
                for bucket in BUCKETS
            ]
        )

    def stretch(self, vital: int, part: float = 0.9) -> int:
        """Ms before the last reading within which ``part`` of a vital's contribution came up."""
        back = np.cumsum(self.by_reading[::-1, vital])
        enough = np.flatnonzero(back >= part * back[-1])
        first = len(back) - 1 - int(enough[0]) if len(enough) else 0
        return int(self.times[-1] - self.times[first])


def attribute(
    model: Forecaster,
    course: Course,
    weight: Floats,
    tolerance: float = TOLERANCE,
    report: Callable[[int], None] = lambda _: None,
) -> Attribution:
    """Attribute the risk after a course's last reading, of which there must be one.

    ``weight (R, V)`` log10 offsets of the risks' hazards. ``report`` is told of each number of
    steps that is begun.
    """
    told = torch.from_numpy(course.features())[:, None]
    seen = torch.from_numpy(course.seen)
    offset = torch.from_numpy(np.asarray(weight, dtype=np.float32))
    begin = _begin(course.times)
    with torch.no_grad():
        state = model.cell.blank(1)
        for frames in _cut(told[:begin]):
            _, _, state = model(frames, state)
    part = told[begin:]

    def score(last: Tensor) -> Tensor:
        """Log10 of the hazard for the last values ``(T', N, V)`` of N courses, (N,)."""
        count = last.shape[1]
        now, output, inputs = state.expand(count, -1).contiguous(), None, None
        rest = part[..., layout.V :].expand(-1, count, -1)
        for frames in _cut(torch.cat((last, rest), dim=2)):
            output, inputs, now = model(frames, now)
        assert output is not None and inputs is not None  # noqa: S101, PT018 - one frame at least
        return log_hazard(model.risks(output[-1], inputs[-1]), offset, seen)

    last, mean = part[..., layout.LAST], part[..., layout.MEAN]
    away = last - mean
    with torch.no_grad():
        there, nothing = score(torch.cat((last, mean), dim=1)).double().tolist()
    allowed = max(tolerance * abs(there - nothing), NEGLIGIBLE)
    steps, found, missed = 0, np.zeros(away[:, 0].shape), there - nothing
    for steps in STEPS:
        report(steps)
        found = _integrate(score, mean, away, steps)
        missed = there - nothing - float(found.sum())
        if abs(missed) <= allowed:
            break
    by_reading = np.zeros(course.values.shape)
    source = course.source()[begin:]
    frame, vital = np.nonzero(source >= 0)
    np.add.at(by_reading, (source[frame, vital], vital), found[frame, vital])
    return Attribution(
        course.times, by_reading, there, nothing, steps, missed, abs(missed) <= allowed
    )


def log_hazard(logits: Tensor, weight: Tensor, seen: Tensor) -> Tensor:
    """Log10 of the hazard summed over risks and the vitals ever ``seen``, (...,).

    ``logits (..., R, V)``; ``weight (R, V)`` log10 offsets; ``seen`` (V,) or (..., 1, V).
    """
    # Where a chance is tiny, the logarithm of its hazard, which is its softplus, is its logit.
    likely = torch.log(functional.softplus(logits.clamp(min=_TINY)))
    hazards = torch.where(logits < _TINY, logits, likely) + math.log(10) * weight
    hazards = hazards.masked_fill(~seen, -torch.inf)
    return torch.logsumexp(hazards.flatten(-2), dim=-1) / math.log(10)


def hazards(model: Forecaster, courses: Sequence[Course], weight: Floats) -> Doubles:
    """Log10 of the summed hazard after the last reading of each course, (n,)."""
    offset = torch.from_numpy(np.asarray(weight, dtype=np.float32))
    found = np.empty(len(courses))
    lengths = np.array([len(course) for course in courses])
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        for some in np.array_split(places, -(-len(places) * length // _ROWS)):
            told = np.stack([courses[place].features() for place in some], axis=1)
            seen = torch.from_numpy(np.stack([courses[place].seen for place in some]))
            with torch.no_grad():
                state, output, inputs = model.cell.blank(len(some)), None, None
                for frames in _cut(torch.from_numpy(told)):
                    output, inputs, state = model(frames, state)
                assert output is not None and inputs is not None  # noqa: S101, PT018 - as above
                logits = model.risks(output[-1], inputs[-1])
                found[some] = log_hazard(logits, offset, seen[:, None]).double().numpy()
    return found


def _begin(times: Ints) -> int:
    """The first reading that is attributed to."""
    within = int(np.searchsorted(times, times[-1] - REACH_MS, side="right"))
    return max(0, min(within, len(times) - FEWEST))


def _cut(frames: Tensor) -> Iterator[Tensor]:
    """Frames in pieces, if there are any."""
    return iter(torch.split(frames, _FRAMES)) if len(frames) else iter(())


def _integrate(
    score: Callable[[Tensor], Tensor], mean: Tensor, away: Tensor, steps: int
) -> Doubles:
    """The integral of the gradient along the line from ``mean`` by ``away (T, 1, V)``, (T, V).

    By Gauss and Legendre's rule, whose error falls fast with ``steps`` where the score is smooth.
    """
    points, shares = np.polynomial.legendre.leggauss(steps)
    total = np.zeros(away[:, 0].shape)
    at_once = max(1, _ROWS // len(away))
    for some in np.array_split(np.arange(steps), -(-steps // at_once)):
        place = torch.from_numpy((points[some] + 1) / 2).float()[:, None]
        last = (mean + place * away).requires_grad_()
        (gradient,) = torch.autograd.grad(score(last).sum(), last)
        total += np.einsum("tnv,n->tv", gradient.double().numpy(), shares[some] / 2)
    return np.asarray(total * away[:, 0].double().numpy())
