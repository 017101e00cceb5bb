"""Scores and lattices go in, the mean field's log-probabilities after some iterations come out, fast.

The mean field that `mean_field.py` tells in a few lines, for filters that are lattices. All that happens between two blurs
is one pass over the pixels in their order: a pixel takes its messages from the vertices of all lattices, adds its own
scores, takes the softmax and gives its beliefs to the same vertices, so that no messages or beliefs of all pixels are ever
stored. What is the same for all pixels, weights and compatibilities, is applied to the vertices, which are fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.refinement.compiled import Crew, Part, alone, compiled, crew, parts
from pixelwise.refinement.lanes import (
    add_times,
    blocks,
    filled,
    larger,
    largest,
    load,
    powers,
    rows,
    store,
    subtract,
    times,
    total,
)
from pixelwise.refinement.mean_field import FLOOR, Term
from pixelwise.refinement.permutohedral import Lattice

NOWHERE = -1e30
"""The score of channels that only fill up a block."""

TILE = 64
"""Pixels that are turned from rows to maps at a time, so that both sides are whole lines of the cache."""


def is_lattice_field(terms: Sequence[Term]) -> bool:
    """Whether `refine` can do it: filters are lattices made side by side, and no pixel's own message is taken out again."""
    lattices = [term.operator for term in terms if isinstance(term.operator, Lattice) and term.own is None]
    return len(lattices) == len(terms) and all(lattice.places is lattices[0].places for lattice in lattices)


def refine(
    scores: NDArray[np.float32], terms: Sequence[Term], iterations: int, tolerance: float | None
) -> NDArray[np.float32]:
    """Scores `(K, N)` -> log-probabilities `(K, N)`, 1e-20 at least, after so many iterations of the mean field.

    The weights in the lattices' places are multiplied by the normalisation where they stand, for a second array of them
    would be the largest there is: afterwards these lattices are good for nothing else.

    tolerance  stop after the first iteration that changed no belief by more; None: do all
    """
    field = _LatticeField(scores, terms, keeps_beliefs=tolerance is not None)
    with crew(field.threads) as run:
        heard = False
        for _ in range(iterations):
            change = field.turn(run, heard)
            if tolerance is not None and heard and change <= tolerance:
                break
            field.blur(run)
            heard = True
        return field.leave(run, heard)


