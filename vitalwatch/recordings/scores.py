"""Files of scores: a row a reading, as CSV or Parquet.

Columns: ``patient``; ``time`` in ms since 1970; ``rarity`` in patient-days; ``surprise_<vital>``
in nats, empty where the vital was not measured; and the ``recording`` that the reading is from.
A reading that was late has no rarity. CSV has nine digits, which give back every float32.
"""

import csv
import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from vitalwatch.errors import ConfigurationError
from vitalwatch.readings import Detection, Readings
from vitalwatch.vitals import COUNT, NAMES

COLUMNS: Final = ("patient", "time", "rarity", *(f"surprise_{name}" for name in NAMES), "recording")


class Scores(Protocol):
    """A file that takes scores in the order of the readings."""

    def write(self, readings: Readings, detection: Detection) -> None:
        """Add the scores of some readings."""

    def close(self) -> None:
        """Finish the file."""


class CsvScores:
    """Scores as CSV."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._file.write(",".join(COLUMNS) + "\n")

    def write(self, readings: Readings, detection: Detection) -> None:
        """Add the scores of some readings."""
        recording = _quoted(readings.topic)
        figures = np.column_stack((detection.rarity, detection.surprise)).tolist()
        form = ",".join(["%.9g"] * (1 + COUNT))
        for patient, time, row in zip(
            readings.patients.texts(), readings.times.tolist(), figures, strict=True
        ):
            cells = (form % tuple(row)).replace("nan", "")
            self._file.write(f"{_quoted(patient)},{time},{cells},{recording}\n")

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class ParquetScores:
    """Scores as Parquet; raises ConfigurationError if pyarrow is not installed."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as arrow
            import pyarrow.parquet
        except ImportError:
            raise ConfigurationError(
                "Parquet needs pyarrow: pip install 'vitalwatch[parquet]', or use --format csv."
            ) from None
        self._arrow: Any = arrow
        names = arrow.dictionary(arrow.int32(), arrow.string())
        kinds = {"patient": names, "time": arrow.int64(), "recording": names}
        self._schema = arrow.schema(
            [(column, kinds.get(column, arrow.float32())) for column in COLUMNS]
        )
        self._writer = arrow.parquet.ParquetWriter(path, self._schema)

    def write(self, readings: Readings, detection: Detection) -> None:
        """Add the scores of some readings, as one row group."""
        arrow = self._arrow
        figures = [detection.rarity, *detection.surprise.T]
        columns = [
            arrow.array(readings.patients.texts()).dictionary_encode(),
            arrow.array(readings.times),
            *(arrow.array(figure, from_pandas=True) for figure in figures),
            arrow.array([readings.topic] * len(readings.patients)).dictionary_encode(),
        ]
        self._writer.write_table(arrow.table(columns, schema=self._schema))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


FORMATS: Final[dict[str, Callable[[Path], Scores]]] = {"csv": CsvScores, "parquet": ParquetScores}


@lru_cache(maxsize=1 << 17)
def _quoted(name: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([name])
    return line.getvalue()
