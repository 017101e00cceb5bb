"""The permutohedral lattice: features in, a Gaussian filter out that reaches every pixel from every other in linear time.

Source: Adams, Baek & Davis, Fast high-dimensional filtering using the permutohedral lattice (Eurographics 2010); the steps,
their order and the kernel (1/2, 1, 1/2) of the blur as Krähenbühl & Koltun (NIPS 2011) use them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

LANES = 8
"""Channels are padded to whole blocks of as many: what a vector register of 256 bits holds in float32."""


@dataclass(frozen=True)
class Lattice:
    """Where each of N pixels lies among M vertices, of d-dimensional features.

    vertices    `(N, d + 1)` int32: the corners of the simplex a pixel lies in; vertex 0 is nowhere, the others 1 .. M
    weights     `(N, d + 1)` float32: its barycentric coordinates, which sum to 1
    neighbours  `(d + 1, M + 1, 2)` int32: the vertices before and behind each, along every axis; 0 where there is none
    """

    vertices: NDArray[np.int32]
    weights: NDArray[np.float32]
    neighbours: NDArray[np.int32]

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Lattice:
        """Build it from features `(N, d)`, each in units of its standard deviation; a lattice serves any number of filters."""
        assert features.ndim == 2
        pixels, dimensions = features.shape
        bands = _bands(pixels)
        vertices = np.empty((pixels, dimensions + 1), np.int32)
        weights = np.empty((pixels, dimensions + 1), np.float32)
        keys = _embed(np.ascontiguousarray(features, np.float32), _scales(dimensions), bands, vertices, weights)
        return cls(vertices, weights, _neighbours(keys))

    @property
    def size(self) -> int:
        """M, the number of vertices."""
        return self.neighbours.shape[1] - 1

    @property
    def alpha(self) -> float:
        """What a filtered value is multiplied by at the end."""
        dimensions = self.weights.shape[1] - 1
        return 1 / (1 + 2.0**-dimensions)

    def filter(self, values: NDArray[np.float32], *, transposed: bool = False) -> NDArray[np.float32]:
        """`(N, K)` -> `(N, K)`: each pixel's sum over all pixels, weighted by nearness.

        The axes are blurred one after the other, and the order matters a little; `transposed` takes them in reverse, which
        is the transpose of the whole operator.
        """
        pixels, channels = values.shape
        padded = np.zeros((pixels, LANES * -(-channels // LANES)), np.float32)
        padded[:, :channels] = values
        sums = np.zeros((numba.get_num_threads(), self.size + 1, padded.shape[1]), np.float32)
        _splat(padded, self.vertices, self.weights, _bands(pixels), sums)
        blurred = self.blur(sums, np.empty_like(sums[0]), transposed=transposed)
        _slice(blurred, self.vertices, self.weights, np.float32(self.alpha), padded)
        return padded[:, :channels]

    def blur(
        self, sums: NDArray[np.float32], spare: NDArray[np.float32], *, transposed: bool = False
    ) -> NDArray[np.float32]:
        """Sums `(T, M + 1, K)` of T threads -> blurred values `(M + 1, K)`; `sums` are zeros again but for the first."""
        values = sums[0]
        _gather(sums)
        axes = range(len(self.neighbours))
        for axis in reversed(axes) if transposed else axes:
            _blur_axis(values, self.neighbours[axis], spare)
            values, spare = spare, values
        return values


def _bands(pixels: int) -> NDArray[np.int64]:
    """Where each thread's pixels begin; one more at the end."""
    return np.linspace(0, pixels, numba.get_num_threads() + 1).astype(np.int64)


def _scales(dimensions: int) -> NDArray[np.float32]:
    """What a feature is multiplied by so that blurring by (1/2, 1, 1/2) along all axes has a standard deviation of 1."""
    i = np.arange(dimensions)
    return ((dimensions + 1) * np.sqrt(2 / 3) / np.sqrt((i + 1) * (i + 2))).astype(np.float32)


@njit(cache=True, nogil=True)
def _hash(key):
    value = np.uint64(0)
    for part in key:
        value = (value + np.uint64(np.int64(part))) * np.uint64(0x9E3779B97F4A7C15)
        value ^= value >> np.uint64(29)
    return value


