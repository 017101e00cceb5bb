"""Name tables: they hold the names of the releases, and reach every parameter of ours."""

from __future__ import annotations

import pytest
import torch
from tests.conftest import Refuses
from torch import nn

from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite
from pixelwise.models.network import Network
from pixelwise.models.published import create_model, list_models
from pixelwise.weights.names import (
    caffe_layers,
    caffe_trunk_layers,
    classifier_pairs,
    efficientnet_lite_names,
    known_as,
    torchvision_layers,
)

# All but what has norms and depthwise convolutions of its own; GDN's FC variant was not released.
WITH_CAFFE = [
    name for name in list_models() if not name.endswith(("_lite0", "_lite2")) and not name.startswith("gdn_fc")
]

VGG16 = [
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3",
    "conv5_1", "conv5_2", "conv5_3",
]  # fmt: skip


def meta(name: str, **options: object) -> Network:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return create_model(name, 21, **options)


@pytest.mark.parametrize("name", WITH_CAFFE)
def test_every_parameter_is_reached_and_none_by_two_layers(name: str) -> None:
    network = meta(name, width=1 / 16)
    table = caffe_layers(network)
    reached: list[str] = []
    for path in dict.fromkeys(path for path in table.values() if path and ".factors." not in path):
        module = network.get_submodule(path)
        reached += [f"{path}.{part}" for part, _ in module.named_parameters(recurse=False)]
        reached += [f"{path}.{part}" for part in ("running_mean", "running_var") if isinstance(module, nn.BatchNorm2d)]
    assert len(reached) == len(set(reached))
    own = {part for part in network.state_dict() if not part.endswith("num_batches_tracked")}
    assert own - {part for part in own if ".enlarge." in part} == set(reached) - {
        part for part in reached if ".enlarge." in part
    }


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("fcn32s_vgg16", {"upscore"}),
        ("fcn16s_vgg16", {"upscore2", "score_pool4", "upscore16"}),
        ("fcn8s_vgg16", {"upscore2", "score_pool4", "upscore_pool4", "score_pool3", "upscore8"}),
        (
            "fcn8s_atonce_vgg16",
            {"upscore2", "scale_pool4", "score_pool4", "upscore_pool4", "scale_pool3", "score_pool3", "upscore8"},
        ),
    ],
)
def test_fcns_names(name: str, more: set[str]) -> None:
    # Source: voc-fcn*/net.py
    assert set(caffe_layers(meta(name, width=1 / 16))) == {*VGG16, "fc6", "fc7", "score_fr", *more}


def test_vggs_convolutions_are_torchvisions_places() -> None:
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]  # of the convolutions in torchvision's vgg16
    table = caffe_layers(meta("fcn32s_vgg16", width=1 / 16))
    assert [table[name] for name in VGG16] == [f"backbone.features.{place}" for place in places]


def test_the_norms_of_deconvnet() -> None:
    table = caffe_layers(meta("deconvnet_vgg16", width=1 / 16))
    norms = {name.replace("conv", "bn") for name in VGG16} | {"bnfc6", "bnfc7", "fc6-deconv-bn"}
    norms |= {"debn5_1", "debn5_2", "debn5_3", "debn4_1", "debn4_2", "debn4_3", "debn3_1", "debn3_2", "debn3_3"}
    norms |= {"debn2_1", "debn2_2", "debn1_1", "debn1_2"}
    assert {name for name in table if "bn" in name} == norms
    assert len(norms) == 29  # Source: DeconvNet's inference prototxt
    assert {"fc6-deconv", "deconv5_1", "deconv1_2", "seg-score-*"} <= set(table)
    assert len(caffe_layers(meta("deconvnet_vgg16", width=1 / 16, batch_norm=False))) == len(table) - 29


