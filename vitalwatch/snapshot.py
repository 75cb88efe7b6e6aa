"""A consistent cut of one partition's state: all its patients, at one offset of its log."""

from dataclasses import dataclass

from vitalwatch.adjustment import Adjustment
from vitalwatch.arrays import Buffer, Spans
from vitalwatch.clock import Clock


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a detector remembers of one partition, copied out at once.

    ``model`` is the fingerprint of the model at work, ``layout`` that of the rows: only rows of
    equal layout can be put back. ``clock`` and ``adjustment`` are the partition's. ``patients``
    (n,) are UTF-8, and ``rows`` (n, row_bytes) uint8 is the state of each.
    """

    model: str
    layout: str
    clock: Clock
    adjustment: Adjustment
    patients: Spans
    rows: Buffer
