"""EfficientNet-Lite: small trunks with strong ImageNet weights, for use on a laptop.

Source: Tan & Le, EfficientNet (ICML 2019), table 1, in the Lite variant (no squeeze-and-excitation, ReLU6, stem and head
of fixed width); channel counts and strides as in the TensorFlow release that the published weights come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor, nn

from pixelwise.geometry import IMAGE_GRID, Grid
from pixelwise.models.depthwise import DepthwiseConv2d
from pixelwise.models.layers import grid_through, scaled
from pixelwise.models.network import Features

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
SCALES = {0: (1.0, 1.0, 224), 2: (1.1, 1.2, 260)}
"""Of a Lite, by its number: what channels and blocks of Lite0 are multiplied by, and the side of the images, in pixels,
that its weights were trained on. Source: the parameters of the same release."""
STRIDES = (8, 16, 32)
"""Of the maps that are given to decoders."""


@dataclass(frozen=True)
class Stage:
    """`blocks` inverted bottlenecks: the first with `stride`; channels widened `expand` times inside."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


LITE0_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def lite_stages(lite: int) -> tuple[Stage, ...]:
    """The stages of a Lite: wider ones than Lite0's, and more blocks in each but the first and the last.

    Source: EfficientNet, section 3.2; the Lite release leaves the first and the last stage as long as they are.
    """
    width, depth, _ = SCALES[lite]
    first, *between, last = (replace(stage, channels=_in_eights(stage.channels * width)) for stage in LITE0_STAGES)
    return (first, *(replace(stage, blocks=math.ceil(stage.blocks * depth)) for stage in between), last)


class EfficientNetLite(nn.Module):
    """The stem and stages; maps are the last ones of strides 8, 16 and 32 (40, 112 and 320 channels for Lite0).

    lite           its number, 0 or 2: the larger, the stronger and the slower
    width          scales every channel count on top of that, the stem's too; the published weights fit width 1
    output_stride  8, 16 or 32, the last map's: no stride goes beyond it, and what follows a stride that is taken out is
                   dilated by it. The last map then holds the cells of the one of stride 32 and those between.
                   Parameters have the same names and shapes at every output stride.

    Source of the dilation: the atrous algorithm, DeepLab v1, section 3.1; v2, section 3.1.
    """

    def __init__(
        self,
        *,
        lite: int = 0,
        width: float = 1.0,
        output_stride: int = 32,
        head: bool = False,
    ) -> None:
        super().__init__()
        strides = tuple(stride for stride in STRIDES if stride <= output_stride)
        assert output_stride in strides, output_stride
        stages = tuple(replace(stage, channels=scaled(stage.channels, width)) for stage in lite_stages(lite))
        self.lite = lite
        channels = scaled(STEM_CHANNELS, width)
        side = SCALES[lite][2]
        self.stem = nn.Sequential(
            *_same_padding(3, 2, side), nn.Conv2d(3, channels, 3, stride=2, bias=False), _norm(channels), nn.ReLU6()
        )
        self.stages = nn.ModuleList()
        side = _strided(side, 2)
        grid = grid_through(self.stem, IMAGE_GRID)
        dilation = 1
        grids: list[Grid] = []
        for stage in stages:
            blocks = []
            for stride in (stage.stride, *[1] * (stage.blocks - 1)):
                dense = grid.scale * stride > output_stride
                blocks.append(InvertedBottleneck(channels, stage, side, stride=stride, dilation=dilation, dense=dense))
                side = _strided(side, stride)
                dilation *= stride if dense else 1
                channels, grid = stage.channels, blocks[-1].grid_from(grid)
            self.stages.append(nn.Sequential(*blocks))
            grids.append(grid)
        scales = [grid.scale for grid in grids]
        self.cuts = tuple(max(i for i, scale in enumerate(scales) if scale == stride) for stride in strides)
        self.grids = tuple(grids[cut] for cut in self.cuts)
        self.channels = tuple(stages[cut].channels for cut in self.cuts)
        self.head = HeadFeatures(channels, scaled(HEAD_CHANNELS, width)) if head else None
        if self.head is not None:
            self.grids, self.channels = (*self.grids, grid), (*self.channels, self.head.channels)

    def forward(self, images: Tensor) -> Features:
        """Normalised images `(N, 3, H, W)` -> the maps, each `ceil(side / stride)` cells wide."""
        x = self.stem(images)
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.cuts:
                maps.append(x)
        if self.head is not None:
            maps.append(self.head(x))
        return Features(tuple(maps))


