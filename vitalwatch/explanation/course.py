"""One patient's readings in order, as the scorer and the network take them."""

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np

from vitalwatch import vitals
from vitalwatch.alarms.technical import Watch
from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.context import HELD, Context, in_order
from vitalwatch.model import layout
from vitalwatch.scoring import features
from vitalwatch.scoring.known import follow
from vitalwatch.state import Table

_STALE_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Course:
    """T readings of one patient: ``times (T,)`` ms, rising; ``values (T, V)`` in the vitals'
    units, NaN where nothing was measured that the daemon would believe; ``context (T, C)`` what is
    known by then, as :data:`vitalwatch.model.layout.CONTEXT_NAMES`, 0 where nothing is.
    """

    times: Ints
    values: Floats
    context: Floats

    @classmethod
    def of(cls, times: Ints, values: Floats, said: Context | None = None) -> "Course":
        """From ``values (T, V)`` as received and what readings ``said`` of the patient.

        A reading that is not after the last is left out.
        """
        context = _held(len(times), said)
        kept = np.diff(np.maximum.accumulate(times), prepend=times[:1] - 1) > 0
        times, values, context = times[kept], values[kept], context[kept]
        table, row, partition = Table(), np.zeros(1, np.int64), np.zeros(1, np.int64)
        watch = Watch(table, _STALE_MS)
        table.grow(1)
        clean = np.empty(values.shape, dtype=np.float32)
        for k in range(len(times)):
            at = times[k : k + 1]
            clean[k] = watch.assess(row, at, values[k : k + 1], at, partition).clean[0]
        return cls(times, clean, context)

    def __len__(self) -> int:
        return len(self.times)

    def until(self, moment: int) -> "Course":
        """Only the readings up to ``moment``, ms."""
        count = int(np.searchsorted(self.times, moment, side="right"))
        return Course(self.times[:count], self.values[:count], self.context[:count])

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the vitals that were ever measured."""
        return tuple(vitals.NAMES[vital] for vital in np.flatnonzero(self.seen))

    @property
    def seen(self) -> Bools:
        """Which vitals were ever measured, (V,)."""
        return np.asarray((~np.isnan(self.values)).any(axis=0))

    def features(self) -> Floats:
        """What a forecaster is told after each reading, ``(T, FEATURES)``."""
        told = np.empty((len(self), 1, layout.FEATURES), dtype=np.float32)
        elapsed = np.diff(self.times, prepend=self.times[:1])[:, None] / 1000
        follow(
            features.Memory.blank(1).parts,
            elapsed.astype(np.float32),
            features.standardise(self.values)[:, None],
            self.context[:1],
            features.STEP,
            told,
        )
        told[:, 0, layout.CONTEXT] = self.context
        return told[:, 0]

    def source(self) -> Ints:
        """Which reading each vital's last value stands in, ``(T, V)``; -1 before there is one."""
        places = np.where(np.isnan(self.values), -1, np.arange(len(self))[:, None])
        return np.asarray(np.maximum.accumulate(places, axis=0))


def _held(count: int, said: Context | None) -> Floats:
    """What is known of a patient after each of ``count`` readings, (count, HELD)."""
    context = np.zeros((count, HELD), dtype=np.float32)
    if said is not None and len(said.places):
        parts = in_order([said], [0], np.arange(count))
        assert parts is not None  # noqa: S101 - something is said
        row: Ints = np.zeros(1, dtype=np.int64)
        begins = [*said.places.tolist(), count]
        for begin, end in itertools.pairwise(begins):
            held = context[max(begin - 1, 0)][None].copy()
            parts.hold(slice(begin, begin + 1), row, held)
            context[begin:end] = held
    return context
