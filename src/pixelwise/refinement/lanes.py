"""Rows of channels as values of compiled code: a block of numbers is loaded into vector registers, reckoned with, stored.

Loops over channels that numba leaves to LLVM are vectorised only where nothing can overlap in memory, and sums go through
memory. A block is one LLVM vector instead, so that it stays in registers and takes the widest instructions there are. It
is reckoned with in float32, and may lie in memory in half that width. A few pixels can share one block, one after the other;
what they have each a number of, such as weights, is a block of as many. Functions after `rows` work inside compiled ones only.
"""

from __future__ import annotations

import math
import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

WIDEST = 32
"""Channels of the widest block: two vectors of 512 bits; a pixel with more has several blocks."""

LINE = 64
"""Bytes of a line of the cache. Blocks begin at its multiples, for a vector across two lines takes two accesses."""

LEAST_POWER = -66.0
"""Powers of 2 below this one count as it: 2^-66 is 1.4e-20, and its products stay above the least normal float32."""

# The polynomial through 2^f at the Chebyshev nodes of -1/2 .. 1/2, for f^0 .. f^5: off by 2e-7 at most.
_NODES = np.cos((2 * np.arange(6) + 1) * np.pi / 12) / 2
POWER_COEFFICIENTS = np.linalg.solve(np.vander(_NODES, increasing=True), 2**_NODES)


_FEATURES = cpu_target.target_context.codegen().magic_tuple()[2]  # of the processor that numba compiles for

HALF = np.uint16 if "+f16c" in _FEATURES or platform.machine() in ("arm64", "aarch64") else np.float32
"""What holds a number in 16 bits (IEEE's half, 11 of them digits), where the processor turns it into float32 by itself."""

LARGEST_HALF = 2.0**15
"""Half of the greatest power of 2 that a half may hold."""

TOGETHER = 4 if "+avx512f" in _FEATURES else 2
"""Pixels that are reckoned with at once: as many as leave registers free."""

# The same for log2(1 + f) / f between 1/sqrt(2) and sqrt(2), for f^0 .. f^9: off by 5e-8 at most.
_NODES = np.sqrt(0.5) * 2 ** (0.5 * (1 + np.cos((2 * np.arange(10) + 1) * np.pi / 20))) - 1
LOGARITHM_COEFFICIENTS = np.linalg.solve(np.vander(_NODES, increasing=True), np.log2(1 + _NODES) / _NODES)


