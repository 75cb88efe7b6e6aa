"""The ward in memory, where readings are odd, late, of another time or too many."""

import numpy as np

from vitalwatch import vitals
from vitalwatch.dashboard.clients import Events
from vitalwatch.dashboard.ward import Ward
from vitalwatch.messages import ScoreBlock


def test_an_absurdly_long_event_id_means_to_begin_anew() -> None:
    events = Events()
    assert events.after(f"{events.epoch}-{'9' * 5000}") is None


def test_who_finds_no_room_takes_nobody_elses_scores_away() -> None:
    ward = Ward(most=2)
    ward.rows(["a", "b"])
    ward.scores(
        ScoreBlock("vitals.readings", 0, "m", [0, 1, 2], ["a", "c", "b"], [5, 5, 5], [1, 2, 3],
                   {}, {}, {}, {})
    )  # fmt: skip
    assert [patient["rarity"] for patient in ward.patients(5)] == [1.0, 3.0]


CLOCK = 1_700_000_000_000
MINUTE = 60_000


def read(ward: Ward, times: dict[str, int]) -> None:
    values = np.full((len(times), vitals.COUNT), np.nan, dtype=np.float32)
    values[:, 0] = 70
    ward.readings(ward.rows(list(times)), np.array(list(times.values())), values)


def states(ward: Ward, clock: int) -> dict[str, str]:
    return {patient["label"]: patient["state"] for patient in ward.patients(clock)}


def test_one_device_whose_clock_is_ahead_makes_nobody_else_look_lost_or_gone() -> None:
    ward = Ward(clock=lambda: CLOCK / 1000)
    read(ward, {"a": CLOCK, "b": CLOCK - 1000, "ahead": CLOCK + 365 * 24 * 60 * MINUTE})
    assert ward.now(CLOCK) == CLOCK
    assert states(ward, CLOCK)["a"] == "ok"
    assert ward.forget_gone() == 0
    read(ward, {"ahead": CLOCK + 366 * 24 * 60 * MINUTE})
    assert ward.now(CLOCK) == CLOCK


def test_a_stream_that_falls_silent_has_no_data_however_long_it_lasts() -> None:
    ward = Ward(clock=lambda: CLOCK / 1000)
    read(ward, {"a": CLOCK})
    for minutes in (2, 15, 600):
        assert states(ward, CLOCK + minutes * MINUTE) == {"a": "no_data"}


def test_a_stream_of_another_time_is_told_by_its_own() -> None:
    ward = Ward(clock=lambda: CLOCK / 1000)
    read(ward, {"a": 5 * MINUTE, "b": 60 * MINUTE})
    assert ward.now(CLOCK) == 60 * MINUTE
    assert states(ward, CLOCK) == {"a": "no_data", "b": "ok"}


def test_who_is_known_from_old_scores_alone_is_forgotten() -> None:
    ward = Ward(most=1, clock=lambda: CLOCK / 1000)
    old = CLOCK - 90 * 24 * 60 * MINUTE
    ward.scores(ScoreBlock("t", 0, "m", [0], ["a"], [old], [1.0], {}, {}, {}, {}))
    assert ward.forget_gone() == 1
    read(ward, {"b": CLOCK})
    assert states(ward, CLOCK) == {"b": "ok"}
