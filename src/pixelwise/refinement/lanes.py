"""Rows of channels as values of compiled code: a block of float32 is loaded into vector registers, reckoned with, stored.

Loops over channels that numba leaves to LLVM are vectorised only where nothing can overlap in memory, and sums go through
memory. A block is one LLVM vector instead, so that it stays in registers and takes the widest instructions there are.
All functions here work inside compiled functions only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

WIDEST = 32
"""Channels of the widest block: two vectors of 512 bits; a pixel with more has several blocks."""

LINE = 64
"""Bytes of a line of the cache. Blocks begin at its multiples, for a vector across two lines takes two accesses."""

LEAST_POWER = -66.0
"""Powers of 2 below this one are 0: 2^-66 is 1.4e-20, and products of what is left stay above the least normal float32."""

# The polynomial through 2^f at the Chebyshev nodes of -1/2 .. 1/2, for f^0 .. f^6: off by 3e-9 at most.
_NODES = np.cos((2 * np.arange(7) + 1) * np.pi / 14) / 2
POWER_COEFFICIENTS = np.linalg.solve(np.vander(_NODES, increasing=True), 2**_NODES)


def blocks(count: int, channels: int) -> NDArray:
    """`(count, B)` zeros: each element is a block of channels; B blocks hold all of `channels`.

    A block has 1, 2, 4, 8, 16 or 32 channels: as vectors have, and so few that code for all kinds is soon compiled.
    """
    several = -(-channels // WIDEST)
    width = 1 << (-(-channels // several) - 1).bit_length()
    return array_of_blocks((count, several), width)


def array_of_blocks(shape: tuple[int, ...], width: int) -> NDArray:
    """Zeros whose elements are blocks of so many channels, at whole lines of the cache."""
    kind = np.dtype([("channels", np.float32, (width,))])
    size = math.prod(shape) * kind.itemsize
    memory = np.zeros(size + LINE, np.uint8)
    begin = -memory.ctypes.data % LINE
    return memory[begin : begin + size].view(kind).reshape(shape)


def rows(array: NDArray) -> NDArray[np.float32]:
    """Blocks `(N, B)` as what they are in memory, `(N, B * width)` float32; the same memory."""
    return array.view(np.float32).reshape(len(array), -1)


class _Block(types.Type):
    """Type of a block in registers."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"Block({width})")


@register_model(_Block)
class _BlockModel(models.PrimitiveModel):
    def __init__(self, manager: Any, block: _Block) -> None:
        super().__init__(manager, block, ir.VectorType(ir.FloatType(), block.width))


def _width(array: types.Array) -> int:
    """Channels of an array's blocks."""
    return array.dtype.typeof("channels").shape[0]


def _place(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Where block `array[row, column]` lies."""
    kind = signature.args[0]
    array = context.make_array(kind)(context, builder, values[0])
    at = [
        context.cast(builder, value, given, types.intp)
        for value, given in zip(values[1:3], signature.args[1:3], strict=True)
    ]
    place = cgutils.get_item_pointer(context, builder, kind, array, at, wraparound=False)
    return builder.bitcast(place, ir.VectorType(ir.FloatType(), _width(kind)).as_pointer())


def _spread(builder: Any, number: Any, width: int) -> Any:
    """A block of one number."""
    vector = ir.VectorType(number.type, width)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), None)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _constant(value: float, width: int) -> Any:
    return ir.Constant(ir.VectorType(ir.FloatType(), width), [float(np.float32(value))] * width)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.fadd(builder.fmul(a, b), c)


@intrinsic
def load(typing: Any, array: Any, row: Any, column: Any) -> Any:
    """The block `array[row, column]`; nothing checks that it is there."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_place(context, builder, signature, values), align=4)

    return _Block(_width(array))(array, row, column), code


@intrinsic
def store(typing: Any, array: Any, row: Any, column: Any, block: Any) -> Any:
    """Put a block at `array[row, column]`."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[3], _place(context, builder, signature, values), align=4)
        return context.get_dummy_value()

    return types.void(array, row, column, block), code


@intrinsic
def add(typing: Any, a: Any, b: Any) -> Any:
    """The sum of two blocks."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fadd(*values)

    return a(a, b), code


@intrinsic
def subtract(typing: Any, a: Any, b: Any) -> Any:
    """The difference of two blocks."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fsub(*values)

    return a(a, b), code


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """The larger number at each place of two blocks."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *values), *values)

    return a(a, b), code


@intrinsic
def filled(typing: Any, like: Any, number: Any) -> Any:
    """A block of one float32, as wide as another block."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _spread(builder, values[1], like.width)

    return like(like, types.float32), code


@intrinsic
def nearest(typing: Any, block: Any) -> Any:
    """Each number's nearest whole number, the even one of two."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(values[0].type, [values[0].type])
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.rint.v{block.width}f32"), values
        )

    return block(block), code


@intrinsic
def less(typing: Any, a: Any, b: Any) -> Any:
    """1 where a < b, 0 elsewhere."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        ones, zeros = _constant(1, a.width), _constant(0, a.width)
        return builder.select(builder.fcmp_ordered("<", *values), ones, zeros)

    return a(a, b), code


@intrinsic
def times(typing: Any, block: Any, factor: Any) -> Any:
    """A block times a float32."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fmul(values[0], _spread(builder, values[1], block.width))

    return block(block, types.float32), code


@intrinsic
def add_times(typing: Any, total: Any, block: Any, factor: Any) -> Any:
    """A block, and another one times a float32."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _multiply_add(builder, values[1], _spread(builder, values[2], block.width), values[0])

    return total(total, block, types.float32), code


def _reduce(name: str, start: float | None) -> Any:
    def typed(typing: Any, block: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            arguments = ([] if start is None else [ir.Constant(ir.FloatType(), start)]) + [values[0]]
            kind = ir.FunctionType(ir.FloatType(), [value.type for value in arguments])
            called = cgutils.get_or_insert_function(
                builder.module, kind, f"llvm.vector.reduce.{name}.v{block.width}f32"
            )
            return builder.call(called, arguments, fastmath=("nnan", "nsz", "reassoc"))

        return types.float32(block), code

    return typed


largest = intrinsic(_reduce("fmax", None))
"""The largest channel of a block."""

total = intrinsic(_reduce("fadd", -0.0))
"""The sum of a block's channels."""


@intrinsic
def powers(typing: Any, block: Any, greatest: Any) -> Any:
    """exp(block - greatest) for a float32 that no channel exceeds; 0 where it would be below 2^-66."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        width = block.width
        shifted = builder.fsub(values[0], _spread(builder, values[1], width))
        z = builder.fmul(shifted, _constant(np.log2(np.e), width))
        least = _constant(LEAST_POWER, width)
        seen = builder.fcmp_ordered(">=", z, least)
        z = builder.select(seen, z, least)
        # Adding 1.5 * 2^23 rounds to a whole number, which then stands in the lowest bits.
        rounder = _constant(1.5 * 2**23, width)
        rounded = builder.fadd(z, rounder)
        f = builder.fsub(z, builder.fsub(rounded, rounder))
        power = _constant(POWER_COEFFICIENTS[-1], width)
        for coefficient in POWER_COEFFICIENTS[-2::-1]:
            power = _multiply_add(builder, power, f, _constant(coefficient, width))
        whole = ir.VectorType(ir.IntType(32), width)
        exponent = builder.shl(builder.bitcast(rounded, whole), ir.Constant(whole, [23] * width))
        scaled = builder.bitcast(builder.add(builder.bitcast(power, whole), exponent), power.type)
        return builder.select(seen, scaled, _constant(0, width))

    return block(block, types.float32), code
