"""Scoring and alarms for the partitions of a stream: readings in, scores and alert events out.

This is the whole detector without a broker. The daemon feeds it polled batches, ``vitalwatch
score`` feeds it files, calibration and evaluation feed it simulated patients; all get the same
output for the same log, however the log is cut into batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vitalwatch.arrays import Bools, Floats, Ints
from vitalwatch.messages import Alert


@dataclass(frozen=True, slots=True)
class Readings:
    """Decoded readings of one partition, columnar, in log order.

    ``patients`` n identifiers; ``times`` (n,) ms; ``values`` (n, V) in the vitals' units, NaN
    where not measured; ``offsets`` (n,) of the source records, ascending.
    """

    topic: str
    partition: int
    patients: list[str]
    times: Ints
    values: Floats
    offsets: Ints


@dataclass(frozen=True, slots=True)
class Detection:
    """What the detector says of one :class:`Readings`, aligned with it.

    ``late`` (n,) marks readings that were not after the patient's last: not scored, NaN below.
    ``rarity`` (n,) patient-days; ``surprise`` (n, V) nats; ``expected``, ``low``, ``high`` (n, V)
    the prediction and its central 90 %; NaN where a vital was not measured. ``alerts`` in order
    of the offset that brought them, then patient, then condition.
    """

    late: Bools
    rarity: Floats
    surprise: Floats
    expected: Floats
    low: Floats
    high: Floats
    alerts: list[Alert]


class Detector:
    """All patients' state, and the one way to advance it."""

    def process(self, batch: Sequence[Readings]) -> list[Detection]:
        """Advance by the readings of some partitions (at most one entry a partition)."""
        raise NotImplementedError
