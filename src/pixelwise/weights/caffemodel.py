"""A `.caffemodel` in, its layers out: their names and kinds, their arrays, and the geometry that is stored with them.

Such a file is one protocol buffer. Of Caffe's schema only the fields below are declared; what a file holds besides them
is skipped. Nothing in it is executed.

Source: `caffe.proto` of BVLC/caffe (both the layers of today and V1), of DeepLab's Caffe (`hole`) and of DeconvNet's (`BN`).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, import_extra

Pair = tuple[int, int]

# Message -> field: (number, kind); a * marks what may stand several times. Packed numbers are on the wire what `bytes`
# are, and as such half a gigabyte of them is read at once, not number by number.
_SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "BlobShape": {"dim": (1, "int64*")},
    "BlobProto": {
        "num": (1, "int32"), "channels": (2, "int32"), "height": (3, "int32"), "width": (4, "int32"),
        "data": (5, "bytes*"), "shape": (7, "BlobShape"), "double_data": (8, "bytes*"),
    },
    "ConvolutionParameter": {
        "num_output": (1, "uint32"), "bias_term": (2, "bool"), "pad": (3, "uint32*"), "kernel_size": (4, "uint32*"),
        "group": (5, "uint32"), "stride": (6, "uint32*"), "pad_h": (9, "uint32"), "pad_w": (10, "uint32"),
        "kernel_h": (11, "uint32"), "kernel_w": (12, "uint32"), "stride_h": (13, "uint32"), "stride_w": (14, "uint32"),
        "hole": (17, "uint32"), "dilation": (18, "uint32*"),
    },
    "InnerProductParameter": {"num_output": (1, "uint32"), "bias_term": (2, "bool")},
    "BNParameter": {"bn_mode": (3, "int32")},
    "V1LayerParameter": {
        "bottom": (2, "string*"), "top": (3, "string*"), "name": (4, "string"), "type": (5, "int32"),
        "blobs": (6, "BlobProto*"), "convolution_param": (10, "ConvolutionParameter"),
        "inner_product_param": (17, "InnerProductParameter"), "bn_param": (45, "BNParameter"),
    },
    "LayerParameter": {
        "name": (1, "string"), "type": (2, "string"), "bottom": (3, "string*"), "top": (4, "string*"),
        "blobs": (7, "BlobProto*"), "convolution_param": (106, "ConvolutionParameter"),
        "inner_product_param": (117, "InnerProductParameter"),
    },
    "NetParameter": {"name": (1, "string"), "layers": (2, "V1LayerParameter*"), "layer": (100, "LayerParameter*")},
}  # fmt: skip

V1_KINDS = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution", 43: "BN"}
"""The numbers by which V1 layers say what they are, as today's names; of those kinds that have weights."""

_BN_INFERENCE = 1


@dataclass(frozen=True)
class Geometry:
    """How a convolution moves over its map; pairs are `(height, width)`."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    group: int = 1


@dataclass(frozen=True)
class CaffeLayer:
    """One layer with weights.

    kind      Caffe's name of the type, such as "Convolution"
    blobs     its arrays, float32, in Caffe's order: weights, then biases; not to be written to
    geometry  of convolutions and deconvolutions, where the file carries it
    folded    of DeconvNet's "BN": whether its statistics are folded into its scale and shift; None: the file does not say
    """

    name: str
    kind: str
    blobs: tuple[NDArray[np.float32], ...]
    geometry: Geometry | None = None
    folded: bool | None = None


def read_caffemodel(path: str | os.PathLike[str]) -> list[CaffeLayer]:
    """The layers of a file that have weights, in the file's order.

    Raises `InputError`, one line, for a file that is missing, cut off, empty or no Caffe model, and where the package
    that reads protocol buffers is not installed.
    """
    net = new_net()
    damage = import_extra("google.protobuf.message", extra="caffe").DecodeError
    try:
        net.ParseFromString(Path(path).read_bytes())
        layers = [_layer(layer, V1_KINDS.get(layer.type, f"type {layer.type}"), path) for layer in net.layers]
        layers += [_layer(layer, layer.type, path) for layer in net.layer]
    except OSError as error:
        raise InputError(f"{path}: not a readable file ({error.strerror})") from error
    except (damage, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cut off, or not a Caffe model; copy the .caffemodel again") from error
    layers = [layer for layer in layers if layer.blobs]
    if not layers:
        raise InputError(f"{path}: no weights in it; expected a .caffemodel, not a prototxt or a solver's state")
    return layers


def new_net() -> Any:
    """An empty `NetParameter` message: what a `.caffemodel` is. Its arrays are little-endian bytes."""
    return _message_class()()


@cache
def _message_class() -> Any:
    descriptor = import_extra("google.protobuf.descriptor_pb2", extra="caffe")
    factory = import_extra("google.protobuf.message_factory", extra="caffe")
    pool = import_extra("google.protobuf.descriptor_pool", extra="caffe").DescriptorPool()
    kinds = descriptor.FieldDescriptorProto
    file = descriptor.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for message_name, fields in _SCHEMA.items():
        message = file.message_type.add(name=message_name)
        for name, (number, kind) in fields.items():
            label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            field = message.field.add(name=name, number=number, label=label)
            kind = kind.removesuffix("*")
            if kind in _SCHEMA:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
            if kind == "int64":
                field.options.packed = True
    pool.AddSerializedFile(file.SerializeToString())
    return factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


def _layer(message: Any, kind: str, path: object) -> CaffeLayer:
    where = f"{path}: layer '{message.name}'"
    geometry = _geometry(message.convolution_param) if message.HasField("convolution_param") else None
    says = "bn_param" in (field.name for field, _ in message.ListFields())  # V1 layers alone have such a field
    folded = message.bn_param.bn_mode == _BN_INFERENCE if kind == "BN" and says else None
    return CaffeLayer(message.name, kind, tuple(_array(blob, where) for blob in message.blobs), geometry, folded)


def _array(blob: Any, where: str) -> NDArray[np.float32]:
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    content, kind = (b"".join(blob.data), "<f4") if blob.data else (b"".join(blob.double_data), "<f8")
    count = math.prod(shape)
    if any(side < 1 for side in shape) or len(content) != count * np.dtype(kind).itemsize:
        raise InputError(f"{where}: its array of shape {shape} has {len(content)} bytes; copy the file again")
    return np.frombuffer(content, kind).astype(np.float32, copy=False).reshape(shape)


def _geometry(parameter: Any) -> Geometry | None:
    kernel = _pair(parameter, "kernel", parameter.kernel_size)
    if kernel is None:
        return None
    # DeepLab's Caffe wrote `hole` into field 17, where BVLC's keeps a flag, and its height into the 18 of `dilation`.
    dilations = parameter.dilation or ([parameter.hole] if parameter.hole > 1 else [1])
    return Geometry(
        kernel,
        _pair(parameter, "stride", parameter.stride) or (1, 1),
        _pair(parameter, "pad", parameter.pad) or (0, 0),
        (dilations[0], dilations[-1]),
        parameter.group or 1,
    )


def _pair(parameter: Any, name: str, values: Any) -> Pair | None:
    """A size that is given by side (`kernel_h`, `kernel_w`), as a list of one or two, or not at all."""
    if parameter.HasField(f"{name}_h") or parameter.HasField(f"{name}_w"):
        return getattr(parameter, f"{name}_h"), getattr(parameter, f"{name}_w")
    return (values[0], values[-1]) if values else None
