"""HED: where the edges in an image are, from one trunk at five scales.

Source: Holistically-Nested Edge Detection (Xie & Tu, ICCV 2015), section 3 and its released `deploy.prototxt`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pixelwise.errors import InputError
from pixelwise.geometry import IMAGE_GRID
from pixelwise.models.backbones.vgg import VGG, VGG16_STAGES
from pixelwise.models.layers import BilinearUpsample, crop_to
from pixelwise.models.published.fcn import caffe_normalise

RELEASED_PADDING = 35
"""Of conv1_1: room for the enlarged maps to be cut to the image. Source: the released `deploy.prototxt`."""

BALANCE = 9.0
"""How much more an edge pixel weighed in training than another. Source: HED, section 2.2: 90 % of the truth is no edge."""


class HED(nn.Module):
    """Images `(N, 3, H, W)` float, RGB, 0..255 -> logits `(N, 1, H, W)` of an edge, as the release gives them.

    Each stage of VGG16 is scored before its pool, enlarged to the image, and the five are summed with learned weights.

    width        scales every channel count
    as_released  whether the image is padded as in the release. It then seems to hang in a frame, whose edges are found
                 too; otherwise the maps' outermost cells are repeated for the enlargement to lean on
    """

    def __init__(self, *, width: float = 1.0, as_released: bool = False) -> None:
        super().__init__()
        self.normalise = caffe_normalise()
        stages = tuple(range(1, len(VGG16_STAGES) + 1))
        padding, border = (RELEASED_PADDING, 0) if as_released else (1, 1)
        self.backbone = VGG(width=width, first_padding=padding, taps=stages, before_pools=True)
        self.sides = nn.ModuleList(nn.Conv2d(channels, 1, 1) for channels in self.backbone.channels)
        self.enlarge = nn.ModuleList(
            BilinearUpsample(1, grid, IMAGE_GRID, border=border) for grid in self.backbone.grids
        )
        self.fuse = nn.Conv2d(len(stages), 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        maps = self.backbone(self.normalise(images)).maps
        sides = []
        for features, score, enlarge in zip(maps, self.sides, self.enlarge, strict=True):
            assert isinstance(enlarge, BilinearUpsample)
            sides.append(crop_to(enlarge(score(features)), enlarge.grid, IMAGE_GRID, (height, width)))
        return self.fuse(torch.cat(sides, dim=1))

    @torch.inference_mode()
    def edges(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """How likely an edge is at each pixel: an image `(H, W, 3)` uint8, RGB -> `(H, W)` float32, 0..1.

        The network's own sigmoid is not that: its loss weighs edges `BALANCE` times as much, which adds the logarithm of it
        to every logit. With it half of a photograph would be edges to EdgeBoxes; here it is taken off again.
        Raises `InputError` for another shape or type.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(f"expected an image (H, W, 3) uint8, got {image.shape} {image.dtype}: convert it to RGB")
        pixels = torch.from_numpy(np.array(image)).movedim(2, 0)[None].to(self.fuse.weight)
        return (self(pixels)[0, 0] - math.log(BALANCE)).sigmoid().cpu().numpy()


def create_hed(*, width: float = 1.0, as_released: bool = False) -> HED:
    """HED with random weights, in evaluation mode; `pixelwise.weights.hed.load_hed` gives one with trained weights."""
    return HED(width=width, as_released=as_released).eval()
