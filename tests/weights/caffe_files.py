"""Layers in, Caffe's own two files out: the definition as text (`.prototxt`), the weights in binary (`.caffemodel`).

Written byte by byte and not with the library's schema: what reads these files is thereby held to the format itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Setting = bool | int | float | str
"""A string is one of Caffe's enumerations: in the text it stands without quotes."""


@dataclass(frozen=True)
class Layer:
    """One layer: what it reads, what it makes, how it is set, and its weights."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: dict[str, Setting]
    blobs: tuple[NDArray[np.float32], ...] = ()


def write_files(
    layers: Sequence[Layer], folder: Path, size: tuple[int, int], *, old_format: bool = False
) -> tuple[Path, Path]:
    """Write the definition for one image of `(H, W)`, and the weights; returns where they are.

    In the old format of weights (V1) layers are of numbered kinds, and every array has four sides.
    """
    definition, weights = folder / "net.prototxt", folder / "net.caffemodel"
    definition.write_text(definition_text(layers, size))
    with weights.open("wb") as file:  # layer by layer: a network of full width has half a gigabyte
        for layer in layers:
            file.write(_old_layer(layer) if old_format else _layer(layer))
    return definition, weights


# The text. What is an argument there, `pool: MAX`, stands in a group that is named after the kind of layer.

_GROUPS = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "Pooling": "pooling_param",
    "LRN": "lrn_param",
    "Eltwise": "eltwise_param",
    "Crop": "crop_param",
    "Scale": "scale_param",
    "BatchNorm": "batch_norm_param",
    "Dropout": "dropout_param",
    "Interp": "interp_param",
    "MaxUnpool": "unpooling_param",
}


def definition_text(layers: Iterable[Layer], size: tuple[int, int]) -> str:
    """The definition for one image of `(H, W)`, which is called `data`."""
    lines = [f'input: "data" input_shape {{ dim: 1 dim: 3 dim: {size[0]} dim: {size[1]} }}']
    for layer in layers:
        kind, settings = _as_opencv_has_it(layer)
        words = [f'name: "{layer.name}" type: "{kind}"']
        words += [f'bottom: "{bottom}"' for bottom in layer.bottoms] + [f'top: "{top}"' for top in layer.tops]
        if settings:
            pairs = (f"{name}: {_word(value)}" for name, value in settings.items())
            words.append(f"{_GROUPS[kind]} {{ {' '.join(pairs)} }}")
        lines.append(f"layer {{ {' '.join(words)} }}")
    return "\n".join(lines) + "\n"


def _as_opencv_has_it(layer: Layer) -> tuple[str, dict[str, Setting]]:
    """Two kinds are known to DeconvNet's Caffe alone; OpenCV has the same operations under other names."""
    if layer.kind == "BN":  # at inference: a factor and a summand a channel
        return "Scale", {"axis": 1, "bias_term": True}
    if layer.kind == "Unpooling":
        names = {"kernel_size": "pool_k", "stride": "pool_stride"}
        sides = {f"{names[name]}_{side}": value for name, value in layer.settings.items() for side in "hw"}
        return "MaxUnpool", {**sides, "pool_pad_h": 0, "pool_pad_w": 0}
    return layer.kind, layer.settings


def _word(value: Setting) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# The binary, a protocol buffer: every entry is a key, which holds the number of its field and its form, and then a whole
# number, or a length and as many bytes. Fields are numbered as in `caffe.proto`; settings that say nothing of weights
# are left out.

_CONVOLUTION_FIELDS = {
    "num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6, "dilation": 18,
}  # fmt: skip
_OLD_CONVOLUTION_FIELDS = {**_CONVOLUTION_FIELDS, "dilation": 17}  # DeepLab v1's `hole`
_POOLING_FIELDS = {"pool": 1, "kernel_size": 2, "stride": 3, "pad": 4}
_POOLING_KINDS = {"MAX": 0, "AVE": 1}

_OLD_KINDS = {
    "Convolution": 4, "Dropout": 6, "LRN": 15, "Pooling": 17, "ReLU": 18, "Eltwise": 25, "Deconvolution": 39,
    "Interp": 41,  # in the Caffe of DeepLab v1
    "Crop": 40, "Unpooling": 42, "BN": 43,  # in the Caffe of DeconvNet
}  # fmt: skip
_BN_INFERENCE = 1


def _layer(layer: Layer) -> bytes:
    blobs = [_bytes(7, _bytes(7, _varints(1, blob.shape)), _floats(5, blob)) for blob in layer.blobs]
    settings = _settings(layer, {"Convolution": 106, "Deconvolution": 106, "Pooling": 121}, _CONVOLUTION_FIELDS)
    return _bytes(
        100, _text(1, layer.name), _text(2, layer.kind), *(_text(3, bottom) for bottom in layer.bottoms),
        *(_text(4, top) for top in layer.tops), *blobs, settings,
    )  # fmt: skip


def _old_layer(layer: Layer) -> bytes:
    blobs = [_bytes(6, _four_sides(blob.shape), _floats(5, blob)) for blob in layer.blobs]
    groups = {"Convolution": 10, "Deconvolution": 10, "Pooling": 19, "BN": 45}
    return _bytes(
        2, *(_text(2, bottom) for bottom in layer.bottoms), *(_text(3, top) for top in layer.tops),
        _text(4, layer.name), _number(5, _OLD_KINDS[layer.kind]), *blobs,
        _settings(layer, groups, _OLD_CONVOLUTION_FIELDS),
    )  # fmt: skip


def _settings(layer: Layer, groups: dict[str, int], convolution_fields: dict[str, int]) -> bytes:
    if layer.kind not in groups:
        return b""
    if layer.kind == "BN":
        return _bytes(groups["BN"], _number(3, _BN_INFERENCE))
    fields = _POOLING_FIELDS if layer.kind == "Pooling" else convolution_fields
    values = {
        name: _POOLING_KINDS[value] if isinstance(value, str) else value for name, value in layer.settings.items()
    }
    return _bytes(groups[layer.kind], *(_number(fields[name], int(value)) for name, value in values.items()))


def _four_sides(shape: tuple[int, ...]) -> bytes:
    sides = (1,) * (4 - len(shape)) + shape
    return b"".join(_number(field, side) for field, side in enumerate(sides, start=1))


def _varint(number: int) -> bytes:
    """Seven bits a byte, the low ones first; the eighth bit says that more follow."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, *parts: bytes) -> bytes:
    return b"".join((_varint(field << 3 | 2), _varint(sum(map(len, parts))), *parts))


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _varints(field: int, numbers: Iterable[int]) -> bytes:
    return _bytes(field, *map(_varint, numbers))


def _floats(field: int, array: NDArray[np.float32]) -> bytes:
    return _bytes(field, array.astype("<f4", copy=False).tobytes())
