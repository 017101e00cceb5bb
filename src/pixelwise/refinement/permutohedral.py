"""The permutohedral lattice: features in, a Gaussian filter out that reaches every pixel from every other in linear time.

Source: Adams, Baek & Davis, Fast high-dimensional filtering using the permutohedral lattice (Eurographics 2010); the steps,
their order and the kernel (1/2, 1, 1/2) of the blur as Krähenbühl & Koltun (NIPS 2011) use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.refinement.compiled import Crew, Part, compiled, crew, default_threads, parts
from pixelwise.refinement.lanes import add, add_times, blocks, filled, load, rows, store, times
from pixelwise.refinement.simplices import Places, embed, neighbours_of

WORTH_A_THREAD = 2**15
"""Vertices that are blurred along an axis in the time it takes to wake a thread and wait for it, a few times over."""


@dataclass(frozen=True)
class Lattice:
    """A lattice of M vertices for N pixels with d-dimensional features.

    places      where the pixels lie; other lattices of the same pixels may stand in it as well
    corner      its first corner there; it has d + 1
    nowhere     the number that no vertex has: the M after it are its vertices
    neighbours  `(d + 1, M + 1, 2)` int32: those before and behind each vertex, along every axis, counted from `nowhere`; 0
                where there is none
    threads     how many work on it
    """

    places: Places
    corner: int
    nowhere: int
    neighbours: NDArray[np.int32]
    threads: int

    @classmethod
    def of(cls, features: NDArray, threads: int | None = None) -> Lattice:
        """Build it from features `(N, d)`, each in units of its standard deviation; a lattice serves any number of filters.

        threads  None: as many as there are cores; `NUMBA_NUM_THREADS` in the environment sets another number

        Raises `InputError` for features so many standard deviations apart that float32 cannot tell where they lie.
        """
        (lattice,) = cls.side_by_side([features], threads)
        return lattice

    @classmethod
    def side_by_side(cls, several: Sequence[NDArray], threads: int | None = None) -> list[Lattice]:
        """A lattice for each of several features of the same pixels, all in one `Places`; the rest as `of`."""
        threads = threads or default_threads()
        shape = len(several[0]), sum(features.shape[1] + 1 for features in several)
        places = Places(np.empty(shape, np.int32), np.empty(shape, np.float32))
        lattices: list[Lattice] = []
        corner, nowhere = 0, 0
        with crew(threads) as run:
            for features in several:
                keys = embed(features, places, corner, nowhere, threads, run)
                lattices.append(cls(places, corner, nowhere, neighbours_of(keys, threads, run), threads))
                corner, nowhere = lattices[-1].last_corner, nowhere + lattices[-1].size + 1
        return lattices

    @property
    def size(self) -> int:
        """M, the number of vertices."""
        return self.neighbours.shape[1] - 1

    @property
    def last_corner(self) -> int:
        """The corner in `places` after its own."""
        return self.corner + len(self.neighbours)

    @property
    def vertices(self) -> NDArray[np.int32]:
        """`(N, d + 1)`: the corners of the simplex that each pixel lies in, 1 .. M."""
        return self.places.vertices[:, self.corner : self.last_corner] - np.int32(self.nowhere)

    @property
    def weights(self) -> NDArray[np.float32]:
        """`(N, d + 1)`: the barycentric coordinates, which sum to 1."""
        return self.places.weights[:, self.corner : self.last_corner]

    @property
    def pieces(self) -> list[Part]:
        """Vertices, from nowhere on, as they are shared out among threads where there are enough of them."""
        return parts(self.size + 1, max(1, min(self.threads, self.size // WORTH_A_THREAD)))

    @property
    def alpha(self) -> float:
        """What a filtered value is multiplied by at the end."""
        dimensions = len(self.neighbours) - 1
        return 1 / (1 + 2.0**-dimensions)

    def filter(self, values: NDArray, *, transposed: bool = False) -> NDArray[np.float32]:
        """`(N, K)` -> `(N, K)` float32: each pixel's sum over all pixels, itself included, weighted by nearness.

        The axes are blurred one after the other, and where vertices are missing their order matters a little; `transposed`
        takes them in reverse, which is the transpose of the whole operator.
        """
        pixels, channels = values.shape
        padded = blocks(pixels, channels)
        rows(padded)[:, :channels] = values
        bands = parts(pixels, self.threads)
        sums = [blocks(self.size + 1, channels) for _ in bands]
        blurred, spare = blocks(self.size + 1, channels), blocks(self.size + 1, channels)
        where = self.places.vertices, self.places.weights, self.corner, self.last_corner, self.nowhere

        def splat(band: Part) -> None:
            _splat(padded, *where, sums[bands.index(band)], *band)

        with crew(self.threads) as run:
            run(splat, bands)
            self.blur(sums, blurred, spare, self.alpha, run, transposed=transposed)
            run(lambda band: _slice(blurred, *where, padded, *band), bands)
        return rows(padded)[:, :channels]

    def blur(
        self,
        sums: list[NDArray],
        blurred: NDArray,
        spare: NDArray,
        factor: float,
        run: Crew,
        *,
        transposed: bool = False,
    ) -> None:
        """Sums of each thread, blocks `(M + 1, B)`, into `blurred`, times a factor. Sums are left zero.

        What lies in `spare` afterwards means nothing. It and `blurred` may be of half the width.
        """
        pieces = self.pieces
        axes = list(reversed(self.neighbours) if transposed else self.neighbours)
        # Each axis moves the values to the other array, and they shall end in `blurred`.
        values, other = (blurred, spare) if len(axes) % 2 == 0 else (spare, blurred)
        for more in sums[2:]:
            run(lambda piece: _gather(sums[0], more, np.float32(1), sums[0], *piece), pieces)  # noqa: B023 # done before the next
        more = sums[1] if len(sums) > 1 else sums[0][:0]
        run(lambda piece: _gather(sums[0], more, np.float32(factor), values, *piece), pieces)
        for axis in axes:
            run(lambda piece: _blur_axis(values, axis, other, *piece), pieces)  # noqa: B023
            values, other = other, values

    def diagonal(self) -> NDArray[np.float32]:
        """`(N,)`: how much of a pixel's own value the filter gives back to it, as if no vertex were missing.

        Vertices r and s of a simplex are |r - s| steps along as many axes apart, or d + 1 - |r - s| steps backwards
        along the others; each step halves.
        """
        corners = np.arange(len(self.neighbours))
        apart = np.abs(corners[:, None] - corners)
        blur = np.where(apart == 0, 1 + 2 * 0.5 ** len(corners), 0.5**apart + 0.5 ** (len(corners) - apart))
        own = np.einsum("pr,rs,ps->p", self.weights, blur.astype(np.float32), self.weights)
        return np.float32(self.alpha) * own


@compiled
def _splat(values, vertices, weights, first, last, nowhere, sums, begin, end):
    """Add the values, blocks `(N, B)`, of pixels begin .. end to their vertices' `(M + 1, B)`."""
    for pixel in range(begin, end):
        for b in range(values.shape[1]):
            value = load(values, pixel, b)
            for r in range(first, last):
                vertex = vertices[pixel, r] - nowhere
                store(sums, vertex, b, add_times(load(sums, vertex, b), value, weights[pixel, r]))


