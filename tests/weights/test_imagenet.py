"""Classifiers' weights into trunks: from Caffe's files, torchvision's names, HED's file; and what they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.conftest import Refuses
from tests.weights.caffe_files import Layer, write_files
from tests.weights.caffe_networks import fcn_alexnet, fcn_vgg16
from tests.weights.exports import as_layer, write_caffemodel
from tests.weights.exports import build as random_network
from torch import Tensor, nn

from pixelwise.models.network import Network
from pixelwise.models.published import create_model
from pixelwise.weights.caffemodel import CaffeLayer
from pixelwise.weights.imagenet import TORCHVISION, load_imagenet
from pixelwise.weights.names import caffe_trunk_layers
from pixelwise.weights.surgery import subsampled_classifier

CLASSES = 3
WIDTH = 1 / 16

VGG16_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # of the convolutions in torchvision's vgg16


def build(name: str, **options: object) -> Network:
    torch.manual_seed(0)
    return create_model(name, CLASSES, width=WIDTH, **options).eval()


def caffe_classifier(folder: Path, trunk: str = "vgg16") -> tuple[Path, dict[str, Layer]]:
    """A classifier's file, and its layers: fully connected ones are flat, and there is an fc8 of its own."""
    net = fcn_vgg16(CLASSES, stride=32, width=WIDTH) if trunk == "vgg16" else fcn_alexnet(CLASSES, width=WIDTH)
    layers = []
    for layer in net.layers[: [layer.name for layer in net.layers].index("score_fr")]:
        if layer.name in ("fc6", "fc7"):
            weight, bias = layer.blobs
            layer = Layer(
                layer.name, "InnerProduct", layer.bottoms, layer.tops, {}, (weight.reshape(len(weight), -1), bias)
            )
        layers.append(layer)
    layers.append(Layer("fc8", "InnerProduct", ("fc7",), ("fc8",), {}, (np.ones((5, 256), np.float32),)))
    _, path = write_files(layers, folder, (8, 8))
    return path, {layer.name: layer for layer in layers if layer.blobs}


def assert_unscored(network: Network) -> None:
    for layer in network.last_layers:
        assert not layer.weight.any()  # type: ignore[operator, union-attr]


