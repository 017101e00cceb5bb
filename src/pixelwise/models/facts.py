"""What a network is before it is given anything: a network or its name in, counts and sizes out; nothing is computed with."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pixelwise.geometry import Size, SizeRule
from pixelwise.labels import MAIN
from pixelwise.models.network import Network
from pixelwise.models.published import create_model

TIMED_SIZE: Size = (500, 500)  # FCN (PAMI 2017), table 1
"""The image that the field's forward times are told of."""


@dataclass(frozen=True)
class Facts:
    """A network's counts and sizes.

    parameters       all of them, whether they learn or not; fixed kernels and statistics are none
    multiply_adds    of convolutions and matrix products for one image of `size`, up to scores at its own size
    size             `(height, width)` in pixels that they are counted at
    stride           pixels between the cells of the coarse scores, those before they are enlarged
    receptive_field  side of the square of pixels that one of these cells sees, padding counted in
    sizes            the image sides that the network takes, in words, with k = 0, 1, 2 ...
    """

    parameters: int
    multiply_adds: int
    size: Size
    stride: int
    receptive_field: int
    sizes: str


def describe(network: Network | str, classes: int = 21, *, size: Size = TIMED_SIZE, **options: Any) -> Facts:
    """The facts of a network, or of one by name with so many `classes` and these `options`.

    Multiply-adds are counted for an image of `size` as a predictor gives it to the network: shrunk or padded to one that
    it takes. Shapes are all that is worked with, so the largest network takes a moment and no memory. A network that is
    given stays as it is. Raises `InputError` as `create_model` does.
    """
    if isinstance(network, str):
        with torch.device("meta"):
            network = create_model(network, classes, **options)
    else:
        network = _without_memory(network)
    network.eval()
    size = network.sizes.padded(network.sizes.shrunk(size))
    images = torch.empty(1, len(network.fill), *size, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        outputs = network.outputs(images)
        network.upsample(outputs, size)
    grid = outputs.grids[MAIN]
    return Facts(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        multiply_adds=counter.get_total_flops() // 2,  # it counts the two apart
        size=size,
        stride=round(grid.scale),
        receptive_field=round(grid.field),
        sizes=in_words(network.sizes),
    )


def in_words(rule: SizeRule) -> str:
    """The sides that a rule admits: "any", "32k from 224", "up to 500"."""
    words = []
    if rule.multiple > 1:
        words.append(f"{rule.multiple}k" + (f" + {rule.offset % rule.multiple}" if rule.offset % rule.multiple else ""))
    if rule.minimum > 1:
        words.append(f"from {rule.minimum}")
    if rule.maximum is not None:
        words.append(f"up to {rule.maximum}")
    return " ".join(words) or "any"


def _without_memory(network: Network) -> Network:
    """A copy of which only shapes are left: no value is copied on the way."""
    shapes: dict[int, Any] = {id(buffer): buffer.to("meta") for buffer in network.buffers()}
    shapes |= {id(parameter): nn.Parameter(parameter.to("meta"), False) for parameter in network.parameters()}
    return copy.deepcopy(network, shapes)
