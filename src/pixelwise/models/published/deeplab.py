"""The networks of DeepLab (Chen et al.): v1 (ICLR 2015), v2 (PAMI 2018), and their decoders on a laptop's trunk.

What their builders take beside the number of classes:

    width         a factor for every channel count
    rates         by which fc6 is dilated, one a branch, in cells of 8 pixels: VGG16's but MSc, ResNet-101's and Lite0's
    pool5a        whether the average pool behind pool5 is there, as in v1's LargeFOV and not in v2: VGG16's
    frozen_norms  whether batch norms stay as they are loaded, as published: ResNet-101's
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import nn

from pixelwise.errors import InputError
from pixelwise.geometry import SizeRule
from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite
from pixelwise.models.backbones.resnet import ResNet
from pixelwise.models.backbones.vgg import CLASSIFIER_CHANNELS, VGG, Stage
from pixelwise.models.decoders.atrous import AtrousDecoder, field_of_view, score, side_branch
from pixelwise.models.layers import ImageMean, scaled
from pixelwise.models.network import Network
from pixelwise.models.published.fcn import caffe_normalise, lite_normalise

MEAN = (122.675, 116.669, 104.008)
"""The mean pixel in RGB order. Source: `mean_value` in the released train.prototxt of v1 and v2."""

BASE_STAGES = (
    Stage(2, 64, pool_padding=1),
    Stage(2, 128, pool_padding=1),
    Stage(3, 256, pool_padding=1),
    Stage(3, 512, pool_stride=1),
    Stage(3, 512, dilation=2, pool=3, pool_stride=1, pool_padding=1),
)
"""VGG16, subsampled by 8: pool4 and pool5 keep every cell, and conv5 is dilated instead. Source: v1's config/DeepLab."""

LARGEFOV_STAGES = (
    Stage(2, 64, pool=3, pool_padding=1),
    Stage(2, 128, pool=3, pool_padding=1),
    Stage(3, 256, pool=3, pool_padding=1),
    Stage(3, 512, pool=3, pool_stride=1, pool_padding=1),
    Stage(3, 512, dilation=2, pool=3, pool_stride=1, pool_padding=1),
)
"""The same with centred pools: a cell lies on every eighth pixel, from the first on. Source: v1's config/DeepLab-LargeFOV."""

# Rates of fc6, one a branch, in cells of `RATES_STRIDE` pixels: on other trunks, what reaches as far in the image.
RATES_STRIDE = 8
LARGEFOV = (12,)  # Source: v1's config/DeepLab-LargeFOV
ASPP_S = (2, 4, 8, 12)  # Source: v2, section 4.1.2
ASPP_L = (6, 12, 18, 24)  # Source: v2, section 4.1.2, and its train.prototxt

FC6_CHANNELS = 1024  # Source: v1's config/DeepLab-LargeFOV; v2's train.prototxt has as many in each branch

MSC_DEVIATIONS = (*[(0.001, 0.001)] * 4, (0.001, 0.005))  # Source: fillers in v1's config/DeepLab-MSc-LargeFOV
"""Of the first weights of the two hidden layers of MSc's branches: on the image, then on pool1 to pool4."""


# What makes a network the one of its name is positional: options cannot change it.


def _vgg16(
    stages: tuple[Stage, ...], kernel: int, hidden: int, /, classes: int, *,
    rates: Sequence[int], pool5a: bool = False, width: float = 1.0,
) -> Network:  # fmt: skip
    _refuse_nonsense(rates)
    trunk = VGG(stages, width=width, taps=(len(stages),))
    (channels,) = trunk.channels
    view = partial(field_of_view, channels, classes, hidden=scaled(hidden, width), kernel=kernel, pool=pool5a)
    decoder = AtrousDecoder(classes, [view(rate=rate) for rate in rates], trunk.grids)
    fewest = max(stage.pool - 2 * stage.pool_padding for stage in stages)  # cells that a pool must have to look at
    return Network(caffe_normalise(mean=MEAN), trunk, decoder, SizeRule(minimum=fewest))


