import io
from typing import Any

from rich.console import Console

from vitalwatch.commands.ward_view import FORGOTTEN_MS, FRESH_MS, WardView, bars, span
from vitalwatch.messages import Alert, Origin, Reading, ScoreBlock

NOON = 1_767_268_800_000


def reading(patient: str, time: int, **vitals: float | None) -> Reading:
    return Reading(patient, time, vitals, bed={"a": "2", "b": "10"}.get(patient))


def alert(**changes: Any) -> Alert:
    fields: dict[str, Any] = {
        "alert_id": "1",
        "patient": "a",
        "event": "raised",
        "kind": "physiological",
        "condition": "spo2_low",
        "priority": "medium",
        "time": NOON,
        "onset": NOON,
        "rarity": 3.0,
        "drivers": [],
        "sentence": "SpO2 84 % (limit 85), low for 60 s",
        "origin": Origin("t", 0, 0),
        "model": "m",
    }
    return Alert(**(fields | changes))


def shown(view: WardView, width: int = 130) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(view.table())
    console.print(view.alerts(3))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(view: WardView, bed: str) -> list[str]:
    return next(line.split() for line in shown(view).splitlines() if line.split()[:1] == [bed])


def test_beds_are_in_the_order_of_their_numbers() -> None:
    view = WardView()
    view.reading(reading("b", NOON, hr=70))
    view.reading(reading("a", NOON, hr=80))
    beds = [line.split()[0] for line in shown(view).splitlines() if line.strip()]
    assert beds == ["Bed", "2", "10"]


def test_the_latest_value_of_each_vital_is_shown_though_frames_hold_few() -> None:
    view = WardView()
    view.reading(reading("a", NOON, hr=80, sbp=120, dbp=70, temp=36.84))
    view.reading(reading("a", NOON + 5000, hr=82, spo2=None))
    assert row(view, "2") == ["2", "82", "–", "–", "120/70", "36.8", "–"]


def test_an_old_value_is_dimmed_and_then_no_longer_shown() -> None:
    view = WardView()
    view.reading(reading("a", NOON, temp=37.0, etco2=38))
    view.reading(reading("a", NOON + FRESH_MS + 1, hr=80))
    assert str(view._value(view.beds["a"], "temp").style) == "dim"
    view.reading(reading("a", NOON + FORGOTTEN_MS, hr=80))
    assert row(view, "2")[-2:] == ["–", "–"]


def test_priority_is_told_by_marks_and_words_too() -> None:
    view = WardView()
    view.alert(alert())
    view.alert(alert(alert_id="2", condition="hr_high", priority="high"))
    text = shown(view)
    assert "*** HIGH hr high" in text
    assert "**  MED bed a: SpO2 84 % (limit 85), low for 60 s" in text


def test_a_technical_alarm_says_so_and_never_hides_a_physiological_one() -> None:
    view = WardView()
    view.alert(alert(alert_id="2", kind="technical", condition="no_breathing", priority="high"))
    assert "*** HIGH technical no breathing" in shown(view)
    view.alert(alert(priority="low"))
    assert "*   LOW spo2 low" in shown(view)


def test_a_cleared_alarm_leaves_its_bed_and_is_told() -> None:
    view = WardView()
    view.alert(alert())
    view.alert(alert(event="cleared", sentence="SpO2 95 %: back within limits"))
    _, _, told = shown(view).rpartition("cleared")
    assert told.startswith("  bed a: SpO2 95 %")
    assert view.beds["a"].worst() is None


def test_scores_are_counted_and_give_a_trend() -> None:
    view = WardView()
    minutes = [NOON, NOON + 30_000, NOON + 60_000]
    view.scores(
        ScoreBlock("t", 0, "m", [0, 1, 2], ["a"] * 3, minutes, [0.5, 0.2, 3.0], {}, {}, {}, {})
    )
    assert view.scored == 3
    assert list(view.beds["a"].trend) == [0.5, 3.0]
    assert "3 d" in shown(view)


def test_bars_grow_with_rarity_and_stay_within_their_range() -> None:
    drawn = bars([0.0, 0.01, 0.1, 1.0, 10.0, 1e9])
    assert drawn == "".join(sorted(drawn))
    assert (drawn[0], drawn[-1]) == ("▁", "█")


def test_spans_are_short() -> None:
    assert [span(days) for days in (0.01, 0.25, 1.4, 1e9)] == ["14 min", "6 h", "1 d", "9999 d"]
