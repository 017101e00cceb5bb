"""A predictor over a data set: one confusion matrix, and what became of the classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.dataset import DataSet
from pixelwise.errors import InputError
from pixelwise.evaluation.confusion import ConfusionMatrix
from pixelwise.inference.contracts import Predictor
from pixelwise.labels import MAIN


@dataclass(frozen=True)
class Matched:
    """A data set seen through a model's classes: the data, and the data's classes that the model does not know."""

    data: DataSet
    ignored: tuple[str, ...]


def match_classes(data: DataSet, names: Sequence[str]) -> Matched:
    """See `data` through a model's class `names`: classes correspond by name, others of the data are ignored and listed.

    Raises `InputError` if the data set has no such class for one of the model's.
    """
    theirs = data.label_spec.names
    if lacking := [name for name in names if name not in theirs]:
        raise InputError(
            f"the model's class '{lacking[0]}' is not a class of the data set ({', '.join(theirs)}): "
            f"rename it in classes.txt, or evaluate on data that has it"
        )
    return Matched(data.with_classes(names), tuple(name for name in theirs if name not in names))


def evaluate(
    predictor: Predictor,
    data: DataSet,
    *,
    part: int = 0,
    parts: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ConfusionMatrix:
    """Predict every image at its own size and count its pixels; `progress(done, of)` is told after each image.

    One of several processes takes its `part` of `parts`, every so many images; the matrices of all parts add up.
    """
    matrix = ConfusionMatrix(len(data.label_spec))
    indexes = range(part, len(data), parts)
    for done, (truth, predicted) in enumerate(_pairs(predictor, data, indexes), start=1):
        matrix.add(truth, predicted)
        if progress:
            progress(done, len(indexes))
    return matrix


def _pairs(
    predictor: Predictor, data: DataSet, indexes: range
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    for index in indexes:
        sample = data[index]
        if MAIN not in sample.labels:
            raise InputError(f"{sample.name}: has no label map to compare with; choose a split that has")
        yield sample.labels[MAIN], predictor(sample.image).argmax(0)
