"""What a data set gives: one image with its labels, checked once, here, and trusted everywhere after."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pixelwise.errors import InputError
from pixelwise.label_maps import UNREADABLE


@dataclass(frozen=True)
class ChannelSpec:
    """What an image's channels are: a name and a value range each.

    The means that a network subtracts belong to the network; a channel's own `mean` is only there for channels that no
    published network knows (depth, infrared), and is in the channel's units.
    """

    names: tuple[str, ...] = ("red", "green", "blue")
    ranges: tuple[tuple[float, float], ...] = ((0, 255), (0, 255), (0, 255))
    means: tuple[float | None, ...] = (None, None, None)

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.ranges) == len(self.means):
            raise ValueError("a ChannelSpec needs one name, one range and one mean a channel")


RGB = ChannelSpec()


@dataclass(frozen=True)
class Sample:
    """One image with its labels.

    name       unique in its data set; what splits and reports call it
    image      `(H, W, C)`, uint8 (RGB) or float32 in the units of `channels`
    labels     head -> `(H, W)` uint8 of class indexes and 255 for ignore; empty where there is no truth
    instances  `(H, W)` int32, 0 for none, or None where the data set has none
    """

    name: str
    image: NDArray
    labels: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    instances: NDArray[np.int32] | None = None
    channels: ChannelSpec = RGB

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != len(self.channels.names):
            expected = f"(H, W, {len(self.channels.names)})"
            raise InputError(f"{self.name}: expected an image {expected}, got {self.image.shape}")
        maps: dict[str, NDArray[Any]] = dict(self.labels)
        if self.instances is not None:
            maps["instances"] = self.instances
        for kind, labels in maps.items():
            if labels.shape != self.image.shape[:2]:
                raise InputError(
                    f"{self.name}: the label map ({kind}) is {_size(labels)}, but the image is {_size(self.image)}; "
                    f"they must cover the same pixels: export the mask again at the image's size"
                )
        assert all(labels.dtype == np.uint8 for labels in self.labels.values())

    @property
    def size(self) -> tuple[int, int]:
        """`(height, width)` in pixels."""
        return self.image.shape[0], self.image.shape[1]


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a picture as RGB `(H, W, 3)` uint8, upright (the camera's orientation mark is obeyed), alpha dropped.

    Raises `InputError` naming the file if it is missing, truncated or no picture.
    """
    try:
        with Image.open(path) as picture:
            return as_rgb(picture, where=str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; add the image, or take it off the list") from error
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"{path}: not a readable picture ({error}); replace or remove it") from error


def as_rgb(picture: Image.Image, where: str) -> NDArray[np.uint8]:
    """A PIL picture as RGB `(H, W, 3)` uint8, upright, alpha dropped; `where` names it in the error.

    Raises `InputError` for pictures of more than 8 bits a channel; what Pillow raises while it decodes passes.
    """
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):
        raise InputError(f"{where}: a picture of mode {upright.mode} has no 8-bit colours; save it as 8-bit RGB")
    if upright.mode in ("P", "PA", "LA"):
        upright = upright.convert("RGBA")  # the way that Pillow asks for where some colours are transparent
    # A copy: arrays that share Pillow's memory cannot be written to.
    return np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))


def _size(array: NDArray) -> str:
    return f"{array.shape[0]} high and {array.shape[1]} wide"
