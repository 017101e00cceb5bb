"""The mean field against sums over all pairs of pixels, with an exact filter and with the lattice; the fast one against both."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.refinement.brute_force import Exact, brute_force, scene

from pixelwise.refinement import lattice_field, permutohedral
from pixelwise.refinement.dense_crf import DenseCRF
from pixelwise.refinement.energies import Bilateral, Gaussian, compatibility
from pixelwise.refinement.lattice_field import is_lattice_field, refine
from pixelwise.refinement.mean_field import NORMALISATIONS, Term, log_softmax, mean_field
from pixelwise.refinement.permutohedral import Lattice

RANDOM = np.random.default_rng(7)
WEIGHTS = {"potts": 1.5, "classes": np.array([1.0, 2.0, 0.5]), "matrix": RANDOM.normal(0, 1, (3, 3))}


def exact_field(image, scores, kernels, normalisation, iterations, self_message=True):
    """Beliefs by `mean_field` in float64."""
    classes, space = len(scores), scores.shape[1:]
    terms = [
        Term.of(
            Exact(kernel.features(space, image)),
            scores[0].size,
            compatibility(kernel.weight, classes).astype(np.float64),
            normalisation,
            self_message=self_message,
        )
        for kernel in kernels
    ]
    states = mean_field(scores.reshape(classes, -1).T.astype(np.float64), terms)
    return next(islice(states, iterations, None)).beliefs.T.reshape(scores.shape)


def scaled(weight, kernel, normalisation):
    """Weights at which messages count but do not settle everything: without normalisation many pixels add up."""
    return weight if normalisation not in ("none",) else np.asarray(weight) * {Gaussian: 0.05, Bilateral: 0.02}[kernel]


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("side", [12, 24])
def test_with_an_exact_filter_it_is_the_formula(side, normalisation, weight):
    image, scores = scene(side, side, 3)
    kernels = [
        Gaussian(1.5, scaled(WEIGHTS[weight], Gaussian, normalisation)),  # 2 dimensions
        Bilateral(6, 25, scaled(WEIGHTS[weight], Bilateral, normalisation)),  # 5 dimensions
    ]
    iterations = 5 if side == 12 else 2
    expected = brute_force(image, scores, kernels, normalisation, iterations)
    np.testing.assert_allclose(exact_field(image, scores, kernels, normalisation, iterations), expected, atol=1e-6)
    as_people_call_it = DenseCRF(kernels, iterations=iterations, normalisation=normalisation, filters=Exact)
    np.testing.assert_allclose(np.exp(as_people_call_it(image, scores)), expected, atol=1e-6)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_without_its_own_message_the_sum_leaves_the_pixel_out(normalisation):
    image, scores = scene(12, 12, 3)
    kernels = [
        Gaussian(1.5, scaled(2.0, Gaussian, normalisation)),
        Bilateral(6, 25, scaled(2.0, Bilateral, normalisation)),
    ]
    without = brute_force(image, scores, kernels, normalisation, 3, self_message=False)
    np.testing.assert_allclose(exact_field(image, scores, kernels, normalisation, 3, False), without, atol=1e-6)
    assert np.abs(without - brute_force(image, scores, kernels, normalisation, 3)).max() > 0.01


@pytest.mark.parametrize("normalisation", ["before", "after", "symmetric"])
@pytest.mark.parametrize("kernel", [Gaussian(3, 3.0), Bilateral(20, 20, 3.0), Bilateral(80, 13, 5.0)], ids=repr)
def test_with_the_lattice_it_is_near_the_formula(kernel, normalisation):
    image, scores = scene(24, 24, 3)
    expected = brute_force(image, scores, [kernel], normalisation, 3)
    refined = np.exp(DenseCRF([kernel], iterations=3, normalisation=normalisation)(image, scores))
    assert np.abs(refined - expected).mean() < 0.02
    assert np.abs(refined - expected).mean() < 0.2 * np.abs(np.exp(log_softmax(scores.T)).T - expected).mean()


def lattice_terms(image, scores, normalisation, weights, threads=1):
    kernels = [Gaussian(2, weights[0]), Bilateral(10, 20, weights[1])]
    lattices = Lattice.side_by_side([kernel.features(scores.shape[1:], image) for kernel in kernels], threads)
    return [
        Term.of(lattice, scores[0].size, compatibility(kernel.weight, len(scores)), normalisation, self_message=True)
        for lattice, kernel in zip(lattices, kernels, strict=True)
    ]


def both_ways(scores, terms, iterations, half=False):
    """Beliefs `(K, N)` of the fast mean field, and of the one in a few lines."""
    flat = scores.reshape(len(scores), -1)
    slow = next(islice(mean_field(flat.T, terms), iterations, None)).beliefs.T
    fast = refine(flat, terms, iterations, None, half=half)  # uses up the lattices, so it comes last
    return np.exp(fast), slow


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_fast_one_is_the_same_in_every_normalisation(normalisation, threads):
    image, scores = scene(33, 41, 5)
    weights = (0.05, 0.01) if normalisation == "none" else (2.0, 4.0)
    terms = lattice_terms(image, scores, normalisation, weights, threads)
    assert is_lattice_field(terms)
    np.testing.assert_allclose(*both_ways(scores, terms, 4), atol=1e-5)


@pytest.mark.parametrize("vertices", [8, 2**15])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_fast_one_is_the_same_for_every_compatibility(weight, threads, vertices, monkeypatch):
    """Whether threads share out the vertices of each lattice, as they do where it has many, or the lattices."""
    monkeypatch.setattr(permutohedral, "WORTH_A_THREAD", vertices)
    image, scores = scene(33, 41, 3)
    terms = lattice_terms(image, scores, "symmetric", (WEIGHTS[weight], 2 * WEIGHTS[weight]), threads)
    assert [len(term.operator.pieces) for term in terms] == [threads if vertices == 8 else 1] * 2
    np.testing.assert_allclose(*both_ways(scores, terms, 4), atol=1e-5)


@pytest.mark.parametrize("classes", [1, 2, 3, 5, 9, 21, 32, 33, 65, 150])
def test_the_fast_one_is_the_same_for_any_number_of_classes(classes):
    """Of 1 to 32 channels in a block, and of several blocks."""
    image, scores = scene(17, 19, classes)
    terms = lattice_terms(image, scores, "after", (2.0, 4.0), 2)
    np.testing.assert_allclose(*both_ways(scores, terms, 3), atol=1e-5)


@pytest.mark.parametrize("weight", [*WEIGHTS, "huge"])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_in_half_the_width_beliefs_are_nearly_the_same(normalisation, weight):
    """Also where messages are far larger than a half may be: 1 / 2048 of a number is lost, whatever its size."""
    image, scores = scene(33, 41, 3)
    own = 1e7 if weight == "huge" else np.asarray(WEIGHTS[weight]) * (0.01 if normalisation == "none" else 1)
    (half, _), (whole, slow) = (
        both_ways(scores, lattice_terms(image, scores, normalisation, (own, 2 * own), 2), 4, half=half)
        for half in (True, False)
    )
    assert np.isfinite(half).all()
    assert np.abs(half - whole).mean() < (1e-3 if weight == "huge" else 1e-4)
    assert (half != whole).any() or weight == "huge"
    np.testing.assert_allclose(whole, slow, atol=1e-5)


def test_where_the_processor_knows_no_halves_nothing_is_lost(monkeypatch):
    image, scores = scene(20, 30, 4)
    monkeypatch.setattr(lattice_field, "HALF", np.float32)
    crfs = [DenseCRF([Bilateral(10, 20, 3.0)], half=half) for half in (True, False)]
    np.testing.assert_array_equal(*(crf(image, scores) for crf in crfs))


@given(shift=st.floats(-1e4, 1e4), spread=st.floats(0, 200), seed=st.integers(0, 99))
def test_beliefs_sum_to_one_however_large_scores_are(shift, spread, seed):
    scores = (np.random.default_rng(seed).normal(0, 1, (6, 5, 7)) * spread + shift).astype(np.float32)
    refined = DenseCRF([Gaussian(1.5, 1.0)], iterations=2)(None, scores)
    np.testing.assert_allclose(np.exp(refined).sum(axis=0), 1, atol=1e-5)
    assert refined.min() >= np.float32(np.log(1e-20))


def test_no_iterations_leave_the_scores_own_beliefs():
    image, scores = scene(20, 30, 4)
    refined = DenseCRF([Bilateral(10, 20, 3.0)], iterations=0)(image, scores)
    np.testing.assert_allclose(refined, log_softmax(scores.reshape(4, -1).T).T.reshape(scores.shape), atol=1e-5)


@pytest.mark.parametrize("filters", [Exact, Lattice.of, None], ids=["exact", "lattice", "fast"])
def test_it_stops_when_nothing_changes(filters):
    image, scores = scene(20, 24, 3)

    def refined(iterations, tolerance=None):
        return DenseCRF([Gaussian(1.5, 0.8)], iterations=iterations, tolerance=tolerance, filters=filters)(
            image, scores
        )

    changes = [np.abs(np.exp(refined(i + 1)) - np.exp(refined(i))).max() for i in range(12)]
    assert changes[-1] < 1e-2 < changes[1]
    first = next(i for i, change in enumerate(changes) if change <= 1e-2)
    np.testing.assert_array_equal(refined(100, 1e-2), refined(first + 1))
    np.testing.assert_array_equal(refined(5, 0.0), refined(5))
