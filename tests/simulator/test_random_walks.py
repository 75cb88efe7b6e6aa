import numpy as np
import pytest

from simulator.random_walks import Averaged, OrnsteinUhlenbeck, lag


@pytest.mark.parametrize("interval", [1.0, 10.0, 300.0])
def test_the_walk_has_its_variance_and_memory_at_any_interval(interval: float) -> None:
    walk = OrnsteinUhlenbeck([20.0], 20_000, interval, np.random.default_rng(1))
    path = walk.advance(5)[:, 0]
    assert path.var(axis=1) == pytest.approx(1, abs=0.05)
    remembered = np.corrcoef(path[1], path[4])[0, 1]
    assert remembered == pytest.approx(np.exp(-3 * interval / 20), abs=0.03)


@pytest.mark.parametrize("interval", [1.0, 5.0, 60.0])
def test_the_average_of_a_walk_is_as_of_one_simulated_in_fine_steps(interval: float) -> None:
    tau, window, count = 8.0, 5.0, 20_000
    shape = (1, count)
    averaged = Averaged(
        np.full(shape, tau, np.float32),
        np.full(shape, window, np.float32),
        interval,
        np.random.default_rng(2),
    )
    path = averaged.advance(4)[:, 0]

    fine = 0.05
    steps = round(interval / fine)
    walk = OrnsteinUhlenbeck([tau], 4000, fine, np.random.default_rng(3))
    mean = np.zeros(4000, np.float32)
    keep = np.float32(np.exp(-fine / window))
    lag(walk.advance(1000)[:, 0], mean, keep)
    first = mean.copy()
    lag(walk.advance(steps)[:, 0], mean, keep)

    assert path.var(axis=1) == pytest.approx(tau / (tau + window), abs=0.03)
    assert mean.var() == pytest.approx(tau / (tau + window), abs=0.05)
    assert np.corrcoef(path[2], path[3])[0, 1] == pytest.approx(
        np.corrcoef(first, mean)[0, 1], abs=0.05
    )


def test_a_lag_approaches_its_input_and_goes_on_where_it_stopped() -> None:
    keep = np.float32(np.exp(-1 / 10))
    whole = np.zeros(1, np.float32)
    path = lag(np.ones((30, 1), np.float32), whole, keep)
    assert path[:, 0] == pytest.approx(1 - np.exp(-np.arange(1, 31) / 10), rel=1e-4)
    parts = np.zeros(1, np.float32)
    lag(np.ones((10, 1), np.float32), parts, keep)
    lag(np.ones((20, 1), np.float32), parts, keep)
    assert parts == pytest.approx(whole)
