"""Fused multiply-add, and the inner loop of a matrix product made of it, for compiled loops.

``a * b + c`` rounded once is defined by IEEE 754 to the last bit, as a product and a sum are: it
gives the same bits on every processor, by one instruction where there is one and by the C library
where there is none (x86 before 2013). What is *not* done anywhere is to leave it to a compiler
whether a product and a sum are fused.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from vitalwatch.arrays import Floats

_FLOAT: Final = ir.FloatType()
_INT: Final = ir.IntType(64)
_LANES: Final = 16
_VECTOR: Final = ir.VectorType(_FLOAT, _LANES)


def _fused(builder: Any, kind: Any, name: str) -> Any:
    """LLVM's fused multiply-add of numbers, or vectors, of a ``kind``."""
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(kind, [kind] * 3), name)


def _fma(context: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001
    def multiply_add(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.call(_fused(builder, _FLOAT, "llvm.fma.f32"), arguments)

    return numba.float32(numba.float32, numba.float32, numba.float32), multiply_add


fma = cast(Callable[[np.float32, np.float32, np.float32], np.float32], intrinsic(_fma))
"""In compiled functions: the first times the second plus the third, rounded once."""


Block = Callable[[Floats, int, Floats, int, Floats], None]


def block(rows: int, columns: int) -> Block:
    """A function, to be called by compiled ones, for a block of a matrix product.

    Called with ``x (n, K')``, ``i``, ``panels (P, K, columns)``, ``p`` and ``out (n, m)`` it puts
    the product of ``rows`` rows of ``x`` from ``i`` on, their first K numbers, and of panel ``p``
    to their columns ``p * columns`` and on of ``out``. Each number is one chain of fused
    multiply-adds from 0 on, in the order of K, whatever the block's size. All that is added up
    stays in registers meanwhile. ``columns`` is a multiple of 16. Nothing is checked.
    """
    each = range(columns // _LANES)

    def multiply(context: Any, x: Any, i: Any, panels: Any, p: Any, out: Any) -> Any:  # noqa: ARG001
        def product(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, panels, out = (
                context.make_array(signature.args[n])(context, builder, arguments[n])
                for n in (0, 2, 4)
            )
            i, p = arguments[1], arguments[3]
            depth = builder.extract_value(panels.shape, 1)
            step = [builder.extract_value(panels.strides, axis) for axis in range(2)]
            across, down = (builder.extract_value(array.strides, 0) for array in (x, out))
            numbers, weights, into = (
                builder.ptrtoint(array.data, _INT) for array in (x, panels, out)
            )

            def number(value: int) -> Any:
                return ir.Constant(_INT, value)

            def moved(start: Any, count: Any, stride: Any) -> Any:
                return builder.add(start, builder.mul(count, stride))

            def at(kind: Any, address: Any) -> Any:
                return builder.inttoptr(address, kind.as_pointer())

            weights = moved(weights, p, step[0])
            starts = [moved(numbers, builder.add(i, number(r)), across) for r in range(rows)]
            fused = _fused(builder, _VECTOR, f"llvm.fma.v{_LANES}f32")
            every = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
            nothing = ir.Constant(_VECTOR, ir.Undefined)
            before = builder.block
            loop, done = builder.append_basic_block("deep"), builder.append_basic_block("done")
            builder.branch(loop)

            builder.position_at_end(loop)
            k = builder.phi(_INT)
            sums = [[builder.phi(_VECTOR) for _ in each] for _ in range(rows)]
            line = moved(weights, k, step[1])
            vectors = [
                builder.load(at(_VECTOR, builder.add(line, number(4 * _LANES * c))), align=4)
                for c in each
            ]
            here, grown = builder.shl(k, number(2)), []
            for r in range(rows):
                one = builder.load(at(_FLOAT, builder.add(starts[r], here)), align=4)
                alone = builder.insert_element(nothing, one, ir.Constant(ir.IntType(32), 0))
                same = builder.shuffle_vector(alone, nothing, every)
                grown.append([builder.call(fused, [same, vectors[c], sums[r][c]]) for c in each])
            following = builder.add(k, number(1))
            k.add_incoming(number(0), before)
            k.add_incoming(following, loop)
            for r in range(rows):
                for c in each:
                    sums[r][c].add_incoming(ir.Constant(_VECTOR, [0.0] * _LANES), before)
                    sums[r][c].add_incoming(grown[r][c], loop)
            builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)

            builder.position_at_end(done)
            into = builder.add(into, builder.mul(p, number(4 * columns)))
            for r in range(rows):
                row = moved(into, builder.add(i, number(r)), down)
                for c in each:
                    place = at(_VECTOR, builder.add(row, number(4 * _LANES * c)))
                    builder.store(grown[r][c], place, align=4)
            return context.get_dummy_value()

        return numba.void(x, numba.int64, panels, numba.int64, out), product

    return cast(Block, intrinsic(multiply))


_WIDE: Final = bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))

ROWS: Final = 8 if _WIDE else 4
COLUMNS: Final = 32 if _WIDE else 16
"""The block whose sums, and what goes into them, just fill the registers of this processor."""

multiply: Final = block(ROWS, COLUMNS)
"""Of such a block, see :func:`block`."""
