"""A network when training is over: statistics of its norms taken anew, norms folded, layers made quicker, weights shorter."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from itertools import pairwise
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from pixelwise.errors import InputError, first_line
from pixelwise.labels import MAIN
from pixelwise.models.decoders.deconvnet import DeconvDecoder
from pixelwise.models.network import Network, Outputs

Model = TypeVar("Model", bound=nn.Module)

WIDE = (
    2**22
)  # weights. Ours: of so many, oneDNN's rearranging them at every pass takes longer than the product with a few cells


PIECE = 2
"""Images: ours. DeconvNet's largest maps of so many, in float32, are just below the 32 MiB from which the C library of Linux has
memory come anew from the system, which clears it, at every use."""


def reestimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the running statistics of every `BatchNorm2d` to the mean over `batches` of each batch's own mean and variance.

    network  whose norms change, in place; all else, modes included, stays as it is; so do norms whose parameters do not
             learn, for what was held still in training has always worked with the statistics that it has
    batches  images `(N, C, H, W)` as the network takes them, on its device; each is passed once

    While a batch passes, these norms use its own statistics and everything else is in evaluation mode. A variance is
    that of a sample, m / (m - 1) times the batch's, m = N H W. Raises `InputError` if there is no batch, or one is so
    small that a norm sees a single value; then the statistics are what they were.

    Source: DeconvNet's released `BN_make_INFERENCE_script.py`, where the factor is meant, but rounded to 1 by Python 2.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d) and _learns(module)]
    before = [(norm, norm.momentum, copy.deepcopy(norm.state_dict())) for norm in norms]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # torch then keeps the plain mean over all batches, of sample variances
    try:
        passed = 0
        for images in batches:
            _pass(network, images)
            passed += 1
        if not passed:
            raise InputError("statistics are taken of images, got not one batch of them: give at least one")
    except BaseException:  # an interrupt too: nothing is left half-done
        for norm, _, state in before:
            norm.load_state_dict(state)
        raise
    finally:
        for norm, momentum, _ in before:
            norm.momentum = momentum
        for module, training in modes:
            module.training = training


def _learns(norm: nn.BatchNorm2d) -> bool:
    return not norm.affine or norm.weight.requires_grad


def _pass(network: nn.Module, images: Tensor) -> None:
    try:
        with torch.no_grad():
            network(images)
    except InputError:
        raise
    except ValueError as error:  # torch's own, for a single value
        raise InputError(
            f"no statistics can be taken of a batch of {tuple(images.shape)} ({first_line(error)}): give more or larger images"
        ) from error


def fold(network: Model) -> Model:
    """A copy in evaluation mode whose batch norms are part of the convolutions before them: the same scores, faster.

    Folded is every `BatchNorm2d` that a module holds directly behind a `Conv2d` or `ConvTranspose2d`, in the order in
    which they were assigned. That module must apply the two one after the other, and use what comes out of the
    convolution for nothing else: a `Sequential` does, and so do all networks here. An `Identity` stands where a
    folded norm was, so all other layers keep their names; other norms stay. The network that is given is left alone.
    """
    folded = copy.deepcopy(network)
    for module in folded.modules():
        for (_, layer), (name, norm) in pairwise(list(module.named_children())):
            if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) or not isinstance(norm, nn.BatchNorm2d):
                continue
            transposed = isinstance(layer, nn.ConvTranspose2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            assert norm.num_features == layer.out_channels
            assert not transposed or layer.groups == 1, "torch does not fold into grouped transposed convolutions"
            layer.weight, layer.bias = fuse_conv_bn_weights(
                layer.weight,
                layer.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
                transposed,
            )
            setattr(module, name, nn.Identity())
    return folded.eval()


def quicken(network: nn.Module) -> None:
    """Put other layers in the place of some, which compute the same sooner: the network changes in place.

    A `ConvTranspose2d` of stride 1 that keeps the size of its map becomes the `Conv2d` with its kernel turned round. One
    that enlarges its map becomes a `KernelProduct`, for a convolution would multiply the zeros around it; so does a 1x1
    convolution of `WIDE` weights. Scores differ by rounding. It is for inference: weights no longer lie as in a checkpoint.
    """
    for module in list(network.modules()):
        for name, layer in module.named_children():
            if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                continue
            if (layer.stride, layer.dilation, layer.groups) != ((1, 1), (1, 1), 1):
                continue
            if isinstance(layer, nn.Conv2d):
                if layer.kernel_size == (1, 1) and layer.padding == (0, 0) and layer.weight.numel() >= WIDE:
                    setattr(module, name, KernelProduct(layer, layer.weight.flatten(1)))
            elif layer.kernel_size == tuple(2 * int(pad) + 1 for pad in layer.padding):
                setattr(module, name, _turned(layer))
            else:
                setattr(module, name, KernelProduct(layer, layer.weight.flatten(1).t()))


def in_pieces(network: Network) -> Network:
    """A DeconvNet of the same layers whose large maps are of `PIECE` images at a time; any other network as it is.

    Only the layers of many weights and few cells, fc6 to its mirror, see a whole batch. It is for inference on a CPU.
    """
    if not isinstance(network.decoder, DeconvDecoder):
        return network
    return _InPieces(network.normalise, network.backbone, network.decoder, network.sizes)


class _InPieces(Network):
    def outputs(self, images: Tensor) -> Outputs:
        decoder = cast(DeconvDecoder, self.decoder)
        decoder.check(images)
        features = [self.backbone(self.normalise(piece)) for piece in images.split(PIECE)]
        narrow = decoder.bottleneck(torch.cat([own.maps[-1] for own in features])).split(PIECE)
        scores = [decoder.mirrored(x, own).scores[MAIN] for x, own in zip(narrow, features, strict=True)]
        return Outputs({MAIN: torch.cat(scores)}, {MAIN: decoder.grid})


def shorten(network: nn.Module, kind: torch.dtype) -> None:
    """Keep the weights of convolutions and products in `kind`, except where it hurts: the network changes in place.

    In float32 stay the first layer and the last, in the order in which they were assigned, and each that a max pool follows:
    what tells neighbouring pixels apart is less than `kind` keeps, a pool would choose between values that were rounded to the
    same, and so switches would point elsewhere. The others are those that autocast would cast at each pass; it leaves all
    else in float32. It is for inference under autocast.
    """
    layers: list[str] = []
    exact: set[str] = set()
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layers.append(name)
        elif isinstance(layer, nn.MaxPool2d):
            exact |= {*layers[-1:]}
    exact |= {*layers[:1], *layers[-1:]}
    for name in layers:
        if name in exact:
            network.set_submodule(name, InFloat32(network.get_submodule(name)))
        else:
            network.get_submodule(name).to(kind)


class InFloat32(nn.Module):
    """A layer that is computed in float32, whatever autocast is told."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return cast(Tensor, self.layer(x.float()))


