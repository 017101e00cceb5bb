"""Our own format: a directory of config.json, model.safetensors and a model card, which a hub takes as it is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pixelwise.errors import InputError
from pixelwise.files import directory_written_beside
from pixelwise.labels import LabelSpec
from pixelwise.models.network import Link, Network
from pixelwise.models.published import create_model

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
FORMAT = 1

Stored = Literal["float32", "float16", "int8"]
"""Number types of a model's file."""

_SCALE = ".scale"  # what a tensor of whole numbers is multiplied by, one a channel, has its name and this
_FEWEST = 64  # weights of a channel that are worth a scale


@dataclass(frozen=True)
class NetworkConfig:
    """What `create_model` needs to build a network again."""

    name: str
    classes: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Network:
        """The network, with random weights."""
        return create_model(self.name, self.classes, **self.options)


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with everything that must travel with it.

    `record` says how it was made: recipe, data, seed, versions, scores; it is only for people, nothing reads it back.
    `link` says what its scores were learned to mean, which predictors must know.
    """

    network: Network
    config: NetworkConfig
    label_spec: LabelSpec
    record: Mapping[str, Any] = field(default_factory=dict)
    card: str = ""
    link: Link = "softmax"


def save_checkpoint(directory: str | os.PathLike[str], checkpoint: Checkpoint, *, stored: Stored = "float32") -> None:
    """Write a model directory whole or not at all.

    With `stored="float16"` convolution weights are halved in size; norms and biases keep 32 bits, for a running
    variance can leave float16's range. With "int8" they become whole numbers, -127 to 127, times a scale for each output
    channel: a quarter of the size, and every weight within 0.4 % of its channel's largest; channels of few weights, as
    those of depthwise convolutions, stay float16. Raises `InputError` where the weights cannot be written, as on a full disk.
    """
    config = {
        "format": FORMAT,
        "library_name": "pixelwise",
        "network": {"name": checkpoint.config.name, "options": dict(checkpoint.config.options)},
        "link": checkpoint.link,
        "labels": checkpoint.label_spec.to_json(),
        "record": dict(checkpoint.record),
    }
    state = dict[str, Tensor]()
    for name, tensor in checkpoint.network.state_dict().items():
        state |= _storable(name, tensor.detach().cpu().contiguous(), stored)
    with directory_written_beside(directory) as beside:
        (beside / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (beside / CARD).write_text(checkpoint.card, encoding="utf-8")
        try:
            save_file(state, beside / WEIGHTS, metadata={"format": "pt"})
        except SafetensorError as error:
            raise InputError(f"{Path(directory) / WEIGHTS}: cannot be written ({error})") from error


def load_checkpoint(directory: str | os.PathLike[str]) -> Checkpoint:
    """Read a model directory; the network is in evaluation mode, in float32, on the CPU.

    Raises `InputError` naming the file for anything missing, damaged, or made by a newer version.
    """
    folder = Path(directory)
    config = _read_config(folder / CONFIG)
    try:
        label_spec = LabelSpec.from_json(config["labels"])
        network_config = NetworkConfig(config["network"]["name"], len(label_spec), config["network"]["options"])
        record = config["record"]
        network = network_config.build()
    except KeyError as error:
        raise InputError(f"{folder / CONFIG}: not a model's config, it lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{folder / CONFIG}: no model can be built from it ({error})") from error
    try:
        state = _whole(load_file(folder / WEIGHTS))
    except Exception as error:  # safetensors raises its own kinds for damage
        raise InputError(
            f"{folder / WEIGHTS}: not readable as weights ({error}); copy or train the model again"
        ) from error
    own = network.state_dict()
    if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
        odd = next(iter(own.keys() ^ state.keys()), "shapes")
        raise InputError(f"{folder / WEIGHTS}: does not fit the network '{network_config.name}', first: {odd}")
    network.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in state.items()}, strict=True)
    card = folder / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return Checkpoint(network.eval(), network_config, label_spec, record, text, config["link"])


def find_checkpoint(folder: str | os.PathLike[str], config: NetworkConfig) -> Path | None:
    """The first model directory in a folder whose network is `config`'s, whatever its classes; None if there is none."""
    for path in sorted(Path(folder).glob(f"*/{CONFIG}")):
        network = _read_config(path)["network"]
        if (network["name"], network["options"]) == (config.name, dict(config.options)):
            return path.parent
    return None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not readable as a model's config ({error})") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f"{path}: expected a model of format {FORMAT}; it was written by another version or program")
    link = config.setdefault("link", "softmax")  # models that were stored without it have none other
    if link not in get_args(Link):
        raise InputError(f"{path}: unknown link '{link}'; expected one of {', '.join(get_args(Link))}")
    return config


def _storable(name: str, tensor: Tensor, stored: Stored) -> dict[str, Tensor]:
    """What stands in the file for a tensor of the network."""
    if stored == "float32" or tensor.ndim < 2 or tensor.dtype != torch.float32:
        return {name: tensor}
    if stored == "float16" or tensor[0].numel() < _FEWEST:
        return {name: tensor.half()}
    scale = tensor.flatten(1).abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return {name: (tensor / _per_channel(scale, tensor)).round().to(torch.int8), name + _SCALE: scale}


def _whole(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors with their scales taken in."""
    scales = {name.removesuffix(_SCALE): state.pop(name) for name in [*state] if name.endswith(_SCALE)}
    for name, scale in scales.items():
        state[name] = state[name].float() * _per_channel(scale, state[name])
    return state


def _per_channel(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (tensor.ndim - 1))
