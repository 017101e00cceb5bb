"""The value that an evaluation is: counts of every image, that add up; every number of a report follows from it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, unknown_name
from pixelwise.evaluation.boundary import BoundaryF1, Trimap
from pixelwise.evaluation.calibration import Calibration
from pixelwise.evaluation.confusion import Measures, means_of, tally_of
from pixelwise.evaluation.sizes import SizeBuckets
from pixelwise.labels import MAIN

BACKGROUND, OBJECT = "background", "object"
THOROUGH = ("trimap", "boundary", "calibration", "sizes")
"""The counts that are made on request only."""


@dataclass(frozen=True)
class Evaluation:
    """What was counted of one head's predictions on a set of images; whole numbers only, so parts add up exactly.

    classes      the names of the K classes, in the order of all counts
    images       the names of the N images that were counted
    confusion    `(K, K)` pixels of true class i predicted as class j, over all images
    tallies      `(N, 3, K)` an image: hits, truth and prediction in pixels, a class; see `tally_of`
    trimap       `(40, 3, K)` tallies of the pixels by their distance to a boundary: see `Trimap.of`
    boundary     `(4, K)` boundary pixels that were met, and all: see `BoundaryF1.of`
    calibration  `(15, 3)` pixels by confidence: see `Calibration.of`
    sizes        `(6, 4, K)` objects by size: see `SizeBuckets.of`
    head         the head of the network, and of the label maps, that was compared
    facts        what was evaluated on what, for people: `model`, `data`, `split` and whatever else belongs in a report

    The four from `trimap` on are None where they were not asked for; `calibration` also where no scores were at hand.
    """

    classes: tuple[str, ...]
    images: tuple[str, ...]
    confusion: NDArray[np.int64]
    tallies: NDArray[np.int64]
    trimap: NDArray[np.int64] | None = None
    boundary: NDArray[np.int64] | None = None
    calibration: NDArray[np.int64] | None = None
    sizes: NDArray[np.int64] | None = None
    head: str = MAIN
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_none(cls, classes: Sequence[str], head: str = MAIN) -> Self:
        """Of no image at all: what a process has that is one of more processes than images."""
        count = len(classes)
        return cls(tuple(classes), (), np.zeros((count, count), np.int64), np.zeros((0, 3, count), np.int64), head=head)

    @classmethod
    def of_image(
        cls, classes: Sequence[str], image: str, confusion: NDArray[np.int64], head: str = MAIN, **rest: Any
    ) -> Self:
        """Of one image: its confusion matrix `(K, K)`, and as `rest` whichever of the costlier counts there are."""
        return cls(tuple(classes), (image,), confusion, tally_of(confusion)[None], head=head, **rest)

    @classmethod
    def merged(cls, parts: Sequence[Evaluation]) -> Self:
        """The sum of evaluations of different images, in their order; a count that one part lacks is None.

        Raises `InputError` where classes or heads differ, or where an image was counted twice.
        """
        parts = [part for part in parts if part.images] or parts[:1]
        first = parts[0]
        images = tuple(image for part in parts for image in part.images)
        if other := [part for part in parts if (part.classes, part.head) != (first.classes, first.head)]:
            raise InputError(
                f"cannot add evaluations of different classes: {_kind(first)} and {_kind(other[0])}; "
                f"evaluate them apart"
            )
        if len(set(images)) != len(images):
            twice = next(image for place, image in enumerate(images) if image in images[:place])
            raise InputError(f"the image '{twice}' is counted twice; merge parts that share no image")
        sums: dict[str, Any] = {
            name: _sum([getattr(part, name) for part in parts]) for name in ("confusion", *THOROUGH)
        }
        tallies = np.concatenate([part.tallies for part in parts])
        return cls(first.classes, images, tallies=tallies, head=first.head, facts=first.facts, **sums)

    def in_order(self, images: Sequence[str]) -> Self:
        """The same with its images in the order of `images`, which must be the same ones: intervals depend on it."""
        places = {image: place for place, image in enumerate(self.images)}
        return replace(self, images=tuple(images), tallies=self.tallies[[places[image] for image in images]])

    def of_objects(self) -> Evaluation:
        """The same predictions with all classes but `background` taken as one, `object`: how well objects are found, whatever
        they are called. The costlier counts are not in it. Raises `InputError` without such a class.
        """
        (index,) = self.positions((BACKGROUND,))
        pixels = self.tallies[:, 1].sum(-1)
        hits, truth, predicted = self.tallies[:, :, index].T
        neither = pixels - truth - predicted + hits  # an object in truth and prediction
        confusions = np.array([[hits, truth - hits], [predicted - hits, neither]]).transpose(2, 0, 1)
        return Evaluation(
            (BACKGROUND, OBJECT), self.images, confusions.sum(0), tally_of(confusions), head=self.head, facts=self.facts
        )

    @property
    def counts(self) -> NDArray[np.int64]:
        """The confusion matrix, by the name it has in `ConfusionMatrix`."""
        return self.confusion

    def positions(self, classes: Sequence[str] | None) -> tuple[int, ...]:
        """The indexes of classes by name, None for all; `InputError` for a name that is none of them."""
        for name in classes or ():
            if name not in self.classes:
                raise unknown_name("class", name, self.classes)
        return tuple(self.classes.index(name) for name in (self.classes if classes is None else classes))

    @property
    def foreground(self) -> tuple[str, ...]:
        """The names of all classes but `background`."""
        return tuple(name for name in self.classes if name != BACKGROUND)

    def measures(self, classes: Sequence[str] | None = None, absent: str = "present") -> Measures:
        """The headline numbers, from one confusion matrix over the set; means over `classes` by name (None = all).

        For `absent` see `ABSENT_RULES`.
        """
        return Measures.of(self.confusion, self.positions(classes), absent)

    def of_images(
        self, classes: Sequence[str] | None = None, absent: str = "present"
    ) -> dict[str, NDArray[np.float64]]:
        """The four measures of each image by itself, `(N,)` each, by the names they have in `Measures`; NaN for none.

        Good for finding images. Their mean is NOT the mean IoU of the set: it weighs images, not pixels.
        """
        chosen = np.isin(np.arange(len(self.classes)), self.positions(classes))
        return means_of(self.tallies, chosen, absent)

    def mean_of_image_ious(self, classes: Sequence[str] | None = None, absent: str = "present") -> float | None:
        """The mean over images of each one's own mean IoU; None where no image has one. Not the mean IoU of the set."""
        own = self.of_images(classes, absent)["mean_iou"]
        return None if np.isnan(own).all() else float(np.nanmean(own))

    def confused_pairs(self, count: int = 10) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: (true class, predicted class, pixels), most pixels first, none with 0."""
        mistakes = self.confusion - np.diag(np.diag(self.confusion))
        order = np.argsort(-mistakes, axis=None, kind="stable")[:count]
        pairs = [(int(place) // len(self.classes), int(place) % len(self.classes)) for place in order]
        return [(self.classes[i], self.classes[j], int(mistakes[i, j])) for i, j in pairs if mistakes[i, j]]

    def trimap_curve(self, classes: Sequence[str] | None = None, absent: str = "present") -> Trimap | None:
        """Accuracy and mean IoU within 1..40 pixels of boundaries, or None where it was not counted."""
        return None if self.trimap is None else Trimap.of(self.trimap, self.positions(classes), absent)

    def boundary_f1(self, classes: Sequence[str] | None = None) -> BoundaryF1 | None:
        """How well boundaries are met, a class and in the mean, or None where it was not counted."""
        return None if self.boundary is None else BoundaryF1.of(self.boundary, self.positions(classes))

    def reliability(self) -> Calibration | None:
        """Confidence against accuracy, and ECE, or None where it was not counted."""
        return None if self.calibration is None else Calibration.of(self.calibration)

    def size_buckets(self, classes: Sequence[str] | None = None) -> SizeBuckets | None:
        """How well small and large objects are met, or None where it was not counted."""
        return None if self.sizes is None else SizeBuckets.of(self.sizes, self.positions(classes))

    def to_json(self) -> dict[str, Any]:
        """All of it for `json.dumps`; counts as the places that are not 0, for most are."""
        counts = {name: getattr(self, name) for name in ("confusion", "tallies", *THOROUGH)}
        return {
            "classes": list(self.classes),
            "images": list(self.images),
            "head": self.head,
            "facts": dict(self.facts),
            **{name: _packed(array) for name, array in counts.items() if array is not None},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        arrays = {name: _unpacked(record[name]) for name in ("confusion", "tallies", *THOROUGH) if name in record}
        return cls(
            tuple(record["classes"]),
            tuple(record["images"]),
            head=record["head"],
            facts=record["facts"],
            **arrays,
        )


def _kind(part: Evaluation) -> str:
    return f"{', '.join(part.classes)} (head {part.head})"


def _sum(arrays: Sequence[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    there = [array for array in arrays if array is not None]
    return functools.reduce(np.add, there) if len(there) == len(arrays) else None


def _packed(array: NDArray[np.int64]) -> dict[str, list[int]]:
    flat = array.ravel()
    places = np.flatnonzero(flat)
    return {"shape": list(array.shape), "places": places.tolist(), "counts": flat[places].tolist()}


def _unpacked(record: Mapping[str, Sequence[int]]) -> NDArray[np.int64]:
    shape = tuple(record["shape"])
    flat = np.zeros(int(np.prod(shape)), np.int64)
    flat[np.array(record["places"], np.intp)] = record["counts"]
    return flat.reshape(shape)