class InvertedBottleneck(nn.Module):
    """Widen by 1x1, filter each channel, narrow by 1x1; the input is added where the shapes allow.

    `dilation` is that of the filter; with `dense` its stride is taken out. `side` is that of the maps, in cells, that it was
    trained on.
    """

    def __init__(
        self, channels: int, stage: Stage, side: int, *, stride: int, dilation: int = 1, dense: bool = False
    ) -> None:
        super().__init__()
        wide = channels * stage.expand
        widen = [nn.Conv2d(channels, wide, 1, bias=False), _norm(wide), nn.ReLU6()] if stage.expand > 1 else []
        padding = (
            [nn.Identity()] if dense and stride > 1 else _same_padding(stage.kernel, stride, side)
        )  # so that names stay
        step, around = (stride, 0) if stride > 1 and not dense else (1, dilation * (stage.kernel // 2))
        self.layers = nn.Sequential(
            *widen, *padding,
            DepthwiseConv2d(wide, stage.kernel, stride=step, padding=around, dilation=dilation), _norm(wide), nn.ReLU6(),
            nn.Conv2d(wide, stage.channels, 1, bias=False), _norm(stage.channels),
        )  # fmt: skip
        self.adds_input = stride == 1 and channels == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, h, w)` -> `(N, channels, ceil(h / stride), ...)`, or `(N, channels, h, w)` where it is dense."""
        return x + self.layers(x) if self.adds_input else self.layers(x)

    def grid_from(self, grid: Grid) -> Grid:
        """The grid of the block's map; what is added to it must lie there too."""
        after = grid_through(self.layers, grid)
        assert not self.adds_input or after == grid, (grid, after)
        return after


class HeadFeatures(nn.Module):
    """The coarsest map -> the features that ImageNet's classes are told from, on the same cells."""

    def __init__(self, channels: int, features: int = HEAD_CHANNELS) -> None:
        super().__init__()
        self.channels = features
        self.layers = nn.Sequential(nn.Conv2d(channels, features, 1, bias=False), _norm(features), nn.ReLU6())

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, h, w)` -> `(N, features, h, w)`."""
        return self.layers(x)


def context_head(channels: int, hidden: int = 256) -> nn.Sequential:
    """Two 3x3 convolutions, the second dilated by 2: the neighbourhood that fc6 gives VGG16, at a laptop's price."""
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True),
        nn.Conv2d(hidden, hidden, 3, padding=2, dilation=2, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True),
        nn.Dropout2d(0.1),
    )  # fmt: skip


def _in_eights(channels: float) -> int:
    """The nearest multiple of eight, or the next where that is below nine tenths. Source: the release's `round_filters`."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _strided(side: int, stride: int) -> int:
    """Cells a side behind a stride."""
    return -(-side // stride)


def _same_padding(kernel: int, stride: int, side: int) -> list[nn.Module]:
    """What stands before a convolution with a stride, which pads nothing itself; nothing before one without.

    TensorFlow's 'SAME' as it is on maps of `side` cells, on which the weights were trained, for every size: half of what the
    last window lacks, rounded down, before the first cell. Behind the last one TensorFlow puts what the size asks for;
    always putting as many as could be needed gives the same numbers, and `ceil(side / stride)` cells for all sizes. On
    others TensorFlow might put one cell more or less before the first one, and where a cell lies would depend on the
    image's size.
    """
    if stride == 1:
        return []
    before = max(0, (_strided(side, stride) - 1) * stride + kernel - side) // 2
    after = kernel - 1 - before
    return [nn.ZeroPad2d((before, after, before, after))]