@pytest.mark.parametrize(("name", "kernel"), [("fcn32s_vgg16", 7), ("fcn32s_alexnet", 6)])
def test_a_caffe_classifier_becomes_trunk_fc6_and_fc7(name: str, kernel: int, tmp_path: Path) -> None:
    file, layers = caffe_classifier(tmp_path, name.partition("_")[2])
    network = build(name)
    sentence = load_imagenet(network, file)
    assert sentence.startswith(f"{file} (")
    assert "with fc6 and fc7; the scores are new" in sentence
    convolutions = [layer for layer in network.backbone.modules() if isinstance(layer, nn.Conv2d)]
    theirs = [layer for name, layer in layers.items() if name.startswith("conv")]
    for ours, their in zip(convolutions, theirs, strict=True):
        assert torch.equal(ours.weight, torch.from_numpy(their.blobs[0]))
        assert torch.equal(ours.bias, torch.from_numpy(their.blobs[1]))  # type: ignore[arg-type]
    fc6, fc7 = (layer for layer in network.decoder.head if isinstance(layer, nn.Conv2d))  # type: ignore[union-attr]
    assert fc6.kernel_size == (kernel, kernel)
    flat = torch.from_numpy(layers["fc6"].blobs[0])
    patch = torch.randn(1, fc6.in_channels, kernel, kernel, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(  # the convolution on one patch is the fully connected layer on its numbers
        fc6(patch).flatten(), flat @ patch.flatten() + torch.from_numpy(layers["fc6"].blobs[1]), rtol=1e-4, atol=1e-4
    )
    assert torch.equal(fc7.weight.flatten(1), torch.from_numpy(layers["fc7"].blobs[0]))
    assert_unscored(network)


def test_largefov_and_aspp_start_from_a_subsampled_classifier(tmp_path: Path) -> None:
    file, layers = caffe_classifier(tmp_path)
    flat = {f"{name}.{part}": torch.from_numpy(layers[name].blobs[i]) for name in ("fc6", "fc7") for i, part in
            enumerate(("weight", "bias"))}  # fmt: skip
    flat["fc6.weight"] = flat["fc6.weight"].reshape(256, 32, 7, 7)
    flat["fc7.weight"] = flat["fc7.weight"][..., None, None]
    expected = subsampled_classifier(flat, 64, 3)
    for name in ("deeplab_largefov_vgg16", "deeplab_aspp_l_vgg16"):
        network = build(name)
        load_imagenet(network, file)
        for branch in network.decoder.branches:  # type: ignore[union-attr]
            assert torch.equal(branch.fc6.weight, expected["fc6.weight"])  # type: ignore[union-attr]
            assert torch.equal(branch.fc7.weight, expected["fc7.weight"])  # type: ignore[union-attr]
            assert torch.equal(branch.fc7.bias, expected["fc7.bias"])  # type: ignore[union-attr]


def test_deconvnets_norms_stay_as_they_are(tmp_path: Path) -> None:
    file, layers = caffe_classifier(tmp_path)
    network = build("deconvnet_vgg16")
    before = network.backbone.features[1].bias.clone()  # type: ignore[union-attr, index, operator]
    load_imagenet(network, file)
    assert torch.equal(network.backbone.features[0].weight, torch.from_numpy(layers["conv1_1"].blobs[0]))  # type: ignore[index, union-attr, arg-type]
    assert torch.equal(network.backbone.features[1].bias, before)  # type: ignore[union-attr, index, arg-type]
    assert network.decoder.layers.fc6.weight.abs().max() == abs(layers["fc6"].blobs[0]).max()  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("fcn32s_googlenet", ("loss1/conv", "loss2/fc", "loss3/classifier")),
        ("deeplab_largefov_resnet101", ("fc1000",)),
        ("fcn16s_vgg19", ("fc8",)),
    ],
)
def test_other_trunks_from_caffes_classifiers(name: str, dropped: tuple[str, ...], tmp_path: Path) -> None:
    theirs, ours = random_network(name, seed=1), random_network(name, seed=2)
    before = [layer.weight.clone() for layer in ours.last_layers]  # type: ignore[operator, union-attr]
    trunk = caffe_trunk_layers(theirs.backbone)
    layers = [as_layer(layer, theirs.backbone.get_submodule(path)) for layer, path in trunk.items()]
    layers += [CaffeLayer(layer, "InnerProduct", (np.ones((5, 7), np.float32),)) for layer in dropped]
    load_imagenet(ours, write_caffemodel(layers, tmp_path))
    for part, tensor in theirs.backbone.state_dict().items():
        torch.testing.assert_close(ours.backbone.state_dict()[part], tensor, rtol=1e-6, atol=0)
    for layer, weight in zip(ours.last_layers, before, strict=True):
        assert torch.equal(layer.weight, weight)  # type: ignore[arg-type]


def torchvision_vgg16() -> dict[str, Tensor]:
    """A narrow classifier's weights in torchvision's names."""
    network, state = build("fcn32s_vgg16"), dict[str, Tensor]()
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    for place, layer in zip(VGG16_PLACES, convolutions, strict=False):
        state |= {
            f"features.{place}.weight": layer.weight.data,
            f"features.{place}.bias": torch.randn(len(layer.weight)),
        }
    for place, layer in zip((0, 3), convolutions[13:15], strict=True):
        state[f"classifier.{place}.weight"] = layer.weight.data.flatten(1)
        state[f"classifier.{place}.bias"] = torch.randn(len(layer.weight))
    return state | {"classifier.6.weight": torch.randn(5, 256), "classifier.6.bias": torch.randn(5)}


