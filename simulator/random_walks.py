"""Gaussian processes at any reading interval, by exact discretisation."""

import numpy as np
import numpy.typing as npt

from vitalwatch.arrays import Floats


class OrnsteinUhlenbeck:
    """Independent stationary Ornstein-Uhlenbeck processes of unit variance.

    x(t + dt) = a x(t) + sqrt(1 - a^2) z with a = exp(-dt / tau) is exact for any dt, so a reading
    interval of an hour needs one step.
    """

    def __init__(
        self, tau: npt.ArrayLike, patients: int, interval: float, rng: np.random.Generator
    ) -> None:
        """``tau`` are the correlation times of C processes in s; ``interval`` is dt in s."""
        decay = np.exp(-interval / np.asarray(tau, dtype=np.float64))
        self._decay = decay[:, None].astype(np.float32)
        self._scale = np.sqrt(1 - decay**2)[:, None].astype(np.float32)
        self._rng = rng
        self._state = rng.standard_normal((len(decay), patients), dtype=np.float32)

    def advance(self, frames: int) -> Floats:
        """The next frames, ``(frames, C, N)``."""
        path = self._rng.standard_normal((frames, *self._state.shape), dtype=np.float32)
        path *= self._scale
        carried = np.empty_like(self._state)
        state = self._state
        for frame in path:
            np.multiply(state, self._decay, out=carried)
            frame += carried
            state = frame
        self._state = state.copy()
        return path


class Averaged:
    """Ornstein-Uhlenbeck processes together with their exponential averages, as a device shows.

    x has correlation time tau and unit variance; dy/dt = (x - y) / window. The pair is a linear
    Gaussian process, so its transition over dt is exact: with a = exp(-dt/tau), b = exp(-dt/w)
    and u = dt (1/w - 1/tau), E[y(t+dt)] = b y + dt/w (a - b)/u x, and the covariance of
    the noise is the stationary one less its propagated part.
    """

    def __init__(self, tau: Floats, window: Floats, interval: float, rng: np.random.Generator):
        """``tau`` and ``window`` are ``(C, N)`` in s; ``interval`` is dt in s."""
        t, w = tau.astype(np.float64), window.astype(np.float64)
        a, b = np.exp(-interval / t), np.exp(-interval / w)
        u = interval * (1 / w - 1 / t)
        cross = b.copy()  # the limit where window and correlation time are the same
        np.divide(a - b, u, out=cross, where=np.abs(u) > 1e-6)
        cross *= interval / w
        covariance = t / (t + w)  # stationary: var x = 1, cov(x, y) = var y = this
        variance_x = 1 - a**2
        mixed = covariance - a * (cross + b * covariance)
        variance_y = covariance - (cross**2 + 2 * cross * b * covariance + b**2 * covariance)
        first = np.sqrt(variance_x)
        second = mixed / first
        third = np.sqrt(np.maximum(variance_y - second**2, 0))
        self._a, self._b, self._cross, self._first, self._second, self._third = (
            part.astype(np.float32) for part in (a, b, cross, first, second, third)
        )
        self._rng = rng
        self._x = rng.standard_normal(tau.shape, dtype=np.float32)
        rest = np.sqrt(covariance - covariance**2).astype(np.float32)
        self._y = covariance.astype(np.float32) * self._x
        self._y += rest * rng.standard_normal(tau.shape, dtype=np.float32)

    def advance(self, frames: int) -> Floats:
        """The next frames of the averages, ``(frames, C, N)``."""
        xs = self._rng.standard_normal((frames, *self._x.shape), dtype=np.float32)
        ys = self._rng.standard_normal((frames, *self._x.shape), dtype=np.float32)
        ys *= self._third
        ys += self._second * xs
        xs *= self._first
        x, y = self._x, self._y
        carried = np.empty_like(x)
        for next_x, next_y in zip(xs, ys, strict=True):
            np.multiply(self._b, y, out=carried)
            next_y += carried
            np.multiply(self._cross, x, out=carried)
            next_y += carried
            np.multiply(self._a, x, out=carried)
            next_x += carried
            x, y = next_x, next_y
        self._x, self._y = x.copy(), y.copy()
        return ys


def lag(path: Floats, state: Floats, keep: Floats | np.float32) -> Floats:
    """First-order lag of ``path (B, ...)`` in place; ``state`` is its start, and is updated.

    ``keep`` is exp(-dt / tau): what is left of the distance to the input after one frame.
    """
    distance = np.empty_like(state)
    for frame in path:
        np.subtract(state, frame, out=distance)
        distance *= keep
        frame += distance
        state[...] = frame
    return path
