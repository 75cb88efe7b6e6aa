"""What goes into the detector and what comes out: columns in log order."""

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Detection:
    """What the detector says of one :class:`Readings`, aligned with it.

    ``late`` (n,) marks readings that were not after the patient's last, or so far behind the
    stream that the patient is gone by then: not scored, NaN below.
    ``rarity`` (n,) patient-days; ``surprise`` (n, V) nats; ``expected``, ``low``, ``high`` (n, V)
    the prediction and its central 90 %; NaN where a vital was not measured. ``alerts`` in order
    of the offset that brought them, then time, patient and condition.
    """

    late: Bools
    rarity: Floats
    surprise: Floats
    expected: Floats
    low: Floats
    high: Floats
    alerts: list[Alert]
