"""pixelwise: semantic segmentation from FCN to DeepLab.

The rooms, in the order in which data flows:

labels, label_maps   the words for classes; label maps as files and pictures
geometry             coordinates of feature maps, boxes, sizes
data                 disk -> samples
models               tensors -> scores
proposals            image -> boxes that may hold an object
weights              files -> parameters
refinement           an image and scores -> better scores
training             samples and a network -> a model directory
inference            image -> scores; the Model
evaluation           scores and labels -> numbers
cli                  the command line

Public names are loaded when they are first used, so that importing this costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pixelwise.version import __version__

if TYPE_CHECKING:
    from pixelwise.data.layouts import open_data
    from pixelwise.errors import InputError
    from pixelwise.evaluation.confusion import ConfusionMatrix
    from pixelwise.evaluation.evaluate import evaluate
    from pixelwise.inference.loading import load
    from pixelwise.inference.model import Model, Segmentation
    from pixelwise.labels import LabelSpec
    from pixelwise.models.published import create_model, list_models
    from pixelwise.refinement.dense_crf import DenseCRF
    from pixelwise.refinement.energies import Bilateral, Features, Gaussian
    from pixelwise.refinement.trainable import TrainableCRF

_HOMES = {
    "InputError": "pixelwise.errors",
    "LabelSpec": "pixelwise.labels",
    "open_data": "pixelwise.data.layouts",
    "create_model": "pixelwise.models.published",
    "list_models": "pixelwise.models.published",
    "DenseCRF": "pixelwise.refinement.dense_crf",
    "Bilateral": "pixelwise.refinement.energies",
    "Features": "pixelwise.refinement.energies",
    "Gaussian": "pixelwise.refinement.energies",
    "TrainableCRF": "pixelwise.refinement.trainable",
    "Model": "pixelwise.inference.model",
    "Segmentation": "pixelwise.inference.model",
    "load": "pixelwise.inference.loading",
    "ConfusionMatrix": "pixelwise.evaluation.confusion",
    "evaluate": "pixelwise.evaluation.evaluate",
}

__all__ = [
    "Bilateral",
    "ConfusionMatrix",
    "DenseCRF",
    "Features",
    "Gaussian",
    "InputError",
    "LabelSpec",
    "Model",
    "Segmentation",
    "TrainableCRF",
    "__version__",
    "create_model",
    "evaluate",
    "list_models",
    "load",
    "open_data",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pixelwise' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return __all__
