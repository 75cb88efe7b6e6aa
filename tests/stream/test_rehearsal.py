from vitalwatch.model import checkpoint
from vitalwatch.stream import rehearsal


def test_a_rehearsal_ends_and_says_how_long_it_took() -> None:
    assert 0 < rehearsal.rehearse(checkpoint.load()) < 600
