"""Features go in, each one's simplex of the permutohedral lattice and the vertices there are come out.

The geometry of a pixel is the same few operations on d + 1 numbers, so it is done for a block of pixels at once. Vertices
are told apart by one number each, linear in their coordinates, so that the next corner of a simplex, or a neighbour along
an axis, is one addition away.

Source: Adams, Baek & Davis, Fast high-dimensional filtering using the permutohedral lattice (Eurographics 2010), section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError
from pixelwise.refinement.compiled import Crew, Part, compiled, parts
from pixelwise.refinement.lanes import (
    add,
    add_times,
    array_of_blocks,
    filled,
    less,
    load,
    nearest,
    rows,
    store,
    subtract,
    times,
)

TILE = 16
"""Pixels whose simplices are found at once: they fill a vector of 512 bits."""

FARTHEST = 2**21
"""Coordinates of the lattice beyond this are too coarse in float32 for what lies between them."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio. Source: Knuth, The Art of Computer Programming, volume 3, section 6.4."""


@dataclass(frozen=True)
class Keys:
    """The vertices of a lattice and how to find one.

    ids           `(M + 1,)` uint64: of each vertex the sum of coordinates times coefficients, modulo 2^64; place 0 is nowhere
    table         int32, its length a power of 2: vertices by the scattered bits of their ids, 0 where there is none
    coefficients  `(d + 1,)` uint64: of each coordinate; the last one, which follows from the others, has 0
    """

    ids: NDArray[np.uint64]
    table: NDArray[np.int32]
    coefficients: NDArray[np.uint64]


@dataclass
class Places:
    """Where N pixels lie in one or several lattices, whose corners stand side by side: R of them for each pixel.

    vertices  `(N, R)` int32: numbers go on from one lattice to the next
    weights   `(N, R)` float32: the barycentric coordinates, which sum to 1 in each lattice
    """

    vertices: NDArray[np.int32]
    weights: NDArray[np.float32]

    def forget(self) -> None:
        """Give the memory back, when all that is of use has been read: they are the largest arrays there are."""
        self.vertices, self.weights = self.vertices[:0].copy(), self.weights[:0].copy()


