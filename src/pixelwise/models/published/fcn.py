"""The networks of FCN (Shelhamer, Long & Darrell, PAMI 2017), and its decoder on a laptop's trunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite, context_head
from pixelwise.models.backbones.vgg import CLASSIFIER_CHANNELS, VGG, convolutional_classifier, scaled
from pixelwise.models.decoders.skip import SkipDecoder
from pixelwise.models.network import Network, Normalise

CAFFE_MEAN = (122.67892, 116.66877, 104.00699)
"""ImageNet's mean pixel in RGB order, as FCN, DeconvNet and DeepLab subtract it. Source: FCN's released `voc_layers.py`."""

FIRST_PADDING = 100
"""Of conv1_1: makes the network valid for every image side from 1 on. Source: FCN's released `net.py`."""


def caffe_normalise() -> Normalise:
    """What networks with Caffe weights are shown: BGR, less the mean pixel, not divided by anything."""
    return Normalise(CAFFE_MEAN, (1.0, 1.0, 1.0), bgr=True)


def _vgg16(classes: int, *, skips: int, width: float = 1.0) -> Network:
    trunk = VGG(width=width, first_padding=FIRST_PADDING)
    decoder = SkipDecoder(
        classes,
        convolutional_classifier(trunk.channels[-1], width=width),
        [scaled(CLASSIFIER_CHANNELS, width), *trunk.channels[-2::-1][:skips]],
        trunk.grids[::-1][: skips + 1],
    )
    return Network(caffe_normalise(), trunk, decoder)


def _lite0(classes: int, *, skips: int, context: int = 256) -> Network:
    trunk = EfficientNetLite()
    decoder = SkipDecoder(
        classes,
        context_head(trunk.channels[-1], context),
        [context, *trunk.channels[-2::-1][:skips]],
        trunk.grids[::-1][: skips + 1],
        border=1,
    )
    # Mean and scale of the TensorFlow release: pixels in about -1..1.
    return Network(Normalise((127.0,) * 3, (128.0,) * 3), trunk, decoder)


NETWORKS: Mapping[str, Callable[..., Network]] = {
    "fcn32s_vgg16": partial(_vgg16, skips=0),
    "fcn16s_vgg16": partial(_vgg16, skips=1),
    "fcn8s_vgg16": partial(_vgg16, skips=2),
    "fcn32s_lite0": partial(_lite0, skips=0),
    "fcn16s_lite0": partial(_lite0, skips=1),
    "fcn8s_lite0": partial(_lite0, skips=2),
}
