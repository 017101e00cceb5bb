"""A labelled sample in, its objects out: each a tight box and a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.sample import Sample
from pixelwise.errors import InputError
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
    if sample.instances is not None:
        return _objects(np.where(counted, sample.instances, 0), labels, len(spec))
    pieces = connected_pieces(np.where(counted, labels, IGNORE))
    large = np.bincount(pieces.ravel()) >= smallest_piece
    return _objects(np.where(counted & large[pieces], pieces + 1, 0), labels, len(spec))


def _objects(instances: NDArray[np.int32], labels: NDArray[np.uint8], classes: int) -> Objects:
    """The box of every number but 0 in `instances` `(H, W)`, and the class that most of its pixels have."""
    rows, columns = np.nonzero(instances)
    numbers, member = np.unique(instances[rows, columns], return_inverse=True)
    votes = np.bincount(member * classes + labels[rows, columns], minlength=len(numbers) * classes)
    boxes = np.full((len(numbers), 4), (*instances.shape, 0, 0), np.int64)
    for side, (end, places) in enumerate([(0, rows), (0, columns), (1, rows), (1, columns)]):
        (np.maximum if end else np.minimum).at(boxes[:, side], member, places + end)
    return Objects(boxes, votes.reshape(-1, classes).argmax(1).astype(np.int64))


def connected_pieces(labels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Number the connected pieces of equal label in `(H, W)`, from 0 on; neighbours are all eight.

    Pieces are made of runs: stretches of equal label in a row. Runs that touch take the lowest number among them, until
    nothing changes.
    """
    width = labels.shape[1]
    begins = np.ones(labels.shape, bool)
    begins[:, 1:] = labels[:, 1:] != labels[:, :-1]
    run = begins.ravel().cumsum().reshape(labels.shape) - 1
    touching = []
    for shift in (-1, 0, 1):
        above = np.s_[:-1, max(0, shift) : width + min(0, shift)]
        below = np.s_[1:, max(0, -shift) : width + min(0, -shift)]
        same = (labels[above] == labels[below]) & (begins[above] | begins[below])  # once for each pair of runs
        touching.append(np.stack([run[above][same], run[below][same]]))
    one, other = np.concatenate(touching, axis=1)
    lowest = np.arange(run.max() + 1)
    while (lowest[one] != lowest[other]).any():
        least = np.minimum(lowest[one], lowest[other])
        for ends in (lowest[one], lowest[other]):  # the roots of both sides learn of the lower one
            np.minimum.at(lowest, ends, least)
        while (lowest != lowest[lowest]).any():
            lowest = lowest[lowest]
    return np.unique(lowest, return_inverse=True)[1].astype(np.int32)[run]
