"""The confusion matrix of a whole data set, and the field's measures that follow from it.

Source: FCN (PAMI 2017), section 5: pixel accuracy, mean accuracy, mean IU, frequency weighted IU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import unknown_name
from pixelwise.labels import IGNORE

AbsentRule = Literal["present", "truth", "zero", "one"]
ABSENT_RULES: Mapping[str, str] = {
    "present": "a class in neither truth nor prediction does not count, one that is predicted but never true counts as 0",
    "truth": "a class that is not in the truth does not count, predicted or not",
    "zero": "every class counts, and what cannot be measured counts as 0",
    "one": "every class counts, and what cannot be measured counts as 1",
}
"""What a class that is absent does to a mean, in words for people; `present` is the rule of FCN's score.py."""

LABELS = 256
"""So many values a label map of 8 bits can hold."""


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
        self.counts += count_confusion(truth, predicted, len(self.counts))

    def __iadd__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        self.counts += other.counts
        return self

    def measures(self, chosen: Sequence[int] | None = None, absent: str = "present") -> Measures:
        """The numbers that follow from the counts; for the arguments see `Measures.of`."""
        return Measures.of(self.counts, chosen, absent)


def count_confusion(truth: NDArray[np.uint8], predicted: NDArray, classes: int) -> NDArray[np.int64]:
    """Pixels of true class i predicted as class j, `(K, K)` int64, of two label maps `(H, W)`; see `ConfusionMatrix`."""
    if truth.shape != predicted.shape:
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} must cover the same pixels")
    # All pairs of 8-bit labels are counted, and what is not among the classes shows outside the corner: no pixel is
    # looked at twice.
    said = predicted if predicted.dtype == np.uint8 else _as_labels(predicted, truth != IGNORE, classes)
    pairs = np.bincount((truth.astype(np.uint16) << 8 | said).ravel(), minlength=LABELS**2).reshape(LABELS, LABELS)
    counted = pairs[:IGNORE]
    for kind, found in (("truth", counted.any(1)), ("prediction", counted.any(0))):
        _refuse_others(kind, np.flatnonzero(found), classes)
    return counted[:classes, :classes].astype(np.int64)


def _as_labels(predicted: NDArray, counted: NDArray[np.bool_], classes: int) -> NDArray[np.uint8]:
    """Wider whole numbers as 8 bits; where the pixel does not count, whatever they are."""
    values = predicted[counted]
    if values.size:
        _refuse_others("prediction", np.array([values.min(), values.max()]), classes)
    return predicted.astype(np.uint8)


def _refuse_others(kind: str, values: NDArray, classes: int) -> None:
    if values.size and not 0 <= values.min() <= values.max() < classes:
        raise ValueError(f"the {kind} must hold classes 0..{classes - 1}, got {values.min()}..{values.max()}")


def tally_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """What the measures need of confusion matrices `(..., K, K)`: hits, truth and prediction a class, `(..., 3, K)`."""
    return np.stack([np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)], axis=-2)


