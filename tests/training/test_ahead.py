import pytest

from vitalwatch.errors import VitalWatchError
from vitalwatch.training.ahead import Ahead
from vitalwatch.training.streams import Chunk, Job, Size

TINY = Size(patients=2, chunks=2, frames=8)
JOBS = [Job("train", 1, TINY), Job("validate", 1, TINY), Job("train", 2, TINY)]


def rounds(processes: int) -> list[list[Chunk]]:
    with Ahead(JOBS, processes) as ahead:
        return [list(ahead.round()) for _ in JOBS]


def test_rounds_are_the_same_whoever_makes_them() -> None:
    here = rounds(0)
    for processes in (1, 2):
        for wanted, found in zip(here, rounds(processes), strict=True):
            assert len(found) == TINY.chunks
            for one, other in zip(wanted, found, strict=True):
                for name, array in one.arrays().items():
                    assert array.tobytes() == getattr(other, name).tobytes(), name


def test_who_leaves_early_leaves_no_process_behind() -> None:
    with Ahead(JOBS, 2) as ahead:
        next(ahead.round())
        processes = list(ahead._processes)
    for process in processes:
        with pytest.raises(ValueError, match="closed"):
            process.is_alive()


def test_a_failure_elsewhere_is_told_here() -> None:
    with (
        Ahead([Job("train", 10**9, TINY)], 1) as ahead,
        pytest.raises(VitalWatchError, match=r"training data failed(.|\n)*999,999"),
    ):
        list(ahead.round())


def test_a_process_that_is_ended_is_missed() -> None:
    with Ahead(JOBS, 1) as ahead:
        ahead._processes[0].kill()
        ahead._processes[0].join()
        with pytest.raises(VitalWatchError, match="ended from outside"):
            list(ahead.round())
