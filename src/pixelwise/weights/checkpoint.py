"""Our own format: a directory of config.json, model.safetensors and a model card, which a hub takes as it is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pixelwise.errors import InputError
from pixelwise.files import directory_written_beside
from pixelwise.labels import LabelSpec
from pixelwise.models.network import Network
from pixelwise.models.published import create_model

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
FORMAT = 1


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
    """

    network: Network
    config: NetworkConfig
    label_spec: LabelSpec
    record: Mapping[str, Any] = field(default_factory=dict)
    card: str = ""


def save_checkpoint(
    directory: str | os.PathLike[str], checkpoint: Checkpoint, *, stored: Literal["float32", "float16"] = "float32"
) -> None:
    """Write a model directory whole or not at all.

    With `stored="float16"` convolution weights are halved in size; norms and biases keep 32 bits, for a running
    variance can leave float16's range. Raises `InputError` where the weights cannot be written, as on a full disk.
    """
    config = {
        "format": FORMAT,
        "library_name": "pixelwise",
        "network": {"name": checkpoint.config.name, "options": dict(checkpoint.config.options)},
        "labels": checkpoint.label_spec.to_json(),
        "record": dict(checkpoint.record),
    }
    state = {name: _storable(tensor, stored) for name, tensor in checkpoint.network.state_dict().items()}
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
        state = load_file(folder / WEIGHTS)
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
    return Checkpoint(
        network.eval(), network_config, label_spec, record, card.read_text(encoding="utf-8") if card.is_file() else ""
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not readable as a model's config ({error})") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f"{path}: expected a model of format {FORMAT}; it was written by another version or program")
    return config


def _storable(tensor: Tensor, stored: str) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if stored == "float16" and tensor.ndim > 1 and tensor.dtype == torch.float32 else tensor
