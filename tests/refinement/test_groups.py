"""Groups of pixels against the places they were made of, and what blocks of several pixels can do."""

import numpy as np
import pytest

from pixelwise.refinement.compiled import alone, compiled, parts
from pixelwise.refinement.groups import grouped
from pixelwise.refinement.lanes import (
    HALF,
    TOGETHER,
    add_inner,
    add_outer,
    blocks,
    load,
    logarithms,
    powers,
    rows,
    store,
    total,
)
from pixelwise.refinement.permutohedral import Lattice

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("pixels", [1, TOGETHER, 4 * TOGETHER + 1, 61])
@pytest.mark.parametrize("alike", [True, False])
def test_groups_hold_every_weight_once(pixels, alike):
    several = [np.cumsum(RANDOM.normal(0, 0.2, (pixels, d)), axis=0).astype(np.float32) for d in (2, 3)]
    lattices = Lattice.side_by_side(several, 1)
    after = [RANDOM.random(pixels, np.float32) for _ in lattices]
    before = after if alike else [RANDOM.random(pixels, np.float32) for _ in lattices]
    groups = grouped(lattices, after, before, parts(-(-pixels // TOGETHER), 3), alone)
    assert (groups.splatting is groups.slicing) == alike
    vertices = lattices[-1].nowhere + lattices[-1].size + 1
    for factors, stored in ((after, groups.slicing), (before, groups.splatting)):
        expected, found = np.zeros((pixels, vertices)), np.zeros((len(groups.bounds) * TOGETHER, vertices))
        for lattice, factor in zip(lattices, factors, strict=True):
            for corner in range(lattice.corner, lattice.last_corner):
                own = np.arange(pixels), lattice.places.vertices[:, corner]
                expected[own] = lattice.places.weights[:, corner] * factor
        for group, (begin, end) in enumerate(groups.bounds.astype(int)):
            entries = groups.vertices[begin:end]
            assert len(set(entries)) == len(entries)
            found[group * TOGETHER : (group + 1) * TOGETHER, entries] = rows(stored)[begin:end].T
        np.testing.assert_allclose(found[:pixels], expected, rtol=1e-6)
        assert not found[pixels:].any()


@compiled
def _through(array, weights, other, few, out):
    block = load(array, 0, 0)
    store(other, 0, 0, add_inner(load(other, 0, 0), block, load(weights, 0, 0)))
    store(few, 0, 0, total(block, load(few, 0, 0)))
    store(out, 0, 0, add_outer(block, load(other, 0, 0), load(weights, 0, 0)))


@pytest.mark.parametrize("channels", [1, 2, 21, 32])
def test_what_several_pixels_give_to_one_and_take_from_it(channels):
    array, out = (blocks(1, channels, pixels=TOGETHER) for _ in range(2))
    other, weights, few = blocks(1, channels), blocks(1, 1, pixels=TOGETHER), blocks(1, 1, pixels=TOGETHER)
    each = rows(array).reshape(TOGETHER, -1)
    each[:], rows(weights)[:], rows(other)[:] = RANDOM.random(each.shape), RANDOM.random((1, TOGETHER)), 0.5
    _through(array, weights, other, few, out)
    np.testing.assert_allclose(rows(other)[0], 0.5 + rows(weights)[0] @ each, rtol=1e-6)
    np.testing.assert_allclose(rows(few)[0], each.sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(rows(out).reshape(each.shape), each + np.outer(rows(weights), rows(other)), rtol=1e-6)


@compiled
def _functions(array, half):
    for row in range(len(array)):
        store(half, row, 0, load(array, row, 0))
        store(array, row, 0, powers(load(array, row, 0)))
        store(array, row, 1, logarithms(load(array, row, 1)))


def test_powers_logarithms_and_halves():
    array, half = blocks(500, 64), blocks(500, 32, HALF)
    array.view(np.float32)[:] = 0
    x = rows(array).reshape(500, 2, 32)
    x[:, 0], x[:, 1] = RANDOM.uniform(-66, 0, (500, 32)), 2 ** RANDOM.uniform(-60, 60, (500, 32))
    before = x.copy()
    _functions(array, half)
    np.testing.assert_allclose(x[:, 0], 2 ** before[:, 0].astype(float), rtol=5e-6)
    np.testing.assert_allclose(x[:, 1], np.log2(before[:, 1].astype(float)), rtol=1e-6, atol=1e-6)
    if HALF is not np.float32:
        np.testing.assert_array_equal(half.view(np.float16).reshape(500, 32), before[:, 0].astype(np.float16))
