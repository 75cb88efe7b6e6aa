"""What is known of patients beside their vital signs, and held until something else is said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vitalwatch.arrays import Floats, Ints
from vitalwatch.compiled import compiled
from vitalwatch.messages import Reading, Sex
from vitalwatch.model.layout import CONTEXT_NAMES

PARTS: Final = ("age", "female", "oxygen", "beta_blocker")
"""What a reading may say: age in years; of the others 1 yes, -1 no, 0 that it is not known."""

COUNT: Final = len(PARTS)
AGE, FEMALE, OXYGEN, BETA_BLOCKER = range(COUNT)

SIGNS: Final[dict[Sex, float]] = {"female": 1.0, "male": -1.0, "other": 0.0, "unknown": 0.0}
"""What is known with each word for a sex."""

HELD: Final = len(CONTEXT_NAMES)
"""Numbers that are held of a patient."""

_TYPICAL_AGE: Final = np.float32(64)
_SPREAD_OF_AGES: Final = np.float32(17)
_ONE: Final = np.float32(1)


@dataclass(frozen=True, slots=True)
class Context:
    """What some of many readings say: ``places`` (k,) among them, ascending, and ``values``.

    The values (k, 4) are those of :data:`PARTS`, NaN where a reading says nothing of it.
    """

    places: Ints
    values: Floats

    @classmethod
    def among(cls, values: Floats) -> "Context | None":
        """Of a row for every reading (n, 4), those that say anything; None if none does."""
        places = np.flatnonzero(~np.isnan(values).all(axis=1))
        return cls(places, values[places]) if len(places) else None

    def part(self, begin: int, end: int) -> "Context | None":
        """What the readings from ``begin`` to ``end`` say, by their places among themselves."""
        first, last = np.searchsorted(self.places, (begin, end))
        if first == last:
            return None
        return Context(self.places[first:last] - begin, self.values[first:last])


@dataclass(frozen=True, slots=True)
class Said:
    """The same for m readings: ``which`` (m,) of ``values`` (k, 4) each says, -1 if none."""

    which: Ints
    values: Floats

    def hold(self, span: slice, rows: Ints, held: Floats) -> None:
        """Take what a span of readings, of distinct ``rows`` (n,), say into what is held.

        ``held`` (R, HELD) is scaled as :data:`vitalwatch.model.layout.CONTEXT_NAMES` says.
        """
        _hold(self.which[span], self.values, rows, held)


def in_order(parts: Sequence[Context | None], begins: Sequence[int], places: Ints) -> Said | None:
    """What the readings at ``places`` (m,) of a log say; None if nothing is said in it.

    ``parts`` are the log's, each with the place at which its readings begin.
    """
    there = [(part, begin) for part, begin in zip(parts, begins, strict=True) if part is not None]
    if not there:
        return None
    speakers = np.concatenate([part.places + begin for part, begin in there])
    which = np.full(max(speakers.max(initial=0), places.max(initial=0)) + 1, -1, dtype=np.int64)
    which[speakers] = np.arange(len(speakers))
    return Said(which[places], np.concatenate([part.values for part, _ in there]))


def of(reading: Reading) -> list[float] | None:
    """What one reading says, as a row of :class:`Context`; None if that is nothing."""
    parts = (
        reading.age,
        None if reading.sex is None else SIGNS[reading.sex],
        _sign(reading.oxygen),
        _sign(reading.beta_blocker),
    )
    if all(part is None for part in parts):
        return None
    return [np.nan if part is None else part for part in parts]


def fields(parts: Sequence[float]) -> dict[str, Any]:
    """What a reading says that :func:`of` gives these float32 ``parts`` of."""
    age, female, oxygen, beta_blocker = parts
    said: dict[str, Any] = {}
    if age == age:  # else it is NaN, here and below
        years = float(str(np.float32(age)))  # 64.1 and not 64.0999984741211
        said["age"] = int(years) if years.is_integer() else years
    if female == female:
        said["sex"] = "female" if female > 0 else "male" if female < 0 else "unknown"
    if oxygen == oxygen:
        said["oxygen"] = oxygen > 0
    if beta_blocker == beta_blocker:
        said["beta_blocker"] = beta_blocker > 0
    return said


def _sign(given: float | None) -> float | None:
    """1 for true or more than 0; -1 for false or 0."""
    return None if given is None else 1.0 if given > 0 else -1.0


@compiled
def _hold(which: Ints, values: Floats, rows: Ints, held: Floats) -> None:
    for i in range(len(rows)):
        if which[i] < 0:
            continue
        row, k = rows[i], which[i]
        if not np.isnan(values[k, AGE]):
            held[row, 0] = (values[k, AGE] - _TYPICAL_AGE) / _SPREAD_OF_AGES
            held[row, 1] = _ONE
        for part in range(1, COUNT):
            if not np.isnan(values[k, part]):
                held[row, 1 + part] = values[k, part]
