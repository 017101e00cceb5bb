"""Scores and lattices go in, the mean field's log-probabilities after some iterations come out, fast.

The mean field that `mean_field.py` tells in a few lines, for filters that are lattices. All that happens between two blurs
is one pass over the pixels in their order, a few at a time: they take their messages from the vertices of all lattices, add
their own scores, take the softmax and give their beliefs to the same vertices, so that no messages or beliefs of all pixels
are ever stored. What is the same for all pixels, weights and compatibilities, is applied to the vertices, which are fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.refinement.compiled import Crew, Part, alone, compiled, crew, inlined, parts
from pixelwise.refinement.groups import grouped
from pixelwise.refinement.lanes import (
    HALF,
    LARGEST_HALF,
    TOGETHER,
    add,
    add_inner,
    add_outer,
    add_times,
    array_of_blocks,
    blocks,
    divide,
    filled,
    larger,
    largest,
    load,
    logarithms,
    multiply,
    powers,
    repeated,
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

WORST = np.float32(-60000)
"""How far behind the best label, in powers of 2, others may be; those still further behind count as this. A half can hold it."""

TILE = 16
"""Groups of pixels that are turned from maps to rows, and back, at a time, so that both sides are whole lines of the cache."""

LOG2_E = np.float32(np.log2(np.e))

EACH = blocks(0, 1, pixels=TOGETHER).dtype
"""What holds a number for each pixel of a group."""


def is_lattice_field(terms: Sequence[Term]) -> bool:
    """Whether `refine` can do it: filters are lattices made side by side, and no pixel's own message is taken out again."""
    lattices = [term.operator for term in terms if isinstance(term.operator, Lattice) and term.own is None]
    return len(lattices) == len(terms) and all(lattice.places is lattices[0].places for lattice in lattices)