def _turned(layer: nn.ConvTranspose2d) -> nn.Conv2d:
    height, width = layer.kernel_size
    padding = height // 2, width // 2
    turned = nn.Conv2d(layer.in_channels, layer.out_channels, (height, width), padding=padding, device="meta")
    turned.weight = nn.Parameter(layer.weight.detach().flip(2, 3).transpose(0, 1).contiguous())
    turned.bias = layer.bias
    return turned


class KernelProduct(nn.Module):
    """A transposed convolution of stride 1 by one product of matrices: `(N, C, h, w)` -> `(N, K, h + k - 1 - 2 p, ...)`.

    Every cell is multiplied into its whole kernel, then kernels that overlap are added, in float32 at least. A 1x1 convolution is
    such a layer too. Quick where there are few cells and many weights.

    layer   whose bias, kernel size k and padding p are taken
    weight  its weights as `(K k k, C)`, each kernel of k x k together
    """

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d, weight: Tensor) -> None:
        super().__init__()
        self.kernel, self.padding = layer.kernel_size, (int(layer.padding[0]), int(layer.padding[1]))
        self.product = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.product.weight = nn.Parameter(weight.detach().contiguous())
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        kernels = self.product(x.flatten(2).transpose(1, 2)).transpose(1, 2)
        height, width = (
            side + kernel - 1 - 2 * pad
            for side, kernel, pad in zip(x.shape[-2:], self.kernel, self.padding, strict=True)
        )
        exact = kernels.to(torch.promote_types(kernels.dtype, torch.float32))
        made = functional.fold(exact, (height, width), self.kernel, padding=self.padding)
        return (made if self.bias is None else made + self.bias.view(-1, 1, 1)).to(kernels.dtype)
