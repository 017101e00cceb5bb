"""Scores and truth in, counts by confidence out: how often the model is right where it is sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.labels import IGNORE

BINS = 15  # Guo et al., ICML 2017, section 4: 15 bins of equal width
UNIT = 2**24
"""Confidences are summed in whole parts of this size, a float32's own precision: sums of parts are then exact."""


def count_calibration(truth: NDArray[np.uint8], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Counts `(15, 3)` by confidence: labelled pixels, those predicted right, and the sum of confidences in 2^-24.

    `scores` are logits `(K, H, W)`, `truth` a label map `(H, W)`. Bin b holds confidences in (b/15, (b+1)/15].
    """
    counted = truth != IGNORE
    known = scores[:, counted]
    best = known.argmax(0)
    powers = np.exp(known - known.max(0))
    confidence = 1 / powers.sum(0, dtype=np.float64)
    place = (np.ceil(confidence * BINS).astype(np.intp) - 1).clip(0, BINS - 1)
    parts = np.rint(confidence * UNIT).astype(np.int64)
    counts = np.zeros((BINS, 3), np.int64)
    counts[:, 0] = np.bincount(place, minlength=BINS)
    counts[:, 1] = np.bincount(place[best == truth[counted]], minlength=BINS)
    # Sums of whole numbers below 2^53 are exact in the float64 that bincount adds in: 2^29 pixels an image.
    counts[:, 2] = np.bincount(place, weights=parts, minlength=BINS)
    return counts


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy, by bins of confidence; NaN where a bin is empty.

    edges       `(16,)` of the bins, 0..1
    share       of the pixels in each bin `(15,)`
    confidence  its mean in each bin `(15,)`
    accuracy    the share of pixels that are right in each bin `(15,)`
    ece         expected calibration error: the mean over pixels of |accuracy - confidence| of their bin

    Source: Guo et al., ICML 2017, section 2.
    """

    edges: NDArray[np.float64]
    share: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    ece: float

    @classmethod
    def of(cls, counts: NDArray[np.int64]) -> Calibration:
        """From counts `(15, 3)` as `count_calibration` gives them."""
        pixels, right, sure = counts.astype(np.float64).T
        with np.errstate(invalid="ignore"):
            share, confidence, accuracy = pixels / pixels.sum(), sure / UNIT / pixels, right / pixels
        gaps = share * np.abs(accuracy - confidence)
        ece = float(np.nansum(gaps)) if pixels.any() else float("nan")
        return cls(np.linspace(0, 1, len(counts) + 1), share, confidence, accuracy, ece)