def refine(
    scores: NDArray[np.float32], terms: Sequence[Term], iterations: int, tolerance: float | None, *, half: bool = True
) -> NDArray[np.float32]:
    """Scores `(K, N)` -> log-probabilities `(K, N)`, 1e-20 at least, after so many iterations of the mean field.

    The lattices forget their places, once these have been read: afterwards they are good for nothing else.

    tolerance  stop after the first iteration that changed no belief by more; None: do all
    half       keep scores and what vertices have to tell in 16 bits, where the processor can; sums are of float32
    """
    field = _LatticeField(scores, terms, HALF if half else np.float32, keeps_beliefs=tolerance is not None)
    with crew(field.threads) as run:
        field.enter(run)
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

    scores         `(K, N)`, as they were given
    unary          blocks `(G, B)`: the same of each group of pixels, less the best of a pixel, in powers of 2
    groups         the vertices of each group, with their weights times the normalisation
    sums           for each band of groups, what its pixels gave to each vertex: blocks `(M, B)`
    blurred        blocks `(M, B)`: what vertices have to tell, in `unit`s of scores
    spare          the same, while they are blurred
    beliefs        blocks `(G, B)`, or none where nobody asks how much they change
    """

    def __init__(self, scores: NDArray[np.float32], terms: Sequence[Term], kind: type, *, keeps_beliefs: bool) -> None:
        self.scores, self.terms = np.require(scores, np.float32, ["C", "W"]), terms  # so that one code serves all
        self.lattices = [term.operator for term in terms if isinstance(term.operator, Lattice)]
        self.threads, (channels, pixels) = self.lattices[0].threads, scores.shape
        vertices, groups = self.lattices[-1].nowhere + self.lattices[-1].size + 1, -(-pixels // TOGETHER)
        # Each band has sums of its own; where vertices are as many as pixels, fewer bands keep memory within bounds.
        self.bands: list[Part] = parts(groups, min(self.threads, max(2, 2 * pixels // vertices)))
        after, before = [term.after for term in terms], [term.before for term in terms]
        with crew(self.threads) as run:
            self.groups = grouped(self.lattices, after, before, self.bands, run)
        self.lattices[0].places.forget()
        self.unit = 1.0
        self.unary = blocks(groups, channels, kind, TOGETHER, zero=False)
        self.beliefs = blocks(groups if keeps_beliefs else 0, channels, pixels=TOGETHER)
        self.sums = [blocks(vertices, channels) for _ in self.bands]
        self.blurred, self.spare = (blocks(vertices, channels, kind, zero=False) for _ in range(2))

    def enter(self, run: Crew) -> None:
        """Scores into blocks."""
        run(lambda band: _enter(self.scores, self.unary, *self._tile(), *band), self.bands)

    def turn(self, run: Crew, heard: bool) -> float:
        """One pass over all pixels, with messages if they are `heard` already; returns the largest change of a belief."""
        groups, unit = self.groups, np.float32(self.unit * LOG2_E)

        def task(band: Part) -> float:
            given = self.unary, groups.bounds, groups.vertices, groups.slicing, groups.splatting, self.blurred, unit
            return _turn(*given, self.sums[self.bands.index(band)], self.beliefs, heard, *band)

        change = max(run(task, self.bands))
        if not heard:
            self.unit = self._largest_message() / LARGEST_HALF
        return change

    def _largest_message(self) -> float:
        """What no vertex's message will exceed. Beliefs of a pixel add up to 1, so sums over channels stay as they are."""
        most = 0.0
        for lattice, term in zip(self.lattices, self.terms, strict=True):
            own = slice(lattice.nowhere, lattice.nowhere + lattice.size + 1)
            mass = sum(_mass(sums[own], blocks(1, 1)) for sums in self.sums)
            # Blurring along an axis doubles at most, on the way as at the end.
            most = max(most, mass * 2 ** len(lattice.neighbours) * float(np.abs(term.compatibility).max()))
        return max(most, 1e-30)

    def blur(self, run: Crew) -> None:
        """Sums into messages, weighed by the compatibilities."""
        if any(len(lattice.pieces) > 1 for lattice in self.lattices):
            self._blur_some((0, len(self.lattices)), run)
            return

        def share(some: Part) -> None:
            self._blur_some(some, alone)

        run(share, parts(len(self.lattices), self.threads))  # so that nobody waits for others at every axis

    def _blur_some(self, some: Part, run: Crew) -> None:
        channels = len(self.scores)
        for lattice, term in zip(self.lattices[slice(*some)], self.terms[slice(*some)], strict=True):
            own = slice(lattice.nowhere, lattice.nowhere + lattice.size + 1)
            factor, matrix = lattice.alpha / self.unit, term.compatibility
            if np.array_equal(matrix, matrix[0, 0] * np.eye(channels)):
                factor *= float(matrix[0, 0])
            else:
                for sums in self.sums:
                    told = rows(sums[own])[:, :channels]
                    told[:] = told @ matrix
            lattice.blur([sums[own] for sums in self.sums], self.blurred[own], self.spare[own], factor, run)

    def leave(self, run: Crew, heard: bool) -> NDArray[np.float32]:
        """Log-probabilities `(K, N)`."""
        out = np.empty_like(self.scores)
        groups, unit, floor = self.groups, np.float32(self.unit), np.float32(math.log(FLOOR))

        def task(band: Part) -> None:
            given = self.scores, groups.bounds, groups.vertices, groups.slicing, self.blurred, unit, heard, floor
            _leave(*given, out, *self._tile(), *self._tile(), *band)

        run(task, self.bands)
        return out

    def _tile(self) -> tuple[NDArray, NDArray[np.float32]]:
        """Room for the blocks of a tile of groups, `(B, TILE)`, with nothing in them; and the same as `(B, pixels, width)`."""
        tile = array_of_blocks((self.unary.shape[1], TILE), self.unary.dtype["channels"].shape[0])
        rows(tile)[:] = NOWHERE
        return tile, rows(tile).reshape(len(tile), TILE * TOGETHER, -1)


@compiled
def _mass(sums, one):
    """The largest sum of a vertex over its channels; `one` is a block of one number, 0."""
    most = zero = load(one, 0, 0)
    for vertex in range(len(sums)):
        mass = zero
        for b in range(sums.shape[1]):
            mass = add(mass, total(load(sums, vertex, b), mass))
        most = larger(most, mass)
    store(one, 0, 0, most)
    return one.view(np.float32)[0, 0]


@compiled
def _heard(score, bounds, vertices, slicing, blurred, unit, group, b):
    """The scores of a block of a group, its own and the messages of all lattices."""
    message = filled(score, np.float32(0))
    for entry in range(bounds[group, 0], bounds[group, 1]):
        message = add_outer(message, load(blurred, vertices[entry], b), load(slicing, entry, 0))
    return add_times(score, message, unit)