@dataclass(frozen=True)
class Measures:
    """Fractions in 0..1; NaN where there is nothing to measure.

    iou                     a class: hits / (truth + prediction - hits); NaN for a class in neither
    accuracy                a class: hits / truth (recall); NaN for a class not in the truth
    precision               a class: hits / prediction; NaN for a class that is not predicted
    mean_iou                over the chosen classes that count by the rule for absent ones
    mean_accuracy           over the chosen classes in the truth; `zero` and `one` count the others as that
    pixel_accuracy          hits / pixels
    frequency_weighted_iou  IoU weighted by the class's share of the truth
    pixels                  labelled pixels counted: those whose true class is chosen
    chosen                  a class: whether it was to count in the means
    absent                  the rule for absent classes, a key of `ABSENT_RULES`
    """

    iou: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    precision: NDArray[np.float64]
    mean_iou: float
    mean_accuracy: float
    pixel_accuracy: float
    frequency_weighted_iou: float
    pixels: int
    chosen: NDArray[np.bool_]
    absent: str = "present"

    @classmethod
    def of(cls, counts: NDArray[np.int64], chosen: Sequence[int] | None = None, absent: str = "present") -> Measures:
        """From a confusion matrix `(K, K)`, truth in rows.

        `chosen` are the classes to take means and pixels over (None = all): a pixel of a chosen class that is predicted
        as another one is still wrong. `absent` is a key of `ABSENT_RULES`; raises `InputError` for another word.
        """
        return cls.of_tally(tally_of(counts), chosen, absent)

    @classmethod
    def of_tally(
        cls, tally: NDArray[np.int64], chosen: Sequence[int] | None = None, absent: str = "present"
    ) -> Measures:
        """The same from hits, truth and prediction a class, `(3, K)`."""
        picked = np.ones(tally.shape[-1], bool) if chosen is None else np.isin(np.arange(tally.shape[-1]), chosen)
        summary = means_of(tally, picked, absent)
        iou, accuracy, precision = ratios_of(tally)
        return cls(
            iou,
            accuracy,
            precision,
            **{name: float(value) for name, value in summary.items()},
            pixels=int(tally[1, picked].sum()),
            chosen=picked,
            absent=absent,
        )

    @property
    def counting(self) -> NDArray[np.bool_]:
        """A class `(K,)`: whether it does count in `mean_iou`, chosen and not left out by the rule for absent ones."""
        undefined = {"present": np.isnan(self.iou), "truth": np.isnan(self.accuracy)}
        return self.chosen & ~undefined.get(self.absent, np.zeros(len(self.iou), bool))

    def to_json(self) -> dict[str, Any]:
        """The same with None for NaN."""
        return {
            name: [_none_for_nan(one) for one in value.tolist()]
            if isinstance(value, np.ndarray)
            else _none_for_nan(value)
            for name, value in vars(self).items()
        }


def ratios_of(tally: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """IoU, accuracy (recall) and precision a class, each `(..., K)`, from tallies `(..., 3, K)`; NaN for 0 / 0."""
    hits, truth, predicted = (tally[..., kind, :] for kind in range(3))
    return _ratio(hits, truth + predicted - hits), _ratio(hits, truth), _ratio(hits, predicted)


def means_of(tally: NDArray, chosen: NDArray[np.bool_], absent: str) -> dict[str, NDArray[np.float64]]:
    """The field's four measures, by the names they have in `Measures`, each `(...)`, from tallies `(..., 3, K)`.

    One tally or thousands of them: images, or samples of a bootstrap. For `chosen` `(K,)` and `absent` see `Measures`.
    """
    if absent not in ABSENT_RULES:
        raise unknown_name("rule for absent classes", absent, ABSENT_RULES)
    tally = tally[..., chosen]
    hits, truth = tally[..., 0, :], tally[..., 1, :]
    iou, accuracy, _ = ratios_of(tally)
    pixels = truth.sum(-1)
    weighted = (truth * np.nan_to_num(iou)).sum(-1)
    return {
        "mean_iou": _mean(_under_rule(iou, truth, absent)),
        "mean_accuracy": _mean(_under_rule(accuracy, truth, absent)),
        "pixel_accuracy": _ratio(hits.sum(-1), pixels),
        "frequency_weighted_iou": _ratio(weighted, pixels),
    }


def _under_rule(values: NDArray[np.float64], truth: NDArray, absent: str) -> NDArray[np.float64]:
    """Values a class, with NaN for those that the mean leaves out."""
    match absent:
        case "truth":
            return np.where(truth > 0, values, np.nan)
        case "zero":
            return np.nan_to_num(values, nan=0.0)
        case "one":
            return np.nan_to_num(values, nan=1.0)
        case _:
            return values


def _ratio(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(-1), known.sum(-1))


def _none_for_nan(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value
