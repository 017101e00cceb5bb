"""ResNet-101 as DeepLab v2 uses it: bottlenecks, subsampled by 8 only, with dilation in place of the last two strides.

Layers carry torchvision's parameter names (`conv1`, `bn1`, `layer1.0.conv1`, ... `downsample.0`), so files in them fit by
name; the stride, however, sits where the authors of ResNet put it, on a block's first 1x1 convolution.
Source: He et al. (CVPR 2016), table 1; dilations as in the released `deploy.prototxt` of DeepLab v2 (PAMI 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn
from torch.nn import functional

from pixelwise.geometry import IMAGE_GRID, Grid
from pixelwise.models.layers import grid_through, scaled
from pixelwise.models.network import Features

STEM_CHANNELS = 64
"""Of the 7x7 convolution in front. Source: ResNet, table 1."""

EXPANSION = 4
"""Channels that leave a bottleneck, as a multiple of those inside. Source: ResNet, table 1."""


@dataclass(frozen=True)
class Stage:
    """`blocks` bottlenecks with `channels` inside: the first of them with `stride`, the 3x3 of all dilated by `dilation`."""

    blocks: int
    channels: int
    stride: int = 1
    dilation: int = 1


RESNET101_STAGES = (
    Stage(3, 64),
    Stage(4, 128, stride=2),
    Stage(23, 256, dilation=2),
    Stage(3, 512, dilation=4),
)
"""Source: blocks and channels from ResNet, table 1; strides and dilations from DeepLab v2's `deploy.prototxt`."""


class Bottleneck(nn.Module):
    """1x1 to few channels, 3x3 there, 1x1 to four times as many; the input is added, through a 1x1 where shapes differ."""

    def __init__(self, channels: int, inside: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        out = EXPANSION * inside
        self.conv1 = nn.Conv2d(channels, inside, 1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.conv3 = nn.Conv2d(inside, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, channels, h, w)` -> `(N, 4 inside, ceil(h / stride), ...)`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = functional.relu(self.bn2(self.conv2(x)), inplace=True)
        return functional.relu(self.bn3(self.conv3(x)) + shortcut, inplace=True)

    def grid_behind(self, grid: Grid) -> Grid:
        """The grid behind the block; both ways through it lead there."""
        behind = grid_through(nn.Sequential(self.conv1, self.conv2, self.conv3), grid)
        assert behind == (grid if self.downsample is None else grid_through(self.downsample, grid))
        return behind


class ResNet(nn.Module):
    """The stem and the stages of a ResNet. There is one map: what stands behind the last stage.

    width         scales every channel count
    frozen_norms  batch norms stay in evaluation mode and do not learn, as published. They then keep the statistics they
                  are loaded with; to train from random weights, have them learn
    """

    def __init__(
        self, stages: tuple[Stage, ...] = RESNET101_STAGES, *, width: float = 1.0, frozen_norms: bool = True
    ) -> None:
        super().__init__()
        channels = scaled(STEM_CHANNELS, width)
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        grid = grid_through(nn.Sequential(self.conv1, self.maxpool), IMAGE_GRID)
        for number, stage in enumerate(stages, start=1):
            blocks = []
            for index in range(stage.blocks):
                inside, stride = scaled(stage.channels, width), stage.stride if index == 0 else 1
                blocks.append(Bottleneck(channels, inside, stride=stride, dilation=stage.dilation))
                channels = EXPANSION * inside
                grid = blocks[-1].grid_behind(grid)
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.stages = len(stages)
        self.channels = (channels,)
        self.grids = (grid,)
        self.frozen_norms = frozen_norms
        self._initialise(sum(stage.blocks for stage in stages))

    def forward(self, images: Tensor) -> Features:
        """Normalised images `(N, 3, H, W)` -> the last stage's map, of stride 8 for ResNet-101 as DeepLab has it."""
        x = self.maxpool(functional.relu(self.bn1(self.conv1(images)), inplace=True))
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return Features((x,))

    def train(self, mode: bool = True) -> Self:
        """Training mode for everything but norms that are frozen."""
        super().train(mode)
        if self.frozen_norms:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def _initialise(self, blocks: int) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if isinstance(module, Bottleneck):
                # Each block adds to what passes by; so the sum over all of them stays of one size without statistics too.
                nn.init.constant_(module.bn3.weight, blocks**-0.5)
            if isinstance(module, nn.BatchNorm2d) and self.frozen_norms:
                module.requires_grad_(False)
        self.train()