def test_deeplabs_names() -> None:
    largefov = caffe_layers(meta("deeplab_largefov_vgg16", width=1 / 16))
    assert set(largefov) == {*VGG16, "fc6", "fc7", "fc8_*"}
    aspp = caffe_layers(meta("deeplab_aspp_l_vgg16", width=1 / 16))
    assert set(aspp) == {*VGG16, *(f"{fc}_{i}" for i in "1234" for fc in ("fc6", "fc7", "fc8_*"))}
    msc = caffe_layers(meta("deeplab_msc_largefov_vgg16", width=1 / 16))
    sides = ("data", "pool1", "pool2", "pool3", "pool4")
    assert set(msc) == {*largefov, *(f"{side}_{part}" for side in sides for part in ("conv", "fc", "ms"))}


def test_resnets_names() -> None:
    network = meta("deeplab_aspp_resnet101", width=1 / 16)
    table = caffe_layers(network)
    assert sum(name.startswith("res") for name in table) == 33 * 3 + 4  # 33 blocks, and a shortcut in each stage
    assert table["res4b22_branch2b"] == "backbone.layer3.22.conv2"  # res4a, res4b1, ... res4b22
    assert table["res5c_branch2c"] == "backbone.layer4.2.conv3"
    assert table["res3a_branch1"] == "backbone.layer2.0.downsample.0"
    assert table["bn2a_branch2a"] == table["scale2a_branch2a"] == "backbone.layer1.0.bn1"
    assert [known_as(f"fc1_voc12_c{i}", table, "here") for i in range(4)] == [f"fc1_*_c{i}" for i in range(4)]
    assert "fc1_*" in caffe_layers(meta("deeplab_largefov_resnet101", width=1 / 16))


def test_googlenets_names() -> None:
    table = caffe_layers(meta("fcn32s_googlenet", width=1 / 16))
    assert sum(name.startswith("inception_") for name in table) == 9 * 6
    assert table["conv2/3x3_reduce"] == "backbone.conv2_reduce"
    assert table["inception_4e/pool_proj"] == "backbone.blocks.4e.pool_projection"
    assert table["inception_3a/5x5"] == "backbone.blocks.3a.five"


@pytest.mark.parametrize(
    ("name", "branches"), [("fcn8s_vgg16", 1), ("deeplab_aspp_s_vgg16", 4), ("gdn_fc_fcn32s_vgg16", 1)]
)
def test_fc6_and_fc7_of_every_branch(name: str, branches: int) -> None:
    network = meta(name, width=1 / 16)
    pairs = classifier_pairs(network)
    assert len(pairs) == branches
    for fc6, fc7 in pairs:
        first, second = network.get_submodule(fc6), network.get_submodule(fc7)
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.Conv2d)
        assert first.out_channels == second.in_channels


def test_an_unknown_layer_is_told_with_the_nearest(refuses: Refuses) -> None:
    table = caffe_layers(meta("fcn8s_vgg16", width=1 / 16))
    with refuses("here: not the weights of this network", "unknown layer 'conv6_1': did you mean 'conv5_1'?"):
        known_as("conv6_1", table, "here")


def test_what_has_no_caffe_file_is_said(refuses: Refuses) -> None:
    with refuses("EfficientNetLite", "choose another network"):
        caffe_layers(meta("fcn8s_lite0"))
    with refuses("torchvision's AlexNet", "groups", ".caffemodel"):
        torchvision_layers(meta("fcn32s_alexnet", width=1 / 16).backbone)
    with refuses("torchvision's GoogLeNet", "batch norms"):
        torchvision_layers(meta("fcn32s_googlenet", width=1 / 16).backbone)
    with refuses("torchvision has no EfficientNetLite"):
        torchvision_layers(meta("fcn8s_lite0").backbone)


def test_torchvisions_places_do_not_count_deconvnets_norms() -> None:
    plain, normed = (meta(name, width=1 / 16).backbone for name in ("fcn32s_vgg16", "deconvnet_vgg16"))
    ours, caffe = torchvision_layers(normed), caffe_trunk_layers(normed)
    for name, path in caffe_trunk_layers(plain).items():
        assert ours[path] == caffe[name]


def test_lite0s_names_cover_every_parameter_once() -> None:
    trunk = EfficientNetLite(head=True)
    trunk.head.classes = nn.Linear(1280, 1000)
    ours = list(efficientnet_lite_names(trunk).values())
    assert len(ours) == len(set(ours))
    assert set(ours) == set(trunk.state_dict())
