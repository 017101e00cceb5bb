"""VGG as the four papers use it: the convolutions of five stages, with their pools, and the classifier as convolutions.

Layers carry torchvision's parameter names (`features.0` ... `features.28`), so its published weights fit.
Source: Simonyan & Zisserman (ICLR 2015), table 1 D (VGG16) and E (VGG19).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from pixelwise.geometry import IMAGE_GRID
from pixelwise.models.layers import grid_through, scaled
from pixelwise.models.network import Features


@dataclass(frozen=True)
class Stage:
    """`convolutions` of 3x3, dilated by `dilation`, and the max pool behind them. Pools round sizes up, as Caffe does."""

    convolutions: int
    channels: int
    dilation: int = 1
    pool: int = 2
    pool_stride: int = 2
    pool_padding: int = 0


VGG16_STAGES = (Stage(2, 64), Stage(2, 128), Stage(3, 256), Stage(3, 512), Stage(3, 512))
VGG19_STAGES = (Stage(2, 64), Stage(2, 128), Stage(4, 256), Stage(4, 512), Stage(4, 512))

CLASSIFIER_CHANNELS = 4096
"""Width of VGG's fc6 and fc7."""


class VGG(nn.Module):
    """The stages of a VGG. Maps are what stands behind the stages named in `taps`; 0 is the normalised image itself.

    before_pools   whether maps are taken before the pool of their stage, not behind it
    width          scales every channel count
    channels_in    channels of the image
    first_padding  of conv1_1
    norm           what stands between a convolution and its ReLU, made from the channel count; None: nothing
    switches       whether `Features.switches` says where each pool found its maxima
    """

    def __init__(
        self,
        stages: tuple[Stage, ...] = VGG16_STAGES,
        *,
        width: float = 1.0,
        channels_in: int = 3,
        first_padding: int = 1,
        norm: Callable[[int], nn.Module] | None = None,
        taps: tuple[int, ...] = (3, 4, 5),
        before_pools: bool = False,
        switches: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        ends, channels, grids = [0], [channels_in], [IMAGE_GRID]
        grid = IMAGE_GRID
        for stage in stages:
            count = scaled(stage.channels, width)
            begin = len(layers)
            for index in range(stage.convolutions):
                incoming = channels[-1] if index == 0 else count
                padding = stage.dilation if layers else first_padding
                convolution = nn.Conv2d(incoming, count, 3, padding=padding, dilation=stage.dilation)
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                layers += [convolution, *([norm(count)] if norm else []), nn.ReLU(inplace=True)]
            layers.append(
                nn.MaxPool2d(stage.pool, stage.pool_stride, stage.pool_padding, ceil_mode=True, return_indices=switches)
            )
            ends.append(len(layers) - before_pools)
            channels.append(count)
            grids.append(grid_through(nn.Sequential(*layers[begin : ends[-1]]), grid))
            grid = grid_through(nn.Sequential(*layers[begin:]), grid)
        self.features = nn.Sequential(*layers)
        self.ends = tuple(ends)
        self.taps = taps
        self.switches = switches
        self.channels = tuple(channels[tap] for tap in taps)
        self.grids = tuple(grids[tap] for tap in taps)

    def forward(self, images: Tensor) -> Features:
        """Normalised images `(N, C, H, W)` -> the maps behind `taps`, fine to coarse."""
        maps, switches = [images] if 0 in self.taps else [], []
        for number, layer in enumerate(self.features, start=1):
            if self.switches and isinstance(layer, nn.MaxPool2d):
                images, where = layer(images)
                switches.append(where)
            else:
                images = layer(images)
            if number in self.ends and self.ends.index(number) in self.taps:
                maps.append(images)
        return Features(tuple(maps), tuple(switches) if self.switches else None)


def convolutional_classifier(channels: int, *, kernel: int = 7, width: float = 1.0) -> nn.Sequential:
    """fc6 (`kernel` x `kernel`) and fc7 (1x1) of VGG or AlexNet as convolutions, with their dropout.

    `(N, channels, h, w)` -> `(N, 4096 width, h - kernel + 1, ...)`.
    """
    hidden = scaled(CLASSIFIER_CHANNELS, width)
    layers = nn.Sequential(
        nn.Conv2d(channels, hidden, kernel), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Conv2d(hidden, hidden, 1), nn.ReLU(inplace=True), nn.Dropout(0.5),
    )  # fmt: skip
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layers
