"""A predictor with a refiner behind it."""

import numpy as np

from pixelwise.inference.refined import Refined


def test_the_refiner_is_shown_the_image_and_the_scores():
    image, scores = np.full((2, 3, 3), 7), np.arange(12.0).reshape(2, 2, 3)
    refined = Refined(lambda seen: scores + seen[0, 0, 0], lambda seen, given: given * seen[0, 0, 0])
    np.testing.assert_array_equal(refined(image), (scores + 7) * 7)
