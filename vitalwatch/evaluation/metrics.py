"""What alarms and scores are worth: pure functions of alarms, events and readings.

Counts are kept by person, so that intervals come from drawing people anew: few people have most
of the events, and readings of one person are no independent witnesses.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vitalwatch.arrays import Bools, Doubles, Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.evaluation.logic import Raised
from vitalwatch.evaluation.streams import MINUTE, DataSet, Event

DRAWS: Final = 1000
"""Bootstrap samples."""

TRAILING: Final = 2 * MINUTE
"""So long after a benign event an alarm is still put down to it."""

_LENGTHS: Final = 12
"""So many lengths of the events' stretches stand for all where chance is asked for."""


@dataclass(frozen=True)
class Counts:
    """Alarms against events, by person and by event.

    By person, (P,) each: ``events`` that count and those ``caught``; ``sudden`` ones, which leave
    no time to warn, and those ``answered`` all the same; those that leave ``room`` to be early and
    those caught ``early``; ``alarms`` in all, ``true`` ones (while they could catch something) and
    ``false`` ones; ``days`` watched, those of them that are ``quiet`` (alarms are false then), and
    those ``in_alarm``.

    By event that counts, (E,) each: ``person``, ``kind``, and the times of the first alarm that
    caught it, ms after its begin (``delay``) and before its onset (``lead``), NaN if none did.
    """

    events: Doubles
    caught: Doubles
    sudden: Doubles
    answered: Doubles
    room: Doubles
    early: Doubles
    alarms: Doubles
    true: Doubles
    false: Doubles
    days: Doubles
    quiet: Doubles
    in_alarm: Doubles
    person: Ints
    kind: list[str]
    delay: Doubles
    lead: Doubles


def judge(data: DataSet, raised: Raised) -> Counts:
    """Alarms of a data set's records against its events."""
    people = len(data.names)
    times = data.streams.times[raised.begin]
    owner = data.person[raised.record] if len(raised.record) else np.empty(0, dtype=np.int64)
    starts = np.searchsorted(raised.record, np.arange(len(data.streams) + 1))

    def within(event: Event, begin: int, end: int) -> Ints:
        """Places of the alarms of the event's record in a stretch of time."""
        first, last = starts[event.record : event.record + 2].tolist()
        own = times[first:last]
        return np.arange(
            first + int(np.searchsorted(own, begin)),
            first + int(np.searchsorted(own, end, side="right")),
        )

    counted = [event for event in data.events if event.counted]
    events, caught, room, early = (np.zeros(people) for _ in range(4))
    sudden, answered = np.zeros(people), np.zeros(people)
    for event in data.events:
        if event.sudden:
            sudden[data.person[event.record]] += 1
            found = within(event, event.begin, event.late)
            answered[data.person[event.record]] += bool(len(found))
    true = np.zeros(len(times), dtype=np.bool_)
    delay, lead = np.full(len(counted), np.nan), np.full(len(counted), np.nan)
    for number, event in enumerate(counted):
        who = data.person[event.record]
        events[who] += 1
        room[who] += event.early > event.begin
        found = within(event, event.begin, event.late)
        true[found] = True
        if len(found):
            caught[who] += 1
            delay[number] = times[found[0]] - event.begin
            lead[number] = event.onset - times[found[0]]
        early[who] += bool(len(within(event, event.begin, event.early)))
    false = data.quiet[raised.begin]

    def by_person(weights: Doubles | Bools, owners: Ints) -> Doubles:
        return np.bincount(owners, weights=weights, minlength=people).astype(np.float64)

    return Counts(
        events=events,
        caught=caught,
        sudden=sudden,
        answered=answered,
        room=room,
        early=early,
        alarms=by_person(np.ones(len(times)), owner),
        true=by_person(true & ~false, owner),
        false=by_person(false, owner),
        days=data.watched[0],
        quiet=data.watched[1],
        in_alarm=by_person(data.elapsed[raised.end] - data.elapsed[raised.begin], owner),
        person=np.array([data.person[event.record] for event in counted], dtype=np.int64),
        kind=[event.kind for event in counted],
        delay=delay,
        lead=lead,
    )


