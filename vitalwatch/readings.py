"""What goes into the detector and what comes out: columns in log order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitalwatch.arrays import Bools, Floats, Ints, Spans
from vitalwatch.context import Context
from vitalwatch.messages import Alert


@dataclass(frozen=True, slots=True)
class Readings:
    """Decoded readings of one partition, columnar, in log order.

    ``patients`` n identifiers, UTF-8; ``times`` (n,) ms; ``values`` (n, V) in the vitals' units,
    NaN where not measured; ``offsets`` (n,) of the source records, ascending; ``context`` what
    some of them say of their patients, None where none does.
    """

    topic: str
    partition: int
    patients: Spans
    times: Ints
    values: Floats
    offsets: Ints
    context: Context | None = None

    def part(self, begin: int, end: int) -> "Readings":
        """Those from ``begin`` to ``end``, of the same buffers."""
        span = slice(begin, end)
        return Readings(
            self.topic,
            self.partition,
            self.patients[span],
            self.times[span],
            self.values[span],
            self.offsets[span],
            None if self.context is None else self.context.part(begin, end),
        )


@dataclass(frozen=True, slots=True)
class Detection:
    """What the detector says of one :class:`Readings`, aligned with it.

    ``late`` (n,) marks readings that were not after the patient's last, or so far behind the
    stream that the patient is gone by then: not scored, NaN below.
    ``rarity`` (n,) patient-days; ``surprise`` (n, V) nats; ``expected``, ``low``, ``high`` (n, V)
    the prediction and its central 90 %; NaN where a vital was not measured. ``alerts`` in order
    of the offset that brought them, then time, patient and condition. ``watched`` is the time of
    all patients between these readings and those before them, in ms, and ``factor`` what rarities
    were divided by, at the last of them, to follow the rate of alarms.
    """

    late: Bools
    rarity: Floats
    surprise: Floats
    expected: Floats
    low: Floats
    high: Floats
    alerts: list[Alert]
    watched: int = 0
    factor: float = 1.0

    @classmethod
    def joined(cls, parts: Sequence["Detection"]) -> "Detection":
        """Of readings in parts, of all of them."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.late for part in parts]),
            np.concatenate([part.rarity for part in parts]),
            np.concatenate([part.surprise for part in parts]),
            np.concatenate([part.expected for part in parts]),
            np.concatenate([part.low for part in parts]),
            np.concatenate([part.high for part in parts]),
            [alert for part in parts for alert in part.alerts],
            sum(part.watched for part in parts),
            parts[-1].factor,
        )
