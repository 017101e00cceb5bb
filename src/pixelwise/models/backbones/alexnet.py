"""AlexNet as CaffeNet has it: grouped convolutions, and the responses normalised behind the pools instead of before.

Source: Krizhevsky, Sutskever & Hinton (NIPS 2012), section 3; order and numbers as in FCN's `voc-fcn-alexnet/net.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from pixelwise.geometry import IMAGE_GRID
from pixelwise.models.layers import grid_through, scaled
from pixelwise.models.network import Features


@dataclass(frozen=True)
class Stage:
    """A convolution and its ReLU, and whether a max pool (3x3, stride 2) and then a normalisation stand behind them."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    pool: bool = False
    norm: bool = False


CAFFENET_STAGES = (
    Stage(96, 11, stride=4, pool=True, norm=True),
    Stage(256, 5, padding=2, groups=2, pool=True, norm=True),
    Stage(384, 3, padding=1),
    Stage(384, 3, padding=1, groups=2),
    Stage(256, 3, padding=1, groups=2, pool=True),
)

COLUMNS = 2
"""AlexNet was split over two GPUs: groups are its two halves, so that every channel count is even."""


class AlexNet(nn.Module):
    """The convolutions; the one map is what stands behind the last pool (256 channels, stride 32).

    Parameters are called `features.0`, `.4`, `.8`, `.10`, `.12` for conv1 to conv5.

    width          scales every channel count, each of the two halves alike
    channels_in    channels of the image
    first_padding  of conv1: 0 in the classifier, which takes 227 x 227 pixels
    """

    def __init__(
        self,
        stages: tuple[Stage, ...] = CAFFENET_STAGES,
        *,
        width: float = 1.0,
        channels_in: int = 3,
        first_padding: int = 0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = channels_in
        for stage in stages:
            count = COLUMNS * scaled(stage.channels // COLUMNS, width)
            padding = stage.padding if layers else first_padding
            convolution = nn.Conv2d(channels, count, stage.kernel, stage.stride, padding, groups=stage.groups)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            layers += [convolution, nn.ReLU(inplace=True)]
            if stage.pool:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            if stage.norm:
                layers.append(response_norm())
            channels = count
        self.features = nn.Sequential(*layers)
        self.channels = (channels,)
        self.grids = (grid_through(self.features, IMAGE_GRID),)

    def forward(self, images: Tensor) -> Features:
        """Normalised images `(N, C, H, W)` -> the map behind the last pool."""
        return Features((self.features(images),))


def response_norm() -> nn.LocalResponseNorm:
    """A response over (1 + alpha / 5 x the sum of squares of five neighbouring channels) ** beta; GoogLeNet's is the same.

    Both PyTorch and Caffe divide alpha by the number of channels.
    """
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)  # Source: FCN's released `voc-fcn-alexnet/net.py`
