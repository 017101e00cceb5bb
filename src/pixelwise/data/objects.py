"""A labelled sample in, its objects out: each a tight box and a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.sample import Sample
from pixelwise.errors import InputError, import_extra
from pixelwise.labels import IGNORE, MAIN, LabelSpec

BACKGROUND = "background"
"""The class, by name, that is made of no objects; a data set without it has objects everywhere."""

SMALLEST_PIECE = 64
"""Pixels of the smallest connected piece that is taken for an object; ours. Smaller ones are crumbs of the drawing."""


@dataclass(frozen=True)
class Objects:
    """The objects of a sample: tight boxes `(N, 4)` int64 as `(y0, x0, y1, x1)` half-open, and class indexes `(N,)`."""

    boxes: NDArray[np.int64]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)


def background_of(spec: LabelSpec) -> int | None:
    """The index of the class called background, or None."""
    return spec.names.index(BACKGROUND) if BACKGROUND in spec.names else None


def objects_of(sample: Sample, spec: LabelSpec, smallest_piece: int = SMALLEST_PIECE) -> Objects:
    """The objects of a sample, whose label map has the classes of `spec`.

    Where the sample has instances, each is an object, of the class that most of its pixels have; what is ignored or
    background belongs to none. Elsewhere objects are the connected pieces (diagonals connect) of `smallest_piece` pixels
    or more of each class but background; things of one class that touch are then one. Raises `InputError` for a sample
    without labels.
    """
    if MAIN not in sample.labels:
        raise InputError(f"{sample.name}: has no label map to find objects in; choose a split that has")
    labels = sample.labels[MAIN]
    background = background_of(spec)
    counted = (labels != IGNORE) & (labels != (IGNORE if background is None else background))
    if sample.instances is None:
        return _pieces(np.where(counted, labels, IGNORE), smallest_piece)
    return _instances(np.where(counted, sample.instances, 0), labels, len(spec))


def _instances(instances: NDArray[np.int32], labels: NDArray[np.uint8], classes: int) -> Objects:
    rows, columns = np.nonzero(instances)
    numbers, member = np.unique(instances[rows, columns], return_inverse=True)
    votes = np.bincount(member * classes + labels[rows, columns], minlength=len(numbers) * classes)
    boxes = np.full((len(numbers), 4), (*instances.shape, 0, 0), np.int64)
    for side, (end, places) in enumerate([(0, rows), (0, columns), (1, rows), (1, columns)]):
        (np.maximum if end else np.minimum).at(boxes[:, side], member, places + end)
    return Objects(boxes, votes.reshape(-1, classes).argmax(1).astype(np.int64))


def _pieces(labels: NDArray[np.uint8], smallest: int) -> Objects:
    cv2 = import_extra("cv2", extra="proposals")
    boxes, classes = [np.zeros((0, 4), np.int64)], [np.zeros(0, np.int64)]
    for label in np.unique(labels[labels != IGNORE]):
        _, _, found, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8), connectivity=8)
        x0, y0, wide, high, area = found[1:].astype(np.int64).T  # the first is what has another label
        tight = np.stack([y0, x0, y0 + high, x0 + wide], axis=1)[area >= smallest]
        boxes.append(tight)
        classes.append(np.full(len(tight), label, np.int64))
    return Objects(np.concatenate(boxes), np.concatenate(classes))