@compiled
def _turn(unary, bounds, vertices, slicing, splatting, blurred, unit, sums, beliefs, heard, begin, end):
    """One pass over groups begin .. end: messages from `blurred` if they are heard, beliefs into `sums`.

    Where `beliefs` are kept they are replaced, and their largest change is returned.
    """
    row = np.empty((1, unary.shape[1]), beliefs.dtype)
    changes = filled(load(slicing, 0, 0), np.float32(0))
    for group in range(begin, end):
        greatest = filled(changes, np.float32(-np.inf))
        for b in range(unary.shape[1]):
            score = load(unary, group, b)
            if heard:
                score = _heard(score, bounds, vertices, slicing, blurred, unit, group, b)
            store(row, 0, b, score)
            greatest = larger(greatest, largest(score, greatest))
        mass = filled(changes, np.float32(0))
        for b in range(unary.shape[1]):
            score = load(row, 0, b)
            power = powers(subtract(score, repeated(greatest, score)))
            mass = add(mass, total(power, mass))
            store(row, 0, b, power)
        share = divide(filled(mass, np.float32(1)), mass)
        for b in range(unary.shape[1]):
            power = load(row, 0, b)
            belief = multiply(power, repeated(share, power))
            if len(beliefs):
                difference = subtract(belief, load(beliefs, group, b))
                changes = larger(changes, largest(larger(difference, times(difference, np.float32(-1))), changes))
                store(beliefs, group, b, belief)
            for entry in range(bounds[group, 0], bounds[group, 1]):
                vertex = vertices[entry]
                store(sums, vertex, b, add_inner(load(sums, vertex, b), belief, load(splatting, entry, 0)))
    few = np.empty((1, 1), slicing.dtype)
    store(few, 0, 0, changes)
    return few.view(np.float32).max()


@inlined
def _to_rows(maps, flat, first):
    """Maps `(K, N)`, from a pixel on, into the rows of a tile, `(B, pixels, width)`."""
    last = min(first + flat.shape[1], maps.shape[1])
    for c in range(len(maps)):
        b, lane = c // flat.shape[2], c % flat.shape[2]
        for pixel in range(first, last):
            flat[b, pixel - first, lane] = maps[c, pixel]


@compiled
def _enter(scores, unary, tile, flat, begin, end):
    """The scores of groups begin .. end, from maps `(K, N)`: how far behind the best label of their pixel, in powers of 2."""
    few = np.empty((1, 1), EACH)
    for first in range(begin, end, TILE):
        last = min(first + TILE, end)
        _to_rows(scores, flat, first * TOGETHER)
        for group in range(first, last):
            greatest = filled(load(few, 0, 0), np.float32(-np.inf))
            for b in range(unary.shape[1]):
                greatest = larger(greatest, largest(load(tile, b, group - first), greatest))
            for b in range(unary.shape[1]):
                score = load(tile, b, group - first)
                behind = times(subtract(score, repeated(greatest, score)), LOG2_E)
                store(unary, group, b, larger(behind, filled(score, WORST)))


@compiled
def _leave(
    scores, bounds, vertices, slicing, blurred, unit, heard, floor, out, tile, flat, done, flat_done, begin, end
):
    """The log-probabilities of groups begin .. end, as maps `(K, N)`."""
    few = np.empty((1, 1), EACH)
    for first in range(begin, end, TILE):
        last = min(first + TILE, end)
        _to_rows(scores, flat, first * TOGETHER)
        for group in range(first, last):
            place = group - first
            greatest = filled(load(few, 0, 0), np.float32(-np.inf))
            for b in range(len(tile)):
                score = load(tile, b, place)
                if heard:
                    score = _heard(score, bounds, vertices, slicing, blurred, unit, group, b)
                store(done, b, place, score)
                greatest = larger(greatest, largest(score, greatest))
            mass = filled(greatest, np.float32(0))
            for b in range(len(tile)):
                score = load(done, b, place)
                mass = add(mass, total(powers(times(subtract(score, repeated(greatest, score)), LOG2_E)), mass))
            log_mass = times(logarithms(mass), 1 / LOG2_E)
            for b in range(len(tile)):
                score = load(done, b, place)
                score = subtract(subtract(score, repeated(greatest, score)), repeated(log_mass, score))
                store(done, b, place, larger(score, filled(score, floor)))
        for c in range(len(out)):
            b, lane = c // flat.shape[2], c % flat.shape[2]
            for pixel in range(first * TOGETHER, min(last * TOGETHER, out.shape[1])):
                out[c, pixel] = flat_done[b, pixel - first * TOGETHER, lane]
