"""How loops over arrays are compiled."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile a loop over arrays at its first call, and keep it on disk for the next process.

    Without relaxed arithmetic: a row has the same bits in any batch and on any processor, but for
    the last bit of a logarithm. Other threads run meanwhile. Where nothing can be kept (a read-only
    installation without a home) each process compiles anew.
    """
    try:
        kernel = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba finds no place that it may write to
        kernel = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(Kernel, kernel)
