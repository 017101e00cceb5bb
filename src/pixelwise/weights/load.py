"""Foreign weights into our parameters: every parameter is covered exactly once, and nothing is dropped unseen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pixelwise.errors import InputError, first_line


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
    own, ours, theirs = module.state_dict(), dict[str, Tensor](), dict[str, str]()
    for foreign, tensor in state.items():
        name = names[foreign]
        if name is None:
            continue
        if name not in own:
            raise InputError(f"{where}: holds weights this network does not have, first '{foreign}'")
        if name in ours:
            raise InputError(f"{where}: holds the weights '{name}' twice, again as '{foreign}'")
        ours[name], theirs[name] = tensor, foreign
    if missing := [name for name in own if name not in ours and not name.endswith("num_batches_tracked")]:
        raise InputError(f"{where}: lacks weights of this network, first '{missing[0]}' of {len(missing)}")
    for name, tensor in ours.items():
        if own[name].shape != tensor.shape:
            found, expected = tuple(tensor.shape), tuple(own[name].shape)
            raise InputError(f"{where}: '{theirs[name]}' should be {expected}, as '{name}' is here, got {found}")
    module.load_state_dict({**own, **ours}, strict=True)
