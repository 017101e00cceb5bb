"""A foreign file of weights in, a checkpoint of ours out, with an account of what became of every layer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelwise.data.voc import VOC_CLASSES
from pixelwise.errors import InputError
from pixelwise.labels import LabelSpec
from pixelwise.models.published import create_model
from pixelwise.version import __version__
from pixelwise.weights.caffe import Taken, classes_in, load_caffe
from pixelwise.weights.caffemodel import CaffeLayer, read_caffemodel
from pixelwise.weights.card import imported_card
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig
from pixelwise.weights.imagenet import load_imagenet


@dataclass(frozen=True)
class Imported:
    """The checkpoint, and what became of the file's layers; of a classifier's `origin` says what its trunk gave."""

    checkpoint: Checkpoint
    taken: Taken
    origin: str


def import_weights(
    files: Sequence[Path], network: str, options: Mapping[str, Any] | None = None, label_spec: LabelSpec | None = None
) -> Imported:
    """The network of a released `.caffemodel`; GDN's also needs its two matrices, `w0.npy` and `w1.npy`, in this order.

    The file says how many classes there are. Without a `label_spec` 21 are PASCAL VOC's, others `class_0` and so on.

    Raises `InputError` for an unknown network or option, a file that is damaged or is not of this network, and a
    `label_spec` of another size.
    """
    path, *matrices = files
    with torch.device("meta"):  # which layers give scores, without memory for weights
        build = create_model(network, 2, **(options or {}))
    if path.suffix != ".caffemodel":
        raise InputError(
            f"{path}: expected a .caffemodel, the whole of a network; other files hold a trunk: add --init"
        )
    layers = read_caffemodel(path)
    if matrices:
        layers.append(_global_matrices(matrices))
    classes = classes_in(build, layers, str(path))
    label_spec = label_spec or _default_spec(classes)
    if len(label_spec) != classes:
        raise InputError(f"{path}: scores {classes} classes, but {len(label_spec)} are named: name as many")
    config = NetworkConfig(network, classes, dict(options or {}))
    built = config.build().eval()
    taken = load_caffe(built, layers, where=str(path))
    origin = f"{path.name}, imported whole"
    return Imported(_checkpoint(built, config, label_spec, files, origin, taken.notes), taken, origin)


def import_classifier(
    file: Path, network: str, label_spec: LabelSpec, options: Mapping[str, Any] | None = None
) -> Imported:
    """A network to start a training from: the trunk of an ImageNet classifier, and scores that know nothing yet.

    Raises `InputError` as `import_weights` and `load_imagenet` do.
    """
    config = NetworkConfig(network, len(label_spec), dict(options or {}))
    built = config.build().eval()
    origin = load_imagenet(built, file)
    note = "the scores are new: train it (--init-from) before predicting"
    taken = Taken({}, {}, (note,))
    return Imported(_checkpoint(built, config, label_spec, [file], origin, taken.notes), taken, origin)


def _global_matrices(files: Sequence[Path]) -> CaffeLayer:
    """GDN's two matrices as the arrays of its layer."""
    if len(files) != 2 or any(file.suffix != ".npy" for file in files):
        raise InputError(f"expected FILE, or FILE w0.npy w1.npy with GDN's two matrices, got {len(files)} more files")
    arrays = []
    for file in files:
        try:
            array = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{file}: not readable as an array; expected a .npy as NumPy writes it") from error
        if array.ndim != 2 or array.dtype.kind != "f":
            raise InputError(f"{file}: expected a matrix of floats, got {array.dtype} of shape {array.shape}")
        arrays.append(array.astype(np.float32))
    return CaffeLayer("gdn", "Python", tuple(arrays))


def _default_spec(classes: int) -> LabelSpec:
    return LabelSpec(VOC_CLASSES if classes == len(VOC_CLASSES) else tuple(f"class_{i}" for i in range(classes)))


def _checkpoint(
    network: Any, config: NetworkConfig, spec: LabelSpec, files: Sequence[Path], origin: str, notes: Sequence[str]
) -> Checkpoint:
    record = {
        "pixelwise": __version__,
        "imported_from": {file.name: _sha256(file) for file in files},
        "started_from": origin,
        "notes": list(notes),
    }
    return Checkpoint(network, config, spec, record, imported_card(config, spec, record))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
