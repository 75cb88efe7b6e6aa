import pytest

from vitalwatch.errors import DeadLetterFlood
from vitalwatch.stream.outputs import WINDOW_RECORDS, FloodGuard, Tally


def tally(records: int, rejected: int) -> Tally:
    return Tally(records=records, rejected=["not_json"] * rejected)


def test_a_few_dead_letters_among_many_records_stop_nothing() -> None:
    guard = FloodGuard(0.5)
    for _ in range(200):
        guard.check(tally(100, 50))


def test_too_large_a_share_of_the_last_records_stops_the_daemon_and_says_what_they_are() -> None:
    guard = FloodGuard(0.5)
    guard.check(tally(WINDOW_RECORDS, 0))
    guard.check(tally(5_000, 5_000))
    with pytest.raises(DeadLetterFlood, match=r"not_json 10,000.*--daemon-dead-letter-limit"):
        guard.check(tally(5_000, 5_000))


def test_what_is_long_ago_no_longer_counts() -> None:
    guard = FloodGuard(0.5)
    guard.check(tally(WINDOW_RECORDS, 5_000))
    guard.check(tally(WINDOW_RECORDS, 0))
    guard.check(tally(WINDOW_RECORDS, 5_000))


def test_the_first_records_alone_stop_nothing() -> None:
    FloodGuard(0.0).check(tally(WINDOW_RECORDS - 1, WINDOW_RECORDS - 1))


def test_a_limit_of_one_never_stops() -> None:
    guard = FloodGuard(1.0)
    for _ in range(10):
        guard.check(tally(WINDOW_RECORDS, WINDOW_RECORDS))


def test_transactions_without_records_are_not_remembered() -> None:
    guard = FloodGuard(0.5)
    for _ in range(10):
        guard.check(tally(0, 0))
    assert not guard._window