@compiled
def _slice(blurred, vertices, weights, first, last, nowhere, out, begin, end):
    """The values of pixels begin .. end from their vertices."""
    for pixel in range(begin, end):
        for b in range(out.shape[1]):
            value = times(load(blurred, 0, b), np.float32(0))
            for r in range(first, last):
                value = add_times(value, load(blurred, vertices[pixel, r] - nowhere, b), weights[pixel, r])
            store(out, pixel, b, value)


@compiled
def _gather(sums, more, factor, out, begin, end):
    """Two arrays of blocks, or one if there are no `more`, into their sum times a factor; they are left zero, but for `out`."""
    for vertex in range(begin, end):
        for b in range(sums.shape[1]):
            value = load(sums, vertex, b)
            zero = filled(value, np.float32(0))
            store(sums, vertex, b, zero)
            if len(more):
                value = add(value, load(more, vertex, b))
                store(more, vertex, b, zero)
            store(out, vertex, b, times(value, factor))


@compiled
def _blur_axis(values, neighbours, out, begin, end):
    """Half of what the two neighbours have is added. Vertex 0, which is nowhere, has nothing."""
    for vertex in range(begin, end):
        before, behind = neighbours[vertex, 0], neighbours[vertex, 1]
        for b in range(values.shape[1]):
            both = add(load(values, before, b), load(values, behind, b))
            store(out, vertex, b, add_times(load(values, vertex, b), both, np.float32(0.5)))
