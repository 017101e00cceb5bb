"""Whole released files into our networks: what fits arrives, what does not is refused, and nothing is half done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.conftest import Refuses
from tests.weights.exports import CLASSES, NARROW, Layers, as_layers, build
from tests.weights.test_names import WITH_CAFFE
from torch import nn

from pixelwise.models.layers import bilinear_kernel
from pixelwise.models.published import create_model
from pixelwise.weights.caffe import caffe_state, classes_in, load_caffe
from pixelwise.weights.caffemodel import CaffeLayer


@pytest.mark.parametrize("name", WITH_CAFFE)
@torch.no_grad()
def test_what_a_file_holds_arrives(name: str) -> None:
    theirs, ours = build(name, seed=1), build(name, seed=2)
    taken = load_caffe(ours, list(as_layers(theirs).values()), "here")
    if name.startswith("deconvnet"):  # the same function, but with other numbers in its norms
        size = theirs.sizes.padded((1, 1))
        images = 255 * torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=0)
    else:
        for part, tensor in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[part], tensor, rtol=1e-6, atol=0)
    assert set(taken.loaded) | set(taken.dropped) == set(as_layers(theirs))
    assert all("upscore" in layer or "scale_pool" in layer for layer in taken.dropped)
    assert taken.notes == ()


def test_the_classes_are_counted_in_the_file() -> None:
    layers = list(as_layers(build("fcn8s_vgg16")).values())
    assert classes_in(create_model("fcn8s_vgg16", 21, **NARROW), layers, "here") == CLASSES


def test_learned_kernels_are_taken_from_the_diagonal() -> None:
    theirs = build("fcn16s_vgg16", learned_upsampling=True)
    step = theirs.decoder.enlarge[0]  # type: ignore[union-attr, index]
    nn.init.normal_(step.weight)  # type: ignore[arg-type, union-attr]
    ours = build("fcn16s_vgg16", seed=1, learned_upsampling=True)
    taken = load_caffe(ours, list(as_layers(theirs).values()), "here")
    assert torch.equal(ours.decoder.enlarge[0].weight, step.weight)  # type: ignore[union-attr, index]
    assert set(taken.dropped) == {"upscore16"}  # the last is never learned


def test_batch_norms_by_hand() -> None:
    statistics = (np.array([6, -2], np.float32), np.array([1, 8], np.float32), np.array([2], np.float32))
    state = caffe_state([CaffeLayer("bn1", "BatchNorm", statistics)], "here")
    assert state["bn1.running_mean"].tolist() == [3, -1]
    assert state["bn1.running_var"].tolist() == [0.5, 4]
    unseen = caffe_state([CaffeLayer("bn1", "BatchNorm", (*statistics[:2], np.zeros(1, np.float32)))], "here")
    assert not unseen["bn1.running_mean"].any()


def test_norms_as_they_trained_are_taken_with_a_note() -> None:
    network = build("deconvnet_vgg16")
    layers = [replace(layer, folded=False if layer.kind == "BN" else None) for layer in as_layers(network).values()]
    (note,) = load_caffe(build("deconvnet_vgg16", seed=1), layers, "here").notes
    assert "reestimate_statistics" in note


@pytest.mark.parametrize("end", ["_res075", "_res05"])
def test_layers_that_share_their_weights_with_another_scale_are_told_and_checked(end: str, refuses: Refuses) -> None:
    layers = list(as_layers(build("deeplab_aspp_resnet101")).values())
    copies = [replace(layer, name=layer.name + end) for layer in layers]
    ours = build("deeplab_aspp_resnet101", seed=1)
    taken = load_caffe(ours, [*layers, *copies], "here")
    assert taken.dropped == {
        copy.name: f"shares its weights with '{layer.name}'" for layer, copy in zip(layers, copies, strict=True)
    }
    alone = build("deeplab_aspp_resnet101", seed=2)
    load_caffe(alone, layers, "here")
    assert all(torch.equal(tensor, alone.state_dict()[name]) for name, tensor in ours.state_dict().items())
    assert classes_in(ours, [*copies, *layers], "here") == CLASSES
    other = replace(copies[0], blobs=tuple(blob + 1 for blob in copies[0].blobs))
    with refuses(f"layer '{other.name}' should share its weights with '{layers[0].name}'", "it differs from it"):
        load_caffe(ours, [*layers, other], "here")
    with refuses(f"'{layers[0].name}', but there is none"):
        load_caffe(ours, [*layers[1:], copies[0]], "here")


def changed(layer: str, **changes: object) -> Callable[[Layers], Layers]:
    return lambda layers: layers | {layer: replace(layers[layer], **changes)}  # type: ignore[arg-type]


def with_geometry(layer: str, **changes: object) -> Callable[[Layers], Layers]:
    def change(layers: Layers) -> Layers:
        geometry = layers[layer].geometry
        assert geometry is not None
        return layers | {layer: replace(layers[layer], geometry=replace(geometry, **changes))}  # type: ignore[arg-type]

    return change


def with_blobs(layer: str, *places: int) -> Callable[[Layers], Layers]:
    return lambda layers: changed(layer, blobs=tuple(layers[layer].blobs[place] for place in places))(layers)


def with_kernel(value: float, place: tuple[int, int]) -> Callable[[Layers], Layers]:
    """One number of upscore2's kernel from one class to another is another."""

    def change(layers: Layers) -> Layers:
        weight = layers["upscore2"].blobs[0].copy()
        weight[(*place, 1, 1)] = value
        return layers | {"upscore2": replace(layers["upscore2"], blobs=(weight,))}

    return change


