"""Name tables: what other people call the parameters that we have."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite, InvertedBottleneck

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def efficientnet_lite_names(trunk: EfficientNetLite) -> dict[str, str]:
    """Names in the `efficientnet-lite-pytorch` family of files -> names in our trunk, and `head.*` for its classifier.

    Both write a block as widen, filter, narrow, so the convolutions and norms correspond one to one, in order.
    """
    names = {"_conv_stem.weight": f"stem.{_first(trunk.stem, nn.Conv2d)}.weight"}
    names |= _norm_names("_bn0", f"stem.{_first(trunk.stem, nn.BatchNorm2d)}")
    number = 0
    for s, stage in enumerate(trunk.stages):
        assert isinstance(stage, nn.Sequential)
        for b, block in enumerate(stage):
            assert isinstance(block, InvertedBottleneck)
            here, there = f"stages.{s}.{b}.layers", f"_blocks.{number}"
            convolutions = [i for i, layer in enumerate(block.layers) if isinstance(layer, nn.Conv2d)]
            norms = [i for i, layer in enumerate(block.layers) if isinstance(layer, nn.BatchNorm2d)]
            # A block that does not widen has no `_expand_conv` and no `_bn0`: count from the end.
            for foreign, place in zip(("_project_conv", "_depthwise_conv", "_expand_conv"), reversed(convolutions)):  # noqa: B905
                names[f"{there}.{foreign}.weight"] = f"{here}.{place}.weight"
            for foreign, place in zip(("_bn2", "_bn1", "_bn0"), reversed(norms)):  # noqa: B905
                names |= _norm_names(f"{there}.{foreign}", f"{here}.{place}")
            number += 1
    names |= {"_conv_head.weight": "head.layers.0.weight", **_norm_names("_bn1", "head.layers.1")}
    names |= {"_fc.weight": "head.classes.weight", "_fc.bias": "head.classes.bias"}
    return names


def _norm_names(foreign: str, ours: str) -> dict[str, str]:
    return {f"{foreign}.{part}": f"{ours}.{part}" for part in _NORM}


def _first(layers: nn.Module, kind: type[nn.Module]) -> int:
    indexes: Iterator[int] = (i for i, layer in enumerate(layers.children()) if isinstance(layer, kind))
    return next(indexes)
