"""Networks small enough to be run in a test, the same at full size without memory, and pictures to show them."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pixelwise.models.network import Network
from pixelwise.models.published import create_model

CLASSES = 5

Module = TypeVar("Module", bound=nn.Module)


def narrow(name: str, classes: int = CLASSES, *, seed: int = 0, **options: Any) -> Network:
    """A network of few channels, in evaluation mode, whose last layers are drawn from a wide normal distribution."""
    torch.manual_seed(seed)
    network = create_model(name, classes, **{"width": 1 / 16, **options}).eval()
    for layer in network.last_layers:
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
    return network


def lively(name: str, **options: Any) -> Network:
    """A narrow network with an `AtrousDecoder`, all of whose branches have their say."""
    network = narrow(name, **options)
    for parameter in network.decoder.branches.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


def full_size(name: str, classes: int = 21, **options: Any) -> Network:
    """The whole network in evaluation mode, without memory for its weights: shapes and counts only."""
    with torch.device("meta"):
        return create_model(name, classes, **options).eval()


def stirred(network: Module) -> Module:
    """The network in evaluation mode, and its batch norms with statistics, scales and shifts that do something."""
    torch.manual_seed(7)
    for layer in norms_of(network):
        nn.init.normal_(layer.running_mean, std=0.3)
        nn.init.uniform_(layer.running_var, 0.5, 1.5)
        nn.init.uniform_(layer.weight, 0.5, 1.5)
        nn.init.normal_(layer.bias, std=0.3)
    return network.eval()


def norms_of(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


def pictures(count: int, size: tuple[int, int], *, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.rand((count, channels, *size), generator=torch.Generator().manual_seed(seed)) * 255


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
