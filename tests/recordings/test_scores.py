import csv
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitalwatch.arrays import Floats, Spans
from vitalwatch.errors import ConfigurationError
from vitalwatch.readings import Detection, Readings
from vitalwatch.recordings.scores import COLUMNS, FORMATS
from vitalwatch.vitals import COUNT, NAMES

AWKWARD = ['p "1", ward', "nan", "é", "plain"]


def some(seed: int, count: int) -> tuple[Readings, Detection]:
    generator = np.random.default_rng(seed)

    def figures(*shape: int) -> Floats:
        values = generator.normal(0, 1e3, shape).astype(np.float32)
        values[generator.random(shape) < 0.3] = np.nan
        return values

    rarity = figures(count)
    rarity[0] = np.inf
    block = figures(count, COUNT)
    readings = Readings(
        "ward, east.csv",
        0,
        Spans.of(AWKWARD[index % len(AWKWARD)] for index in range(count)),
        np.arange(count) * 1000,
        block,
        np.arange(count),
    )
    late = np.isnan(rarity)
    return readings, Detection(late, rarity, figures(count, COUNT), block, block, block, [])


def number(cell: Any) -> float:
    return math.nan if cell in ("", None) else float(cell)


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    return rows


@pytest.mark.parametrize("kind", FORMATS)
def test_every_score_comes_back_as_it_was(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"scores.{kind}"
    parts = [some(1, 7), some(2, 4)]
    scores = FORMATS[kind](path)
    for readings, detection in parts:
        scores.write(readings, detection)
    scores.close()
    rows = read(path)
    assert len(rows) == 11
    assert list(rows[0]) == list(COLUMNS)
    at = iter(rows)
    for readings, detection in parts:
        for index, patient in enumerate(readings.patients.texts()):
            row = next(at)
            assert row["patient"] == patient
            assert int(row["time"]) == readings.times[index]
            assert row["recording"] == "ward, east.csv"
            figures = [row["rarity"], *(row[f"surprise_{name}"] for name in NAMES)]
            wanted = [detection.rarity[index], *detection.surprise[index]]
            np.testing.assert_array_equal(
                np.array([number(cell) for cell in figures], dtype=np.float32), wanted
            )


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"vitalwatch\[parquet\]"):
        FORMATS["parquet"](tmp_path / "scores.parquet")
