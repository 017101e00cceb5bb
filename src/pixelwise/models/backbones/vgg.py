"""VGG16 as FCN uses it: the convolutions of five stages, and the classifier turned into convolutions.

Layers carry torchvision's parameter names (`features.0` ... `features.28`), so its published weights fit.
Source: Simonyan & Zisserman (ICLR 2015), table 1 D; FCN's released `net.py` for the padding of 100.
"""

from __future__ import annotations

from torch import Tensor, nn

from pixelwise.geometry import IMAGE_GRID
from pixelwise.models.layers import grid_through
from pixelwise.models.network import Features

VGG16_STAGES: tuple[tuple[int, int], ...] = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and channels a stage; each stage ends in a 2x2 max pool of stride 2."""

CLASSIFIER_CHANNELS = 4096
"""Width of VGG16's fc6 and fc7."""

FIRST_PADDING = 100
"""Of conv1_1 in the FCNs: makes the network valid for every image side from 1 on. Source: FCN's released `net.py`."""


class VGG(nn.Module):
    """The five stages of a VGG; maps are the outputs of pool3, pool4 and pool5 (strides 8, 16, 32).

    `width` scales every channel count; `first_padding` is the padding of conv1_1. Pools round sizes up, as Caffe does.
    """

    def __init__(
        self,
        stages: tuple[tuple[int, int], ...] = VGG16_STAGES,
        *,
        width: float = 1.0,
        first_padding: int = FIRST_PADDING,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        pools, channels, previous = [], [], 3
        for convolutions, count in stages:
            count = scaled(count, width)
            for _ in range(convolutions):
                padding = first_padding if not layers else 1
                layers += [nn.Conv2d(previous, count, 3, padding=padding), nn.ReLU(inplace=True)]
                previous = count
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
            pools.append(len(layers))
            channels.append(count)
        self.features = nn.Sequential(*layers)
        self.cuts = tuple(pools[2:])
        self.channels = tuple(channels[2:])
        self.grids = tuple(grid_through(self.features[:cut], IMAGE_GRID) for cut in self.cuts)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, images: Tensor) -> Features:
        """Normalised images `(N, 3, H, W)` -> pool3, pool4, pool5."""
        maps, begin = [], 0
        for cut in self.cuts:
            images = self.features[begin:cut](images)
            maps.append(images)
            begin = cut
        return Features(tuple(maps))


def convolutional_classifier(channels: int, *, width: float = 1.0) -> nn.Sequential:
    """VGG16's fc6 (7x7) and fc7 (1x1) as convolutions, with their dropout: `(N, channels, h, w)` -> `(N, 4096 width, ...)`."""
    hidden = scaled(CLASSIFIER_CHANNELS, width)
    layers = nn.Sequential(
        nn.Conv2d(channels, hidden, 7), nn.ReLU(inplace=True), nn.Dropout2d(0.5),
        nn.Conv2d(hidden, hidden, 1), nn.ReLU(inplace=True), nn.Dropout2d(0.5),
    )  # fmt: skip
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layers


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, at least 1."""
    return max(1, round(channels * width))
