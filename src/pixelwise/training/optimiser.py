"""Which parameters learn and how fast: groups asked from the network's own parts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from pixelwise.errors import InputError
from pixelwise.models.backbones.vgg import VGG
from pixelwise.models.network import Network

Learn = Literal["all", "decoder", "added", "last"]
OptimiserName = Literal["sgd", "caffe", "adamw"]


@dataclass(frozen=True)
class Rates:
    """The base rate and decay, and what the parts of a network learn at, as multiples of them.

    backbone  the trunk
    last      the layers that give the scores
    bias      the biases of convolutions, on top of their part's multiple; biases and normalisations do not decay
    plain_biases  whether `bias`, and that there is no decay, hold for the layers that give the scores alone; the other
                  biases then learn and decay as weights
    """

    rate: float
    decay: float = 0.0
    backbone: float = 1.0
    last: float = 1.0
    bias: float = 1.0
    plain_biases: bool = False


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
        biases = (1.0, rates.decay) if rates.plain_biases and part != "last" else (rates.bias, 0.0)
        for kind, kind_multiple, decay in (("weights", 1.0, rates.decay), ("norms", 1.0, 0.0), ("biases", *biases)):
            chosen = [parameter for module in modules for parameter in _own(module, kind)]
            rate = rates.rate * multiple * kind_multiple
            groups.append({"name": f"{part} {kind}", "params": chosen, "lr": rate, "weight_decay": decay})
    return [group for group in groups if group["params"]]


def hold_still(network: Network, learn: Learn, added: Collection[str], stages: int = 0) -> None:
    """Let only a part of the network learn.

    learn  "all"; "decoder": all but the trunk; "last": the layers that give the scores; "added": the parameters named in
           `added`, which the network has beyond the one it starts from
    stages  how many of a VGG's stages, from the first on, do not learn whatever `learn` says

    Raises `InputError` for a trunk that has no such stages.
    """
    trunk = network.backbone
    if stages and not (isinstance(trunk, VGG) and stages < len(trunk.ends)):
        has = f"has {len(trunk.ends) - 1}" if isinstance(trunk, VGG) else f"is no VGG, but {type(trunk).__name__}"
        raise InputError(f"still_stages={stages}: the network's trunk {has}; choose fewer, or a network on VGG")
    early = trunk.features[: trunk.ends[stages]].parameters() if isinstance(trunk, VGG) else ()
    still = {id(parameter) for parameter in early}
    last = {id(parameter) for layer in network.last_layers for parameter in layer.parameters()}
    for name, parameter in network.named_parameters():
        learns = {
            "all": True,
            "decoder": not name.startswith("backbone."),
            "last": id(parameter) in last,
            "added": name in added,
        }[learn]
        parameter.requires_grad_(parameter.requires_grad and learns and id(parameter) not in still)


class CaffeSGD(Optimizer):
    """Stochastic gradient descent in Caffe's form: v <- momentum v + rate (gradient + decay w), then w <- w - v.

    The rate is part of what is remembered. PyTorch's own multiplies by it afterwards: equal while the rate stays as it
    is, and another way once it changes, for a rate that has dropped drops all that is remembered too.

    Source: `solver.cpp` of Caffe as DeconvNet released it.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], momentum: float) -> None:
        super().__init__(groups, {"momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nothing here evaluates a loss anew
        """Change every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["velocity"] = torch.zeros_like(parameter)
                change = parameter.grad.add(parameter, alpha=group["weight_decay"])
                state["velocity"].mul_(group["momentum"]).add_(change, alpha=group["lr"])
                parameter.sub_(state["velocity"])


def create_optimiser(name: OptimiserName, groups: list[dict[str, Any]], momentum: float) -> Optimizer:
    """SGD with momentum, the same in Caffe's form, or AdamW (where `momentum` is its first beta).

    Each group brings its own rate and decay.
    """
    match name:
        case "sgd":
            return SGD(groups, momentum=momentum)
        case "caffe":
            return CaffeSGD(groups, momentum)
        case "adamw":
            return AdamW(groups, betas=(momentum, 0.999))


def _own(module: nn.Module, kind: str) -> Iterable[nn.Parameter]:
    """The learning parameters of one kind that belong to the module itself, not to a module inside it."""
    for name, parameter in module.named_parameters(recurse=False):
        own_kind = "norms" if isinstance(module, nn.BatchNorm2d) else "biases" if name == "bias" else "weights"
        if parameter.requires_grad and own_kind == kind:
            yield parameter