def blocks(count: int, channels: int, kind: type = np.float32, pixels: int = 1, *, zero: bool = True) -> NDArray:
    """`(count, B)` zeros, or whatever lies there: each element is a block of channels of each of some pixels.

    B blocks hold all of `channels`. A pixel's part has 1, 2, 4, 8, 16 or 32: as vectors have, and so few that code for
    all kinds is soon compiled. Numbers are float32 or, where `kind` is `HALF`, as that says.
    """
    several = -(-channels // WIDEST)
    width = 1 << (-(-channels // several) - 1).bit_length()
    array = array_of_blocks((count, several), pixels * width, kind)
    if zero:
        array.view(kind)[:] = 0
    return array


def array_of_blocks(shape: tuple[int, ...], width: int, kind: type = np.float32) -> NDArray:
    """An array of blocks of so many channels, at whole lines of the cache, with whatever lies there."""
    element = np.dtype([("channels", kind, (width,))])
    size = math.prod(shape) * element.itemsize
    memory = np.empty(size + LINE, np.uint8)
    begin = -memory.ctypes.data % LINE
    return memory[begin : begin + size].view(element).reshape(shape)


def rows(array: NDArray) -> NDArray[np.float32]:
    """Blocks `(N, B)` of float32 as what they are in memory, `(N, B * width)`; the same memory."""
    return array.view(np.float32).reshape(len(array), array.shape[1] * array.dtype["channels"].shape[0])


class _Block(types.Type):
    """Type of a block in registers."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"Block({width})")


def _vector(width: int, number: Any = ir.FloatType) -> Any:
    return ir.VectorType(number(), width)


@register_model(_Block)
class _BlockModel(models.PrimitiveModel):
    def __init__(self, manager: Any, block: _Block) -> None:
        super().__init__(manager, block, _vector(block.width))


def _width(array: types.Array) -> int:
    """Channels of an array's blocks."""
    return array.dtype.typeof("channels").shape[0]


def _stored(array: types.Array) -> Any:
    """What a block is in memory."""
    number = array.dtype.typeof("channels").dtype
    return _vector(_width(array), ir.FloatType if number == types.float32 else ir.HalfType)


def _place(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Where block `array[row, column]` lies."""
    kind = signature.args[0]
    array = context.make_array(kind)(context, builder, values[0])
    at = [
        context.cast(builder, value, given, types.intp)
        for value, given in zip(values[1:3], signature.args[1:3], strict=True)
    ]
    place = cgutils.get_item_pointer(context, builder, kind, array, at, wraparound=False)
    return builder.bitcast(place, _stored(kind).as_pointer())


def _spread(builder: Any, number: Any, width: int) -> Any:
    """A block of one number."""
    vector = ir.VectorType(number.type, width)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), None)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _constant(value: float, width: int) -> Any:
    return ir.Constant(_vector(width), [float(np.float32(value))] * width)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.fadd(builder.fmul(a, b), c)


def _polynomial(builder: Any, coefficients: NDArray, f: Any) -> Any:
    """The sum of coefficients times f^0, f^1 and so on."""
    result = _constant(coefficients[-1], f.type.count)
    for coefficient in coefficients[-2::-1]:
        result = _multiply_add(builder, result, f, _constant(coefficient, f.type.count))
    return result


@intrinsic
def load(typing: Any, array: Any, row: Any, column: Any) -> Any:
    """The block `array[row, column]`; nothing checks that it is there."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        block = builder.load(_place(context, builder, signature, values), align=2)
        wanted = _vector(_width(array))
        return block if block.type == wanted else builder.fpext(block, wanted)

    return _Block(_width(array))(array, row, column), code


@intrinsic
def store(typing: Any, array: Any, row: Any, column: Any, block: Any) -> Any:
    """Put a block at `array[row, column]`."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        wanted = _stored(array)
        numbers = values[3] if values[3].type == wanted else builder.fptrunc(values[3], wanted)
        builder.store(numbers, _place(context, builder, signature, values), align=2)
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
        return _larger(builder, *values)

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


@intrinsic
def multiply(typing: Any, a: Any, b: Any) -> Any:
    """The product of two blocks, number by number."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fmul(*values)

    return a(a, b), code


@intrinsic
def divide(typing: Any, a: Any, b: Any) -> Any:
    """The quotient of two blocks, number by number."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fdiv(*values)

    return a(a, b), code


def _chosen(builder: Any, vector: Any, lanes: list[int]) -> Any:
    """Some numbers of a vector, in that order."""
    mask = ir.Constant(_vector(len(lanes), lambda: ir.IntType(32)), lanes)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


@intrinsic
def repeated(typing: Any, few: Any, like: Any) -> Any:
    """Each pixel's number for all of its channels, as wide as another block."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _chosen(builder, values[0], [lane * few.width // like.width for lane in range(like.width)])

    return like(few, like), code


@intrinsic
def add_outer(typing: Any, total: Any, block: Any, weights: Any) -> Any:
    """A block of several pixels, and to each of them another block times the pixel's weight."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lanes = range(total.width)
        wide = _chosen(builder, values[1], [lane % block.width for lane in lanes])
        factors = _chosen(builder, values[2], [lane // block.width for lane in lanes])
        return _multiply_add(builder, wide, factors, values[0])

    return total(total, block, weights), code


@intrinsic
def add_inner(typing: Any, total: Any, several: Any, weights: Any) -> Any:
    """A block, and each pixel's part of a block of several times its weight."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        result = values[0]
        for pixel in range(weights.width):
            own = _chosen(builder, values[1], list(range(pixel * total.width, (pixel + 1) * total.width)))
            factor = _chosen(builder, values[2], [pixel] * total.width)
            result = _multiply_add(builder, own, factor, result)
        return result

    return total(total, several, weights), code


def _reduce(combine: Any) -> Any:
    def typed(typing: Any, several: Any, like: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            parts, width = values[0], several.width // like.width
            while width > 1:  # the halves of all pixels' parts at once
                width //= 2
                starts = [2 * width * pixel for pixel in range(like.width)]
                near, far = ([start + side + i for start in starts for i in range(width)] for side in (0, width))
                parts = combine(builder, _chosen(builder, parts, near), _chosen(builder, parts, far))
            return parts

        return like(several, like), code

    return typed


largest = intrinsic(_reduce(_larger))
"""The largest channel of each pixel of a block, as many numbers as another block has."""

total = intrinsic(_reduce(lambda builder, a, b: builder.fadd(a, b)))
"""The sum of each pixel's channels, as many numbers as another block has."""


@intrinsic
def powers(typing: Any, block: Any) -> Any:
    """2^x for each number x of a block, none of them above 0; those below -66 count as -66."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        width = block.width
        z = _larger(builder, values[0], _constant(LEAST_POWER, width))
        # Adding 1.5 * 2^23 rounds to a whole number, which then stands in the lowest bits.
        rounder = _constant(1.5 * 2**23, width)
        rounded = builder.fadd(z, rounder)
        f = builder.fsub(z, builder.fsub(rounded, rounder))
        power = _polynomial(builder, POWER_COEFFICIENTS, f)
        whole = _vector(width, lambda: ir.IntType(32))
        exponent = builder.shl(builder.bitcast(rounded, whole), ir.Constant(whole, [23] * width))
        return builder.bitcast(builder.add(builder.bitcast(power, whole), exponent), power.type)

    return block(block), code


@intrinsic
def logarithms(typing: Any, block: Any) -> Any:
    """log2 of each number of a block, all of them above 0 and normal."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        width = block.width
        whole = _vector(width, lambda: ir.IntType(32))
        bits = builder.bitcast(values[0], whole)
        beyond = builder.sub(bits, ir.Constant(whole, [int(np.float32(np.sqrt(0.5)).view(np.int32))] * width))
        exponent = builder.ashr(beyond, ir.Constant(whole, [23] * width))
        mantissa = builder.sub(bits, builder.shl(exponent, ir.Constant(whole, [23] * width)))
        f = builder.fsub(builder.bitcast(mantissa, values[0].type), _constant(1, width))
        quotient = _polynomial(builder, LOGARITHM_COEFFICIENTS, f)
        return _multiply_add(builder, quotient, f, builder.sitofp(exponent, values[0].type))

    return block(block), code
