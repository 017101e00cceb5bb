"""An evaluation in, its numbers side by side out: what the pages show, and what is written for machines.

Nothing is computed here: every number is asked of the evaluation, once.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from pixelwise.evaluation.bootstrap import MEASURES, Interval, difference, interval
from pixelwise.evaluation.boundary import BoundaryF1, Trimap
from pixelwise.evaluation.calibration import Calibration
from pixelwise.evaluation.confusion import ABSENT_RULES, Measures
from pixelwise.evaluation.evaluation import Evaluation
from pixelwise.evaluation.sizes import SizeBuckets

TITLES = {
    "mean_iou": "Mean IoU",
    "mean_accuracy": "Mean accuracy",
    "pixel_accuracy": "Pixel accuracy",
    "frequency_weighted_iou": "Frequency weighted IoU",
    "mean_boundary_f1": "Mean boundary F1",
    "ece": "Calibration error (ECE)",
}

DEFINITIONS = {
    "mean_iou": "IoU of a class: pixels that are it and are predicted so, by pixels that are it or are predicted so, both "
    "summed over all images. The mean is taken over classes, once.",
    "mean_accuracy": "Accuracy of a class, also called recall: the share of its pixels that are predicted so. The mean is "
    "taken over classes.",
    "pixel_accuracy": "The share of all labelled pixels that are predicted right.",
    "frequency_weighted_iou": "The mean of the classes' IoU, each weighted by its share of the labelled pixels.",
    "mean_boundary_f1": "How well boundaries are met within 3 pixels: the harmonic mean of the shares of predicted and of "
    "true boundary pixels that are met. The mean over classes.",
    "ece": "How far confidence is from the share of pixels that are right, in the mean over pixels, by 15 bins of confidence. "
    "Smaller is better.",
}


@dataclass(frozen=True)
class Judged:
    """One model's numbers on one set of images; `classes` and `absent` say what the means are taken over.

    `intervals` holds one of the four `MEASURES` each; `per_image` their values of every image by itself, `(N,)`. The
    last four are None where they were not counted.
    """

    name: str
    evaluation: Evaluation
    measures: Measures
    intervals: Mapping[str, Interval]
    per_image: Mapping[str, Any]
    trimap: Trimap | None
    boundary: BoundaryF1 | None
    calibration: Calibration | None
    sizes: SizeBuckets | None

    @classmethod
    def of(
        cls, name: str, evaluation: Evaluation, classes: Sequence[str] | None = None, absent: str = "present"
    ) -> Self:
        """Ask an evaluation for everything a page shows; `classes` by name (None = all), `absent` as in `ABSENT_RULES`."""
        return cls(
            name,
            evaluation,
            evaluation.measures(classes, absent),
            {measure: interval(evaluation, measure, classes=classes, absent=absent) for measure in MEASURES},
            evaluation.of_images(classes, absent),
            evaluation.trimap_curve(classes, absent),
            evaluation.boundary_f1(classes),
            evaluation.reliability(),
            evaluation.size_buckets(classes),
        )

    @property
    def headline(self) -> dict[str, Interval]:
        """The numbers to begin with, by their keys in `TITLES`; those without an interval have NaN bounds."""
        more = {}
        if self.boundary is not None:
            more["mean_boundary_f1"] = self.boundary.mean_f1
        if self.calibration is not None:
            more["ece"] = self.calibration.ece
        return {**self.intervals, **{key: Interval(value, math.nan, math.nan) for key, value in more.items()}}

    @property
    def counted_over(self) -> str:
        """What the means are taken over, in words."""
        chosen, counting = int(self.measures.chosen.sum()), int(self.measures.counting.sum())
        listed = "all" if chosen == len(self.evaluation.classes) else f"{chosen} of {len(self.evaluation.classes)}"
        left_out = f", {chosen - counting} of them absent and left out" if counting < chosen else ""
        return f"Means are over {listed} classes{left_out}. Absent classes: {ABSENT_RULES[self.measures.absent]}."

    def ranked(self) -> list[int]:
        """The positions of the images by their own mean IoU, best first; without those where there is none."""
        values = self.per_image["mean_iou"]
        return [int(place) for place in np.argsort(-values, kind="stable") if not np.isnan(values[place])]

    def to_json(self) -> dict[str, Any]:
        """Every number of the page, for `json.dumps`: NaN and infinity as None, counts and names included."""
        evaluation = self.evaluation
        truth = evaluation.confusion.sum(1)
        per_class = [
            {
                "name": name,
                "iou": self.measures.iou[index],
                "accuracy": self.measures.accuracy[index],
                "precision": self.measures.precision[index],
                "pixels": int(truth[index]),
                "in_means": bool(self.measures.counting[index]),
            }
            for index, name in enumerate(evaluation.classes)
        ]
        more = {name: getattr(self, name) for name in ("trimap", "boundary", "calibration", "sizes")}
        return _plain(
            {
                "model": self.name,
                "facts": dict(evaluation.facts),
                "head": evaluation.head,
                "images": len(evaluation.images),
                "pixels": self.measures.pixels,
                "means_over": self.counted_over,
                **{
                    key: {"title": TITLES[key], "definition": DEFINITIONS[key], **vars(one)}
                    for key, one in self.headline.items()
                },
                "classes": per_class,
                "confusion": evaluation.confusion,
                "confused_pairs": evaluation.confused_pairs(),
                **{name: vars(value) for name, value in more.items() if value is not None},
            }
        )


@dataclass(frozen=True)
class Difference:
    """One model's numbers less those of another, `later` minus `first`, with intervals over the same draws of images."""

    first: str
    later: str
    intervals: Mapping[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """The same for `json.dumps`."""
        numbers = {measure: vars(one) for measure, one in self.intervals.items()}
        return _plain({"model": self.later, "minus": self.first, **numbers})


def differences(judged: Sequence[Judged]) -> list[Difference]:
    """What each of several models has over the first of them; none where there is only one.

    Raises `InputError` if they were not counted on the same images and classes.
    """
    first = judged[0]
    over = [name for name, chosen in zip(first.evaluation.classes, first.measures.chosen, strict=True) if chosen]
    rule = first.measures.absent
    return [
        Difference(
            first.name,
            one.name,
            {
                measure: difference(first.evaluation, one.evaluation, measure, classes=over, absent=rule)
                for measure in MEASURES
            },
        )
        for one in judged[1:]
    ]


def per_image_csv(judged: Sequence[Judged]) -> str:
    """The four measures of every image by itself as CSV, a line an image and model; empty where there is nothing to measure.

    Their mean is not the mean IoU of the set: it weighs images, not pixels.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "image", "pixels", *MEASURES])
    for one in judged:
        pixels = one.evaluation.tallies[:, 1].sum(-1)
        for place, image in enumerate(one.evaluation.images):
            values = (float(one.per_image[measure][place]) for measure in MEASURES)
            writer.writerow(
                [one.name, image, int(pixels[place]), *("" if math.isnan(v) else f"{v:.6f}" for v in values)]
            )
    return text.getvalue()


def _plain(value: Any) -> Any:
    """Values as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
