"""Scores of a batch as records of the scores topic."""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from vitalwatch import config
from vitalwatch.arrays import Floats
from vitalwatch.messages import ScoreBlock
from vitalwatch.readings import Detection, Readings
from vitalwatch.vitals import NAMES

BLOCK_READINGS: Final = 10_000
"""In one block of scores at most, some 7 MB: a record may not be larger than its topic takes."""


def blocks(
    readings: Readings, detection: Detection, model: str, emit: config.Emit
) -> Iterator[tuple[bytes, bytes, int]]:
    """Key, value and timestamp of the records: blocks, one for each reading, or none."""
    if emit == "none":
        return
    scored = np.flatnonzero(~detection.late)
    size = 1 if emit == "reading" else BLOCK_READINGS
    for begin in range(0, len(scored), size):
        part = scored[begin : begin + size]
        block = ScoreBlock(
            topic=readings.topic,
            partition=readings.partition,
            model=model,
            offsets=readings.offsets[part].tolist(),
            patients=readings.patients.at(part).texts(),
            times=readings.times[part].tolist(),
            rarity=detection.rarity[part].tolist(),
            surprise=_by_vital(detection.surprise[part]),
            expected=_by_vital(detection.expected[part]),
            low=_by_vital(detection.low[part]),
            high=_by_vital(detection.high[part]),
        )
        key = block.patients[0] if emit == "reading" else str(block.partition)
        yield key.encode(), msgspec.json.encode(block), max(block.times)


def _by_vital(table: Floats) -> dict[str, list[float | None]]:
    """Columns by vital's name; NaN is written as null."""
    return dict(zip(NAMES, table.T.tolist(), strict=True))
