"""Some of the seeds of ``python -m tests.simulation``, and all that ever failed."""

import pytest

from tests.simulation.world import play

FAILED_ONCE: list[int] = []
"""Seeds that once found a fault; the fault is in the commit that added the seed."""


@pytest.mark.parametrize("group", range(20))
def test_committed_outputs_are_those_of_an_undisturbed_run(group: int) -> None:
    for seed in range(15 * group, 15 * (group + 1)):
        try:
            play(seed)
        except AssertionError as error:
            pytest.fail(f"python -m tests.simulation --seed {seed}: {error}")


def test_seeds_that_failed_once_pass() -> None:
    for seed in FAILED_ONCE:
        play(seed)


def test_a_seed_is_one_course_of_events() -> None:
    first: list[str] = []
    second: list[str] = []
    play(3, first.append)
    play(3, second.append)
    assert first == second
    assert len(first) > 50


def test_the_courses_have_everything_in_them() -> None:
    told: list[str] = []
    for seed in range(60):
        play(seed, told.append)
    for event in (
        "crashes",
        "is put out of the group",
        "has to wait",
        "is asked to stop",
        "starts as a static member",
        "the helper does an errand",
        "is installed",
        "are deleted up to",
        "is damaged from byte",
        "is lost",
        "is compacted",
    ):
        assert sum(event in line for line in told) >= 3, event
