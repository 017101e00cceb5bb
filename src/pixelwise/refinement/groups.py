"""Places in lattices go in, the vertices of every few neighbouring pixels come out, each with what it is worth to whom.

Pixels that stand side by side share most of their vertices. Taken together, each vertex is read and written once for all of
them, and there are sums of several pixels to reckon with side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.refinement.compiled import Crew, Part, compiled
from pixelwise.refinement.lanes import TOGETHER, array_of_blocks, rows
from pixelwise.refinement.permutohedral import Lattice


@dataclass(frozen=True)
class Groups:
    """The entries of groups of `TOGETHER` pixels; the last group may stand for fewer.

    bounds    `(G, 2)`: where the entries of each group begin, and where they end
    vertices  `(E,)`: of each entry
    slicing   blocks `(E, 1)`: what the vertex's message is multiplied by for each pixel of the group, 0 for most
    splatting the same of their beliefs; one array where these are the same
    """

    bounds: NDArray[np.uint64]
    vertices: NDArray[np.uint32]
    slicing: NDArray
    splatting: NDArray


def grouped(
    lattices: Sequence[Lattice], after: Sequence[NDArray], before: Sequence[NDArray], bands: Sequence[Part], run: Crew
) -> Groups:
    """The groups of lattices that stand side by side, with messages and beliefs multiplied by `after` and `before`.

    after, before  an array `(N,)` for each lattice
    bands          of groups, one for each thread
    """
    places = lattices[0].places
    most = bands[-1][1] * TOGETHER * places.vertices.shape[1]  # no pages are touched beyond what is needed
    alike = all(one is other or np.array_equal(one, other) for one, other in zip(after, before, strict=True))
    bounds, vertices = np.empty((bands[-1][1], 2), np.uint64), np.empty(most, np.uint32)
    slicing, splatting = (array_of_blocks((count, 1), TOGETHER) for count in (most, 1 if alike else most))
    of = np.array([number for number, lattice in enumerate(lattices) for _ in range(len(lattice.neighbours))])
    factors = [np.ascontiguousarray(one, np.float32) for one in (np.stack(after), np.stack(before))]

    def collect(band: Part) -> None:
        given = places.vertices, places.weights, of, *factors
        _collect(*given, bounds, vertices, rows(slicing).ravel(), rows(splatting).ravel(), *band)

    run(collect, list(bands))
    return Groups(bounds, vertices, slicing, slicing if alike else splatting)


@compiled
def _collect(places, weights, of, after, before, bounds, vertices, slicing, splatting, begin, end):
    """The entries of groups begin .. end. A vertex is the same corner to all of its pixels, so corners are taken one by one.

    Without branches, for which vertices are new nobody can foretell; `slicing` and `splatting` are flat.
    """
    pixels, corners = places.shape
    count = begin * TOGETHER * corners
    entries = np.empty(TOGETHER, np.int64)
    for group in range(begin, end):
        bounds[group, 0] = count
        for corner in range(corners):
            lattice = of[corner]
            for number in range(TOGETHER * TOGETHER):
                slicing[count * TOGETHER + number] = 0
                if len(splatting) > TOGETHER:
                    splatting[count * TOGETHER + number] = 0
            last = count - 1
            for k in range(TOGETHER):
                pixel = min(group * TOGETHER + k, pixels - 1)
                vertex, entry = places[pixel, corner], last + 1
                for other in range(k):
                    if places[min(group * TOGETHER + other, pixels - 1), corner] == vertex:
                        entry = entries[other]
                entries[k], vertices[entry] = entry, vertex
                last = max(last, entry)
                # Places of the last group that are left over repeat its last pixel, and weigh nothing.
                weight = weights[pixel, corner] if group * TOGETHER + k < pixels else np.float32(0)
                slicing[entry * TOGETHER + k] = weight * after[lattice, pixel]
                if len(splatting) > TOGETHER:
                    splatting[entry * TOGETHER + k] = weight * before[lattice, pixel]
            count = last + 1
        bounds[group, 1] = count
