"""What people hold in their hands: a Model predicts pictures, a Segmentation is one picture's answer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.data.sample import as_rgb, read_image
from pixelwise.errors import InputError
from pixelwise.files import written_beside
from pixelwise.inference.contracts import Predictor
from pixelwise.inference.refined import Refined
from pixelwise.label_maps import overlay, write_label_map
from pixelwise.labels import LabelSpec
from pixelwise.refinement.presets import Preset

if TYPE_CHECKING:
    from pixelwise.weights.checkpoint import Checkpoint

Picture = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]


@dataclass(frozen=True)
class Segmentation:
    """The answer for one picture.

    image       `(H, W, 3)` uint8, as it was understood
    labels      `(H, W)` uint8, the best class of every pixel
    scores      `(K, H, W)` float32 logits
    label_spec  what the classes are
    name        what its files are called
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    scores: NDArray[np.float32]
    label_spec: LabelSpec
    name: str = "image"

    def areas(self) -> dict[str, float]:
        """The share of the picture, 0..1, that each class found in it covers, largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.label_spec))
        shares = {
            name: float(counts[i] / self.labels.size) for i, name in enumerate(self.label_spec.names) if counts[i]
        }
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def probabilities(self) -> NDArray[np.float32]:
        """Softmax of the scores, `(K, H, W)`: how sure the model is; sums to 1 over the classes."""
        powers = np.exp(self.scores - self.scores.max(0))
        return powers / powers.sum(0)

    def overlay(self, *, opacity: float = 0.5, legend: bool = True) -> NDArray[np.uint8]:
        """The picture `(H, W, 3)` tinted by its classes."""
        return overlay(self.image, self.labels, self.label_spec, opacity=opacity, legend=legend)

    def save(
        self, directory: str | os.PathLike[str], *, with_overlay: bool = True, with_probabilities: bool = False
    ) -> Path:
        """Write NAME.png (indexes with palette) and, on request, NAME_overlay.jpg and NAME_probabilities.npz.

        Returns the label map's path. Every file is written whole or not at all.
        """
        folder = Path(directory)
        label_map = folder / f"{self.name}.png"
        write_label_map(label_map, self.labels, self.label_spec)
        if with_overlay:
            with written_beside(folder / f"{self.name}_overlay.jpg") as beside:
                Image.fromarray(self.overlay()).save(beside, quality=92)
        if with_probabilities:
            with written_beside(folder / f"{self.name}_probabilities.npz") as beside:
                names = np.array(self.label_spec.names)
                np.savez_compressed(beside, probabilities=self.probabilities().astype(np.float16), classes=names)
        return label_map


@dataclass(frozen=True)
class Model:
    """A predictor with the names of its classes, and the record of how it was made."""

    predictor: Predictor
    label_spec: LabelSpec
    record: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    """The network behind it, where there is one: what `save_pretrained` writes."""

    def predict(self, picture: Picture) -> Segmentation:
        """Segment a path, a PIL image or an array `(H, W, 3)` or `(H, W)` uint8, at its own size.

        Raises `InputError` for what is no picture.
        """
        name = Path(picture).stem if isinstance(picture, str | os.PathLike) else "image"
        image = _as_rgb(picture)
        scores = self.predictor(image)
        assert scores.shape == (len(self.label_spec), *image.shape[:2])
        return Segmentation(image, scores.argmax(0).astype(np.uint8), scores, self.label_spec, name)

    def refined(self, preset: Preset) -> Model:
        """The same with a dense CRF behind the network; `record["crf"]` says which."""
        from pixelwise.refinement.dense_crf import DenseCRF  # brings numba, which only this needs

        predictor = Refined(self.predictor, DenseCRF.preset(preset))
        return replace(self, predictor=predictor, record={**self.record, "crf": asdict(preset)})

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write the model's directory: weights, configuration and card; `load` reads it. A CRF is no part of it."""
        if self.checkpoint is None:
            raise InputError("this model has no network of its own to save")
        from pixelwise.weights.checkpoint import save_checkpoint

        save_checkpoint(directory, self.checkpoint)


def _as_rgb(picture: Picture) -> NDArray[np.uint8]:
    if isinstance(picture, str | os.PathLike):
        return read_image(picture)
    if isinstance(picture, Image.Image):
        return as_rgb(picture, where="the picture")
    array = np.asarray(picture)
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise InputError(
            f"expected a picture (H, W, 3) uint8, got {array.shape} {array.dtype}; scale it to 0..255 first"
        )
    if array.ndim == 2:
        array = array[..., None]
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else np.ascontiguousarray(array[..., :3])
