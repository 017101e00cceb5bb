"""The networks of FCN (Shelhamer, Long & Darrell, PAMI 2017), and its decoder on a laptop's trunk.

What their builders take beside the number of classes:

    width               a factor for every channel count
    null_background     the first class has no classifier, its score is 0: section 6 of the paper
    fusion              how skips are joined: "sum" as published, or "max", which section 4.3 tried
    learned_upsampling  whether the enlarging layers between maps learn: the paper says yes, the release no
    heads               further heads, name -> names of classes, on the same trunk: SIFT Flow's geometry, section 5
    channels, mean      of the image, and the value of each channel that is nothing: depth beside RGB, say
    decoder_width       a factor for the channels of fc6 and fc7 in place of `width`

VGG's 32s take `fusion` and `learned_upsampling` too, though they have nothing to join: 16s and 8s start from 32s of
the same options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from pixelwise.errors import InputError
from pixelwise.geometry import SizeRule
from pixelwise.labels import MAIN
from pixelwise.models.backbones.alexnet import AlexNet
from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite, context_head
from pixelwise.models.backbones.googlenet import GoogLeNet
from pixelwise.models.backbones.vgg import (
    CLASSIFIER_CHANNELS,
    VGG,
    VGG16_STAGES,
    VGG19_STAGES,
    Stage,
    convolutional_classifier,
)
from pixelwise.models.decoders.skip import SkipDecoder
from pixelwise.models.layers import scaled
from pixelwise.models.network import Network, Normalise

CAFFE_MEAN = (122.67892, 116.66877, 104.00699)
"""ImageNet's mean pixel in RGB order, as FCN, DeconvNet and GDN subtract it. Source: FCN's released `voc_layers.py`."""

FIRST_PADDING = 100
"""Of conv1_1: makes the network valid for every image side from 1 on. Source: FCN's released `net.py`."""

AT_ONCE = (0.01, 0.0001)
"""What pool4 and pool3 are multiplied by when all strides learn together. Source: FCN's `voc-fcn8s-atonce/net.py`."""


def caffe_normalise(channels: int = 3, mean: Sequence[float] | None = None) -> Normalise:
    """What networks with Caffe weights are shown: BGR, less the mean pixel, not divided by anything.

    Raises `InputError` unless there is one mean a channel; ImageNet's are known for three.
    """
    if mean is None and channels == len(CAFFE_MEAN):
        mean = CAFFE_MEAN
    if mean is None or len(mean) != channels:
        raise InputError(
            f"an image of {channels} channels needs {channels} means, got {'none' if mean is None else len(mean)}: "
            f"add mean=[...], in the order of the channels"
        )
    return Normalise(tuple(mean), (1.0,) * channels, bgr=True)


def lite_normalise() -> Normalise:
    """What EfficientNet-Lite0 is shown: pixels in about -1..1."""
    return Normalise((127.0,) * 3, (128.0,) * 3)  # Source: the TensorFlow release of EfficientNet-Lite


def convolutionalised(weight: Tensor, channels: int, kernel: int) -> Tensor:
    """The weight `(O, channels * kernel * kernel)` of a fully connected layer as a convolution's `(O, channels, kernel, kernel)`.

    The layer had read a map `(channels, kernel, kernel)` laid out flat, columns fastest, as Caffe and PyTorch do; so the
    numbers keep their order. Raises `InputError` where the sizes differ.

    Source: FCN (PAMI 2017), section 3.1, and its released `surgery.py`.
    """
    if weight.ndim != 2 or weight.shape[1] != channels * kernel**2:
        raise InputError(
            f"a fully connected layer on {channels} x {kernel} x {kernel} numbers has weights (O, {channels * kernel**2}), "
            f"got {tuple(weight.shape)}: take the weights of another layer"
        )
    return weight.reshape(-1, channels, kernel, kernel)


# What makes a network the one of its name is positional: options cannot change it.


def _vgg(
    stages: tuple[Stage, ...], skips: int, factors: tuple[float, ...], /, classes: int, *, width: float = 1.0,
    decoder_width: float | None = None, fusion: str = "sum", learned_upsampling: bool = False, null_background: bool = False,
    heads: Mapping[str, Sequence[str]] | None = None, channels: int = 3, mean: Sequence[float] | None = None,
) -> Network:  # fmt: skip
    trunk = VGG(stages, width=width, channels_in=channels, first_padding=FIRST_PADDING)
    narrower = width if decoder_width is None else decoder_width
    decoder = SkipDecoder(
        classes,
        convolutional_classifier(trunk.channels[-1], width=narrower),
        [scaled(CLASSIFIER_CHANNELS, narrower), *trunk.channels[-2::-1][:skips]],
        trunk.grids[::-1][: skips + 1],
        fusion=fusion,
        factors=factors,
        learned=learned_upsampling,
        null_background=null_background,
        others=_counted(heads),
    )
    return Network(caffe_normalise(channels, mean), trunk, decoder)


