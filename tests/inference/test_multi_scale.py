"""One predictor at several scales: numbers worked out by hand, and a single scale that is the predictor itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Refuses

from pixelwise.geometry import resize_image, resize_scores
from pixelwise.inference.multi_scale import MultiScale
from pixelwise.inference.predictors import WholeImage
from pixelwise.models.published import create_model


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def channels(image: NDArray) -> NDArray[np.float32]:
    """A predictor whose three scores of a pixel are the pixel itself."""
    return np.moveaxis(image, 2, 0).astype(np.float32)


def sure_of_its_size(image: NDArray) -> NDArray[np.float32]:
    """A predictor whose scores are the height and the width it was shown."""
    height, width = image.shape[:2]
    return np.stack([np.full((height, width), side, np.float32) for side in (height, width)])


@pytest.mark.parametrize("merge", ["max", "mean"])
def test_scale_1_alone_is_the_predictor_bit_for_bit(merge: str) -> None:
    torch.manual_seed(0)
    predictor = WholeImage(create_model("deeplab_largefov_vgg16", 4, width=1 / 16), "cpu")
    image = picture(37, 50)
    expected = predictor(image)
    assert expected.std() > 0
    assert np.array_equal(MultiScale(predictor, (1.0,), merge)(image), expected)


def test_the_sizes_that_a_predictor_is_shown() -> None:
    shown: list[tuple[int, ...]] = []

    def predictor(image: NDArray) -> NDArray[np.float32]:
        shown.append(image.shape)
        return channels(image)

    assert MultiScale(predictor, (0.5, 0.75, 1.0, 1.5))(picture(40, 30)).shape == (3, 40, 30)
    assert shown == [(20, 15, 3), (30, 22, 3), (40, 30, 3), (60, 45, 3)]
    assert MultiScale(predictor, (0.1,))(picture(1, 30)).shape == (3, 1, 30)
    assert shown[-1] == (1, 3, 3)


def test_the_largest_score_of_each_class_wins() -> None:
    scores = MultiScale(sure_of_its_size, (0.5, 2, 1))(picture(8, 6))
    assert scores.dtype == np.float32
    assert (scores[0] == 16).all()
    assert (scores[1] == 12).all()


def test_the_maximum_against_a_loop_over_pixels() -> None:
    image = picture(14, 10)
    scores = MultiScale(channels)(image)
    maps = [
        resize_scores(channels(resize_image(image.astype(np.float32), size)), (14, 10))
        for size in ((7, 5), (10, 8), (14, 10))
    ]
    for place in np.ndindex(3, 14, 10):
        assert scores[place] == max(map_[place] for map_ in maps)
    assert any((scores == map_).mean() < 0.9 for map_ in maps)  # not one scale alone


def test_the_mean_of_probabilities_by_hand() -> None:
    def predictor(image: NDArray) -> NDArray[np.float32]:
        odds = 3 if image.shape[0] == 8 else 1 / 9  # 3/4, 1/4 at its own size; 1/10, 9/10 at half of it
        return np.stack([np.full(image.shape[:2], math.log(odds), np.float32), np.zeros(image.shape[:2], np.float32)])

    scores = MultiScale(predictor, (0.5, 1), "mean")(picture(8, 6))
    assert scores.dtype == np.float32
    assert scores.shape == (2, 8, 6)
    np.testing.assert_allclose(np.exp(scores[0]), (3 / 4 + 1 / 10) / 2, rtol=1e-5)
    np.testing.assert_allclose(np.exp(scores).sum(0), 1, rtol=1e-5)


def test_a_probability_has_a_floor() -> None:
    def predictor(image: NDArray) -> NDArray[np.float32]:
        return np.stack([np.zeros(image.shape[:2], np.float32), np.full(image.shape[:2], -1e4, np.float32)])

    np.testing.assert_allclose(MultiScale(predictor, merge="mean")(picture(4, 4))[1], math.log(1e-20), rtol=1e-6)


def test_resized_pixels_are_not_rounded_and_the_picture_is_left_alone() -> None:
    image = picture(21, 33)
    image.setflags(write=False)
    whole, real = MultiScale(channels)(image), MultiScale(channels)(image.astype(np.float32))
    assert np.array_equal(whole, real)
    half = MultiScale(channels, (0.5,))(image)
    assert (half != half.round()).any()


def test_scales_that_are_none_are_refused(refuses: Refuses) -> None:
    for scales in [(), (0.5, 0.0), (-1,), (math.inf,), (math.nan,)]:
        with refuses("factors above 0", str(list(scales)), "0.75"):
            MultiScale(channels, scales)
    with refuses("unknown merge of scales 'maxx'", "did you mean 'max'?"):
        MultiScale(channels, merge="maxx")