def without(layer: str) -> Callable[[Layers], Layers]:
    return lambda layers: {name: other for name, other in layers.items() if name != layer}


MISTAKES: dict[str, tuple[Callable[[Layers], Layers], tuple[str, ...]]] = {
    "renamed": (changed("fc7", name="fc_7"), ("unknown layer 'fc_7': did you mean 'fc7'?",)),
    "missing": (without("score_pool4"), ("lacks the layer 'score_pool4'",)),
    "shape": (changed("fc7", blobs=(np.zeros((3, 3, 1, 1), np.float32),) * 2), ("fc7", "should be", "(3, 3, 1, 1)")),
    "bias": (with_blobs("fc7", 0), ("lacks", "decoder.head.3.bias")),
    "arrays": (with_blobs("fc7", 0, 1, 0, 1), ("layer 'fc7' is no Convolution", "(256,), (256, 256, 1, 1)")),
    "padding": (with_geometry("conv1_1", padding=(1, 1)), ("'conv1_1' has padding (1, 1), expected (100, 100)",)),
    "stride": (with_geometry("upscore2", stride=(4, 4)), ("'upscore2' has stride (4, 4), expected (2, 2)",)),
    "dilation": (with_geometry("conv5_1", dilation=(2, 2)), ("'conv5_1' has dilation (2, 2), expected (1, 1)",)),
    "group": (with_geometry("conv2_1", group=2), ("'conv2_1' has group 2, expected 1",)),
    "kind": (changed("conv3_1", kind="Deconvolution"), ("'conv3_1' is of the kind 'Deconvolution'", "Convolution")),
    "unknown kind": (changed("conv3_1", kind="PReLU"), ("'conv3_1'", "no known kind, 'PReLU'")),
    "classifier": (changed("fc6", kind="InnerProduct"), ("a classifier", "'fc6' is fully connected", "--init")),
    "flat": (changed("fc7", blobs=(np.zeros(9, np.float32),)), ("'fc7' is no Convolution as Caffe writes it", "(9,)")),
    "flat kernel": (changed("upscore2", blobs=(np.zeros((3, 3), np.float32),)), ("'upscore2'", "(3, 3)")),
    "other kernel": (changed("upscore2", blobs=(np.zeros((2, 2, 4, 4), np.float32),)), ("'upscore2'", "(2, 2, 4, 4)")),
    "biased kernel": (with_blobs("upscore2", 0, 0), ("'upscore2' should be one array (3, 3, 4, 4)",)),
    "mixed": (with_kernel(0.5, (0, 1)), ("'upscore2' mixes classes",)),
    "learned": (with_kernel(0.5, (1, 1)), ("'upscore2' is no bilinear kernel", "learned_upsampling=true")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(mistake: str, refuses: Refuses) -> None:
    spoil, parts = MISTAKES[mistake]
    layers = spoil(as_layers(build("fcn16s_vgg16", seed=1)))
    ours = build("fcn16s_vgg16", seed=2)
    before = {part: tensor.clone() for part, tensor in ours.state_dict().items()}
    with refuses("here", *parts):
        load_caffe(ours, list(layers.values()), "here")
    assert all(torch.equal(ours.state_dict()[part], tensor) for part, tensor in before.items())


@pytest.mark.parametrize(
    ("file", "network", "parts"),
    [
        ("fcn8s_vgg16", "fcn32s_vgg16", ("unknown layer",)),
        ("fcn32s_vgg16", "fcn8s_vgg16", ("unknown layer 'upscore'",)),
        ("fcn8s_vgg16", "fcn8s_atonce_vgg16", ("lacks the layer 'scale_pool4'",)),
        ("fcn8s_atonce_vgg16", "fcn8s_vgg16", ("unknown layer 'scale_pool4'",)),
        ("deeplab_largefov_vgg16", "deeplab_7x7_vgg16", ("fc6",)),
        ("deeplab_aspp_s_vgg16", "deeplab_aspp_l_vgg16", ("'fc6_1' has padding (2, 2), expected (6, 6)",)),
        ("deeplab_aspp_s_vgg16", "deeplab_largefov_vgg16", ("unknown layer 'fc6_1'",)),
        ("deeplab_largefov_vgg16", "deconvnet_vgg16", ("unknown layer",)),
        ("fcn32s_vgg16", "fcn32s_alexnet", ("unknown layer 'conv1_1'",)),
    ],
)
def test_another_networks_file_is_refused(file: str, network: str, parts: tuple[str, ...], refuses: Refuses) -> None:
    layers = list(as_layers(build(file)).values())
    with refuses("here", *parts):
        load_caffe(build(network), layers, "here")


def test_another_fixed_factor_is_refused(refuses: Refuses) -> None:
    layers = as_layers(build("fcn8s_atonce_vgg16"))
    layers["scale_pool3"] = CaffeLayer("scale_pool3", "Scale", (np.full(7, 0.001, np.float32),))
    with refuses("'scale_pool3' should multiply by 0.0001"):
        load_caffe(build("fcn8s_atonce_vgg16"), list(layers.values()), "here")


def test_a_released_kernel_may_be_off_by_rounding() -> None:
    layers = as_layers(build("fcn32s_vgg16"))
    upscore = layers["upscore"]
    layers["upscore"] = replace(upscore, blobs=(upscore.blobs[0] * np.float32(1 + 1e-7),))
    assert "upscore" in load_caffe(build("fcn32s_vgg16"), list(layers.values()), "here").dropped
    assert bilinear_kernel(64).max() > 0.9
