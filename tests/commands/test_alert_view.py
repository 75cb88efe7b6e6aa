import io
from typing import Any

import pytest
from rich.console import Console

from vitalwatch.commands.alert_view import Board, line, printable
from vitalwatch.messages import Alert, Origin

MINUTE = 60_000
NOW = 1_700_000_000_000


def make_alert(**fields: Any) -> Alert:
    values: dict[str, Any] = {
        "alert_id": "a1",
        "patient": "bed-1",
        "event": "raised",
        "kind": "physiological",
        "condition": "spo2_low",
        "priority": "high",
        "time": NOW,
        "onset": NOW - 5 * MINUTE,
        "rarity": 12.0,
        "drivers": [],
        "sentence": "SpO2 82 %, low for 60 s",
        "origin": Origin("vitals.readings", 0, 7),
        "model": "m",
    }
    return Alert(**values | fields)


def shown(board: Board, now: int = NOW, height: int = 40) -> list[str]:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(board.render(now, "vitals.alerts", height))
    return [row.rstrip() for row in captured.get().splitlines() if row.strip()]


def test_a_line_has_priority_in_marks_and_words_and_the_sentence() -> None:
    assert line(make_alert()) == (
        "2023-11-14T22:13:20.000Z *** HIGH physiological raised    bed-1: "
        "SpO2 82 %, low for 60 s (once in 12 d)"
    )
    technical = make_alert(kind="technical", priority="low", event="cleared", rarity=None)
    assert line(technical) == (
        "2023-11-14T22:13:20.000Z *   LOW  technical     cleared   bed-1: SpO2 82 %, low for 60 s"
    )


@pytest.mark.parametrize("character", ["\x1b", "\n", "\x07", "\u202e", "\x9b"])
def test_text_cannot_steer_the_terminal(character: str) -> None:
    assert character not in printable(f"bed{character}1")
    assert character not in line(make_alert(patient=f"bed{character}1", sentence=character))
    board = Board()
    board.live(make_alert(patient=f"bed{character}1"), NOW)
    assert all(character not in row for row in shown(board))


def test_the_worst_comes_first_and_technical_alerts_stand_apart() -> None:
    board = Board()
    for name, kind, priority in (
        ("t-high", "technical", "high"),
        ("p-low", "physiological", "low"),
        ("p-high", "physiological", "high"),
        ("p-medium", "physiological", "medium"),
    ):
        board.live(make_alert(alert_id=name, patient=name, kind=kind, priority=priority), NOW)
    rows = shown(board)
    assert rows[0].startswith("vitals.alerts  3 physiological, 1 technical active")
    order = [row.split()[2] for row in rows if "bed" in row or "-" in row.split()[2]]
    assert order == ["p-high", "p-medium", "p-low", "t-high"]
    assert rows[2].split()[:2] == ["***", "HIGH"]


def test_an_alert_shows_how_long_it_lasts_and_how_rare_it_is() -> None:
    board = Board()
    board.live(make_alert(), NOW)
    row = shown(board, NOW + 10 * MINUTE)[2]
    assert "15 min" in row
    assert "12 d" in row


def test_of_a_replayed_recording_time_goes_on_from_its_own() -> None:
    board = Board()
    board.live(make_alert(), NOW + 10**12)
    assert "6 min" in shown(board, NOW + 10**12 + MINUTE)[2]


def test_what_was_escalated_is_one_alert_and_what_cleared_is_shown_last() -> None:
    board = Board()
    board.live(make_alert(priority="low"), NOW)
    board.live(make_alert(event="escalated", priority="high"), NOW)
    board.live(make_alert(alert_id="a2", patient="bed-2", priority="low"), NOW)
    assert board.active("physiological") == 2
    board.live(make_alert(event="cleared", sentence="SpO2 97 %: back within limits"), NOW)
    assert board.active("physiological") == 1
    assert [row.split()[0] for row in shown(board)[2:4]] == ["*", "cleared"]


def test_of_the_past_only_what_is_active_is_shown_unless_asked_for() -> None:
    board = Board()
    board.past(make_alert(alert_id="a1"), keep_cleared=False)
    board.past(make_alert(alert_id="a2", patient="bed-2"), keep_cleared=False)
    board.past(make_alert(alert_id="a1", event="cleared"), keep_cleared=False)
    assert ["bed-1" in row for row in shown(board)[2:3]] == [False]
    board.past(make_alert(alert_id="a2", patient="bed-2", event="cleared"), keep_cleared=True)
    assert "cleared" in shown(board)[2]


def test_what_does_not_fit_is_counted() -> None:
    board = Board()
    for number in range(30):
        board.live(make_alert(alert_id=str(number)), NOW)
    rows = shown(board, height=24)
    assert len(rows) <= 24
    assert any("and 22 more" in row for row in rows)


def test_cleared_alerts_are_not_kept_for_ever() -> None:
    board = Board()
    for number in range(200):
        board.live(make_alert(alert_id=str(number), event="cleared"), NOW)
    assert any("and 34 more" in row for row in shown(board))
