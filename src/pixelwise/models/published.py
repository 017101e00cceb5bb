"""Every network by name, in about ten lines each; each number stands with its source."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any

from pixelwise.errors import InputError, unknown_name
from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite, context_head
from pixelwise.models.backbones.vgg import CLASSIFIER_CHANNELS, VGG, convolutional_classifier, scaled
from pixelwise.models.decoders.skip import SkipDecoder
from pixelwise.models.network import Network, Normalise

CAFFE_MEAN = (122.67892, 116.66877, 104.00699)
"""ImageNet's mean pixel in RGB order, as FCN, DeconvNet and DeepLab subtract it. Source: FCN's released `voc_layers.py`."""


def create_model(name: str, classes: int, **options: Any) -> Network:
    """Build a network by name with `classes` outputs; weights are random, scores start at zero.

    Raises `InputError` for an unknown name (with the nearest one), an option the network does not have, or no classes.
    """
    if name not in _NETWORKS:
        raise unknown_name("network", name, _NETWORKS)
    if classes < 1:
        raise InputError(f"a network needs at least 1 class, got {classes}")
    try:
        return _NETWORKS[name](classes, **options)
    except (TypeError, ValueError) as error:
        if not options or isinstance(error, InputError):
            raise
        if "unexpected keyword" in str(error):
            option = str(error).split("argument")[-1].strip()
            raise InputError(f"network '{name}' has no such option: {option}") from error
        raise InputError(f"network '{name}' cannot be built with the options {options} ({error})") from error


def list_models(pattern: str = "*") -> list[str]:
    """The names that `create_model` knows, in order; `pattern` as in a shell: `fcn*`."""
    return [name for name in _NETWORKS if fnmatch.fnmatch(name, pattern)]


def _fcn_vgg16(skips: int) -> Callable[..., Network]:
    def build(classes: int, *, width: float = 1.0) -> Network:
        trunk = VGG(width=width)
        fine_to_coarse = trunk.channels[:-1]
        decoder = SkipDecoder(
            classes,
            convolutional_classifier(trunk.channels[-1], width=width),
            [scaled(CLASSIFIER_CHANNELS, width), *fine_to_coarse[::-1][:skips]],
            trunk.grids[::-1][: skips + 1],
        )
        return Network(Normalise(CAFFE_MEAN, (1.0, 1.0, 1.0), bgr=True), trunk, decoder)

    return build


def _fcn_lite0(skips: int) -> Callable[..., Network]:
    def build(classes: int, *, context: int = 256) -> Network:
        trunk = EfficientNetLite()
        decoder = SkipDecoder(
            classes,
            context_head(trunk.channels[-1], context),
            [context, *trunk.channels[:-1][::-1][:skips]],
            trunk.grids[::-1][: skips + 1],
            border=1,
        )
        # Mean and scale of the TensorFlow release: pixels in about -1..1.
        return Network(Normalise((127.0,) * 3, (128.0,) * 3), trunk, decoder)

    return build


_NETWORKS: dict[str, Callable[..., Network]] = {
    "fcn32s_vgg16": _fcn_vgg16(skips=0),
    "fcn16s_vgg16": _fcn_vgg16(skips=1),
    "fcn8s_vgg16": _fcn_vgg16(skips=2),
    "fcn32s_lite0": _fcn_lite0(skips=0),
    "fcn16s_lite0": _fcn_lite0(skips=1),
    "fcn8s_lite0": _fcn_lite0(skips=2),
}
