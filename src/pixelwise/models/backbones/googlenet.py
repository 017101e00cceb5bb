"""GoogLeNet up to its last inception block: what stood behind it, average pool and losses, is not for segmentation.

Source: Szegedy et al., Going deeper with convolutions (CVPR 2015), table 1; FCN (PAMI 2017), section 4.1, discards the pool.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.geometry import IMAGE_GRID, Grid
from pixelwise.models.backbones.alexnet import response_norm
from pixelwise.models.layers import grid_through, scaled
from pixelwise.models.network import Features

STEM_CHANNELS = (64, 64, 192)
"""Of conv1 (7x7), conv2_reduce (1x1) and conv2 (3x3)."""

INCEPTION_CHANNELS = {
    # 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

POOLED = ("3b", "4e")
"""Blocks with a max pool behind them."""


class GoogLeNet(nn.Module):
    """Stem and inception blocks; the one map is that of the last block (1024 channels, stride 32).

    The stem is `conv1`, `conv2_reduce`, `conv2`, the blocks are `blocks.3a` to `blocks.5b`. Images need at least 31
    pixels a side: of fewer, nothing is left for the last pool to look at.

    width        scales every channel count
    channels_in  channels of the image
    """

    def __init__(self, *, width: float = 1.0, channels_in: int = 3) -> None:
        super().__init__()
        first, reduced, channels = (scaled(count, width) for count in STEM_CHANNELS)
        self.conv1 = _convolution(channels_in, first, 7, stride=2)
        self.conv2_reduce = _convolution(first, reduced, 1)
        self.conv2 = _convolution(reduced, channels, 3)
        self.norm = response_norm()
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        stem = nn.Sequential(self.conv1, self.pool, self.conv2_reduce, self.conv2, self.pool)
        grid = grid_through(stem, IMAGE_GRID)
        self.blocks = nn.ModuleDict()
        for name, counts in INCEPTION_CHANNELS.items():
            block = Inception(channels, *(scaled(count, width) for count in counts))
            self.blocks[name] = block
            channels, grid = block.channels, block.grid_from(grid)
            if name in POOLED:
                grid = grid_through(self.pool, grid)
        self.channels = (channels,)
        self.grids = (grid,)

    def forward(self, images: Tensor) -> Features:
        """Normalised images `(N, C, H, W)`, sides of at least 31 -> the map of the last block."""
        x = self.norm(self.pool(self.conv1(images).relu()))
        x = self.conv2(self.conv2_reduce(x).relu()).relu()
        x = self.pool(self.norm(x))
        for name, block in self.blocks.items():
            x = block(x)
            if name in POOLED:
                x = self.pool(x)
        return Features((x,))


class Inception(nn.Module):
    """Four ways through one block, put side by side: 1x1; 1x1 and 3x3; 1x1 and 5x5; a max pool and 1x1.

    `(N, C, h, w)` -> `(N, one + three + five + pool_projection, h, w)`; the counts are in the order of the paper's table.
    """

    def __init__(
        self, channels: int, one: int, three_reduce: int, three: int, five_reduce: int, five: int, pool_projection: int
    ) -> None:
        super().__init__()
        self.one = _convolution(channels, one, 1)
        self.three_reduce = _convolution(channels, three_reduce, 1)
        self.three = _convolution(three_reduce, three, 3)
        self.five_reduce = _convolution(channels, five_reduce, 1)
        self.five = _convolution(five_reduce, five, 5)
        self.pool = nn.MaxPool2d(3, 1, padding=1)
        self.pool_projection = _convolution(channels, pool_projection, 1)
        self.channels = one + three + five + pool_projection

    def forward(self, x: Tensor) -> Tensor:
        """All four ways, in the order of the table."""
        ways = (
            self.one(x),
            self.three(functional.relu(self.three_reduce(x))),
            self.five(functional.relu(self.five_reduce(x))),
            self.pool_projection(self.pool(x)),
        )
        return torch.cat(ways, dim=1).relu()

    def grid_from(self, grid: Grid) -> Grid:
        """The grid of the block's map: all ways give the same cells, and the widest says how far they see."""
        ways = (
            (self.one,),
            (self.three_reduce, self.three),
            (self.five_reduce, self.five),
            (self.pool, self.pool_projection),
        )
        ends = [grid_through(nn.Sequential(*way), grid) for way in ways]
        assert len(set(ends)) == 1, ends
        return max(ends, key=lambda end: end.field)


def _convolution(channels: int, out: int, kernel: int, *, stride: int = 1) -> nn.Conv2d:
    """A convolution with an odd kernel, padded so that a cell stays in the middle of what it sees."""
    convolution = nn.Conv2d(channels, out, kernel, stride, kernel // 2)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return convolution
