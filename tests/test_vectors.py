"""What is fused, and blocks of matrix products: one rounding each, the same bits in any block."""

import llvmlite.binding
import numba
import numpy as np
import pytest

from vitalwatch.arrays import Floats
from vitalwatch.compiled import compiled
from vitalwatch.scoring.products import packed, products, room
from vitalwatch.vectors import COLUMNS, ROWS, block, fma

small, large = block(4, 16), block(8, 32)


@compiled
def fused(a: np.float32, b: np.float32, c: np.float32) -> np.float32:
    return fma(a, b, c)


@compiled
def one_by_one(x: Floats, weights: Floats, out: Floats) -> None:
    for i in range(len(x)):
        for j in range(weights.shape[1]):
            total = np.float32(0)
            for k in range(len(weights)):
                total = fma(x[i, k], weights[k, j], total)
            out[i, j] = total


@compiled
def in_small_blocks(x: Floats, panels: Floats, out: Floats) -> None:
    for panel in range(len(panels)):
        for i in range(0, len(x), 4):
            small(x, i, panels, panel, out)


@compiled
def in_large_blocks(x: Floats, panels: Floats, out: Floats) -> None:
    for panel in range(len(panels)):
        for i in range(0, len(x), 8):
            large(x, i, panels, panel, out)


def test_a_product_and_a_sum_are_rounded_once() -> None:
    a, c = np.float32(1 + 2**-12), np.float32(-(1 + 2**-11))
    assert a * a + c == 0
    assert fused(a, a, c) == 2**-24


@pytest.mark.parametrize("depth", [1, 7, 119])
def test_blocks_of_any_size_give_the_bits_of_one_sum_after_the_other(depth: int) -> None:
    generator = np.random.default_rng(depth)
    x = generator.normal(size=(16, depth)).astype(np.float32)
    weights = generator.normal(size=(depth, 64)).astype(np.float32)
    wanted = np.empty((16, 64), dtype=np.float32)
    one_by_one(x, weights, wanted)
    np.testing.assert_allclose(wanted, x @ weights, rtol=1e-4, atol=1e-4)
    for blocks, columns in ((in_small_blocks, 16), (in_large_blocks, 32)):
        parts = np.split(weights, 64 // columns, axis=1)
        out = np.empty_like(wanted)
        blocks(x, np.ascontiguousarray(np.stack(parts)), out)
        assert out.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("count", "width"), [(1, 3), (ROWS, COLUMNS), (13, COLUMNS + 1)])
def test_rows_and_columns_need_not_fill_a_block(count: int, width: int) -> None:
    generator = np.random.default_rng(count)
    weights = generator.normal(size=(6, width)).astype(np.float32)
    x, out = room(count, 9), room(count, width)
    x[:count, :9] = generator.normal(size=(count, 9))
    wanted = np.empty((count, width), dtype=np.float32)
    one_by_one(np.ascontiguousarray(x[:count, :6]), weights, wanted)
    products(x, packed(weights[:2], weights[2:]), out, count)
    assert (out[:count, :width] == wanted).all()


@pytest.mark.skipif(
    not llvmlite.binding.get_host_cpu_features().get("fma"), reason="x86 since 2013 has it"
)
def test_this_processor_multiplies_and_adds_by_one_instruction_a_vector() -> None:
    x, weights = room(ROWS, 5), packed(np.ones((5, COLUMNS), dtype=np.float32))
    kernel = numba.njit(error_model="numpy")(products.py_func)  # type: ignore[attr-defined]
    kernel(x, weights, room(ROWS, COLUMNS), ROWS)
    (code,) = kernel.inspect_asm().values()
    assert code.count("vfmadd") >= ROWS * COLUMNS / 16
    assert "fmaf" not in code
