"""What the tests of audits share."""

import pytest

from tests.audit.staged import copied
from tests.stream.worker import Worker


@pytest.fixture
def worker() -> Worker:
    """Has scored the ward on a log of its own."""
    return copied()
