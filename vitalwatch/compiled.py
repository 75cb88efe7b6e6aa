"""How loops over arrays are compiled, reach single bytes, and are not kept waiting by memory."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.extending import intrinsic

from vitalwatch.arrays import Buffer

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_SELF: Final = b"".join(
    Path(__file__).with_name(name).read_bytes() for name in ("compiled.py", "vectors.py")
)
"""What defines intrinsics, which are built in wherever they are called."""


def _surroundings(function: Kernel) -> str:
    """Sixteen hexadecimal digits for what a function may have built in from other files.

    Numba asks only if the function's own file has changed since it was compiled, and would go on
    with the constants and the compiled functions that other files had then.
    """
    digest = hashlib.blake2b(_SELF, digest_size=8)
    for name, value in sorted(function.__globals__.items()):
        called = getattr(value, "py_func", None)
        if called is not None:
            code = called.__code__
            told = f"{called.__qualname__} {code.co_code.hex()} {code.co_names} {code.co_consts}"
        elif isinstance(value, np.ndarray):
            told = f"{value.dtype} {value.tobytes().hex()}"
        elif isinstance(value, int | float | str | tuple | slice | np.generic):
            told = repr(value)
        else:
            continue
        if not name.startswith("__"):
            digest.update(f"{name} {told}\n".encode())
    return digest.hexdigest()


def compiled(function: Kernel) -> Kernel:
    """Compile a loop over arrays at its first call, and keep it on disk for the next process.

    Without relaxed arithmetic, and of the C library only with functions that are exact: a row has
    the same bits in any batch and on any processor. Other threads run meanwhile. Where nothing can
    be kept (a read-only installation without a home) each process compiles anew.
    """
    function.__qualname__ += f"-{_surroundings(function)}"
    try:
        kernel = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba finds no place that it may write to
        kernel = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(Kernel, kernel)


@compiled
def address(buffer: Buffer) -> int:
    """Where a contiguous buffer begins. It must be alive as long as the address is used."""
    return np.int64(buffer.ctypes.data)  # type: ignore[return-value]


# An array that is handed from one compiled function to another is counted as one more reference
# and one less, each an atomic operation. Where that happens with every few bytes it takes five
# times as long as the work itself; an address is a number.


def _byte_at(context: Any, address: Any) -> Any:  # noqa: ARG001
    def load(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        return builder.zext(builder.load(pointer), ir.IntType(64))

    return numba.int64(numba.int64), load


def _put_byte(context: Any, address: Any, byte: Any) -> Any:  # noqa: ARG001
    def store(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        builder.store(builder.trunc(arguments[1], ir.IntType(8)), pointer)
        return context.get_dummy_value()

    return numba.void(numba.int64, numba.int64), store


def _copy_eight(context: Any, to: Any, source: Any) -> Any:  # noqa: ARG001
    def copy(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        eight = ir.IntType(64).as_pointer()
        to, source = (builder.inttoptr(argument, eight) for argument in arguments)
        builder.store(builder.load(source, align=1), to, align=1)
        return context.get_dummy_value()

    return numba.void(numba.int64, numba.int64), copy


byte_at = cast(Callable[[int], int], intrinsic(_byte_at))
"""In compiled functions: the byte at an address, 0 to 255. Nothing checks the address."""

put_byte = cast(Callable[[int, int], None], intrinsic(_put_byte))
"""In compiled functions: change the byte at an address (first) to the lowest 8 bits of a number."""

copy_eight = cast(Callable[[int, int], None], intrinsic(_copy_eight))
"""In compiled functions: copy eight bytes to an address (first) from another."""


# The rows of a round lie all over the memory of a million patients. A processor that is told
# early which ones come next waits for many of them at once, and not for each in turn.


def _fetch(context: Any, array: Any, row: Any) -> Any:  # noqa: ARG001
    def begin(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        start = builder.ptrtoint(view.data, ir.IntType(64))
        offset = builder.mul(arguments[1], builder.extract_value(view.strides, 0))
        pointer = ir.IntType(8).as_pointer()
        read, soon, data = (ir.Constant(ir.IntType(32), flag) for flag in (0, 3, 1))
        kind = ir.FunctionType(ir.VoidType(), [pointer, read.type, soon.type, data.type])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        address = builder.inttoptr(builder.add(start, offset), pointer)
        builder.call(prefetch, [address, read, soon, data])
        return context.get_dummy_value()

    return numba.void(array, numba.int64), begin


fetch = cast(Callable[[npt.NDArray[Any], int], None], intrinsic(_fetch))
"""In compiled functions: have a row of an array brought near, which will be needed soon."""

AHEAD: Final = 16
"""So many rows before it is its turn."""
