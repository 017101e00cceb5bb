"""The network of DeconvNet (Noh, Hong & Han, ICCV 2015)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from pixelwise.models.backbones.vgg import CLASSIFIER_CHANNELS, VGG, VGG16_STAGES
from pixelwise.models.decoders.deconvnet import INITIAL_SPREAD, DeconvDecoder
from pixelwise.models.layers import scaled
from pixelwise.models.network import Network
from pixelwise.models.published.fcn import caffe_normalise

EPSILON = 1e-9
"""What is added to the variance in a batch norm. Source: `bn_layer.cpp` of the released Caffe."""

INITIAL_SHIFT = 0.001
"""What the shift of a batch norm begins with; its scale begins with 1. Source: the released `stage_1_train.prototxt`."""


def _norm(channels: int) -> nn.BatchNorm2d:
    """Between every layer and its ReLU. The running statistics are ours: the released Caffe layer keeps none."""
    norm = nn.BatchNorm2d(channels, eps=EPSILON)
    nn.init.constant_(norm.bias, INITIAL_SHIFT)
    return norm


def _vgg16(
    classes: int,
    *,
    width: float = 1.0,
    decoder_width: float | None = None,
    batch_norm: bool = True,
    unpooling: str = "switches",
    initial_spread: float | None = INITIAL_SPREAD,
) -> Network:
    norm = _norm if batch_norm else None
    narrower = width if decoder_width is None else decoder_width
    trunk = VGG(width=width, norm=norm, taps=(0, len(VGG16_STAGES)), switches=unpooling == "switches")
    hidden = scaled(CLASSIFIER_CHANNELS, narrower)
    decoder = DeconvDecoder(
        classes, trunk, hidden, width=narrower / width, norm=norm, unpooling=unpooling, spread=initial_spread
    )
    return Network(caffe_normalise(), trunk, decoder, decoder.sizes)


NETWORKS: Mapping[str, Callable[..., Network]] = {"deconvnet_vgg16": _vgg16}
