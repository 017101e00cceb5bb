"""What a network is: images in, scores out at the images' size, and the two steps in between.

The parts promise each other three things. A backbone has `grids` and `channels`, fine to coarse, and turns normalised
images into `Features`. A decoder has `heads` and turns `Features` into `Outputs`, and `Outputs` into full-size scores.
A network is a normalisation, a backbone and a decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from pixelwise.geometry import Grid, Size, SizeRule
from pixelwise.labels import MAIN

Link = Literal["softmax", "sigmoid"]
"""What a network's scores are learned to mean: one class of all, or each class for itself."""


@dataclass(frozen=True)
class Features:
    """What a backbone promises and a decoder relies on.

    maps      `(N, C_i, H_i, W_i)`, fine to coarse
    switches  where each max pool found its maxima, fine to coarse, or None for a trunk without them
    """

    maps: tuple[Tensor, ...]
    switches: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class Outputs:
    """The coarse truth of a network, before anything is enlarged.

    scores        head -> `(N, K, h, w)` logits at the network's own stride
    grids         head -> where their cells lie in the image
    image_logits  `(N, K - 1)`, whether each class but the background is in the image, or None
    """

    scores: Mapping[str, Tensor]
    grids: Mapping[str, Grid]
    image_logits: Tensor | None = None


class Backbone(Protocol):
    """A trunk: `grids` and `channels` of its maps are known before any image is seen."""

    grids: tuple[Grid, ...]
    channels: tuple[int, ...]

    def __call__(self, images: Tensor) -> Features:
        """Normalised images `(N, C, H, W)` -> maps."""
        ...


class Decoder(Protocol):
    """From a trunk's maps to scores. `heads` maps each head to its number of classes; `last_layers` give the scores."""

    heads: Mapping[str, int]
    last_layers: Sequence[nn.Module]

    def __call__(self, features: Features) -> Outputs:
        """Maps -> scores on the decoder's own grid."""
        ...

    def upsample(self, outputs: Outputs, size: Size) -> dict[str, Tensor]:
        """Scores at the image's size `(H, W)`, a head."""
        ...


class Normalise(nn.Module):
    """Raw pixels 0..255 -> what the trunk was trained on: `(x - mean) / std`, channels swapped to BGR where it wants them.

    `mean` and `std` are given in RGB order; channels behind the first three, depth say, are swapped with none. `fill` is
    the raw value that becomes 0: what to pad images with.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], *, bgr: bool = False) -> None:
        super().__init__()
        self.fill = mean
        self.bgr = bgr
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` raw -> the same, normalised."""
        normalised = (images - self.mean) / self.std
        if self.bgr and len(self.fill) > 3:
            return torch.cat((normalised[:, :3].flip(1), normalised[:, 3:]), dim=1)
        return normalised.flip(1) if self.bgr else normalised


class Network(nn.Module):
    """Images `(N, 3, H, W)` float, RGB, 0..255 -> scores `(N, K, H, W)` of the head `main`: logits, at the images' size.

    Objectives call `outputs` and `upsample`; predictors and export call `forward`, which is the two.
    """

    def __init__(
        self, normalise: Normalise, backbone: nn.Module, decoder: nn.Module, sizes: SizeRule | None = None
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.backbone = backbone
        self.decoder = decoder
        self.sizes = sizes or SizeRule()
        """Which image sizes the network takes."""

    @property
    def fill(self) -> tuple[float, ...]:
        """The raw pixel value to pad images with: it is nothing to the network."""
        return self.normalise.fill

    @property
    def heads(self) -> Mapping[str, int]:
        """Head -> number of classes."""
        return self.decoder.heads  # type: ignore[return-value]  # a Decoder, which nn.Module's typing cannot say

    @property
    def last_layers(self) -> Sequence[nn.Module]:
        """The layers that give the scores: new for every set of classes, and often taught faster."""
        return self.decoder.last_layers  # type: ignore[return-value]

    def outputs(self, images: Tensor) -> Outputs:
        """Scores at the network's own stride, with their grid."""
        return self.decoder(self.backbone(self.normalise(images)))

    def upsample(self, outputs: Outputs, size: Size) -> dict[str, Tensor]:
        """The scores of every head at the image's size `(H, W)`."""
        return self.decoder.upsample(outputs, size)  # type: ignore[operator]

    def forward(self, images: Tensor) -> Tensor:
        """Scores `(N, K, H, W)` of the head `main`."""
        height, width = images.shape[-2:]
        return self.upsample(self.outputs(images), (height, width))[MAIN]
