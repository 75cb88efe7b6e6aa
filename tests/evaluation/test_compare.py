import csv
import io
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.people import data_set, event, record
from vitalwatch.arrays import Floats
from vitalwatch.evaluation import learned, plots, tables
from vitalwatch.evaluation.compare import RATES, Comparison, compare, difference
from vitalwatch.evaluation.detectors import SIMPLE, Formula
from vitalwatch.evaluation.logic import Threshold
from vitalwatch.evaluation.streams import DataSet, Streams


def ward(seed: int) -> DataSet:
    """Ten people for 20 hours; in five the heart rate rises before an event."""
    rng = np.random.default_rng(seed)
    records, events = [], []
    for k in range(10):
        rate = 80 + rng.normal(0, 2, 1200)
        rate[rng.integers(0, 500, 2)] += 30
        if k % 2:
            rate[850:900] += np.linspace(0, 60, 50)
            events.append(event(k, 900))
        records.append(record(np.arange(1200), hr=rate.tolist()))
    return data_set(records, events)


def perfect(streams: Streams) -> Floats:
    """Knows when the events are."""
    minute = streams.since // 60_000
    known = (minute > 850) & (minute < 895) & (streams.record % 2 == 1)
    return np.asarray(known, dtype=np.float32)


@pytest.fixture(scope="module")
def found() -> Comparison:
    names: list[str] = []
    detectors = [Formula("perfect", perfect, Threshold(1, 1)), *SIMPLE]
    made = compare(detectors, ward(1), ward(2), ward(3), names.append)
    assert names == [detector.name for detector in detectors]
    return made


def test_one_who_knows_catches_all_early_and_is_never_wrong(found: Comparison) -> None:
    best = found.results[0]
    assert best.name == "perfect"
    for rate in (*RATES, None):
        operation = best.at(rate)
        assert operation is not None
        figures = operation.figures
        assert (figures["caught"].value, figures["early"].value) == (1, 1)
        assert (figures["false"].value, figures["precision"].value) == (0, 1)
        assert figures["chance early"].value < 0.1
        assert figures["lead"].value == pytest.approx(48, abs=1)
        assert figures["delay"].value == pytest.approx(12, abs=1)
    assert best.auroc is not None
    assert best.auroc.value == pytest.approx(45.5 / 51)  # in 11 of 51 minutes all are alike
    assert best.precision > 0.7
    assert found.prevalence == pytest.approx(5 * 61 / (12000 - 5 * 60), abs=1e-3)


def test_what_cannot_tell_readings_apart_is_said_and_left_out(found: Comparison) -> None:
    assert "shock index" in found.left_out  # no blood pressure
    assert "shock index" not in {result.name for result in found.results}


def test_a_difference_is_paired_and_that_with_oneself_is_nothing(found: Comparison) -> None:
    best = found.results[0]
    by_chance = next(result for result in found.results if result.name == "random")
    less = difference(best, by_chance, 1.0, "early")
    same = difference(best, best, 1.0, "early")
    assert less is not None
    assert same is not None
    assert less.low > 0
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_the_largest_gap_between_groups_has_an_interval(
    found: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "FEWEST_EVENTS", 1)
    operation = found.results[0].at(tables.GROUPED)
    assert operation is not None
    for gap in tables.group_gaps(found, operation).values():
        assert 0 <= gap.low <= gap.high <= 1
        assert 0 <= gap.value <= 1


def test_a_clock_does_not_pass_for_a_detector(found: Comparison) -> None:
    clock = next(result for result in found.results if result.name == "clock")
    assert clock.auroc is not None
    assert clock.auroc.value == 0.5


def test_tables_have_a_row_for_each_detector(found: Comparison) -> None:
    text = tables.markdown(found)
    for result in found.results:
        name = result.name.replace("|", "\\|")
        assert text.count(f"| {name} |") >= 4
    assert "10 people" in text
    assert "Largest gap" not in text  # 5 events tell nothing of a gap
    widths = {
        line.replace("\\|", "").count("|")
        for line in text.splitlines()
        if line.startswith("| perf")
    }
    assert widths == {9, 17}


def test_csv_holds_every_figure_with_its_interval(found: Comparison) -> None:
    file = io.StringIO()
    tables.write_csv([found], file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    early = [
        row
        for row in rows
        if (row["detector"], row["false_alarms_a_day"], row["figure"]) == ("perfect", "1", "early")
    ]
    assert [(float(row["value"]), float(row["low"])) for row in early] == [(1, 1)]
    assert {row["data"] for row in rows} == {"made"}


def test_plots_are_drawn_where_matplotlib_is_there(found: Comparison, tmp_path: Path) -> None:
    if not learned.installed("matplotlib"):
        pytest.skip(f"needs matplotlib: {learned.EXTRA}")
    path = plots.draw(found, tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
