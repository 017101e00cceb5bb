"""A training in progress in, what TensorBoard shows out: curves, and pictures of validation predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.data.dataset import DataSet
from pixelwise.errors import import_extra
from pixelwise.inference.contracts import Predictor
from pixelwise.label_maps import overlay
from pixelwise.labels import MAIN, LabelSpec

if TYPE_CHECKING:
    from pixelwise.training.loop import Progress

PICTURES = 4
"""So many samples are shown, the same ones at every validation."""

LONGEST_SIDE = 400
"""Pictures are brought to this many pixels: large enough for a legend, small enough for one a sample and validation."""


class Board:
    """Writes TensorBoard's files of one run into a folder.

    A run that goes on writes into the same folder; what was written there for steps that are taken again is not shown
    any more. Raises `InputError` if TensorBoard is not installed.
    """

    def __init__(self, folder: Path, label_spec: LabelSpec) -> None:
        import_extra("tensorboard", extra="tensorboard")
        self.folder = folder
        self.label_spec = label_spec
        self._writer: Any = None
        self._pictures: dict[str, NDArray[np.uint8]] = {}

    def look(self, predictor: Predictor, data: DataSet) -> None:
        """Predict a few samples of the validation set; the next `tell` writes them with its step."""
        for index in np.unique(np.linspace(0, len(data) - 1, PICTURES).round().astype(int)):
            sample = data[int(index)]
            predicted = predictor(sample.image).argmax(0).astype(np.uint8)
            self._pictures[sample.name] = side_by_side(sample.image, sample.labels[MAIN], predicted, self.label_spec)

    def tell(self, progress: Progress, images_per_second: float | None) -> None:
        """Write a step's numbers, and the pictures since the step before."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), purge_step=progress.step)
        numbers = {"loss/all": progress.loss, "learning rate": progress.rate}
        if len(progress.parts) > 1:
            numbers |= {f"loss/{name}": part for name, part in progress.parts.items()}
        if images_per_second is not None:
            numbers["images per second"] = images_per_second
        if progress.score is not None:
            numbers["validation/mIoU"] = progress.score
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, progress.step)
        for name, picture in self._pictures.items():
            self._writer.add_image(f"image, truth, prediction/{name}", picture, progress.step, dataformats="HWC")
        self._pictures.clear()

    def close(self) -> None:
        """Write out what is still held back."""
        if self._writer is not None:
            self._writer.close()


def side_by_side(
    image: NDArray[np.uint8], truth: NDArray[np.uint8], predicted: NDArray[np.uint8], spec: LabelSpec
) -> NDArray[np.uint8]:
    """Image `(H, W, 3)`, its truth and its prediction `(H, W)` as one picture of three, each `LONGEST_SIDE` long."""
    height, width = truth.shape
    factor = LONGEST_SIDE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    resized = np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    tinted = [
        overlay(resized, np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)), spec)
        for labels in (truth, predicted)
    ]
    gap = np.full((size[1], 4, 3), 255, np.uint8)
    return np.concatenate([resized, gap, tinted[0], gap, tinted[1]], axis=1)