@njit(cache=True, nogil=True)
def _find(key, value, table, hashes, keys, count):
    """The place in `table` of the vertex with this key, or of the empty cell it would stand in."""
    mask = np.uint64(len(table) - 1)
    place = value & mask
    while True:
        vertex = table[place]
        if vertex == 0:
            return place
        if hashes[vertex] == value:
            same = True
            for i in range(len(key)):
                if keys[vertex, i] != key[i]:
                    same = False
                    break
            if same:
                return place
        place = (place + np.uint64(1)) & mask


@njit(cache=True, nogil=True)
def _rehashed(hashes, count, size):
    table = np.zeros(size, np.int32)
    mask = np.uint64(size - 1)
    for vertex in range(1, count + 1):
        place = hashes[vertex] & mask
        while table[place] != 0:
            place = (place + np.uint64(1)) & mask
        table[place] = vertex
    return table


@njit(cache=True, nogil=True)
def _embed_band(features, scales, begin, end, vertices, weights):
    """Pixels `begin` .. `end`: their simplices; returns keys `(m + 1, d)` and hashes of the vertices, numbered as they come."""
    d = features.shape[1]
    room = 1024
    keys = np.empty((room, d), np.int32)
    hashes = np.empty(room, np.uint64)
    table = np.zeros(4096, np.int32)
    count = 0
    elevated = np.empty(d + 1, np.float32)
    remainder = np.empty(d + 1, np.int32)
    rank = np.empty(d + 1, np.int32)
    before_remainder = np.full(d + 1, -(2**30), np.int32)
    before_rank = np.full(d + 1, -1, np.int32)
    barycentric = np.empty(d + 2, np.float32)
    key = np.empty(d, np.int32)
    down = np.float32(1) / np.float32(d + 1)
    for pixel in range(begin, end):
        total = np.float32(0)
        for j in range(d, 0, -1):
            scaled = features[pixel, j - 1] * scales[j - 1]
            elevated[j] = total - j * scaled
            total += scaled
        elevated[0] = total
        shift = 0
        for i in range(d + 1):
            nearest = np.int32(np.floor(elevated[i] * down + np.float32(0.5)))
            remainder[i] = nearest * (d + 1)
            shift += nearest
            rank[i] = 0
        for i in range(d):
            difference = elevated[i] - remainder[i]
            for j in range(i + 1, d + 1):
                if difference < elevated[j] - remainder[j]:
                    rank[i] += 1
                else:
                    rank[j] += 1
        same = True
        for i in range(d + 1):
            rank[i] += shift
            if rank[i] < 0:
                rank[i] += d + 1
                remainder[i] += d + 1
            elif rank[i] > d:
                rank[i] -= d + 1
                remainder[i] -= d + 1
            same = same and rank[i] == before_rank[i] and remainder[i] == before_remainder[i]
        for i in range(d + 2):
            barycentric[i] = 0
        for i in range(d + 1):
            part = (elevated[i] - remainder[i]) * down
            barycentric[d - rank[i]] += part
            barycentric[d - rank[i] + 1] -= part
        barycentric[0] += np.float32(1) + barycentric[d + 1]
        for r in range(d + 1):
            weights[pixel, r] = barycentric[r]
        if same:  # as in most of a smooth area: the pixel before lies in the same simplex
            for r in range(d + 1):
                vertices[pixel, r] = vertices[pixel - 1, r]
            continue
        for i in range(d + 1):
            before_rank[i] = rank[i]
            before_remainder[i] = remainder[i]
        for r in range(d + 1):
            for i in range(d):
                key[i] = remainder[i] + (r if rank[i] <= d - r else r - (d + 1))
            value = _hash(key)
            place = _find(key, value, table, hashes, keys, count)
            if table[place] == 0:
                count += 1
                if count >= room:
                    room *= 2
                    more_keys, more_hashes = np.empty((room, d), np.int32), np.empty(room, np.uint64)
                    more_keys[:count] = keys[:count]
                    more_hashes[:count] = hashes[:count]
                    keys, hashes = more_keys, more_hashes
                keys[count] = key
                hashes[count] = value
                table[place] = count
                vertices[pixel, r] = count
                if 2 * count > len(table):
                    table = _rehashed(hashes, count, 4 * len(table))
            else:
                vertices[pixel, r] = table[place]
    return keys[: count + 1], hashes[: count + 1]