def first_alarms(data: DataSet, raised: Raised) -> Doubles:
    """Time, ms, of the first alarm that catches each event that counts, (E,); NaN if none does."""
    begins = np.array([event.begin for event in data.events if event.counted], dtype=np.float64)
    return begins + judge(data, raised).delay


def worst_share(alarms: Doubles, share: float = 0.1) -> float:
    """The part of all alarms that the ``share`` of people with most of them have."""
    if not alarms.sum():
        return float("nan")
    most = np.sort(alarms)[::-1][: max(1, round(share * len(alarms)))]
    return float(most.sum() / alarms.sum())


def chance(data: DataSet, raised: Raised, early: bool) -> float:
    """The share of events that these alarms would catch if events lay anywhere at all.

    That of all moments at which a stretch as long as an event's could begin, within a record, and
    hold an alarm: alarms that come in bunches catch fewer.
    """
    lengths = np.array(
        [
            (event.early if early else event.late) - event.begin
            for event in data.events
            if event.counted
        ]
    )
    lengths = lengths[lengths > 0]
    if not len(lengths):
        return float("nan")
    if len(np.unique(lengths)) > _LENGTHS:
        lengths = np.quantile(lengths, (np.arange(_LENGTHS) + 0.5) / _LENGTHS)
    edges, times = data.streams.edges, data.streams.times
    kept = data.streams.lengths > 0
    spans = np.stack((times[edges[:-1][kept]], times[edges[1:][kept] - 1])).astype(np.float64)
    place = np.cumsum(kept) - 1
    record, at = place[raised.record], times[raised.begin].astype(np.float64)
    shares = [_covered(spans, record, at, float(length)) for length in lengths]
    return float(np.mean(shares))


@compiled
def _covered(spans: Doubles, record: Ints, at: Doubles, length: float) -> float:
    """Of the beginnings in ``spans`` (2, R) of a stretch, the share of those with an alarm in it.

    Alarms ``at`` (k,) of ``record`` (k,), in order.
    """
    room, covered = 0.0, 0.0
    k = 0
    for r in range(spans.shape[1]):
        first, last = spans[0, r], spans[1, r] - length
        room += max(last - first, 0.0)
        reach = first
        while k < len(record) and record[k] == r:
            begin, end = max(at[k] - length, reach), min(at[k], last)
            if end > begin:
                covered += end - begin
            reach = max(reach, at[k])
            k += 1
    return covered / room if room > 0 else np.nan


def per_hundred(data: DataSet, raised: Raised) -> dict[str, float]:
    """False alarms raised during benign events and artefacts, per 100 of each kind.

    Or within TRAILING after: an alarm waits for its delay.
    """
    times = np.where(data.quiet[raised.begin], data.streams.times[raised.begin], -1)
    starts = np.searchsorted(raised.record, np.arange(len(data.streams) + 1)).tolist()
    counts: dict[str, list[int]] = {}
    for record, kind, begin, end in data.benign:
        own = times[starts[record] : starts[record + 1]]
        found = int(np.count_nonzero((own >= begin) & (own <= end + TRAILING)))
        counts.setdefault(kind, []).append(found)
    return {kind: 100 * sum(found) / len(found) for kind, found in sorted(counts.items())}


