import numpy as np

from simulator import Ward
from vitalwatch.vitals import COUNT


def test_the_same_seed_gives_the_same_bits() -> None:
    first, second = Ward(50, seed=7), Ward(50, seed=7)
    for one, other in zip(first.read(300), second.read(300), strict=True):
        assert one.tobytes() == other.tobytes()
    assert first.truth == second.truth


def test_another_seed_gives_another_ward() -> None:
    assert not np.array_equal(Ward(5, seed=1).read(10)[1], Ward(5, seed=2).read(10)[1], True)


def test_readings_do_not_depend_on_how_many_are_drawn_at_once() -> None:
    times, values = Ward(40, seed=3, interval=2.0).read(700)
    other = Ward(40, seed=3, interval=2.0)
    parts = [other.read(1), other.read(299), *other.frames(3)]
    parts += [other.read(397)]
    assert np.concatenate([np.atleast_2d(part[0]) for part in parts]).tobytes() == times.tobytes()
    pieces = [part[1].reshape(-1, 40, COUNT) for part in parts]
    assert np.concatenate(pieces).tobytes() == values.tobytes()