@njit(cache=True, nogil=True)
def _merge(band_keys, band_hashes, keys, hashes, table, count, names):
    """Vertices of a band into those of all: `names[v]` becomes the number of the band's vertex v. Returns table and count."""
    for vertex in range(1, len(band_hashes)):
        key, value = band_keys[vertex], band_hashes[vertex]
        place = _find(key, value, table, hashes, keys, count)
        if table[place] == 0:
            count += 1
            keys[count] = key
            hashes[count] = value
            table[place] = count
        names[vertex] = table[place]
    return count


@njit(cache=True, parallel=True, nogil=True)
def _rename(vertices, begin, end, names):
    for pixel in prange(begin, end):
        for r in range(vertices.shape[1]):
            vertices[pixel, r] = names[vertices[pixel, r]]


@njit(cache=True, parallel=True, nogil=True)
def _neighbours_of(keys, hashes, table):
    """`(d + 1, M + 1, 2)`: along axis j, minus 1 in all coordinates but plus d in j, and the opposite."""
    count, d = len(keys) - 1, keys.shape[1]
    neighbours = np.zeros((d + 1, count + 1, 2), np.int32)
    for axis in prange(d + 1):
        key = np.empty(d, np.int32)
        for vertex in range(1, count + 1):
            for i in range(d):
                key[i] = keys[vertex, i] - 1
            if axis < d:
                key[axis] = keys[vertex, axis] + d
            other = table[_find(key, _hash(key), table, hashes, keys, count)]
            neighbours[axis, vertex, 0] = other
            if other != 0:
                neighbours[axis, other, 1] = vertex
    return neighbours


@njit(cache=True, parallel=True, nogil=True, fastmath=True)
def _splat(values, vertices, weights, bands, sums):
    """Add every pixel's values `(N, K)` to its vertices: band t to `sums[t]`."""
    blocks = values.shape[1] // LANES
    for band in prange(len(bands) - 1):
        for pixel in range(bands[band], bands[band + 1]):
            for r in range(vertices.shape[1]):
                vertex, weight = vertices[pixel, r], weights[pixel, r]
                for block in range(blocks):
                    for c in range(block * LANES, block * LANES + LANES):
                        sums[band, vertex, c] += weight * values[pixel, c]


@njit(cache=True, parallel=True, nogil=True, fastmath=True)
def _slice(blurred, vertices, weights, alpha, out):
    """Every pixel's values from its vertices, times `alpha`."""
    blocks = out.shape[1] // LANES
    for pixel in prange(len(out)):
        for c in range(out.shape[1]):
            out[pixel, c] = 0
        for r in range(vertices.shape[1]):
            vertex, weight = vertices[pixel, r], alpha * weights[pixel, r]
            for block in range(blocks):
                for c in range(block * LANES, block * LANES + LANES):
                    out[pixel, c] += weight * blurred[vertex, c]


@njit(cache=True, parallel=True, nogil=True, fastmath=True)
def _gather(sums):
    """Add the sums of all threads into those of the first, and leave zeros in the others."""
    for vertex in prange(sums.shape[1]):
        for band in range(1, sums.shape[0]):
            for c in range(sums.shape[2]):
                sums[0, vertex, c] += sums[band, vertex, c]
                sums[band, vertex, c] = 0


@njit(cache=True, parallel=True, nogil=True, fastmath=True)
def _blur_axis(values, neighbours, out):
    """Half of what the two neighbours have is added. Vertex 0, which is nowhere, has nothing."""
    half = np.float32(0.5)
    for c in range(values.shape[1]):
        out[0, c] = 0
    for vertex in prange(1, len(values)):
        before, behind = neighbours[vertex, 0], neighbours[vertex, 1]
        for c in range(values.shape[1]):
            out[vertex, c] = values[vertex, c] + half * (values[before, c] + values[behind, c])