def pictures() -> Tensor:
    return 255 * torch.rand(1, 3, 12, 13, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_torchvisions_vgg_sees_the_same_image(tmp_path: Path) -> None:
    state = torchvision_vgg16()
    torch.save(state, tmp_path / "vgg16.pth")
    network = build("deeplab_largefov_vgg16")
    load_imagenet(network, tmp_path / "vgg16.pth")
    features = network.backbone.features
    for place in VGG16_PLACES[1:]:
        assert torch.equal(features[place].weight, state[f"features.{place}.weight"])  # type: ignore[index, union-attr, arg-type]
    first = nn.functional.conv2d(
        TORCHVISION(pictures()), state["features.0.weight"], state["features.0.bias"]
    )  # without padding: at the border the two pad with different colours
    ours = features[0](network.normalise(pictures()))[..., 1:-1, 1:-1]  # type: ignore[index, operator]
    torch.testing.assert_close(ours, first, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_torchvisions_resnet_is_a_start_with_a_warning(tmp_path: Path) -> None:
    theirs = build("deeplab_aspp_resnet101", frozen_norms=False).backbone
    for norm in (layer for layer in theirs.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
    state = {**theirs.state_dict(), "fc.weight": torch.randn(5, 128), "fc.bias": torch.randn(5)}
    save_file(state, tmp_path / "resnet101.safetensors")
    network = create_model("deeplab_aspp_resnet101", CLASSES, width=WIDTH).eval()
    assert "stride on the 3x3 convolution" in load_imagenet(network, tmp_path / "resnet101.safetensors")
    ours = network.backbone
    assert torch.equal(ours.layer3[22].conv2.weight, theirs.layer3[22].conv2.weight)  # type: ignore[union-attr, index, arg-type]
    expected = theirs.bn1(theirs.conv1(TORCHVISION(pictures())))  # type: ignore[operator]
    found = ours.bn1(ours.conv1(network.normalise(pictures())))  # type: ignore[operator]
    torch.testing.assert_close(found[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], rtol=1e-3, atol=1e-3)


def test_hed_gives_its_convolutions(tmp_path: Path) -> None:
    convolutions = [layer for layer in build("fcn32s_vgg16").backbone.modules() if isinstance(layer, nn.Conv2d)]
    names = [f"conv{stage}_{i}" for stage, count in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, count + 1)]
    state = {f"{name}.weight": layer.weight.data.half() for name, layer in zip(names, convolutions, strict=True)}
    state |= {f"{name}.bias": layer.bias.data.half() for name, layer in zip(names, convolutions, strict=True)}  # type: ignore[union-attr]
    extra = {"dsn1.weight": torch.zeros(1), "dsn5.bias": torch.zeros(1), "fuse.weight": torch.zeros(1)}
    save_file(state | extra, tmp_path / "hed.safetensors")
    torch.manual_seed(1)
    network = create_model("fcn8s_vgg16", CLASSES, width=WIDTH)
    head = network.decoder.head[0].weight.clone()  # type: ignore[union-attr, index, operator]
    assert "fc6" not in load_imagenet(network, tmp_path / "hed.safetensors")
    assert network.backbone.features[28].weight.dtype == torch.float32  # type: ignore[union-attr, index]
    assert torch.equal(network.backbone.features[28].weight, state["conv5_3.weight"].float())  # type: ignore[union-attr, index, arg-type]
    assert torch.equal(network.decoder.head[0].weight, head)  # type: ignore[union-attr, index, arg-type]


@pytest.mark.parametrize(
    ("name", "change", "parts"),
    [
        ("fcn32s_vgg19", {}, ("unknown layer 'features.17'",)),
        ("fcn32s_alexnet", {}, ("torchvision's AlexNet",)),
        ("fcn32s_googlenet", {}, ("torchvision's GoogLeNet",)),
        ("fcn32s_lite0", {}, ("torchvision has no EfficientNetLite",)),
        ("fcn32s_vgg16", {"classifier.3.bias": None}, ("lacks 'fc7.bias'",)),
        ("fcn32s_vgg16", {"features.28.bias": None}, ("lacks weights", "features.28.bias")),
        ("fcn32s_vgg16", {"features.30.weight": torch.ones(1)}, ("unknown layer 'features.30'",)),
        ("fcn32s_vgg16", {"features.0.weight": torch.ones(4, 1, 3, 3)}, ("features.0.weight", "(4, 3, 3, 3)")),
        ("fcn32s_vgg16", {"classifier.0.weight": torch.ones(9)}, ("'fc6.weight'", "(9,)")),
        ("deeplab_largefov_vgg16", {"classifier.3.weight": torch.ones(3, 3)}, ("fully connected",)),
        ("fcn32s_vgg16", {"classifier.0.weight": torch.ones(256, 9)}, ("fully connected", "(256, 9)")),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    name: str, change: dict[str, Tensor | None], parts: tuple[str, ...], tmp_path: Path, refuses: Refuses
) -> None:
    state = {part: tensor for part, tensor in (torchvision_vgg16() | change).items() if tensor is not None}
    torch.save(state, tmp_path / "vgg16.pth")
    network = create_model(name, CLASSES, **({} if "lite0" in name else {"width": WIDTH}))
    before = {part: tensor.clone() for part, tensor in network.state_dict().items()}
    with refuses(*parts):
        load_imagenet(network, tmp_path / "vgg16.pth")
    assert all(torch.equal(network.state_dict()[part], tensor) for part, tensor in before.items())
