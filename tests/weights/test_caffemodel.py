"""Caffe's binary files, read: bytes worked out by hand, other writers' and readers' files, and damage."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.conftest import Refuses
from tests.weights.caffe_files import Layer, definition_text, write_files

from pixelwise.errors import InputError
from pixelwise.weights.caffemodel import Geometry, new_net, read_caffemodel

WEIGHT = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3) / 8
BIAS = np.array([-1, 0.5], np.float32)
NET = (
    Layer(
        "conv", "Convolution", ("data",), ("conv",), {"num_output": 2, "kernel_size": 3, "pad": 2, "dilation": 2},
        (WEIGHT, BIAS),
    ),
    Layer("relu", "ReLU", ("conv",), ("conv",), {}),
    Layer(
        "up", "Deconvolution", ("conv",), ("up",),
        {"num_output": 2, "kernel_size": 4, "stride": 2, "group": 2, "bias_term": False},
        (np.ones((2, 1, 4, 4), np.float32),),
    ),
)  # fmt: skip


@pytest.mark.parametrize("old_format", [False, True])
def test_layers_arrays_and_geometry_are_read(old_format: bool, tmp_path: Path) -> None:
    _, weights = write_files(NET, tmp_path, (8, 8), old_format=old_format)
    conv, up = read_caffemodel(weights)  # a layer without weights is left out
    assert [(layer.name, layer.kind) for layer in (conv, up)] == [("conv", "Convolution"), ("up", "Deconvolution")]
    assert conv.geometry == Geometry((3, 3), padding=(2, 2), dilation=(2, 2))
    assert up.geometry == Geometry((4, 4), stride=(2, 2), group=2)
    assert conv.blobs[0].dtype == np.float32
    assert np.array_equal(conv.blobs[0], WEIGHT)
    assert np.array_equal(conv.blobs[1].ravel(), BIAS)
    assert conv.blobs[1].shape == ((1, 1, 1, 2) if old_format else (2,))


def test_bytes_by_hand(tmp_path: Path) -> None:
    # Field 100 of the net (key 802 = a2 06), 29 bytes: name (1) "ab", type (2) "Scale", blobs (7) of shape (7) with
    # dim (1) = 2, and data (5): 1.0 and -2.0.
    blob = bytes.fromhex("3a03 0a0102 2a08 0000803f 000000c0")
    layer = bytes.fromhex("0a02") + b"ab" + bytes.fromhex("1205") + b"Scale" + bytes([0x3A, len(blob)]) + blob
    path = tmp_path / "hand.caffemodel"
    path.write_bytes(bytes.fromhex("a206") + bytes([len(layer)]) + layer)
    (read,) = read_caffemodel(path)
    assert (read.name, read.kind, read.geometry) == ("ab", "Scale", None)
    assert read.blobs[0].tolist() == [1.0, -2.0]


def fill(layer: object, weight: NDArray[np.float32], *, old: bool) -> None:
    """Put an array into a message of the schema."""
    blob = layer.blobs.add()  # type: ignore[attr-defined]
    if old:
        blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - weight.ndim) + weight.shape
    else:
        blob.shape.dim.extend(weight.shape)
    blob.data.append(weight.astype("<f4").tobytes())


@pytest.mark.parametrize("old", [False, True])
def test_what_the_schema_writes_runs_in_opencv(old: bool, tmp_path: Path) -> None:
    net = new_net()
    for layer in NET:
        message = net.layers.add(name=layer.name) if old else net.layer.add(name=layer.name, type=layer.kind)
        if old:
            message.type = {"Convolution": 4, "ReLU": 18, "Deconvolution": 39}[layer.kind]
        message.bottom.extend(layer.bottoms)
        message.top.extend(layer.tops)
        for name, value in layer.settings.items():
            field = getattr(message.convolution_param, name)
            field.append(value) if hasattr(field, "append") else setattr(message.convolution_param, name, value)
        for blob in layer.blobs:
            fill(message, blob, old=old)
    definition, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    definition.write_text(definition_text(NET, (6, 7)))
    weights.write_bytes(net.SerializeToString())
    network = cv2.dnn.readNetFromCaffe(str(definition), str(weights))
    image = np.random.default_rng(0).standard_normal((3, 6, 7), np.float32)
    network.setInput(image[None])
    padded = np.pad(image, ((0, 0), (2, 2), (2, 2)))
    expected = np.zeros((2, 2 * 6 + 2, 2 * 7 + 2))
    for k, y, x in np.ndindex(2, 6, 7):
        value = max(0, BIAS[k] + (WEIGHT[k] * padded[:, y : y + 5 : 2, x : x + 5 : 2]).sum())
        expected[k, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4] += value
    np.testing.assert_allclose(network.forward()[0], expected, rtol=1e-5, atol=1e-4)


def one_layer(tmp_path: Path, **settings: object) -> Path:
    """A file of one convolution in today's format, with these settings."""
    net = new_net()
    layer = net.layer.add(name="conv", type="Convolution")
    for name, value in settings.items():
        field = getattr(layer.convolution_param, name)
        field.extend(value) if isinstance(value, list) else setattr(layer.convolution_param, name, value)
    fill(layer, WEIGHT, old=False)
    path = tmp_path / "one.caffemodel"
    path.write_bytes(net.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("settings", "geometry"),
    [
        ({"kernel_size": [3]}, Geometry((3, 3))),
        ({"kernel_size": [3, 5], "pad": [1, 2], "stride": [2, 1]}, Geometry((3, 5), (2, 1), (1, 2))),
        ({"kernel_h": 3, "kernel_w": 5, "pad_h": 1, "pad_w": 0, "group": 2}, Geometry((3, 5), padding=(1, 0), group=2)),
        ({"kernel_size": [3], "dilation": [6]}, Geometry((3, 3), dilation=(6, 6))),
        ({"kernel_size": [3], "hole": 12}, Geometry((3, 3), dilation=(12, 12))),  # DeepLab's Caffe
        ({"kernel_size": [3], "hole": 1}, Geometry((3, 3))),  # BVLC's flag in the same field
        ({"num_output": 2}, None),
    ],
)
def test_every_way_to_write_a_size(settings: dict[str, object], geometry: Geometry | None, tmp_path: Path) -> None:
    (layer,) = read_caffemodel(one_layer(tmp_path, **settings))
    assert layer.geometry == geometry