class _LatticeField:
    """Pixels and vertices of a mean field.

    unary          blocks `(N, B)`: scores, a pixel after the other
    vertices       `(N, R)` int32: the corners of each pixel's simplices, of one lattice after the other
    slicing        `(N, R)` float32: their weights, times what messages are multiplied by
    splatting      the same, times what beliefs are multiplied by; one array where these are the same
    sums           for each band of pixels, what its pixels gave to each vertex: blocks `(M, B)`
    blurred        blocks `(M, B)`: what vertices have to tell
    beliefs        blocks `(N, B)`, or none where nobody asks how much they change
    """

    def __init__(self, scores: NDArray[np.float32], terms: Sequence[Term], *, keeps_beliefs: bool) -> None:
        self.channels, pixels = scores.shape
        self.lattices = [term.operator for term in terms if isinstance(term.operator, Lattice)]
        self.compatibilities = [term.compatibility for term in terms]
        self.are_potts = [np.array_equal(one, one[0, 0] * np.eye(self.channels)) for one in self.compatibilities]
        self.threads, places = self.lattices[0].threads, self.lattices[0].places
        vertices = self.lattices[-1].nowhere + self.lattices[-1].size + 1
        # Each band has sums of its own; where vertices are as many as pixels, fewer bands keep memory within bounds.
        self.bands: list[Part] = parts(pixels, min(self.threads, max(2, 2 * pixels // vertices)))
        self.unary = blocks(pixels, self.channels)
        self.beliefs = blocks(pixels if keeps_beliefs else 0, self.channels)
        self.sums = [blocks(vertices, self.channels) for _ in self.bands]
        self.blurred = blocks(vertices, self.channels)
        alike = all(np.array_equal(term.before, term.after) for term in terms)
        self.vertices, self.slicing = places.vertices, places.weights
        self.splatting = self.slicing if alike else self.slicing.copy()

        def enter(band: Part) -> None:
            own = slice(*band)
            rows(self.unary)[own, : self.channels] = scores[:, own].T
            rows(self.unary)[own, self.channels :] = NOWHERE
            for lattice, term in zip(self.lattices, terms, strict=True):
                _scale(self.slicing, lattice.corner, lattice.last_corner, term.after, *band)
                if not alike:
                    _scale(self.splatting, lattice.corner, lattice.last_corner, term.before, *band)

        with crew(self.threads) as run:
            run(enter, self.bands)

    def turn(self, run: Crew, heard: bool) -> float:
        """One pass over all pixels, with messages if they are `heard` already; returns the largest change of a belief."""

        def task(band: Part) -> float:
            given = self.unary, self.vertices, self.slicing, self.splatting, self.blurred
            return _turn(*given, self.sums[self.bands.index(band)], self.beliefs, heard, *band)

        return max(run(task, self.bands))

    def blur(self, run: Crew) -> None:
        """Sums into messages, weighed by the compatibilities."""
        if any(len(lattice.pieces) > 1 for lattice in self.lattices):
            self._blur_some((0, len(self.lattices)), run)
            return

        def share(some: Part) -> None:
            self._blur_some(some, alone)

        run(share, parts(len(self.lattices), self.threads))  # so that nobody waits for others at every axis

    def _blur_some(self, some: Part, run: Crew) -> None:
        for number in range(*some):
            lattice, matrix = self.lattices[number], self.compatibilities[number]
            own = slice(lattice.nowhere, lattice.nowhere + lattice.size + 1)
            blurred, is_potts = self.blurred[own], self.are_potts[number]
            factor = lattice.alpha * float(matrix[0, 0]) if is_potts else lattice.alpha
            lattice.blur([sums[own] for sums in self.sums], blurred, factor, run)
            if not is_potts:
                told = rows(blurred)[:, : self.channels]
                told[:] = told @ matrix

    def leave(self, run: Crew, heard: bool) -> NDArray[np.float32]:
        """Log-probabilities `(K, N)`."""
        out = np.empty((self.channels, len(self.unary)), np.float32)
        floor = np.float32(math.log(FLOOR))

        def task(band: Part) -> None:
            given = self.unary, self.vertices, self.slicing, self.blurred
            _leave(*given, heard, floor, rows(self.unary), out, *band)

        run(task, self.bands)
        return out


@compiled
def _scale(weights, first, last, factor, begin, end):
    """Multiply some corners' weights by what their pixel has."""
    for pixel in range(begin, end):
        for r in range(first, last):
            weights[pixel, r] *= factor[pixel]


@compiled
def _heard(unary, vertices, slicing, blurred, heard, pixel, b):
    """The scores of a block of a pixel: its own, and the messages of all lattices if they are heard."""
    score = load(unary, pixel, b)
    for r in range(vertices.shape[1] if heard else 0):
        score = add_times(score, load(blurred, vertices[pixel, r], b), slicing[pixel, r])
    return score


@compiled
def _turn(unary, vertices, slicing, splatting, blurred, sums, beliefs, heard, begin, end):
    """One pass over pixels begin .. end: messages from `blurred` if they are heard, beliefs into `sums`.

    Where `beliefs` are kept they are replaced, and their largest change is returned.
    """
    for vertex in range(len(sums)):
        for b in range(sums.shape[1]):
            store(sums, vertex, b, filled(load(sums, vertex, b), np.float32(0)))
    row = np.empty((1, unary.shape[1]), unary.dtype)
    change = np.float32(0)
    for pixel in range(begin, end):
        greatest = np.float32(-np.inf)
        for b in range(unary.shape[1]):
            score = _heard(unary, vertices, slicing, blurred, heard, pixel, b)
            store(row, 0, b, score)
            greatest = max(greatest, largest(score))
        mass = np.float32(0)
        for b in range(unary.shape[1]):
            power = powers(load(row, 0, b), greatest)
            mass += total(power)
            store(row, 0, b, power)
        share = np.float32(1) / mass
        for b in range(unary.shape[1]):
            belief = times(load(row, 0, b), share)
            if len(beliefs):
                difference = subtract(belief, load(beliefs, pixel, b))
                change = max(change, largest(larger(difference, times(difference, np.float32(-1)))))
                store(beliefs, pixel, b, belief)
            for r in range(vertices.shape[1]):
                vertex = vertices[pixel, r]
                store(sums, vertex, b, add_times(load(sums, vertex, b), belief, splatting[pixel, r]))
    return change


@compiled
def _leave(unary, vertices, slicing, blurred, heard, floor, flat, out, begin, end):
    """The log-probabilities of pixels begin .. end, which replace their scores, as maps `(K, N)`; `flat` are rows of `unary`."""
    for first in range(begin, end, TILE):
        last = min(first + TILE, end)
        for pixel in range(first, last):
            greatest = np.float32(-np.inf)
            for b in range(unary.shape[1]):
                score = _heard(unary, vertices, slicing, blurred, heard, pixel, b)
                store(unary, pixel, b, score)
                greatest = max(greatest, largest(score))
            mass = np.float32(0)
            for b in range(unary.shape[1]):
                mass += total(powers(load(unary, pixel, b), greatest))
            for b in range(unary.shape[1]):
                score = load(unary, pixel, b)
                score = subtract(subtract(score, filled(score, greatest)), filled(score, np.log(mass)))
                store(unary, pixel, b, larger(score, filled(score, floor)))
        for c in range(len(out)):
            for pixel in range(first, last):
                out[c, pixel] = flat[pixel, c]
