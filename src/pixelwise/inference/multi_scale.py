"""A predictor at several scales: an image goes in, its resized copies are scored, the merged scores come out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, unknown_name
from pixelwise.geometry import resize_image, resize_scores
from pixelwise.inference.contracts import Predictor
from pixelwise.inference.ensemble import log_mean_probability

PUBLISHED_SCALES = (0.5, 0.75, 1.0)
"""Source: DeepLab v2 (Chen et al., PAMI 2018), section 4.1.2."""

MERGES = ("max", "mean")


class MultiScale:
    """A predictor that is shown an image at several scales, as one predictor.

    scales  factors of both sides
    merge   "max": the largest score of each class at each pixel. "mean": the mean of the probabilities, as logarithms.
            The scores of one scale alone are left as they are

    Raises `InputError` for no scale, one that is not above 0, and an unknown merge.

    Source: DeepLab v2, section 3.2, for the maximum, taken at the image's size; its released network takes it on coarse maps.
    """

    def __init__(self, predictor: Predictor, scales: Sequence[float] = PUBLISHED_SCALES, merge: str = "max") -> None:
        if not scales or not all(0 < scale < np.inf for scale in scales):
            raise InputError(f"scales are factors above 0, at least one, got {list(scales)}: try {PUBLISHED_SCALES}")
        if merge not in MERGES:
            raise unknown_name("merge of scales", merge, MERGES)
        self.predictor = predictor
        self.scales = tuple(scales)
        self.merge = merge

    def __call__(self, image: NDArray) -> NDArray[np.float32]:
        """The merged scores `(K, H, W)` of an image `(H, W, C)`, at its size."""
        maps = [self._at(scale, image) for scale in self.scales]
        if len(maps) == 1:
            return maps[0]
        return np.maximum.reduce(maps) if self.merge == "max" else log_mean_probability(maps)

    def _at(self, scale: float, image: NDArray) -> NDArray[np.float32]:
        height, width = image.shape[:2]
        scaled = max(1, round(scale * height)), max(1, round(scale * width))
        # Real numbers, so that resized pixels are not rounded; at its own size the image is shown as it is.
        shown = image if scaled == (height, width) else resize_image(image.astype(np.float32), scaled)
        return resize_scores(self.predictor(shown), (height, width))
