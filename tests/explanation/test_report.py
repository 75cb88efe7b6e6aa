"""What an explanation says, to people and to programs."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from vitalwatch import vitals
from vitalwatch.commands import explain_view
from vitalwatch.explanation.course import Course
from vitalwatch.explanation.gradients import Attribution
from vitalwatch.explanation.moment import Moment
from vitalwatch.explanation.report import Report, report
from vitalwatch.explanation.scores import Scored
from vitalwatch.model import layout
from vitalwatch.scoring.scorer import Reasons

HR, MAP = vitals.INDEX["hr"], vitals.INDEX["map"]
MINUTE = 60_000


def made(missed: float = 0.001, exact: bool = True) -> Report:
    """Heart rate out of its band for 11 minutes, mean pressure within; nothing else is measured."""
    values = np.full((4, vitals.COUNT), np.nan, dtype=np.float32)
    values[:, HR], values[:, MAP] = 133.4, 71.6
    times = np.array([0, 10, 56, 60]) * MINUTE
    course = Course(times, values, np.zeros((4, len(layout.CONTEXT_NAMES)), dtype=np.float32))
    columns = {
        name: np.full(vitals.COUNT, np.nan, dtype=np.float32)
        for name in ("share", "observed", "usual", "low", "high", "outside")
    }
    columns["share"][:] = 0
    columns["outside"][:] = 0
    for vital, told in (
        (HR, (0.75, 133.4, 94.3, 76.5, 112.1, 651)),
        (MAP, (0.25, 72, 90, 71, 108, 0)),
    ):
        for column, value in zip(columns.values(), told, strict=True):
            column[vital] = value
    reasons = Reasons(cause=np.zeros(vitals.COUNT, dtype=np.int8), **columns)
    evidence = np.array([0, 1, 2, 2.5], dtype=np.float32)
    by_reading = np.zeros((4, vitals.COUNT))
    by_reading[3, HR], by_reading[2, HR], by_reading[1, MAP] = 0.5, 0.2, -0.1
    attribution = Attribution(times, by_reading, 0.1, -0.5 - missed, 16, missed, exact)
    moment = Moment("anna", course, "the time that was asked for", None)
    return report(moment, Scored(evidence, evidence, reasons), attribution, 0.01)


def shown(told: Report) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(explain_view.render(told))
    return captured.get()


def test_a_vital_is_said_with_its_share_its_band_its_direction_and_since_when() -> None:
    first, second = made().vitals
    assert (first.vital, first.share, first.observed, first.expected) == ("hr", 0.75, 133, 94)
    assert (first.low, first.high, first.direction, first.seconds) == (76, 112, "high", 651)
    assert (second.vital, second.direction, second.seconds) == ("map", "within", 0)


def test_a_person_reads_it_all() -> None:
    text = shown(made())
    for part in (
        "anna at 1970-01-01T01:00:00.000Z (the time that was asked for)",
        "HR 133 /min (expected 76 to 112), high for 11 min, drives 75 %",
        "76 to 112",
        "+0.50",
        "-0.10",
        "add up to +0.600 of +0.601 in 16 steps: within the tolerance of 1%",
    ):
        assert part in text, text
    assert "before" not in text


def test_a_sum_that_is_not_exact_is_said() -> None:
    assert "NOT within the tolerance" in shown(made(0.3, exact=False))


def test_a_program_reads_it_all() -> None:
    told = msgspec.json.decode(msgspec.json.encode(made()))
    assert told["gradients"]["by_time"]["last minute"] == {"hr": 0.5, "map": 0.0}
    assert told["gradients"]["by_time"]["1-5 min"]["hr"] == 0.2
    assert told["gradients"]["by_time"]["15-60 min"]["map"] == -0.1
    assert told["gradients"]["by_vital"]["hr"] == pytest.approx(0.7)
    assert told["alert"] is None
    assert set(told["vitals"][0]) >= {"vital", "share", "cause", "observed", "low", "seconds"}


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = made().gradients
    assert found is not None
    explain_view.draw(found, "anna", tmp_path / "why.png")
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
