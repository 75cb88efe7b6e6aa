"""What was foretold of a patient minutes and an hour ago, and how surprising that makes a value.

A drift that each next reading half expects is a surprise to who looked ahead from before it. For
each horizon a patient keeps three forecasts, made when time entered another half of that horizon
(of the clock, not of the patient): one of them is as old as the horizon, within a quarter of it
(and one reading), where readings come often enough. A forecast is two whole numbers of 16 bits a
vital.
"""

from typing import Final, NamedTuple

import numpy as np

from vitalwatch import vitals
from vitalwatch.arrays import Floats, Ints, Words16
from vitalwatch.compiled import compiled
from vitalwatch.model.layout import HORIZONS
from vitalwatch.scoring.features import WATCHED
from vitalwatch.scoring.forecast import Ahead, Head, look_ahead
from vitalwatch.scoring.surprise import surprise
from vitalwatch.state import NEVER, Field

SLOTS: Final = 3
NOTHING: Final = -(2**15)
"""The location of what was not foretold."""

STEPS: Final = np.float32(1024)
"""Locations and scales are kept in steps of 1/1024 of the population's spread, up to 32 of it."""

_COUNT: Final = len(HORIZONS)
_HORIZONS: Final = np.array([round(1000 * seconds) for seconds in HORIZONS])
_SECONDS: Final = np.array(HORIZONS, dtype=np.float32)
_V: Final = vitals.COUNT
_MOST: Final = np.float32(2**15 - 1)
_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_HALF: Final = np.float32(0.5)
_NAN: Final = np.float32(np.nan)

FIELDS: Final = {
    "foretold": Field(np.int16, _COUNT * SLOTS * 2 * _V, NOTHING, vitals.NAMES),
    "foretold_at": Field(np.int64, _COUNT * SLOTS, NEVER),
}
"""Locations and scales of each slot of each horizon, and the times (ms) of the readings after which
they were foretold."""


class Ring(NamedTuple):
    """Views of all rows, see FIELDS: ``content`` (R, H S 2 V) and ``at`` (R, H S)."""

    content: Words16
    at: Ints


@compiled
def kept(number: np.float32) -> np.float32:
    """A location or scale in whole steps, off by half of one at most, or cut off at 32 spreads."""
    rounded: np.float32 = np.floor(min(max(number * STEPS, -_MOST), _MOST) + _HALF)
    return rounded


@compiled
def ask(
    ring: Ring,
    rows: Ints,
    times: Ints,
    value: Floats,
    past: Floats,
    known: Floats,
    finest: Floats,
    sums: Floats,
    count: Floats,
) -> None:
    """Add the nats of ``value`` (n, V) after older forecasts to ``sums``, how many to ``count``.

    ``times`` (n,) ms of these readings of ``rows`` (n,); ``past`` (2, c, V) and ``known`` (c, V)
    are room to work in.
    """
    content, at = ring.content, ring.at
    cells = len(rows) * _V
    location, scale = past[0].reshape(past[0].size), past[1].reshape(past[1].size)
    flags, flat = known.reshape(known.size), value.reshape(value.size)
    total, number = sums.reshape(sums.size), count.reshape(count.size)
    nats = np.empty(cells, dtype=np.float32)
    told = np.empty((len(rows), _V), dtype=np.int16)
    wide = np.empty((len(rows), _V), dtype=np.int16)
    for h in range(_COUNT):
        some = False
        for k in range(len(rows)):
            row, best, off = rows[k], -1, _HORIZONS[h] // 4
            for slot in range(h * SLOTS, (h + 1) * SLOTS):
                far = abs(times[k] - at[row, slot] - _HORIZONS[h])
                if far <= off:
                    best, off = slot, far
            if best < 0:
                for v in range(_V):
                    told[k, v] = NOTHING
                continue
            some = True
            own = content[row, best * 2 * _V : (best + 1) * 2 * _V]
            for v in range(_V):
                told[k, v] = own[v]
                wide[k, v] = own[_V + v]
        if some:
            _unpack(told.reshape(cells), wide.reshape(cells), flat, location, scale, flags)
            surprise(flat, location[:cells], scale[:cells], finest, nats)
            for i in range(cells):
                total[i] += nats[i] if flags[i] > _ZERO else _ZERO
                number[i] += flags[i]


@compiled
def _unpack(
    told: Words16, wide: Words16, value: Floats, location: Floats, scale: Floats, known: Floats
) -> None:
    """What was ``told`` of m vitals, and how ``wide``, as numbers; of others any that do no harm.

    ``known`` is 1 where something was foretold of a ``value`` that there is.
    """
    for i in range(len(told)):
        there = told[i] != NOTHING and not np.isnan(value[i])
        known[i] = _ONE if there else _ZERO
        location[i] = np.float32(told[i]) / STEPS
        scale[i] = np.float32(wide[i]) / STEPS if there else _ONE


@compiled
def note(
    ring: Ring,
    rows: Ints,
    times: Ints,
    row: Floats,
    head: Head,
    parts: Floats,
    step: Floats,
    ahead: Ahead,
    past: Floats,
) -> None:
    """Keep what is foretold after these readings, of each horizon that it is time for.

    ``row``, ``head``, ``parts``, ``step`` and ``ahead`` as :func:`look_ahead` takes them; ``past``
    (2, c, V) is room to work in.
    """
    content, at = ring.content, ring.at
    seconds = np.empty(len(rows), dtype=np.float32)
    for h in range(_COUNT):
        some, half = False, _HORIZONS[h] // 2
        for k in range(len(rows)):
            turn = times[k] // half
            slot = h * SLOTS + turn % SLOTS
            noted = turn * half <= at[rows[k], slot] < (turn + 1) * half
            seconds[k] = _NAN if noted else _SECONDS[h]
            some |= not noted
        if not some:
            continue
        look_ahead(row, head, seconds, parts, step, ahead, past[0], past[1])
        for k in range(len(rows)):
            if np.isnan(seconds[k]):
                continue
            slot = h * SLOTS + times[k] // half % SLOTS
            at[rows[k], slot] = times[k]
            place = slot * 2 * _V
            for v in range(_V):
                seen = parts[WATCHED, k, v] > _ZERO
                told = np.int16(kept(past[0, k, v]))
                content[rows[k], place + v] = told if seen else np.int16(NOTHING)
                content[rows[k], place + _V + v] = max(np.int16(kept(past[1, k, v])), np.int16(1))
