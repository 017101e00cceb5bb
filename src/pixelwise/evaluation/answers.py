"""Samples in, what is said of them out: by a predictor, or by label maps that any program has left in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.listing import refuse_missing
from pixelwise.data.sample import Sample
from pixelwise.errors import InputError
from pixelwise.inference.contracts import Predictor
from pixelwise.label_maps import read_label_map, write_label_map
from pixelwise.labels import LabelSpec, read_classes, write_classes

CLASSES = "classes.txt"
CACHED = 2**15
"""So many pixels are looked at together: few enough to stay in a processor's cache."""


@dataclass(frozen=True)
class Answer:
    """What is said of one sample.

    labels  `(H, W)` uint8, the class of every pixel
    scores  `(K, H, W)` float32 logits, or None where only the labels are known
    where   what to call it in an error: a file; the sample's name where it is empty
    """

    labels: NDArray[np.uint8]
    scores: NDArray[np.float32] | None = None
    where: str = ""


Answerer = Callable[[Sample], Answer]


@dataclass(frozen=True)
class Predictions:
    """A folder that holds `NAME.png`, the predicted classes of sample NAME at its size, and `classes.txt`.

    Every form of label map is read that data sets are read in.
    """

    folder: Path
    label_spec: LabelSpec

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Predictions:
        """Open a folder; raises `InputError` where `classes.txt` is missing or wrong."""
        path = Path(folder)
        if not (path / CLASSES).is_file():
            raise InputError(
                f"{path}: a folder of predictions needs {CLASSES}, which says what their values mean: write one "
                f"'value name' a line, or copy that of the data where the values are the same"
            )
        return cls(path, read_classes(path / CLASSES))

    @classmethod
    def begin(cls, folder: Path, label_spec: LabelSpec) -> Predictions:
        """A folder to write to; raises `InputError` if it holds predictions of other classes."""
        path = folder / CLASSES
        if path.exists() and read_classes(path).names != label_spec.names:
            raise InputError(f"{path}: holds other classes than the model has; choose another folder")
        write_classes(path, label_spec)
        return cls(folder, LabelSpec(label_spec.names, label_spec.colours))

    def path(self, name: str) -> Path:
        """Where the label map of a sample lies; names hold `/` where a data set has folders."""
        return self.folder / f"{name}.png"

    def refuse_missing(self, names: Sequence[str], split: str) -> None:
        """Raise one `InputError` that counts the samples without a label map."""
        there = {name for name in names if self.path(name).is_file()}
        refuse_missing(self.folder, split, names, {"NAME.png with its prediction": there})

    def write(self, name: str, labels: NDArray[np.uint8]) -> None:
        """Write the label map of a sample, whole or not at all."""
        write_label_map(self.path(name), labels, self.label_spec)

    def answer(self, sample: Sample) -> Answer:
        """The predicted classes of a sample; `InputError` naming the file if it cannot be read or holds other values."""
        path = self.path(sample.name)
        return Answer(read_label_map(path, self.label_spec), where=str(path))


def answers_of(source: Predictor | Predictions) -> Answerer:
    """What answers for samples: kept predictions as they are, of a predictor the best class of every pixel and the scores."""
    if isinstance(source, Predictions):
        return source.answer
    predictor = source

    def answer(sample: Sample) -> Answer:
        scores = predictor(sample.image)
        return Answer(best_classes(scores), scores)

    return answer


def best_classes(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The class with the highest score, the first of equals: what `scores.argmax(0)` is, in a fraction of its time.

    `scores` are `(K, H, W)`, the answer is `(H, W)`. NumPy's own takes the K scores of a pixel together, which lie far apart.
    """
    _, height, width = scores.shape
    labels = np.zeros((height, width), np.uint8)
    rows = max(1, CACHED // width)
    for begin in range(0, height, rows):
        part, best = np.ascontiguousarray(scores[:, begin : begin + rows]), labels[begin : begin + rows]
        highest = part[0].copy()
        for place in range(1, len(part)):
            better = (part[place] > highest).view(np.uint8)
            np.maximum(best, better * np.uint8(place), out=best)  # places grow, so the later one is the greater one
            np.maximum(highest, part[place], out=highest)
    return labels


def is_predictions(reference: str) -> bool:
    """Whether a word is a folder of predictions rather than a model: it holds label maps, and no model."""
    from pixelwise.inference.loading import is_model

    folder = Path(reference)
    if not folder.is_dir() or is_model(folder) or is_model(folder / "model"):
        return False
    return (folder / CLASSES).is_file() or next(folder.rglob("*.png"), None) is not None
