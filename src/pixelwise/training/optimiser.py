"""Which parameters learn and how fast: groups asked from the network's own parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from pixelwise.models.network import Network


@dataclass(frozen=True)
class Rates:
    """The base rate and decay, and what the parts of a network learn at, as multiples of them.

    backbone  the trunk
    last      the layers that give the scores
    bias      the biases of convolutions, on top of their part's multiple; biases and normalisations do not decay
    """

    rate: float
    decay: float = 0.0
    backbone: float = 1.0
    last: float = 1.0
    bias: float = 1.0


def parameter_groups(network: Network, rates: Rates) -> list[dict[str, Any]]:
    """The network's parameters as an optimiser takes them: every learning parameter in exactly one group, each named.

    The parts are the backbone, the new layers of the decoder, and its last layers; each is split into weights,
    normalisations and biases. Empty groups are left out.
    """
    last = {id(module) for layer in network.last_layers for module in layer.modules()}
    parts = (
        ("backbone", rates.backbone, list(network.backbone.modules())),
        ("new", 1.0, [module for module in network.decoder.modules() if id(module) not in last]),
        ("last", rates.last, [module for module in network.decoder.modules() if id(module) in last]),
    )
    groups = []
    for part, multiple, modules in parts:
        for kind, kind_multiple, decay in (
            ("weights", 1.0, rates.decay),
            ("norms", 1.0, 0.0),
            ("biases", rates.bias, 0.0),
        ):
            chosen = [parameter for module in modules for parameter in _own(module, kind)]
            rate = rates.rate * multiple * kind_multiple
            groups.append({"name": f"{part} {kind}", "params": chosen, "lr": rate, "weight_decay": decay})
    return [group for group in groups if group["params"]]


def create_optimiser(name: Literal["sgd", "adamw"], groups: list[dict[str, Any]], momentum: float) -> Optimizer:
    """SGD with momentum, or AdamW (where `momentum` is its first beta); each group brings its own rate and decay."""
    if name == "sgd":
        return SGD(groups, momentum=momentum)
    return AdamW(groups, betas=(momentum, 0.999))


def _own(module: nn.Module, kind: str) -> Iterable[nn.Parameter]:
    """The learning parameters of one kind that belong to the module itself, not to a module inside it."""
    for name, parameter in module.named_parameters(recurse=False):
        own_kind = "norms" if isinstance(module, nn.BatchNorm2d) else "biases" if name == "bias" else "weights"
        if parameter.requires_grad and own_kind == kind:
            yield parameter
