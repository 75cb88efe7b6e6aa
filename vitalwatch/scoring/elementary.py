"""Exponential and logarithm in single precision, for compiled loops.

Made of additions, multiplications, divisions and fused multiply-adds alone, which IEEE 754 defines
to the last bit: so they give the same bits on every processor, in any place of any batch, and a
loop over them can be turned into vector instructions, which a call of the C library's cannot. Each
is within three units in the last place (tanh: within 2e-7).
"""

import math
from typing import Final

import numpy as np

from vitalwatch.compiled import compiled
from vitalwatch.vectors import fma

_ONE: Final = np.float32(1)
_HALF: Final = np.float32(0.5)
_TWO: Final = np.float32(2)
_LOG2_E: Final = np.float32(1 / math.log(2))
# The logarithm of 2 in two parts; the first has nine bits, so that small multiples are exact.
_LN2_HIGH: Final = np.float32(355 / 512)
_LN2_LOW: Final = np.float32(math.log(2) - 355 / 512)

# A float32 is its sign, eight bits of exponent (127 more than it is) and 23 of fraction.
_FRACTION_BITS: Final = np.int32(23)
_BIAS: Final = np.int32(127)
_ROOT_HALF: Final = np.int32(np.float32(math.sqrt(0.5)).view(np.int32))

_LEAST: Final = np.float32(-87)  # beyond, a float32 has no such exponent
_GREATEST: Final = np.float32(88)
_TAYLOR_2: Final = np.float32(1 / 2)
_TAYLOR_3: Final = np.float32(1 / 6)
_TAYLOR_4: Final = np.float32(1 / 24)
_TAYLOR_5: Final = np.float32(1 / 120)
_TAYLOR_6: Final = np.float32(1 / 720)
_TAYLOR_7: Final = np.float32(1 / 5040)
_THIRD: Final = np.float32(1 / 3)
_FIFTH: Final = np.float32(1 / 5)
_SEVENTH: Final = np.float32(1 / 7)
_NINTH: Final = np.float32(1 / 9)


@compiled
def exp(x: np.float32) -> np.float32:
    """e to the power of ``x``; beyond -87 and 88 it stays as it is there."""
    x = min(max(x, _LEAST), _GREATEST)
    # x = n ln 2 + r with r at most half of ln 2, where the Taylor series ends soon.
    n: np.float32 = np.floor(fma(x, _LOG2_E, _HALF))
    r = fma(-n, _LN2_LOW, fma(-n, _LN2_HIGH, x))
    series = fma(r, _TAYLOR_7, _TAYLOR_6)
    series = fma(r, series, _TAYLOR_5)
    series = fma(r, series, _TAYLOR_4)
    series = fma(r, series, _TAYLOR_3)
    series = fma(r, series, _TAYLOR_2)
    series = fma(r, series, _ONE)
    series = fma(r, series, _ONE)
    bits = np.int32((np.int32(n) + _BIAS) << _FRACTION_BITS)
    two_to_the_n: np.float32 = bits.view(np.float32)
    return series * two_to_the_n


@compiled
def log(x: np.float32) -> np.float32:
    """The natural logarithm of a normal ``x`` above 0."""
    # x = m 2^n with m between the roots of 1/2 and 2; log m = 2 artanh((m - 1) / (m + 1)).
    bits = np.float32(x).view(np.int32)
    exponent = np.int32(np.int32(bits - _ROOT_HALF) >> _FRACTION_BITS)
    m: np.float32 = np.int32(bits - np.int32(exponent << _FRACTION_BITS)).view(np.float32)
    s = (m - _ONE) / (m + _ONE)
    square = s * s
    series = fma(square, _NINTH, _SEVENTH)
    series = fma(square, series, _FIFTH)
    series = fma(square, series, _THIRD)
    artanh = fma(s * square, series, s)
    n = np.float32(exponent)
    return fma(n, _LN2_HIGH, fma(n, _LN2_LOW, artanh + artanh))


@compiled
def log1p(x: np.float32) -> np.float32:
    """The natural logarithm of 1 + ``x``, ``x`` at least 0, also where ``x`` is small."""
    rounded = _ONE + x
    return log(rounded) + (x - (rounded - _ONE)) / rounded


@compiled
def sigmoid(x: np.float32) -> np.float32:
    """1 / (1 + e^-x)."""
    return _ONE / (_ONE + exp(-x))


@compiled
def tanh(x: np.float32) -> np.float32:
    """The hyperbolic tangent."""
    return _TWO / (_ONE + exp(-(x + x))) - _ONE


@compiled
def softplus(x: np.float32) -> np.float32:
    """log(1 + e^x)."""
    return max(x, np.float32(0)) + log1p(exp(-abs(x)))
