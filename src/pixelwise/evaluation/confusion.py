"""The confusion matrix of a whole data set, and the field's four measures.

Source: FCN (PAMI 2017), section 5: pixel accuracy, mean accuracy, mean IU, frequency weighted IU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.labels import IGNORE


class ConfusionMatrix:
    """Pixels of true class i predicted as class j, summed over everything that was added.

    `counts` is `(K, K)` int64. Pixels whose truth is 255 are not counted. Two matrices add up, so several processes
    or resumed runs give the same numbers as one.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, truth: NDArray[np.uint8], predicted: NDArray) -> None:
        """Count one image: two label maps `(H, W)`.

        Raises `ValueError` if their sizes differ, or if a counted pixel is no class; a prediction must not be ignore.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} must cover the same pixels")
        classes = len(self.counts)
        counted = truth != IGNORE
        true, said = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
        for kind, labels in (("truth", true), ("prediction", said)):
            if labels.size and not 0 <= labels.min() <= labels.max() < classes:
                raise ValueError(f"the {kind} must hold classes 0..{classes - 1}, got {labels.min()}..{labels.max()}")
        self.counts += np.bincount(true * classes + said, minlength=classes**2).reshape(classes, classes)

    def __iadd__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        self.counts += other.counts
        return self

    def measures(self) -> Measures:
        """The numbers that follow from the counts."""
        return Measures.of(self.counts)


@dataclass(frozen=True)
class Measures:
    """Fractions in 0..1; NaN where there is nothing to measure.

    iou                     a class: hits / (truth + prediction - hits); NaN for a class in neither
    accuracy                a class: hits / truth (recall); NaN for a class not in the truth
    mean_iou                over the classes that are in the truth or in the prediction: a class that is predicted but
                            never true counts as 0, one that is in neither does not count
    mean_accuracy           over the classes in the truth
    pixel_accuracy          hits / pixels
    frequency_weighted_iou  IoU weighted by the class's share of the truth
    pixels                  pixels counted
    """

    iou: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    mean_iou: float
    mean_accuracy: float
    pixel_accuracy: float
    frequency_weighted_iou: float
    pixels: int

    @classmethod
    def of(cls, counts: NDArray[np.int64]) -> Measures:
        """From a confusion matrix `(K, K)`, truth in rows."""
        hits, truth, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
        iou = _ratio(hits, truth + predicted - hits)
        accuracy = _ratio(hits, truth)
        pixels = int(truth.sum())
        weighted = float((truth * np.nan_to_num(iou)).sum() / pixels) if pixels else float("nan")
        return cls(
            iou,
            accuracy,
            _mean(iou),
            _mean(accuracy),
            float(hits.sum() / pixels) if pixels else float("nan"),
            weighted,
            pixels,
        )

    def to_json(self) -> dict[str, Any]:
        """The same with None for NaN."""
        return {
            name: [_none_for_nan(one) for one in value] if isinstance(value, np.ndarray) else _none_for_nan(value)
            for name, value in vars(self).items()
        }


def _ratio(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _none_for_nan(value: float) -> float | None:
    return None if np.isnan(value) else value
