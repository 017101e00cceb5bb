"""The lattice against a slow one that shares no code with it, and what must hold for any features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.refinement.brute_force import Exact, scene
from tests.refinement.slow_lattice import slow_filter

from pixelwise.refinement import permutohedral
from pixelwise.refinement.energies import Bilateral, Gaussian
from pixelwise.refinement.permutohedral import Lattice


def features_of(count, dimensions, seed=0, spread=1.5):
    return np.random.default_rng(seed).normal(0, spread, (count, dimensions)).astype(np.float32)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dimensions", [1, 2, 3, 5, 6, 9])
def test_it_does_the_published_steps(dimensions, threads, transposed, monkeypatch):
    monkeypatch.setattr(permutohedral, "WORTH_A_THREAD", 8)  # so that threads share out even so few vertices
    features = features_of(130, dimensions)
    values = np.random.default_rng(1).random((130, 4), np.float32)
    filtered = Lattice.of(features, threads).filter(values, transposed=transposed)
    expected = slow_filter(features, values, transposed)
    np.testing.assert_allclose(filtered, expected, rtol=1e-5, atol=1e-5 * expected.max())


@pytest.mark.parametrize("kernel", [Gaussian(3), Bilateral(20, 13)], ids=repr)
def test_it_does_them_on_a_picture(kernel):
    image, _ = scene(24, 31, 2)
    features = kernel.features((24, 31), image)
    values = np.random.default_rng(1).random((24 * 31, 3), np.float32)
    np.testing.assert_allclose(Lattice.of(features, 2).filter(values), slow_filter(features, values), rtol=1e-5)


def test_where_ids_do_not_fit_into_64_bits_vertices_are_told_apart_all_the_same():
    features = features_of(60, 14, spread=20.0)
    values = np.ones((60, 1), np.float32)
    np.testing.assert_allclose(Lattice.of(features, 2).filter(values), slow_filter(features, values), rtol=1e-5)


@given(
    count=st.integers(1, 70),
    dimensions=st.integers(1, 6),
    seed=st.integers(0, 999),
    spread=st.sampled_from([0.0, 1e-3, 1.0, 100.0]),
    threads=st.integers(1, 4),
)
def test_every_pixel_lies_inside_its_simplex(count, dimensions, seed, spread, threads):
    lattice = Lattice.of(features_of(count, dimensions, seed, spread), threads)
    assert lattice.vertices.min() >= 1
    assert lattice.vertices.max() == lattice.size <= count * (dimensions + 1)
    assert len(np.unique(lattice.vertices)) == lattice.size
    assert all(len(set(row)) == dimensions + 1 for row in lattice.vertices.tolist())
    np.testing.assert_allclose(lattice.weights.sum(axis=1), 1, atol=1e-4)
    assert lattice.weights.min() >= -1e-3


@given(seed=st.integers(0, 999), dimensions=st.integers(1, 5))
def test_neighbours_know_each_other(seed, dimensions):
    neighbours = Lattice.of(features_of(50, dimensions, seed), 2).neighbours
    for axis in neighbours:
        for vertex in range(1, len(axis)):
            before, behind = axis[vertex]
            assert before == 0 or axis[before, 1] == vertex
            assert behind == 0 or axis[behind, 0] == vertex


def test_the_transpose_is_the_transpose():
    lattice = Lattice.of(features_of(80, 3))
    matrix = lattice.filter(np.eye(80, dtype=np.float32))
    transpose = lattice.filter(np.eye(80, dtype=np.float32), transposed=True)
    np.testing.assert_allclose(matrix.T, transpose, atol=1e-6)
    assert np.abs(matrix - matrix.T).max() > 1e-3  # it is another one, so this can fail


def test_the_diagonal_is_what_comes_back_to_a_pixel():
    """Exactly so where the lattice is full, so all but the picture's border is looked at."""
    side = 16
    lattice = Lattice.of(Gaussian(1.0).features((side, side), None))
    own = np.diag(lattice.filter(np.eye(side * side, dtype=np.float32))).reshape(side, side)
    inside = slice(5, -5)
    np.testing.assert_allclose(lattice.diagonal().reshape(side, side)[inside, inside], own[inside, inside], rtol=1e-5)


def test_threads_make_no_difference_beyond_rounding():
    image, _ = scene(50, 60, 2)
    features = Bilateral(20, 10).features((50, 60), image)
    values = np.random.default_rng(0).random((3000, 5), np.float32)
    alone = Lattice.of(features, 1).filter(values)
    for threads in (2, 5):
        np.testing.assert_allclose(Lattice.of(features, threads).filter(values), alone, rtol=2e-5)


def test_normalised_it_is_near_the_exact_filter():
    image, _ = scene(30, 30, 2)
    features = Bilateral(20, 20).features((30, 30), image)
    values = np.random.default_rng(0).random((900, 2), np.float32)
    ones = np.ones((900, 1), np.float32)
    lattice, exact = Lattice.of(features), Exact(features)
    difference = lattice.filter(values) / lattice.filter(ones) - exact.filter(values) / exact.filter(ones)
    assert np.abs(difference).mean() < 0.02


def test_features_beyond_what_float32_can_place_are_refused(refuses):
    with refuses("standard deviations"):
        Lattice.of(np.array([[0.0, 0.0], [3e6, 0.0]], np.float32))
