"""DeconvNet: fc6 and fc7, then the trunk in a mirror, which puts every value back to where its pool found it.

Source: DeconvNet (Noh, Hong & Han, ICCV 2015), section 3 and table 2. Layers carry the names of the released
`DeconvNet_inference_deploy.prototxt`, with `_` for `-`; only its `seg-score-voc` is `score` here, for there are other data.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.errors import InputError, unknown_name
from pixelwise.geometry import IMAGE_GRID, Size, SizeRule
from pixelwise.labels import MAIN
from pixelwise.models.backbones.vgg import VGG
from pixelwise.models.layers import crop_to, grid_through, scaled
from pixelwise.models.network import Features, Outputs

UNPOOLINGS = ("switches", "nearest")

FC6_KERNEL = 7
"""The side of fc6 and of its mirror, fc6-deconv. Source: DeconvNet, table 2."""

INITIAL_SPREAD = 0.01
"""Standard deviation of the first weights of deconvolutions and score. Source: the released `stage_1_train.prototxt`."""


class Unpool(nn.Module):
    """Undoes a max pool of `stride` x `stride` cells that do not overlap: `(N, C, h, w)` -> `(N, C, stride h, stride w)`.

    `switches` `(N, C, h, w)` are places in the plane that was pooled, `row * width + column`: there the values are put,
    and zeros elsewhere, channels-last in memory. Without switches each value fills the cells it was pooled from.

    Source: DeconvNet, section 3.2.1.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, pooled: Tensor, switches: Tensor | None) -> Tensor:
        if switches is None:
            return functional.interpolate(pooled, scale_factor=self.stride, mode="nearest")
        if pooled.dtype == torch.bfloat16 and not pooled.requires_grad:
            # torch scatters two bytes by way of float32; as the integers of their bits they go as they are
            return self._placed(pooled.view(torch.int16), switches).view(torch.bfloat16)
        return self._placed(pooled, switches)

    def _placed(self, pooled: Tensor, switches: Tensor) -> Tensor:
        height, width = (self.stride * side for side in pooled.shape[-2:])
        planes = pooled.new_zeros(pooled.shape[0], height * width, pooled.shape[1])
        # scatter and not max_unpool2d: the same numbers, but deterministic on a GPU, and it exports
        planes = planes.scatter_(1, _cells(switches), _cells(pooled))
        return planes.unflatten(1, (height, width)).permute(0, 3, 1, 2)


def _cells(planes: Tensor) -> Tensor:
    """`(N, C, h, w)` -> `(N, h w, C)`: a view of what is channels-last, whose channels go from place to place together."""
    return planes.permute(0, 2, 3, 1).flatten(1, 2)