def embed(features: NDArray, places: Places, corner: int, nowhere: int, threads: int, run: Crew) -> Keys:
    """Features `(N, d)` into places, from a corner on: the vertices of each one's simplex and their weights.

    Vertices are numbered from `nowhere` + 1 on. Each thread numbers those of its pixels by itself; then these are found
    among, or added to, those before. Returns the keys of all.

    Raises `InputError` for features too many standard deviations apart.
    """
    pixels, dimensions = features.shape
    tiles = array_of_blocks((dimensions, -(-pixels // TILE)), TILE)
    i = np.arange(dimensions)
    # Blurring by (1/2, 1, 1/2) along all axes then has a standard deviation of 1 in features.
    scales = ((dimensions + 1) * np.sqrt(2 / 3) / np.sqrt((i + 1) * (i + 2))).astype(np.float32)
    np.multiply(features.T, scales[:, None], out=rows(tiles)[:, :pixels])
    rows(tiles)[:, pixels:] = 0
    coefficients = _coefficients(rows(tiles))
    vertices, weights = places.vertices, places.weights
    bands = parts(pixels, threads, step=TILE)
    first, *others = run(
        lambda band: _embed_band(tiles, coefficients, vertices, weights, corner, nowhere, *band), bands
    )
    ids, table = first
    names = []
    for more, _ in others:
        ids, table, new, count = _merged(ids, table, more)
        ids = ids[: count + 1]
        names.append(new)
    renamed = dict(zip(bands[1:], names, strict=True))
    run(lambda band: _rename(vertices, renamed[band], corner, corner + dimensions + 1, nowhere, *band), bands[1:])
    return Keys(ids, table, coefficients)


def neighbours_of(keys: Keys, threads: int, run: Crew) -> NDArray[np.int32]:
    """`(d + 1, M + 1, 2)`: along axis j, minus 1 in all coordinates but plus d in j; and the opposite; 0 where is none."""
    axes = len(keys.coefficients)
    neighbours = np.zeros((axes, len(keys.ids), 2), np.int32)

    def find(part: Part) -> None:
        for axis in range(*part):
            _neighbours(keys.ids, keys.table, keys.coefficients, axis, neighbours[axis])

    run(find, parts(axes, min(threads, axes)))
    return neighbours


def _coefficients(scaled: NDArray[np.float32]) -> NDArray[np.uint64]:
    """What coordinates are multiplied by to be told apart by their sum, for scaled features `(d, N)`.

    Where the product of all ranges fits into 64 bits, each coordinate has digits of its own. Otherwise coefficients are
    drawn, and two of M vertices are taken for one with a chance of about M^2 / 2^65.
    """
    low, high = scaled.min(axis=1).astype(float), scaled.max(axis=1).astype(float)
    dimensions = len(low)
    j = np.arange(1, dimensions)
    # As coordinates are elevated: e_0 = sum of all, e_j = sum from j on - j * the one before. The last one is left out.
    tail_low, tail_high = np.cumsum(low[::-1])[::-1], np.cumsum(high[::-1])[::-1]
    least = np.concatenate([tail_low[:1], tail_low[1:] - j * high[:-1]])
    most = np.concatenate([tail_high[:1], tail_high[1:] - j * low[:-1]])
    farthest = max(np.abs(least).max(), np.abs(most).max(), dimensions * np.abs([low[-1], high[-1]]).max())
    if not farthest < FARTHEST:
        raise InputError(
            f"features reach {farthest:g} steps of the lattice, expected less than {FARTHEST}: are standard deviations too small?"
        )
    # Corners are up to d + 1 from their pixel, neighbours of theirs d more.
    ranges = [math.ceil(b - a) + 6 * (dimensions + 1) for a, b in zip(least, most, strict=True)]
    if math.prod(ranges) < 2**64:
        digits = [math.prod(ranges[:axis]) for axis in range(dimensions)]
    else:
        digits = [int(d) | 1 for d in np.random.default_rng(dimensions).integers(2**63, size=dimensions)]
    return np.array([*digits, 0], np.uint64)


@compiled
def _find(identity, ids, table, shift):
    """The place in the table of the vertex with this id, or of the empty cell it would stand in; `shift` as of `_shift`."""
    place = (identity * GOLDEN) >> shift
    while table[place] != 0 and ids[table[place]] != identity:
        place = (place + np.uint64(1)) & np.uint64(len(table) - 1)
    return place


@compiled
def _shift(table):
    """How many of 64 bits are too many to be a place in the table."""
    shift = np.uint64(64)
    while len(table) >> (np.uint64(64) - shift) > 1:
        shift -= np.uint64(1)
    return shift


@compiled
def _grown(ids, table, count, more):
    """Ids and table with room for so many more than `count`: the table is at most half full."""
    if count + more >= len(ids):
        longer = np.empty(2 * (count + more), np.uint64)
        longer[: count + 1] = ids[: count + 1]
        ids = longer
    if 2 * (count + more) > len(table):
        size = len(table)
        while 2 * (count + more) > size:
            size *= 4
        table = np.zeros(size, np.int32)
        shift = _shift(table)
        for vertex in range(1, count + 1):
            table[_find(ids[vertex], ids, table, shift)] = vertex
    return ids, table


@compiled
def _geometry(tiles, tile, remainders, ranks, rests):
    """The simplices of a tile of pixels, as `(d + 1, 1)` blocks.

    remainders  of the simplex's vertex 0, which is a multiple of d + 1 in all coordinates
    ranks       the place of each coordinate, by falling distance from that vertex
    rests       that distance over d + 1
    """
    d = len(tiles)
    whole, down = np.float32(d + 1), np.float32(1) / np.float32(d + 1)
    zero = filled(load(tiles, 0, tile), np.float32(0))
    total, shift = zero, zero
    for j in range(d, -1, -1):
        elevated = total
        if j > 0:
            scaled = load(tiles, j - 1, tile)
            elevated = add_times(total, scaled, np.float32(-j))
            total = add(total, scaled)
        closest = nearest(times(elevated, down))
        shift = add(shift, closest)
        remainder = times(closest, whole)
        store(remainders, j, 0, remainder)
        store(rests, j, 0, subtract(elevated, remainder))
        store(ranks, j, 0, filled(zero, np.float32(j)))
    for i in range(d):  # a coordinate's rank is how many are larger; of equal ones the earlier is the larger
        for j in range(i + 1, d + 1):
            behind = less(load(rests, i, 0), load(rests, j, 0))
            store(ranks, i, 0, add(load(ranks, i, 0), behind))
            store(ranks, j, 0, subtract(load(ranks, j, 0), behind))
    for i in range(d + 1):  # back onto the plane where coordinates sum to 0
        rank = add(load(ranks, i, 0), shift)
        back = subtract(less(rank, zero), less(filled(zero, np.float32(d)), rank))
        store(ranks, i, 0, add_times(rank, back, whole))
        store(remainders, i, 0, add_times(load(remainders, i, 0), back, whole))
        store(rests, i, 0, times(add_times(load(rests, i, 0), back, -whole), down))


@compiled
def _embed_band(tiles, coefficients, vertices, weights, corner, nowhere, begin, end):
    """Vertices and weights of pixels begin .. end, numbered as they come; returns the ids `(m + 1,)` and their table."""
    d = len(tiles)
    ids, table, count = np.zeros(1, np.uint64), np.zeros(4096, np.int32), 0
    geometry = np.empty((3 * (d + 1), 1), tiles.dtype)
    for first in range(begin, end, TILE):
        _geometry(tiles, first // TILE, geometry[: d + 1], geometry[d + 1 : 2 * d + 2], geometry[2 * d + 2 :])
        # Where arrays may be replaced, each use of them counts references; so that is done out here, a tile at a time.
        ids, table = _grown(ids, table, count, TILE * (d + 1))
        last = min(first + TILE, end)
        count = _embed_tile(
            geometry.view(np.float32), coefficients, ids, table, count, vertices, weights, corner, nowhere, first, last
        )
    return ids[: count + 1], table


@compiled
def _embed_tile(geometry, coefficients, ids, table, count, vertices, weights, corner, nowhere, begin, end):
    """The same for a tile, whose remainders, ranks and rests are rows of `(3 (d + 1), TILE)`; returns the new count."""
    d = len(coefficients) - 1
    by_rank, step = np.empty(d + 2, np.float32), np.empty(d + 1, np.uint64)
    step_all, shift = coefficients.sum(), _shift(table)
    for pixel in range(begin, end):
        lane = pixel - begin
        identity = np.uint64(0)
        for i in range(d + 1):
            identity += np.uint64(np.int64(geometry[i, lane])) * coefficients[i]
            rank = np.int64(geometry[d + 1 + i, lane])
            by_rank[rank] = geometry[2 * d + 2 + i, lane]
            # From corner d - rank to the next, all coordinates grow by 1, but this one falls by d.
            step[d - rank] = step_all - np.uint64(d + 1) * coefficients[i]
        by_rank[d + 1] = by_rank[0] - np.float32(1)
        for r in range(d + 1):
            weights[pixel, corner + r] = by_rank[d - r] - by_rank[d + 1 - r]
            place = _find(identity, ids, table, shift)
            vertex = table[place]
            if vertex == 0:
                count += 1
                vertex = count
                ids[vertex], table[place] = identity, vertex
            vertices[pixel, corner + r] = nowhere + vertex
            identity += step[r]
    return count


@compiled
def _merged(ids, table, more):
    """Ids and table with further vertices; and what each of these, by its place in `more`, is called there."""
    count = len(ids) - 1
    ids, table = _grown(ids, table, count, len(more))
    names = np.zeros(len(more), np.int32)
    return ids, table, names, _merge(ids, table, more, count, names)


@compiled
def _merge(ids, table, more, count, names):
    """Fill ids, table and names, where there is room; returns the new count."""
    shift = _shift(table)
    for place in range(1, len(more)):
        cell = _find(more[place], ids, table, shift)
        if table[cell] == 0:
            count += 1
            ids[count], table[cell] = more[place], count
        names[place] = table[cell]
    return count


@compiled
def _rename(vertices, names, first, last, nowhere, begin, end):
    """Vertices of pixels begin .. end by the names that they have among all."""
    for pixel in range(begin, end):
        for r in range(first, last):
            vertices[pixel, r] = nowhere + names[vertices[pixel, r] - nowhere]


@compiled
def _neighbours(ids, table, coefficients, axis, neighbours):
    """Fill `(M + 1, 2)` along an axis: minus 1 in all coordinates but plus d in that one; and the opposite."""
    step, shift = np.uint64(len(coefficients)) * coefficients[axis] - coefficients.sum(), _shift(table)
    for vertex in range(1, len(ids)):
        other = table[_find(ids[vertex] + step, ids, table, shift)]
        if other != 0:
            neighbours[vertex, 0] = other
            neighbours[other, 1] = vertex