def average_precision(labels: Bools, scores: Floats) -> float:
    """Area under precision against recall: mean precision at each positive, ties together.

    NaN scores rank last. NaN where nothing is positive.
    """
    if not labels.any():
        return float("nan")
    ranked = np.where(np.isnan(scores), -np.inf, scores)
    order = np.argsort(-ranked, kind="stable")
    hits, ranked = np.cumsum(labels[order]), ranked[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    found = hits[ends].astype(np.float64)
    precision = found / (ends + 1)
    return float((precision * np.diff(found, prepend=0)).sum() / found[-1])


@dataclass(frozen=True)
class Matched:
    """Scores before events against those of people without, at equal times since the start.

    ``above`` (C, K): of the readings in the stretch before an event of a case, the mean share at
    which the case ranks above a control (ties half); NaN where none can be compared. ``case`` and
    ``control`` are the places of the persons.
    """

    above: Doubles
    case: Ints
    control: Ints

    def auroc(self, weights: Doubles | None = None) -> Doubles:
        """With each person counting once, or as often as ``weights`` (B, P) say: (1,) or (B,)."""
        known = ~np.isnan(self.above)
        above = np.where(known, self.above, 0.0)
        if weights is None:
            cases, controls = np.ones((1, len(self.case))), np.ones((1, len(self.control)))
        else:
            cases, controls = weights[:, self.case], weights[:, self.control]
        # Every case counts alike, whoever there is to compare with.
        with np.errstate(invalid="ignore"):
            each = (controls @ above.T) / (controls @ known.T)
            counts = cases * ~np.isnan(each)
            return np.asarray(np.nansum(each * counts, axis=1) / counts.sum(axis=1))


def matched(data: DataSet, scores: Floats) -> Matched:
    """Compare the scores (n,) of a data set in its ``matched`` stretch before onsets."""
    assert data.matched is not None  # noqa: S101 - asked for only where there is one
    events = [event for event in data.events if event.counted]
    controls = np.setdiff1d(np.arange(len(data.streams)), [event.record for event in events])
    above = np.full((len(events), len(controls)), np.nan)
    spells = np.array(
        [[e.record, e.onset - data.matched[0], e.onset - data.matched[1]] for e in events],
        dtype=np.int64,
    ).reshape(-1, 3)
    streams = data.streams
    _match(
        streams.edges,
        streams.times,
        streams.since,
        scores,
        data.quiet,
        spells,
        controls,
        data.longest,
        above,
    )
    return Matched(above, data.person[spells[:, 0]], data.person[controls])


@compiled
def _match(
    edges: Ints,
    times: Ints,
    since: Ints,
    scores: Floats,
    quiet: Bools,
    spells: Ints,
    controls: Ints,
    longest: int,
    above: Doubles,
) -> None:
    for c in range(len(spells)):
        record, begin, end = spells[c]
        for k in range(len(controls)):
            total, count = 0.0, 0
            other = edges[controls[k]]
            stop = edges[controls[k] + 1]
            for i in range(edges[record], edges[record + 1]):
                if not begin <= times[i] <= end or np.isnan(scores[i]):
                    continue
                if since[stop - 1] < since[i]:
                    continue  # no longer watched
                # The control's last reading by then.
                while other + 1 < stop and since[other + 1] <= since[i]:
                    other += 1
                late = since[i] - since[other] > longest
                if late or np.isnan(scores[other]) or not quiet[other]:
                    continue
                count += 1
                if scores[i] > scores[other]:
                    total += 1.0
                elif scores[i] == scores[other]:
                    total += 0.5
            if count:
                above[c, k] = total / count


def draws(people: int, seed: int = 0) -> Doubles:
    """How often each person comes in each of DRAWS samples of as many people, (DRAWS, P)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(people, np.full(people, 1 / people), size=DRAWS).astype(np.float64)


def ratio(top: Doubles, bottom: Doubles, weights: Doubles) -> Doubles:
    """Sum over sum of what people have (P,), in each sample of ``weights`` (B, P): (B,)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ top) / (weights @ bottom))


def interval(values: Doubles) -> tuple[float, float]:
    """The central 95 % of bootstrap values; NaN where there are none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


def quartiles(values: Doubles, missed: float | None = None) -> tuple[float, float, float]:
    """First quartile, median and third of what is known, in minutes from ms.

    With ``missed``, what is NaN stands for that many ms (misses are later than any delay).
    """
    known = values[~np.isnan(values)] if missed is None else np.nan_to_num(values, nan=missed)
    if not len(known):
        return float("nan"), float("nan"), float("nan")
    # No interpolation: between a delay and a miss there is nothing.
    places = np.ceil(np.array((0.25, 0.5, 0.75)) * len(known)).astype(np.int64) - 1
    first, middle, third = (np.sort(known)[places] / MINUTE).tolist()
    return first, middle, third
