"""Courses that several tests of a process share: each fault strikes where the last one left off."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.course import Course
from tests.chaos.crew import Nursery
from tests.chaos.faults import Faults
from tests.chaos.site import Site

GetFaults = Callable[[], Faults]


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers log."""
    return tmp_path_factory.mktemp("workers")


def shared(make: Callable[[ExitStack], Faults]) -> Iterator[GetFaults]:
    """Faults on a course with two workers, one with a stable name; a new one if it is broken."""
    with ExitStack() as stack:
        kept: list[Faults] = []

        def get() -> Faults:
            if not kept or kept[-1].course.broken:
                stack.close()
                faults = make(stack)
                faults.start(named=True)
                faults.start(named=False)
                faults.course.flow(1.5)
                faults.course.prove()
                kept.append(faults)
            return kept[-1]

        yield get


@pytest.fixture(scope="session")
def get_faults(nursery: Nursery, kafka_address: str, folder: Path) -> Iterator[GetFaults]:
    def make(stack: ExitStack) -> Faults:
        return Faults(stack.enter_context(Course(nursery, kafka_address, folder, seed=1)))

    yield from shared(make)


@pytest.fixture
def faults(get_faults: GetFaults) -> Faults:
    """Faults of workers, on the node that all tests share."""
    return get_faults()


@pytest.fixture(scope="session")
def get_site_faults(
    nursery: Nursery, needs: Callable[..., str], folder: Path
) -> Iterator[GetFaults]:
    needs("java", "mvn")

    def make(stack: ExitStack) -> Faults:
        site = stack.enter_context(Site(folder))
        course = Course(nursery, site.address, folder, 1, site.through)
        return Faults(stack.enter_context(course), site)

    yield from shared(make)


@pytest.fixture
def site_faults(get_site_faults: GetFaults) -> Faults:
    """Faults of broker and connections too, on a node of its own."""
    return get_site_faults()