def _msc_largefov_vgg16(classes: int, *, pool5a: bool = True, width: float = 1.0) -> Network:
    """LargeFOV with a branch on the image and on each of the first four pools: the sum of six scores.

    Its sizes are those at which all maps have as many cells; the release zooms the maps to a common size instead.
    """
    trunk = VGG(LARGEFOV_STAGES, width=width, taps=tuple(range(len(LARGEFOV_STAGES) + 1)))
    stride = round(trunk.grids[-1].scale)
    branches = [
        side_branch(channels, classes, stride // round(grid.scale), hidden=scaled(128, width), deviations=deviations)
        for channels, grid, deviations in zip(trunk.channels[:-1], trunk.grids[:-1], MSC_DEVIATIONS, strict=True)
    ]  # Source of 128: v1, section 4.3
    hidden = scaled(FC6_CHANNELS, width)
    branches.append(field_of_view(trunk.channels[-1], classes, hidden=hidden, rate=LARGEFOV[0], pool=pool5a))
    decoder = AtrousDecoder(classes, branches, trunk.grids, reads=range(len(branches)))
    return Network(caffe_normalise(mean=MEAN), trunk, decoder, SizeRule(multiple=stride, offset=1))


def _resnet101(classes: int, *, rates: Sequence[int], frozen_norms: bool = True, width: float = 1.0) -> Network:
    _refuse_nonsense(rates)
    trunk = ResNet(width=width, frozen_norms=frozen_norms)
    # No hidden layers: a branch is one 3x3. Source: v2's deploy.prototxt
    branches = [nn.Sequential(score(trunk.channels[-1], classes, kernel=3, rate=rate)) for rate in rates]
    return Network(caffe_normalise(mean=MEAN), trunk, AtrousDecoder(classes, branches, trunk.grids))


def _lite0(classes: int, *, rates: Sequence[int], width: float = 1.0) -> Network:
    trunk = EfficientNetLite(width=width, output_stride=16)
    return Network(
        lite_normalise(), trunk, AtrousDecoder(classes, _lite_views(trunk, -1, classes, rates, width), trunk.grids)
    )


def _lite_8s(lite: int, /, classes: int, *, rates: Sequence[int], width: float = 1.0) -> Network:
    """Ours: ASPP's scores, and what a classifier knows, refined at stride 8 as FCN-8s' are.

    Beside the fields of view, two branches read the features that the trunk told ImageNet's classes from: one at each
    cell, one their mean over the image, for what a thing is shows in its parts and around it. A last one reads the map of
    stride 8, for where it ends.
    """
    trunk = EfficientNetLite(lite=lite, width=width, output_stride=16, head=True)
    fine, deep, told = range(3)
    views = _lite_views(trunk, deep, classes, rates, width)
    there = nn.Sequential(nn.Dropout2d(0.2), score(trunk.channels[told], classes))
    anywhere = nn.Sequential(ImageMean(), nn.Dropout2d(0.2), score(trunk.channels[told], classes))
    hidden = scaled(64, width)
    edges = nn.Sequential(
        nn.Conv2d(trunk.channels[fine], hidden, 3, padding=1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True),
        score(hidden, classes),
    )  # fmt: skip
    reads = (*[deep] * len(views), told, told, fine)
    decoder = AtrousDecoder(classes, [*views, there, anywhere, edges], trunk.grids, reads=reads)
    return Network(lite_normalise(), trunk, decoder)


def _lite_views(
    trunk: EfficientNetLite, read: int, classes: int, rates: Sequence[int], width: float
) -> list[nn.Sequential]:
    """The same fields of view in pixels on a trunk of stride 16, with fewer channels, and norms in place of much dropout."""
    _refuse_nonsense(rates)
    channels, stride, hidden = trunk.channels[read], trunk.grids[read].scale, scaled(256, width)
    cells = [max(1, round(rate * RATES_STRIDE / stride)) for rate in rates]
    view = partial(field_of_view, channels, classes, hidden=hidden, norm=nn.BatchNorm2d, dropout=0.1)
    return [view(rate=rate) for rate in cells]


def _refuse_nonsense(rates: Sequence[int]) -> None:
    if not isinstance(rates, Sequence) or not rates or not all(isinstance(rate, int) and rate > 0 for rate in rates):
        raise InputError(f"rates are whole numbers above 0, one a branch, got {rates!r}: try {list(ASPP_L)}")


NETWORKS: Mapping[str, Callable[..., Network]] = {
    "deeplab_vgg16": partial(_vgg16, BASE_STAGES, 4, CLASSIFIER_CHANNELS, rates=(4,)),  # Source: v1's config/DeepLab
    "deeplab_7x7_vgg16": partial(_vgg16, BASE_STAGES, 7, CLASSIFIER_CHANNELS, rates=(4,)),  # Source: v1, table 2
    "deeplab_largefov_vgg16": partial(_vgg16, LARGEFOV_STAGES, 3, FC6_CHANNELS, rates=LARGEFOV, pool5a=True),
    "deeplab_msc_largefov_vgg16": _msc_largefov_vgg16,
    "deeplab_aspp_s_vgg16": partial(_vgg16, LARGEFOV_STAGES, 3, FC6_CHANNELS, rates=ASPP_S),
    "deeplab_aspp_l_vgg16": partial(_vgg16, LARGEFOV_STAGES, 3, FC6_CHANNELS, rates=ASPP_L),
    "deeplab_largefov_resnet101": partial(_resnet101, rates=LARGEFOV),
    "deeplab_aspp_resnet101": partial(_resnet101, rates=ASPP_L),
    "deeplab_largefov_lite0": partial(_lite0, rates=LARGEFOV),
    "deeplab_aspp_lite0": partial(_lite0, rates=ASPP_L),
    "deeplab8s_lite0": partial(_lite_8s, 0, rates=ASPP_L),
    "deeplab8s_lite2": partial(_lite_8s, 2, rates=ASPP_L),
}
