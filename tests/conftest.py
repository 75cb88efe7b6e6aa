"""What all tests share: programs from outside Python, and warnings as they should be."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

INSTALL = "deploy/install-system-packages.sh"


@pytest.fixture(scope="session")
def needs() -> Callable[..., str]:
    """Path of the first program, all of which a test needs.

    Where one is missing the test is skipped with the line that installs it; with ``CI=true``,
    where nothing may be left untested, it fails.
    """

    def find(*programs: str) -> str:
        missing = [program for program in programs if shutil.which(program) is None]
        if missing:
            reason = f"needs {' and '.join(missing)}: run {INSTALL}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return str(shutil.which(programs[0]))

    return find


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recordings of real patients, which are not part of the project."""
    beside = Path(__file__).parent.parent.parent / "shared" / "recordings"
    folder = Path(os.environ.get("VITALWATCH_RECORDINGS", beside))
    if not folder.is_dir():
        pytest.skip("needs recordings of patients: set VITALWATCH_RECORDINGS to their folder")
    return folder
