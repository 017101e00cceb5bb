"""What people hold in their hands: a Model predicts pictures, a Segmentation is one picture's answer."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.data.sample import as_rgb, read_image
from pixelwise.errors import InputError, import_extra, unknown_name
from pixelwise.files import written_beside
from pixelwise.inference.contracts import Predictor
from pixelwise.inference.refined import Refined
from pixelwise.label_maps import overlay, write_label_map
from pixelwise.labels import LabelSpec
from pixelwise.refinement.presets import Preset, read_preset

if TYPE_CHECKING:
    from pixelwise.weights.checkpoint import Checkpoint

Picture = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]

_log = logging.getLogger("pixelwise")


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


def load(
    reference: str | os.PathLike[str], *, device: str | None = None, crf: str | os.PathLike[str] | None = None
) -> Model:
    """Load a model: a directory, a training run, or the name of a model of ours such as "animals".

    Names are looked up in the folder that the environment variable PIXELWISE_MODELS names, then in `models/` of a
    checkout of the project. The terms under which a model may be used are logged.

    crf  a CRF preset, by its name or file: its scores are those of the network refined by it; the record says so

    Raises `InputError` for what cannot be found or read, naming what there is.
    """
    folder = find_model(reference)
    preset = None if crf is None else read_preset(crf)
    import_extra("torch", extra="torch")
    from pixelwise.inference.predictors import WholeImage
    from pixelwise.weights.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(folder)
    if terms := checkpoint.record.get("recipe", {}).get("terms"):
        _log.warning("%s: %s", folder.name, terms)
    model = Model(WholeImage(checkpoint.network, device), checkpoint.label_spec, checkpoint.record, checkpoint)
    return model if preset is None else model.refined(preset)


def find_model(reference: str | os.PathLike[str]) -> Path:
    """The directory that a model's name, directory or run stands for; `InputError` naming what there is."""
    path = Path(reference)
    for folder in (path, path / "model"):
        if _is_model(folder):
            return folder
    if path.is_dir():
        raise InputError(f"{path}: no model in it (no config.json); give a model's directory or a finished run")
    if len(path.parts) == 1 and path.suffix == "":
        named = {
            folder.name: folder for place in _model_places() for folder in sorted(place.glob("*/")) if _is_model(folder)
        }
        if path.name in named:
            return named[path.name]
        if named:
            raise unknown_name("model", path.name, named)
        raise InputError(
            f"no model '{path.name}': it is no directory here, and no models lie beside this installation; "
            f"set PIXELWISE_MODELS to the folder models/ of a checkout of pixelwise"
        )
    raise InputError(f"{path}: no such model directory")


def _model_places() -> list[Path]:
    places = [Path(__file__).parents[3] / "models"]
    if wanted := os.environ.get("PIXELWISE_MODELS"):
        places.append(Path(wanted))  # later ones win
    return [place for place in places if place.is_dir()]


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


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
