"""A predictor with a refiner behind it, as one predictor: an image goes in, refined scores come out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelwise.inference.contracts import Predictor, Refiner


class Refined:
    """A predictor whose scores are refined before anybody sees them; the refiner takes the softmax itself."""

    def __init__(self, predictor: Predictor, refiner: Refiner) -> None:
        self.predictor = predictor
        self.refiner = refiner

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        """The refined scores `(K, H, W)` of an image `(H, W, C)`, at its size."""
        return self.refiner(image, self.predictor(image))
