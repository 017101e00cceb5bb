"""The permutohedral lattice: features in, a Gaussian filter out that reaches every pixel from every other in linear time.

Source: Adams, Baek & Davis, Fast high-dimensional filtering using the permutohedral lattice (Eurographics 2010); the steps,
their order and the kernel (1/2, 1, 1/2) of the blur as Krähenbühl & Koltun (NIPS 2011) use them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.refinement.compiled import compiled


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
    def of(cls, features: NDArray) -> Lattice:
        """Build it from features `(N, d)`, each in units of its standard deviation; a lattice serves any number of filters."""
        pixels, dimensions = features.shape
        vertices = np.empty((pixels, dimensions + 1), np.int32)
        weights = np.empty((pixels, dimensions + 1), np.float32)
        features = np.ascontiguousarray(features, np.float32)
        keys, hashes, table = _embed(features, _scales(dimensions), vertices, weights)
        return cls(vertices, weights, _neighbours(keys, hashes, table))

    @property
    def size(self) -> int:
        """M, the number of vertices."""
        return self.neighbours.shape[1] - 1

    @property
    def alpha(self) -> float:
        """What a filtered value is multiplied by at the end."""
        dimensions = self.weights.shape[1] - 1
        return 1 / (1 + 2.0**-dimensions)

    def filter(self, values: NDArray, *, transposed: bool = False) -> NDArray[np.float32]:
        """`(N, K)` -> `(N, K)` float32: each pixel's sum over all pixels, itself included, weighted by nearness.

        The axes are blurred one after the other, and where vertices are missing their order matters a little; `transposed`
        takes them in reverse, which is the transpose of the whole operator.
        """
        values = np.ascontiguousarray(values, np.float32)
        sums = np.zeros((self.size + 1, values.shape[1]), np.float32)
        _splat(values, self.vertices, self.weights, sums)
        spare = np.zeros_like(sums)
        for neighbours in reversed(self.neighbours) if transposed else self.neighbours:
            _blur_axis(sums, neighbours, spare)
            sums, spare = spare, sums
        out = np.empty_like(values)
        _slice(sums, self.vertices, self.weights, np.float32(self.alpha), out)
        return out

    def diagonal(self) -> NDArray[np.float32]:
        """`(N,)`: how much of a pixel's own value the filter gives back to it, as if no vertex were missing.

        Vertices r and s of a simplex are |r - s| steps along as many axes apart, or d + 1 - |r - s| steps backwards
        along the others; each step halves.
        """
        corners = np.arange(self.weights.shape[1])
        apart = np.abs(corners[:, None] - corners)
        blur = np.where(apart == 0, 1 + 2 * 0.5 ** len(corners), 0.5**apart + 0.5 ** (len(corners) - apart))
        own = np.einsum("pr,rs,ps->p", self.weights, blur.astype(np.float32), self.weights)
        return np.float32(self.alpha) * own


def _scales(dimensions: int) -> NDArray[np.float32]:
    """What a feature is multiplied by so that blurring by (1/2, 1, 1/2) along all axes has a standard deviation of 1."""
    i = np.arange(dimensions)
    return ((dimensions + 1) * np.sqrt(2 / 3) / np.sqrt((i + 1) * (i + 2))).astype(np.float32)


@compiled
def _hash(key):
    value = np.uint64(0)
    for part in key:
        value = (value + np.uint64(np.int64(part))) * np.uint64(0x9E3779B97F4A7C15)
        value ^= value >> np.uint64(29)
    return value


@compiled
def _find(key, value, table, hashes, keys):
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
                same = same and keys[vertex, i] == key[i]
            if same:
                return place
        place = (place + np.uint64(1)) & mask


@compiled
def _rehashed(hashes, count, size):
    table = np.zeros(size, np.int32)
    mask = np.uint64(size - 1)
    for vertex in range(1, count + 1):
        place = hashes[vertex] & mask
        while table[place] != 0:
            place = (place + np.uint64(1)) & mask
        table[place] = vertex
    return table


@compiled
def _simplex(features, scales, elevated, remainder, rank, barycentric):
    """The simplex that features `(d,)` lie in: its remainder-0 vertex, the order of its corners, and the coordinates."""
    d = len(features)
    down = np.float32(1) / np.float32(d + 1)
    total = np.float32(0)
    for j in range(d, 0, -1):
        scaled = features[j - 1] * scales[j - 1]
        elevated[j] = total - np.float32(j) * scaled
        total += scaled
    elevated[0] = total
    shift = 0
    for i in range(d + 1):
        nearest = math.floor(elevated[i] * down + np.float32(0.5))
        remainder[i] = nearest * (d + 1)
        shift += nearest
        rank[i] = 0
    for i in range(d):
        difference = elevated[i] - np.float32(remainder[i])
        for j in range(i + 1, d + 1):
            if difference < elevated[j] - np.float32(remainder[j]):
                rank[i] += 1
            else:
                rank[j] += 1
    for i in range(d + 1):
        rank[i] += shift
        if rank[i] < 0:
            rank[i] += d + 1
            remainder[i] += d + 1
        elif rank[i] > d:
            rank[i] -= d + 1
            remainder[i] -= d + 1
    for i in range(d + 2):
        barycentric[i] = 0
    for i in range(d + 1):
        part = (elevated[i] - np.float32(remainder[i])) * down
        barycentric[d - rank[i]] += part
        barycentric[d - rank[i] + 1] -= part
    barycentric[0] += np.float32(1) + barycentric[d + 1]


@compiled
def _embed(features, scales, vertices, weights):
    """Fill vertices and weights of all pixels; returns keys `(m + 1, d)`, their hashes, and the table to find them by."""
    d = features.shape[1]
    room = 1024
    keys = np.empty((room, d), np.int32)
    hashes = np.empty(room, np.uint64)
    table = np.zeros(4096, np.int32)
    count = 0
    elevated = np.empty(d + 1, np.float32)
    remainder = np.empty(d + 1, np.int32)
    rank = np.empty(d + 1, np.int32)
    barycentric = np.empty(d + 2, np.float32)
    key = np.empty(d, np.int32)
    for pixel in range(len(features)):
        _simplex(features[pixel], scales, elevated, remainder, rank, barycentric)
        for r in range(d + 1):
            weights[pixel, r] = barycentric[r]
            for i in range(d):
                key[i] = remainder[i] + (r if rank[i] <= d - r else r - (d + 1))
            value = _hash(key)
            place = _find(key, value, table, hashes, keys)
            if table[place] == 0:
                count += 1
                if count == room:
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
    return keys[: count + 1], hashes[: count + 1], table


@compiled
def _neighbours(keys, hashes, table):
    """`(d + 1, M + 1, 2)`: along axis j, minus 1 in all coordinates but plus d in j, and the opposite."""
    d = keys.shape[1]
    neighbours = np.zeros((d + 1, len(keys), 2), np.int32)
    key = np.empty(d, np.int32)
    for axis in range(d + 1):
        for vertex in range(1, len(keys)):
            for i in range(d):
                key[i] = keys[vertex, i] - 1
            if axis < d:
                key[axis] = keys[vertex, axis] + d
            other = table[_find(key, _hash(key), table, hashes, keys)]
            if other != 0:
                neighbours[axis, vertex, 0] = other
                neighbours[axis, other, 1] = vertex
    return neighbours


@compiled
def _splat(values, vertices, weights, sums):
    """Add every pixel's values `(N, K)` to its vertices' `(M + 1, K)`."""
    for pixel in range(len(values)):
        for r in range(vertices.shape[1]):
            vertex, weight = vertices[pixel, r], weights[pixel, r]
            for c in range(values.shape[1]):
                sums[vertex, c] += weight * values[pixel, c]


@compiled
def _blur_axis(values, neighbours, out):
    """Half of what the two neighbours have is added. Vertex 0, which is nowhere, has nothing."""
    half = np.float32(0.5)
    for vertex in range(1, len(values)):
        before, behind = neighbours[vertex, 0], neighbours[vertex, 1]
        for c in range(values.shape[1]):
            out[vertex, c] = values[vertex, c] + half * (values[before, c] + values[behind, c])


@compiled
def _slice(blurred, vertices, weights, alpha, out):
    """Every pixel's values from its vertices, times `alpha`."""
    for pixel in range(len(out)):
        for c in range(out.shape[1]):
            out[pixel, c] = 0
        for r in range(vertices.shape[1]):
            vertex, weight = vertices[pixel, r], alpha * weights[pixel, r]
            for c in range(out.shape[1]):
                out[pixel, c] += weight * blurred[vertex, c]