def test_doubles_become_floats(tmp_path: Path) -> None:
    net = new_net()
    blob = net.layers.add(name="fc", type=14).blobs.add(num=1, channels=1, height=2, width=1)
    blob.double_data.append(np.array([0.5, -3.0], "<f8").tobytes())
    path = tmp_path / "double.caffemodel"
    path.write_bytes(net.SerializeToString())
    (layer,) = read_caffemodel(path)
    assert (layer.kind, layer.blobs[0].dtype, layer.blobs[0].ravel().tolist()) == (
        "InnerProduct",
        np.float32,
        [0.5, -3],
    )


@pytest.mark.parametrize(("mode", "folded"), [(None, None), (0, False), (1, True)])
def test_deconvnets_norms_say_whether_they_are_folded(mode: int | None, folded: bool | None, tmp_path: Path) -> None:
    net = new_net()
    layer = net.layers.add(name="bn1_1", type=43)
    fill(layer, BIAS, old=True)
    if mode is not None:
        layer.bn_param.bn_mode = mode
    path = tmp_path / "bn.caffemodel"
    path.write_bytes(net.SerializeToString())
    (read,) = read_caffemodel(path)
    assert (read.kind, read.folded) == ("BN", folded)


def test_an_array_that_lacks_numbers_is_named(tmp_path: Path, refuses: Refuses) -> None:
    net = new_net()
    blob = net.layer.add(name="conv7", type="Convolution").blobs.add()
    blob.shape.dim.extend([2, 2])
    blob.data.append(np.zeros(3, "<f4").tobytes())
    path = tmp_path / "short.caffemodel"
    path.write_bytes(net.SerializeToString())
    with refuses(str(path), "layer 'conv7'", "(2, 2)", "12 bytes"):
        read_caffemodel(path)


def test_missing_empty_and_foreign_files_are_refused(tmp_path: Path, refuses: Refuses) -> None:
    path = tmp_path / "no.caffemodel"
    with refuses(str(path), "not a readable file"):
        read_caffemodel(path)
    path.write_bytes(b"")
    with refuses(str(path), "no weights in it"):
        read_caffemodel(path)
    path.write_text('name: "VGG16"\nlayer { name: "conv1_1" type: "Convolution" }\n')
    with refuses(str(path), "cut off, or not a Caffe model"):
        read_caffemodel(path)


def test_a_file_cut_anywhere_is_refused_or_holds_fewer_layers(tmp_path: Path) -> None:
    _, weights = write_files(NET, tmp_path, (8, 8))
    whole = weights.read_bytes()
    read = 0
    for end in range(len(whole)):
        weights.write_bytes(whole[:end])
        try:
            assert [layer.name for layer in read_caffemodel(weights)] == ["conv"]
            read += 1
        except InputError:
            continue
    assert 0 < read < 3  # only where a layer ends, and the ReLU behind it


@given(st.binary(max_size=200))
@example(bytes.fromhex("a206 04 0a02 ff fe"))  # a name that is no UTF-8
@example(bytes.fromhex("a206 02 1a00"))
def test_random_bytes_are_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random.caffemodel"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_caffemodel(path)
    assert "\n" not in str(caught.value)
