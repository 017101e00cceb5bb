"""Which parameters learn, how fast, and how the rate changes with the steps."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import LambdaLR

from pixelwise.models.network import Network


def parameter_groups(network: Network, rate: float, decay: float, *, backbone_rate: float) -> list[dict[str, Any]]:
    """The network's parameters as an optimiser takes them: trunk and decoder, each with and without weight decay.

    The trunk learns at `rate * backbone_rate`. Biases and normalisation parameters do not decay.
    """
    groups = []
    for part, part_rate in ((network.backbone, rate * backbone_rate), (network.decoder, rate)):
        weights = [p for p in part.parameters() if p.requires_grad and p.ndim > 1]
        others = [p for p in part.parameters() if p.requires_grad and p.ndim <= 1]
        groups += [
            {"params": weights, "lr": part_rate, "weight_decay": decay},
            {"params": others, "lr": part_rate, "weight_decay": 0.0},
        ]
    return groups


def create_optimiser(
    name: Literal["sgd", "adamw"], groups: list[dict[str, Any]], momentum: float
) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW (where `momentum` is its first beta); each group brings its own rate."""
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=momentum)
    return torch.optim.AdamW(groups, betas=(momentum, 0.999))


def poly_schedule(optimiser: torch.optim.Optimizer, steps: int, *, power: float, warmup: int) -> LambdaLR:
    """Every group's rate times `(1 - step / steps) ** power`, after a linear rise over `warmup` steps.

    Source: DeepLab v2 (Chen et al., PAMI 2018), section 4.1.1; `power=0` keeps the rate constant.
    """

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / (warmup + 1))
        return rise * max(0.0, 1 - step / steps) ** power

    return LambdaLR(optimiser, factor)
