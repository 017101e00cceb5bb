"""A proposer over a data set: which part of the objects its first so many boxes find.

Source: EdgeBoxes (Zitnick & Dollár, ECCV 2014), section 4: recall against the number of boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.dataset import DataSet
from pixelwise.data.objects import SMALLEST_PIECE, objects_of
from pixelwise.errors import InputError
from pixelwise.geometry import intersection_over_union
from pixelwise.proposals.boxes import Proposer

THRESHOLDS = (0.5, 0.7)
"""Intersection over union from which a box finds an object. Source: EdgeBoxes, section 4."""

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
"""Numbers of boxes to tell recalls at."""


@dataclass(frozen=True)
class Recall:
    """What a proposer finds of the objects of a data set.

    thresholds  intersection over union from which a box finds an object `(T,)`
    ranks       for each threshold and object, the place from 1 on of the first box that finds it `(T, N)`; infinity: none
    images      how many images there are
    """

    thresholds: tuple[float, ...]
    ranks: NDArray[np.float64]
    images: int

    @property
    def objects(self) -> int:
        """How many objects there are."""
        return self.ranks.shape[1]

    def at(self, count: int) -> tuple[float, ...]:
        """The part of the objects, 0..1, that the first `count` boxes of each image find; one a threshold."""
        return tuple(float(part) for part in (self.ranks <= count).mean(axis=1))


def measure_recall(
    proposer: Proposer,
    data: DataSet,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    smallest_piece: int = SMALLEST_PIECE,
    progress: Callable[[int, int], None] | None = None,
) -> Recall:
    """Propose for every image and see at which rank each object is found; `progress(done, of)` is told after each.

    Objects are those of `pixelwise.data.objects`. Raises `InputError` if the data set has none, or a threshold is not
    between 0 and 1.
    """
    if not thresholds or not all(0 < threshold <= 1 for threshold in thresholds):
        raise InputError(f"expected thresholds above 0, up to 1, got {list(thresholds)}: choose others")
    ranks = [np.zeros((len(thresholds), 0))]
    for done in range(len(data)):
        sample = data[done]
        objects = objects_of(sample, data.label_spec, smallest_piece)
        if len(objects):
            overlaps = intersection_over_union(proposer(sample.image).boxes, objects.boxes)
            ranks.append(np.stack([_first(overlaps >= threshold) for threshold in thresholds]))
        if progress:
            progress(done + 1, len(data))
    joined = np.concatenate(ranks, axis=1)
    if joined.shape[1] == 0:
        raise InputError(
            f"no object in the {len(data):,} images: `pixelwise check` says which classes their masks hold"
        )
    return Recall(tuple(thresholds), joined, len(data))


def _first(found: NDArray[np.bool_]) -> NDArray[np.float64]:
    """In each column of `(M, N)` the place of the first True, from 1 on."""
    places = np.where(found, np.arange(1, len(found) + 1)[:, None], np.inf)
    return places.min(axis=0, initial=np.inf)
