"""Readings of a recording as rows of one array, and the count of those that were dropped."""

from collections import Counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vitalwatch import context
from vitalwatch.vitals import COUNT

ROW: Final = np.dtype(
    [
        ("patient", np.int32),
        ("time", np.int64),
        ("values", np.float64, (COUNT,)),
        ("context", np.float32, (context.COUNT,)),
        ("start", np.int64),
        ("size", np.int32),
    ]
)
"""One reading: index of the patient, ms since 1970, vitals (NaN where not measured), what is said
of the patient (:data:`vitalwatch.context.PARTS`, NaN where nothing is), and where its line stands
in the file (used by JSON Lines only)."""

Rows = npt.NDArray[Any]  # (n,) of ROW


class Patients(dict[str, int]):
    """Index of each patient, given when first asked for."""

    def __missing__(self, patient: str) -> int:
        self[patient] = len(self)
        return len(self) - 1


class Dropped:
    """How many rows of a recording were left out, by reason, and where the first one stood."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._first: dict[str, int] = {}

    def add(self, reason: str, count: int = 1, line: int | None = None) -> None:
        """Count rows; ``line`` is where the first of them stands, if known."""
        self.counts[reason] += count
        if line is not None:
            self._first.setdefault(reason, line)

    def __str__(self) -> str:
        reasons = [
            f"{count} {reason}"
            + (f" (first in line {self._first[reason]})" if reason in self._first else "")
            for reason, count in self.counts.most_common()
        ]
        total = self.counts.total()
        return f"dropped {total} {'row' if total == 1 else 'rows'}: {', '.join(reasons)}"
