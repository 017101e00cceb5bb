"""Several predictors as one: numbers worked out by hand, and an ensemble of one that is that one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from tests.conftest import Refuses

from pixelwise.inference.contracts import Predictor
from pixelwise.inference.ensemble import Ensemble

IMAGE = np.zeros((2, 3, 3), np.uint8)


def always(*scores: float) -> Predictor:
    """A predictor that gives every pixel the same scores."""
    return lambda image: np.broadcast_to(
        np.array(scores, np.float32)[:, None, None], (len(scores), *image.shape[:2])
    ).copy()


def random_scores(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 5, (4, 30, 40)).astype(np.float32)


def softmax(scores: NDArray) -> NDArray[np.float64]:
    """A pixel at a time."""
    probabilities = np.empty(scores.shape)
    for y, x in np.ndindex(scores.shape[1:]):
        powers = [math.exp(score) for score in scores[:, y, x]]
        probabilities[:, y, x] = np.array(powers) / sum(powers)
    return probabilities


def test_the_mean_by_hand() -> None:
    # probabilities 3/4, 1/4 and 1/4, 3/4 and 1/10, 9/10: their means are 11/30 and 19/30
    three = [always(math.log(3), 0), always(0, math.log(3)), always(5, 5 + math.log(9))]
    scores = Ensemble(three)(IMAGE)
    assert scores.shape == (2, 2, 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(np.exp(scores[:, 1, 2]), [11 / 30, 19 / 30], rtol=1e-6)


def test_the_mean_against_a_loop_over_pixels() -> None:
    first, second = random_scores(1), random_scores(2)
    scores = Ensemble([lambda _: first, lambda _: second])(IMAGE)
    np.testing.assert_allclose(softmax(scores), (softmax(first) + softmax(second)) / 2, rtol=1e-5)


def test_an_ensemble_of_one_is_that_one() -> None:
    alone = random_scores(3)
    scores = Ensemble([lambda _: alone])(IMAGE)
    assert np.array_equal(scores.argmax(0), alone.argmax(0))
    np.testing.assert_allclose(softmax(scores), softmax(alone), rtol=1e-5)


def test_no_logarithm_of_zero() -> None:
    scores = Ensemble([always(0, -1e4), always(3e4, 0)])(IMAGE)
    assert scores.max() == 0
    np.testing.assert_allclose(scores.min(), math.log(1e-20), rtol=1e-6)


def test_the_product_by_hand() -> None:
    scores = Ensemble([always(2, 3, -1), always(4, -5, -6)], "product")(IMAGE)
    assert scores.dtype == np.float32
    assert scores[:, 0, 0].tolist() == [8, 0, 0]  # raw, and two negative scores make no positive one
    assert Ensemble([always(-2, 7)], "product")(IMAGE)[:, 0, 0].tolist() == [0, 7]


def test_mean_and_product_can_disagree() -> None:
    two = [always(9, 1), always(0.5, 8)]  # about equally sure of two things; 9 * 0.5 < 1 * 8
    assert Ensemble(two)(IMAGE)[:, 0, 0].argmax() == 0
    assert Ensemble(two, "product")(IMAGE)[:, 0, 0].argmax() == 1


def test_the_predictors_keep_their_own_scores() -> None:
    kept = random_scores(4)
    before = kept.copy()
    for rule in ("mean", "product"):
        Ensemble([lambda _: kept, lambda _: kept], rule)(IMAGE)
    assert np.array_equal(kept, before)


def test_what_cannot_be_combined_is_refused(refuses: Refuses) -> None:
    with refuses("at least 1 predictor"):
        Ensemble([])
    with refuses("unknown rule of an ensemble 'meen'", "did you mean 'mean'?"):
        Ensemble([always(1)], "meen")
    with refuses("same classes", "(2, 2, 3) and (3, 2, 3)", "leave out"):
        Ensemble([always(1, 2, 3), always(1, 2)])(IMAGE)
