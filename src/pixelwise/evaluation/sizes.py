"""Label maps in, counts of objects by their size out: are small objects met as well as large ones?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.objects import connected_pieces
from pixelwise.labels import IGNORE

SIDES = (16, 32, 64, 128, 256)
"""Bounds of the buckets: the side in pixels of the square that has the object's area."""

SPECK = 10
"""Connected pieces of fewer pixels are crumbs of the drawing, no objects: VOC's masks hold thousands of single pixels."""

Labels = NDArray[np.uint8]


def count_sizes(
    truth: Labels, predicted: Labels, instances: NDArray[np.int32] | None, classes: int, background: int | None = None
) -> NDArray[np.int64]:
    """Objects of the truth by size and class `(6, 4, K)`: objects, those found, their pixels, and the pixels met.

    An object is what one instance covers of one class; where there are no `instances` `(H, W)`, a connected piece of at
    least 10 pixels (diagonals connect) of any class but `background`. It is found if at least half of its pixels have its
    class in the prediction. Label maps are `(H, W)`; what is to be ignored is part of no object.
    """
    counted = truth != IGNORE
    if instances is None:
        counted &= truth != (IGNORE if background is None else background)
        pieces = connected_pieces(np.where(counted, truth, IGNORE))
    else:
        counted &= instances > 0
        pieces = instances
    true, met = truth[counted].astype(np.int64), (truth == predicted)[counted]
    _, first, member = np.unique(pieces[counted].astype(np.int64) * 256 + true, return_index=True, return_inverse=True)
    areas, hits = np.bincount(member), np.bincount(member[met], minlength=len(first))
    place = np.searchsorted([side**2 for side in SIDES], areas, side="right") * classes + true[first]
    taken = areas >= (SPECK if instances is None else 1)
    columns = (taken, taken & (2 * hits >= areas), taken * areas, taken * hits)
    counts = [np.bincount(place, weights=column, minlength=(len(SIDES) + 1) * classes) for column in columns]
    return np.stack(counts).reshape(4, -1, classes).swapaxes(0, 1).astype(np.int64)


@dataclass(frozen=True)
class SizeBuckets:
    """How well objects are met, by their size; one entry a bucket, small to large; NaN where a bucket is empty.

    bounds    (from, below) as sides in pixels of the square of the same area; the last one is open: infinity
    objects   how many there are `(6,)`
    found     the share of them of which at least half of the pixels are met `(6,)`
    accuracy  the share of their pixels that are met `(6,)`
    """

    bounds: tuple[tuple[float, float], ...]
    objects: NDArray[np.int64]
    found: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @classmethod
    def of(cls, counts: NDArray[np.int64], chosen: Sequence[int]) -> SizeBuckets:
        """From counts `(6, 4, K)` as `count_sizes` gives them, over the classes `chosen`."""
        objects, found, pixels, hits = counts[..., list(chosen)].sum(-1).T
        edges = (0.0, *SIDES, float("inf"))
        with np.errstate(invalid="ignore"):
            return cls(tuple(pairwise(edges)), objects, found / objects, hits / pixels)
