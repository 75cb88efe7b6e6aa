"""What acts on a patient's physiology during a block of frames."""

from dataclasses import dataclass, fields

import numpy as np

from vitalwatch.arrays import Floats


@dataclass(frozen=True, slots=True)
class Drives:
    """Deviations from the person's set points, each ``(B, N)`` float32; zero is undisturbed.

    ``rate``, ``stroke``, ``resistance``, ``breathing`` and ``depth`` are natural logarithms of the
    ratio to normal of heart rate, stroke volume, vascular resistance, respiratory rate and tidal
    volume, before the reflexes answer; ``setpoint`` that of the mean pressure that the baroreflex
    defends. ``shunt`` is the logarithm by which gas exchange is worse, ``fever`` a rise
    of the temperature that the body defends, in °C.

    ``pace`` in [0, 1] is how far a rhythm of its own rules the heart, at ``pace_rate`` (logarithm
    of the ratio to the normal rate); ``irregular`` in [0, 1] as in atrial fibrillation.
    ``stores`` in [0, 1] is how far arterial oxygen follows ``stores_pressure`` in mmHg instead of
    ventilation. ``baro_loss`` and ``chemo_loss`` in [0, 1] are lost shares of the reflexes.
    ``motion`` in [0, 1] disturbs the devices.
    """

    rate: Floats
    stroke: Floats
    resistance: Floats
    setpoint: Floats
    breathing: Floats
    depth: Floats
    shunt: Floats
    fever: Floats
    pace: Floats
    pace_rate: Floats
    irregular: Floats
    stores: Floats
    stores_pressure: Floats
    baro_loss: Floats
    chemo_loss: Floats
    motion: Floats

    @classmethod
    def none(cls, frames: int, patients: int) -> "Drives":
        """Nothing acts."""
        names = fields(cls)
        zeros = np.zeros((len(names), frames, patients), dtype=np.float32)
        return cls(*zeros)
