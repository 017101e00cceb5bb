"""What a predictor and a refiner are: the two shapes that everything between image and scores has."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Predictor(Protocol):
    """Image `(H, W, C)`, RGB 0..255, uint8 or float -> scores `(K, H, W)` float32 in the image's own frame and size.

    Scores are logits: softmax(scores) is the prediction.
    """

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        """The scores of an image."""
        ...


class Refiner(Protocol):
    """Image and scores -> scores of the same shape; the softmax is taken inside, once."""

    def __call__(self, image: NDArray, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The refined scores."""
        ...
