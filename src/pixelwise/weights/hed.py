"""A file of trained weights in, HED out."""

from __future__ import annotations

import os

from pixelwise.models.hed import HED, create_hed
from pixelwise.weights.load import load_named, read_state
from pixelwise.weights.names import caffe_trunk_layers


def load_hed(file: str | os.PathLike[str], *, as_released: bool = False) -> HED:
    """HED with the weights of a file of tensors in the release's names, in float32, in evaluation mode.

    The names are `conv1_1.weight` ... `conv5_3.bias`, `dsn1` ... `dsn5` for what scores the sides, and `fuse`;
    `as_released` is `HED`'s. Raises `InputError` for a file that is not readable or holds other weights.
    """
    network = create_hed(as_released=as_released)
    layers = {name: f"backbone.{path}" for name, path in caffe_trunk_layers(network.backbone).items()}
    layers |= {f"dsn{number}": f"sides.{number - 1}" for number in range(1, len(network.sides) + 1)} | {"fuse": "fuse"}
    names = {f"{theirs}.{part}": f"{ours}.{part}" for theirs, ours in layers.items() for part in ("weight", "bias")}
    load_named(network, read_state(file), names, where=str(file))
    return network