def _counted(heads: Mapping[str, Sequence[str]] | None) -> dict[str, int]:
    """How many classes each further head has."""
    for name, classes in (heads or {}).items():
        if name == MAIN or not name.isidentifier() or isinstance(classes, str) or not classes:
            raise InputError(
                f"heads are names other than '{MAIN}' with their classes, such as geometric: [sky, horizontal, vertical], "
                f"got {name}: {classes}"
            )
    return {name: len(classes) for name, classes in (heads or {}).items()}


def _vgg_to_a_pool(
    stages: tuple[Stage, ...], /, classes: int, *, width: float = 1.0,
    channels: int = 3, mean: Sequence[float] | None = None,
) -> Network:  # fmt: skip
    trunk = VGG(stages, width=width, channels_in=channels, first_padding=FIRST_PADDING, taps=(len(stages),))
    decoder = SkipDecoder(classes, nn.Sequential(), trunk.channels, trunk.grids)
    return Network(caffe_normalise(channels, mean), trunk, decoder)


def _alexnet(classes: int, *, width: float = 1.0, channels: int = 3, mean: Sequence[float] | None = None) -> Network:
    trunk = AlexNet(width=width, channels_in=channels, first_padding=FIRST_PADDING)
    head = convolutional_classifier(trunk.channels[-1], kernel=6, width=width)  # Source: FCN's `voc-fcn-alexnet/net.py`
    decoder = SkipDecoder(classes, head, [scaled(CLASSIFIER_CHANNELS, width)], trunk.grids)
    return Network(caffe_normalise(channels, mean), trunk, decoder)


def _googlenet(classes: int, *, width: float = 1.0, channels: int = 3, mean: Sequence[float] | None = None) -> Network:
    trunk = GoogLeNet(width=width, channels_in=channels)
    decoder = SkipDecoder(classes, nn.Sequential(), trunk.channels, trunk.grids)
    # 31 pixels are the fewest that leave every pool a cell to look at; there is no padding of 100 to help.
    return Network(caffe_normalise(channels, mean), trunk, decoder, sizes=SizeRule(minimum=31))


def _lite0(
    skips: int, /, classes: int, *, width: float = 1.0, context: int = 256,
    fusion: str = "sum", learned_upsampling: bool = False, null_background: bool = False,
    heads: Mapping[str, Sequence[str]] | None = None,
) -> Network:  # fmt: skip
    trunk = EfficientNetLite(width=width)
    context = scaled(context, width)
    decoder = SkipDecoder(
        classes,
        context_head(trunk.channels[-1], context),
        [context, *trunk.channels[-2::-1][:skips]],
        trunk.grids[::-1][: skips + 1],
        border=1,
        fusion=fusion,
        learned=learned_upsampling,
        null_background=null_background,
        others=_counted(heads),
    )
    return Network(lite_normalise(), trunk, decoder)


NETWORKS: Mapping[str, Callable[..., Network]] = {
    "fcn32s_vgg16": partial(_vgg, VGG16_STAGES, 0, ()),
    "fcn16s_vgg16": partial(_vgg, VGG16_STAGES, 1, ()),
    "fcn8s_vgg16": partial(_vgg, VGG16_STAGES, 2, ()),
    "fcn8s_atonce_vgg16": partial(_vgg, VGG16_STAGES, 2, AT_ONCE),
    "fcn_pool5_vgg16": partial(_vgg_to_a_pool, VGG16_STAGES),
    "fcn_pool4_vgg16": partial(_vgg_to_a_pool, VGG16_STAGES[:4]),
    "fcn_pool3_vgg16": partial(_vgg_to_a_pool, VGG16_STAGES[:3]),
    "fcn32s_vgg19": partial(_vgg, VGG19_STAGES, 0, ()),
    "fcn16s_vgg19": partial(_vgg, VGG19_STAGES, 1, ()),
    "fcn8s_vgg19": partial(_vgg, VGG19_STAGES, 2, ()),
    "fcn32s_alexnet": _alexnet,
    "fcn32s_googlenet": _googlenet,
    "fcn32s_lite0": partial(_lite0, 0),
    "fcn16s_lite0": partial(_lite0, 1),
    "fcn8s_lite0": partial(_lite0, 2),
}
