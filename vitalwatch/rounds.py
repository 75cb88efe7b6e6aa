"""Cutting a batch into rounds: round k holds each patient's k-th reading of the batch.

Patients of one round are distinct, so a round is one matrix step; a patient's readings stay in
order across rounds.
"""

from dataclasses import dataclass

import numpy as np

from vitalwatch.arrays import Bools, Ints
from vitalwatch.compiled import compiled
from vitalwatch.state import NEVER


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a batch of n readings.

    Of the m that count, round by round, in log order within a round: ``places`` (m,) in the batch,
    ``rows`` (m,), ``times`` (m,) and ``reached`` (m,): the stream's time or, if it is not there
    yet, the patient's own. Round k is what lies from ``edges[k]`` to ``edges[k + 1]``.

    Of all n, in log order: ``late``; ``back``, who was gone before this reading and is a new
    patient; ``previous`` the place of the patient's last reading that counts, -1 if it is not in
    this batch.
    """

    places: Ints
    rows: Ints
    times: Ints
    reached: Ints
    edges: list[int]
    late: Bools
    back: Bools
    previous: Ints


class Planner:
    """Makes plans; remembers who was where in the last batch."""

    def __init__(self, gone_ms: int) -> None:
        """A patient is gone ``gone_ms`` after the last reading."""
        self._gone_ms = gone_ms
        self._latest = np.zeros(0, dtype=np.int64)  # by row: place in the batch, counted from 1
        self._rows = np.empty(0, dtype=np.int64)

    def plan(self, rows: Ints, times: Ints, stream: Ints, last: Ints) -> Plan:
        """Look through a batch in log order.

        ``rows`` (n,) the patients' rows, -1 for who is not known; ``times`` and ``stream`` (n,)
        ms, a reading's own time and the stream's; ``last`` (R,) by row, the time of the patient's
        last reading before the batch.

        A reading is late if it is not after the patient's last, or so far behind the stream that
        the patient is gone by then. A patient is gone by the stream's time, or his own.
        """
        count = len(rows)
        if len(self._latest) < len(last):
            self._latest = np.zeros(len(last), dtype=np.int64)
        else:
            self._latest[self._rows] = 0
        late, back = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
        previous, turn, before, edges = np.empty((4, count + 1), dtype=np.int64)
        counting = np.empty((4, count), dtype=np.int64)
        number = _plan(
            rows, times, stream, last, self._gone_ms, self._latest,
            late, back, previous, turn, before, edges, counting,
        )  # fmt: skip
        bounds = edges[: number + 1].tolist()
        places, self._rows, counted, reached = counting[:, : bounds[-1]]
        return Plan(places, self._rows, counted, reached, bounds, late, back, previous[:count])

    def latest(self, row: int) -> int:
        """The place of a patient's last reading that counts in the batch, -1 if there is none."""
        return int(self._latest[row]) - 1


@compiled
def _plan(
    rows: Ints,
    times: Ints,
    stream: Ints,
    last: Ints,
    gone_ms: int,
    latest: Ints,
    late: Bools,
    back: Bools,
    previous: Ints,
    turn: Ints,
    before: Ints,
    edges: Ints,
    counting: Ints,
) -> int:
    """Fill the last eight; the number of rounds. ``turn`` and ``before`` are of no use outside."""
    count = len(rows)
    for i in range(count):  # on its own, so that memory is waited for side by side
        before[i] = last[rows[i]] if rows[i] >= 0 else NEVER
    edges[:] = 0
    number = 0
    for i in range(count):
        row, now = rows[i], times[i]
        turn[i] = -1
        if row < 0 or now + gone_ms <= stream[i]:
            late[i] = True
            continue
        place = latest[row] - 1
        heard = times[place] if place >= 0 else before[i]
        if heard != NEVER and max(now, stream[i]) >= heard + gone_ms:
            back[i] = True
        elif now <= heard:
            late[i] = True
            continue
        previous[i] = place
        latest[row] = i + 1
        turn[i] = turn[place] + 1 if place >= 0 else 0
        number = max(number, turn[i] + 1)
        edges[turn[i] + 1] += 1
    for k in range(number):
        edges[k + 1] += edges[k]
    for k in range(number):
        before[k] = edges[k]
    for i in range(count):
        if turn[i] >= 0:
            at = before[turn[i]]
            before[turn[i]] += 1
            counting[0, at], counting[1, at], counting[2, at] = i, rows[i], times[i]
            counting[3, at] = max(times[i], stream[i])
    return number
