"""Label maps in, counts near boundaries out: the trimap curve, and how well boundaries are met.

Distances are exact and Euclidean, between the centres of pixels. NumPy is enough for them, since no distance beyond 40
pixels is asked for: a dependency on SciPy would bring no speed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.evaluation.confusion import means_of
from pixelwise.labels import IGNORE

REACH = 40  # DeepLab (ICLR 2015), figure 5: bands of up to 40 pixels
TOLERANCE = 3
"""Pixels by which a boundary may be missed and is still met."""


def boundary_distance(labels: NDArray, reach: int = REACH) -> NDArray[np.float32]:
    """How far each pixel `(H, W)` is from the nearest pixel with another label; infinity beyond `reach` pixels.

    The edge of the image is no boundary. Pixels to ignore are a label like any other: VOC draws its boundaries in it.
    Source: two passes over rows and columns, after Felzenszwalb & Huttenlocher, Theory of Computing 2012, for several
    labels at once: what is found in a column of another label is at distance 0 there.
    """
    beyond = reach**2 + 1
    column = np.full(labels.shape, beyond, np.int32)
    for step in range(min(reach, len(labels) - 1), 0, -1):  # nearer ones overwrite farther ones
        differs = labels[step:] != labels[:-step]
        column[step:][differs] = column[:-step][differs] = step**2
    squared = column.copy()
    for step in range(1, min(reach, labels.shape[1] - 1) + 1):
        for here, there in ((np.s_[:, step:], np.s_[:, :-step]), (np.s_[:, :-step], np.s_[:, step:])):
            found = np.where(labels[here] == labels[there], column[there], 0) + step**2
            np.minimum(squared[here], found, out=squared[here])
    distance = np.sqrt(squared, dtype=np.float32)
    distance[squared > reach**2] = np.inf
    return distance


def count_trimap(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Tallies `(40, 3, K)` of the pixels at distance w-1 < d <= w of a boundary of the truth, w = 1..40.

    See `tally_of` for a tally; a band is the sum of those up to its width. Label maps are `(H, W)`.
    """
    distance = boundary_distance(truth)
    near = (truth != IGNORE) & (distance <= REACH)
    ring = np.ceil(distance[near]).astype(np.int64) - 1
    true, said = truth[near], predicted[near]
    kinds = ((true[true == said], ring[true == said]), (true, ring), (said, ring))
    counts = [np.bincount(rings * classes + values, minlength=REACH * classes) for values, rings in kinds]
    return np.stack(counts).reshape(3, REACH, classes).swapaxes(0, 1).astype(np.int64)


@dataclass(frozen=True)
class Trimap:
    """Measures of the pixels within a band around boundaries, for bands of growing width.

    widths    1..40, pixels on either side of a boundary
    accuracy  pixel accuracy within each band `(40,)`, NaN where it holds no pixel
    mean_iou  mean IoU within each band `(40,)`
    pixels    labelled pixels in each band `(40,)`

    Source: Kohli et al., IJCV 2009; DeepLab (ICLR 2015), section 5.2.
    """

    widths: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    mean_iou: NDArray[np.float64]
    pixels: NDArray[np.int64]

    @classmethod
    def of(cls, counts: NDArray[np.int64], chosen: Sequence[int], absent: str = "present") -> Trimap:
        """From tallies `(40, 3, K)` as `count_trimap` gives them, over the classes `chosen`."""
        bands = counts.cumsum(0)
        means = means_of(bands, np.isin(np.arange(counts.shape[-1]), chosen), absent)
        pixels = bands[:, 1, list(chosen)].sum(-1)
        return cls(np.arange(1, len(counts) + 1), means["pixel_accuracy"], means["mean_iou"], pixels)


def count_boundaries(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Boundary pixels a class `(4, K)`: predicted ones that are met, all predicted, true ones that are met, all true.

    A boundary pixel of a class is one of its pixels with another label above, below, left or right; it is met if the
    other map has a boundary pixel of that class within 3 pixels. Where the truth is ignored, a predicted one that is met
    counts and another one does not: nobody said what is there.
    """
    counts = np.zeros((4, classes), np.int64)
    rims = [boundary_distance(labels, reach=1) <= 1 for labels in (truth, predicted)]
    for label in np.union1d(np.unique(truth), np.unique(predicted)):
        if label == IGNORE:
            continue
        of_truth, of_prediction = rims[0] & (truth == label), rims[1] & (predicted == label)
        met = of_prediction & _near(of_truth)
        counts[:, label] = (
            met.sum(),
            (of_prediction & ((truth != IGNORE) | met)).sum(),
            (of_truth & _near(of_prediction)).sum(),
            of_truth.sum(),
        )
    return counts


def _near(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether one of `pixels` `(H, W)` lies within the tolerance."""
    return pixels | (boundary_distance(pixels, reach=TOLERANCE) <= TOLERANCE)


@dataclass(frozen=True)
class BoundaryF1:
    """How well boundaries are met within 3 pixels; NaN where there is nothing to measure.

    precision, recall, f1   a class `(K,)`: shares of predicted and of true boundary pixels that are met, and their
                            harmonic mean
    mean_f1                 over the chosen classes that have a boundary in truth or prediction

    Boundary pixels are summed over the whole set, as pixels are in the confusion matrix. Source: Csurka et al., BMVC
    2013, who allow 0.75 % of the image's diagonal instead (4.7 pixels of 500 x 375) and take means over images.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    mean_f1: float

    @classmethod
    def of(cls, counts: NDArray[np.int64], chosen: Sequence[int]) -> BoundaryF1:
        """From counts `(4, K)` as `count_boundaries` gives them, with the mean over the classes `chosen`."""
        met, predicted, found, true = counts.astype(np.float64)
        with np.errstate(invalid="ignore"):
            precision, recall = met / predicted, found / true
            f1 = 2 * precision * recall / (precision + recall)
        # A class on one side only, or that meets nothing, has a boundary and misses all of it.
        f1[(predicted + true > 0) & np.isnan(f1)] = 0
        known = [f1[place] for place in chosen if not np.isnan(f1[place])]
        return cls(precision, recall, f1, float(np.mean(known)) if known else float("nan"))
