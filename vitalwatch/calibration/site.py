"""Tails and rarities for shipped weights, made anew from a site's own recordings.

Nothing says in them who was ill. All readings count as quiet but those within an hour of a
critical value; what else was a true deterioration makes the site look as if it alarmed more than it
does when nothing is wrong, and its alarms rarer. One person's alarms count no more than the excess
that :mod:`.conformal` bounds.

Tables are mixed with those that are there, their logarithms weighing as the site's patient-days
against PRIOR_DAYS: with few patient-days the site's own say little, with hundreds nearly all. (So
the promise of :mod:`.conformal` is the site's own only as these days are few beside its own.)
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from vitalwatch import context, vitals
from vitalwatch.arrays import Bools, Doubles, Floats, Ints
from vitalwatch.calibration import table
from vitalwatch.calibration.people import People
from vitalwatch.calibration.table import Watched
from vitalwatch.calibration.tails import weighted_tail
from vitalwatch.errors import RecordingError
from vitalwatch.evaluation.streams import MINUTE
from vitalwatch.model.checkpoint import Model
from vitalwatch.scoring.evidence import TAIL_LOGS, TERMS, Calibration
from vitalwatch.scoring.scorer import Scorer
from vitalwatch.state import Table

PRIOR_DAYS: Final = 20
FEWEST_PATIENTS: Final = 4
FEWEST_DAYS: Final = 2.0

_YOUNG_MS: Final = 30 * MINUTE  # baselines say little before
_MOST_READINGS: Final = 1_000_000  # that tails are made from; of more, some evenly

Report = Callable[[float], None]


class Rate(NamedTuple):
    """``alarms`` raised by quiet people in so many ``days``, at a ``budget`` of alarms a day."""

    alarms: float
    days: float
    budget: float

    @property
    def ratio(self) -> float:
        """Realised over promised."""
        return self.alarms / (self.days * self.budget)


class Result(NamedTuple):
    """The new tables, and the ``promised`` days per alarm, see :mod:`.conformal`.

    ``before`` and ``after`` are rates with the shipped and with new tables, each half of the
    people under the tables that the other half gave; ``days`` (N,) of quiet people.
    """

    calibration: Calibration
    promised: float
    before: Rate
    after: Rate
    days: Doubles


class _Course(NamedTuple):
    """A model over everybody: evidence (n,), NaN without a measurement; answers (3, n, V)."""

    evidence: Floats
    answers: Floats


def calibrate(model: Model, people: People, budget: float, report: Report) -> Result:
    """New tables from ``people``, and what they are worth at a ``budget``.

    ``report`` gets the share done, 0 to 1. Raises RecordingError if there is too little.
    """
    shipped = Calibration.of(model.calibration)
    quiet = people.quiet()
    days = people.days(quiet)
    _check(days, people.days(np.ones(len(quiet), dtype=np.bool_)))
    rounds = int(people.streams.lengths.max(initial=0))
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        report(done / (4 * rounds))

    def run(tables: Calibration) -> _Course:
        return _run(model, tables, people, advance)

    streams, person = people.streams, people.person
    record = np.repeat(person, streams.lengths)
    course = run(shipped)
    watched = Watched(streams, person, course.evidence, quiet, days)
    before = table.at_budget(shipped, watched, budget)
    after = np.zeros(len(days))
    for half in _halves(days):
        made = _tails(shipped, course.answers, quiet & half[record], days * half, record)
        watched = watched._replace(scored=run(made).evidence)
        own = watched._replace(quiet=quiet & half[record], days=days * half)
        made, _ = table.made(made, own, PRIOR_DAYS)
        after += np.where(half, 0, table.at_budget(made, watched, budget))
    made = _tails(shipped, course.answers, quiet, days, record)
    made, promised = table.made(made, watched._replace(scored=run(made).evidence), PRIOR_DAYS)
    total = float(days.sum())
    old, new = (Rate(float(each.sum()), total, budget) for each in (before, after))
    return Result(made, promised, old, new, days)


def _check(days: Doubles, watched: Doubles) -> None:
    people, total = int((days > 0).sum()), float(days.sum())
    if people < FEWEST_PATIENTS or total < FEWEST_DAYS:
        raise RecordingError(
            f"Too little to calibrate with: {_spoken(watched)}, of which {_spoken(days)} more than "
            f"an hour from a critical value. Give recordings of at least {FEWEST_PATIENTS} "
            f"patients and {FEWEST_DAYS:g} patient-days; a hundred make a difference."
        )


def _spoken(days: Doubles) -> str:
    people, total = int((days > 0).sum()), float(days.sum())
    lasted = f"{total:.1f} days" if total >= 0.1 else f"{24 * 60 * total:.0f} minutes"
    return f"{people} {'patient' if people == 1 else 'patients'} watched for {lasted} in all"


def _halves(days: Doubles) -> tuple[Bools, Bools]:
    """People (N,) in two halves that were watched for about as long."""
    first = np.zeros(len(days), dtype=np.bool_)
    sums = [0.0, 0.0]
    for who in np.argsort(-days, kind="stable").tolist():
        first[who] = sums[0] <= sums[1]
        sums[0 if first[who] else 1] += float(days[who])
    return first, ~first


def _run(model: Model, tables: Calibration, people: People, advance: Callable[[], None]) -> _Course:
    """Everybody under one model and its tables."""
    streams, state = people.streams, Table()
    scorer = Scorer(state, model)
    state.grow(max(len(streams), 1))
    shape = streams.values.shape
    found = np.full(len(streams.times), np.nan, dtype=np.float32)
    answers = np.empty((len(TERMS), *shape), dtype=np.float32)
    clean = streams.clean
    says: Bools = np.any(~np.isnan(people.said), axis=1)
    for rows, places in streams.rounds():
        if says[places].any():
            which = np.where(says[places], np.arange(len(places)), -1)
            said = context.Said(which, people.said[places])
            said.hold(slice(0, len(rows)), rows, state["context"])
        scores = scorer.step(rows, streams.times[places], clean[places], tables)
        measured = ~np.isnan(clean[places]).all(axis=1)
        found[places] = np.where(measured, scores.evidence, np.nan)
        for number, term in enumerate(TERMS):
            answers[number, places] = getattr(scores.answers, term)
        advance()
    old = streams.since > _YOUNG_MS
    answers[:, ~old] = np.nan
    return _Course(found, answers)


def _tails(
    shipped: Calibration, answers: Floats, quiet: Bools, days: Doubles, person: Ints
) -> Calibration:
    """With tails of quiet readings of these people, mixed with the shipped ones.

    ``answers`` (3, n, V), ``quiet`` (n,) of whom, ``days`` (N,) and ``person`` (n,) who it is.
    A vital's own tails count for the days on which it was measured.
    """
    chosen = np.flatnonzero(quiet)
    chosen = chosen[:: max(1, len(chosen) // _MOST_READINGS)]
    who = person[chosen]
    readings = np.bincount(who, minlength=len(days))
    each = days / np.maximum(readings, 1)  # days that one reading stands for
    tails = shipped.tails.copy()
    for term in range(len(TERMS)):
        for vital in range(vitals.COUNT):
            values = answers[term, chosen, vital]
            known = ~np.isnan(values)
            weights = each[who[known]]
            total = float(weights.sum())
            if total > 0:
                share = total / (total + PRIOR_DAYS)
                # A device's steps make many values equal.
                own = weighted_tail(values[known], weights) + np.arange(len(TAIL_LOGS)) * 1e-5
                tails[term, vital] = share * own + (1 - share) * tails[term, vital]
    return replace(shipped, tails=tails)