class DeconvDecoder(nn.Module):
    """Scores at the image's own stride: what stands behind the trunk's last pool, through fc6 and fc7 and back up.

    trunk      what is mirrored; its maps are the image (tap 0) and what stands behind the last pool
    hidden     channels of fc6 and fc7
    width      scales the channels of the mirror, 0 < width <= 1; a channel of a narrower one is unpooled by the switches of
               the trunk's channel of the same number
    norm       what stands between a layer and its ReLU, made from the channel count; None: nothing
    unpooling  "switches", or "nearest" for the ablation without them: see `Unpool`
    spread     standard deviation of the first weights of deconvolutions and score; None: by how many values a layer reads
               (He et al., ICCV 2015), so that the scores of classes differ from the beginning

    `sizes` says what images it takes: fc6 must fit into the coarsest map, and every pool halve exactly, or switches would
    point into a plane of another width. Raises `InputError` for an unpooling that does not exist, that needs switches
    from a trunk that keeps none, and for a mirror that would be wider than the trunk.
    """

    def __init__(
        self,
        classes: int,
        trunk: VGG,
        hidden: int,
        *,
        width: float = 1.0,
        norm: Callable[[int], nn.Module] | None = None,
        unpooling: str = "switches",
        spread: float | None = INITIAL_SPREAD,
    ) -> None:
        super().__init__()
        if unpooling not in UNPOOLINGS:
            raise unknown_name("unpooling", unpooling, UNPOOLINGS)
        if unpooling == "switches" and not trunk.switches:
            raise InputError(
                "unpooling needs to know where the trunk's pools found their maxima, and this trunk does not keep it: "
                "build the trunk with switches=True, or the decoder with unpooling='nearest'"
            )
        if not 0 < width <= 1:
            raise InputError(
                f"the decoder would be {width:g} times as wide as the trunk, whose switches it needs: "
                f"choose decoder_width above 0 and no larger than width"
            )
        self.heads = {MAIN: classes}
        self.unpooling = unpooling
        coarsest = trunk.grids[-1]
        assert coarsest.shift == (coarsest.scale - 1) / 2, "the trunk's cells do not tile the image: it has no mirror"
        stride = round(coarsest.scale)
        self.sizes = SizeRule(minimum=FC6_KERNEL * stride, multiple=stride)
        channels = trunk.channels[-1]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers |= _normed("fc6", nn.Conv2d(channels, hidden, FC6_KERNEL), "bnfc6", norm)
        layers |= _normed("fc7", nn.Conv2d(hidden, hidden, 1), "bnfc7", norm)
        channels = scaled(channels, width)
        layers |= _normed("fc6_deconv", nn.ConvTranspose2d(hidden, channels, FC6_KERNEL), "fc6_deconv_bn", norm)
        for name, layer in _mirrored(trunk, width):
            if isinstance(layer, nn.ConvTranspose2d):
                layers |= _normed(name, layer, name.replace("conv", "bn"), norm)
                channels = layer.out_channels
            else:
                layers[name] = layer
        self.layers = nn.Sequential(layers)
        self.score = nn.Conv2d(channels, classes, 1)
        for layer in (*self.layers, self.score):
            released = layer is self.score or isinstance(layer, nn.ConvTranspose2d)
            _initialise(layer, spread if released else None)
        self._unpooled_from = [isinstance(layer, Unpool) for layer in self.layers].index(True)
        self.grid = coarsest
        for layer in self.layers:
            step = layer.stride if isinstance(layer, Unpool) else None
            self.grid = self.grid.through_transposed(step, step) if step else grid_through(layer, self.grid)

    @property
    def last_layers(self) -> tuple[nn.Module, ...]:
        """The 1x1 convolution that scores the finest map."""
        return (self.score,)

    def forward(self, features: Features) -> Outputs:
        """The image and the coarsest map -> scores at the image's size.

        Raises `InputError` for an image that `sizes` does not admit, or that is too little to take batch statistics of.
        """
        self.check(features.maps[0])
        return self.mirrored(self.bottleneck(features.maps[-1]), features)

    def bottleneck(self, coarsest: Tensor) -> Tensor:
        """The coarsest map through the layers of many weights and few cells, fc6 to its mirror: a map of its size."""
        for layer in list(self.layers)[: self._unpooled_from]:
            coarsest = layer(coarsest)
        return coarsest

    def mirrored(self, x: Tensor, features: Features) -> Outputs:
        """What `bottleneck` gave -> scores at the size of the image whose features these are."""
        assert self.unpooling == "nearest" or features.switches is not None
        switches = list(features.switches or ())
        for layer in list(self.layers)[self._unpooled_from :]:
            if isinstance(layer, Unpool):
                x = layer(x, switches.pop()[:, : x.shape[1]] if self.unpooling == "switches" else None)
            else:
                x = layer(x)
        return Outputs({MAIN: self.score(x)}, {MAIN: self.grid})

    def upsample(self, outputs: Outputs, size: Size) -> dict[str, Tensor]:
        """The scores as they are: they have the image's size `(H, W)` already."""
        return {MAIN: crop_to(outputs.scores[MAIN], self.grid, IMAGE_GRID, size)}

    def check(self, images: Tensor) -> None:
        """Raise `InputError` for images `(N, C, H, W)` that `sizes` does not admit, or too little for batch statistics."""
        size = images.shape[-2], images.shape[-1]
        smallest, step = self.sizes.minimum, self.sizes.multiple
        if not self.sizes.admits(size):
            raise InputError(
                f"DeconvNet takes sides of {smallest}, {smallest + step}, {smallest + 2 * step}, ... pixels, got "
                f"{size[0]} x {size[1]}: pad the image, network.sizes.padded says to what"
            )
        # Of two values there are statistics, but nothing to learn: normalised, they are +1 and -1 whatever they were.
        in_batch_mode = any(isinstance(layer, nn.BatchNorm2d) and layer.training for layer in self.layers)
        if in_batch_mode and len(images) == 1 and size == (smallest, smallest):
            raise InputError(
                f"one image of {smallest} x {smallest} leaves fc6 a single value a channel, too little for batch "
                "statistics: train DeconvNet with several images a batch"
            )


def _mirrored(trunk: VGG, width: float) -> Iterator[tuple[str, nn.Module]]:
    """The trunk from its end to its beginning: an unpooling for a pool, a transposed convolution for a convolution.

    The channels go back as they came, except to those of the image: the last layer keeps what it has.
    """
    layers = [layer for layer in trunk.features if isinstance(layer, nn.Conv2d | nn.MaxPool2d)]
    stage, number = 1 + sum(isinstance(layer, nn.MaxPool2d) for layer in layers), 0
    for layer in reversed(layers):
        if isinstance(layer, nn.MaxPool2d):
            stage, number = stage - 1, 0
            assert isinstance(layer.stride, int)
            assert layer.kernel_size == layer.stride, "cells that overlap may find the same maximum"
            yield f"unpool{stage}", Unpool(layer.stride)
        else:
            number += 1
            kernel = layer.kernel_size[0]
            channels = layer.out_channels if layer is layers[0] else layer.in_channels
            incoming, outgoing = scaled(layer.out_channels, width), scaled(channels, width)
            yield f"deconv{stage}_{number}", nn.ConvTranspose2d(incoming, outgoing, kernel, padding=kernel // 2)


def _normed(
    name: str, layer: nn.Conv2d | nn.ConvTranspose2d, norm_name: str, norm: Callable[[int], nn.Module] | None
) -> OrderedDict[str, nn.Module]:
    """A layer, its norm where there are norms, and its ReLU."""
    norms = {norm_name: norm(layer.out_channels)} if norm else {}
    return OrderedDict({name: layer, **norms, f"{name}_relu": nn.ReLU(inplace=True)})


def _initialise(layer: nn.Module, spread: float | None) -> None:
    if isinstance(layer, nn.ConvTranspose2d) and spread is None:
        spread = math.sqrt(2 / (layer.in_channels * layer.kernel_size[0] ** 2))  # PyTorch's own counts what leaves
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return
    if spread is None:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.normal_(layer.weight, std=spread)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # there is a bias: the default
