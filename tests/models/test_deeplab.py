"""DeepLab's networks: counts, sizes, fields and first weights as published, and their decoders on a laptop's trunk."""

from __future__ import annotations

import pytest
import torch
from tests.conftest import Refuses
from tests.models.networks import CLASSES, full_size, lively, parameter_count, pictures
from torch import nn
from torch.nn import functional

from pixelwise.geometry import Grid, SizeRule
from pixelwise.labels import MAIN
from pixelwise.models.backbones.efficientnet_lite import EfficientNetLite
from pixelwise.models.layers import grid_through
from pixelwise.models.network import Network
from pixelwise.models.published import create_model, list_models
from pixelwise.weights.imagenet import load_imagenet

MSC = "deeplab_msc_largefov_vgg16"


def cells(network: Network, side: int) -> int:
    """How many cells the coarse scores of a square image have a side."""
    scores = network.outputs(torch.zeros(1, 3, side, side, device="meta")).scores[MAIN]
    assert scores.shape[-2] == scores.shape[-1]
    return scores.shape[-1]


# What the papers and the releases state.


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("deeplab_vgg16", 65_140_565),
        ("deeplab_7x7_vgg16", 134_346_581),
        ("deeplab_largefov_vgg16", 20_505_429),
        (MSC, 20_505_429 + 1_206_121),
        ("deeplab_aspp_s_vgg16", 37_877_652),
        ("deeplab_aspp_l_vgg16", 37_877_652),
        ("deeplab_largefov_resnet101", 42_500_160 + 387_093),
        ("deeplab_aspp_resnet101", 44_048_532),
    ],
)
def test_parameter_counts(name: str, count: int) -> None:
    assert parameter_count(full_size(name)) == count


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("deeplab_vgg16", {306: 39, 514: 65}),
        ("deeplab_7x7_vgg16", {306: 39, 514: 65}),
        ("deeplab_largefov_vgg16", {321: 41, 505: 64, 513: 65, 500: 64, 375: 48}),
        ("deeplab_aspp_l_vgg16", {321: 41, 513: 65, 500: 64}),
        (MSC, {321: 41, 505: 64, 513: 65}),
        ("deeplab_aspp_resnet101", {321: 41, 513: 65}),
    ],
)
def test_cells_of_an_image(name: str, sides: dict[int, int]) -> None:
    network = full_size(name)
    assert {side: cells(network, side) for side in sides} == sides


def test_sides_on_the_way_of_an_image_of_321_pixels() -> None:
    sides: list[int] = []
    network = full_size("deeplab_largefov_vgg16")
    for layer in network.modules():
        if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            layer.register_forward_hook(lambda _, __, made: sides.append(made.shape[-1]))
    cells(network, 321)
    assert sides == [161, 81, 41, 41, 41, 41]


def test_fields_of_view() -> None:
    largefov = full_size("deeplab_largefov_vgg16")
    view = largefov.decoder.branches[0]
    assert list(dict(view.named_children()))[:2] == ["pool5a", "fc6"]
    before = grid_through(view.pool5a, largefov.backbone.grids[-1])
    assert (before.field, largefov.decoder.grid.field) == (243, 435)
    # v2 has no pool5a; the widest of its branches is dilated by 24 cells of 8 pixels
    assert full_size("deeplab_aspp_l_vgg16").decoder.grid.field == 227 + 2 * 24 * 8
    assert full_size("deeplab_largefov_vgg16", pool5a=False).decoder.grid.field == 435 - 16


def test_cells_lie_where_the_release_takes_its_labels() -> None:
    # Every eighth pixel; base DeepLab, whose pools are even, crops one pixel first, which is half a pixel more.
    for name in list_models("deeplab_*"):
        if not name.endswith(("lite0", "lite2")):
            shift = 0.5 if name in ("deeplab_vgg16", "deeplab_7x7_vgg16") else 0
            assert full_size(name).decoder.grid == Grid(8, shift)


def test_only_v1_has_the_average_pool() -> None:
    pooled = [
        name
        for name in list_models("deeplab_*")
        if any(isinstance(layer, nn.AvgPool2d) for layer in full_size(name).modules())
    ]
    assert pooled == ["deeplab_largefov_vgg16", MSC]
    with_it, without = lively("deeplab_largefov_vgg16"), lively("deeplab_largefov_vgg16", pool5a=False)
    assert with_it.state_dict().keys() == without.state_dict().keys()


@pytest.mark.parametrize("name", list_models("deeplab_*"))
def test_the_smallest_image(name: str) -> None:
    network = full_size(name)
    smallest = 2 if name in ("deeplab_vgg16", "deeplab_7x7_vgg16") else 1  # their pool4 needs two cells
    assert network.sizes.padded((1, 1)) == (smallest, smallest)
    for size in [(smallest, smallest), (smallest, 17), (9, smallest)]:
        size = network.sizes.padded(size)
        assert network(torch.zeros(1, 3, *size, device="meta")).shape == (1, 21, *size)


def test_msc_takes_sides_of_8k_plus_1(refuses: Refuses) -> None:
    assert full_size(MSC).sizes == SizeRule(multiple=8, offset=1)
    network = lively(MSC)
    with refuses("sides of 8k + 1 pixels, such as 321", "[(5, 4), (6, 4)]", "pad or crop"):
        network(pictures(2, (40, 25)))


def test_rates_can_be_chosen() -> None:
    # DeepLab-4x4, the third row of v1's table 2
    network = full_size("deeplab_vgg16", rates=(8,))
    assert parameter_count(network) == 65_140_565
    assert network.decoder.grid == Grid(8, 0.5)
    assert cells(network, 306) == 39


def test_rates_that_are_none_are_refused(refuses: Refuses) -> None:
    for name in ("deeplab_aspp_l_vgg16", "deeplab_aspp_resnet101", "deeplab_aspp_lite0"):
        for rates in ([], [6, 0], [1.5], 12, "6"):
            with refuses("rates are whole numbers above 0", repr(rates), "[6, 12, 18, 24]"):
                create_model(name, 2, width=1 / 16, rates=rates)
    with refuses("kernel of 4 dilated by 3", "half a cell", "even rate"):
        create_model("deeplab_vgg16", 2, width=1 / 16, rates=[3])


def test_images_become_bgr_less_the_releases_mean() -> None:
    network = lively("deeplab_largefov_vgg16")
    assert network.fill == (122.675, 116.669, 104.008)
    image = torch.tensor([123.675, 118.669, 107.008]).view(1, 3, 1, 1)
    torch.testing.assert_close(network.normalise(image).flatten(), torch.tensor([3.0, 2.0, 1.0]), rtol=0, atol=1e-4)


# From cells to pixels.


@pytest.mark.parametrize("name", ["deeplab_largefov_vgg16", "deeplab_aspp_resnet101"])
@pytest.mark.parametrize("size", [(17, 33), (49, 41)])
@torch.no_grad()
def test_sides_of_8k_plus_1_are_enlarged_corner_to_corner(name: str, size: tuple[int, int]) -> None:
    network, images = lively(name).double(), pictures(2, size).double()
    coarse = network.outputs(images).scores[MAIN]
    assert tuple(8 * (side - 1) + 1 for side in coarse.shape[-2:]) == size
    expected = functional.interpolate(coarse, size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(network(images), expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["deeplab_largefov_vgg16", "deeplab_vgg16", "deeplab_aspp_lite0"])
@torch.no_grad()
def test_constant_scores_stay_constant_up_to_the_edges(name: str) -> None:
    network = lively(name)
    for layer in network.last_layers:
        layer.weight.zero_()
    expected = sum(layer.bias for layer in network.last_layers).view(1, CLASSES, 1, 1).expand(2, CLASSES, 37, 50)
    torch.testing.assert_close(network(pictures(2, (37, 50))), expected, rtol=0, atol=1e-5)


# First weights.


def test_first_weights_are_spread_as_published() -> None:
    torch.manual_seed(0)
    branches = create_model(MSC, 21, width=0.5).decoder.branches
    for branch in branches:
        assert branch.score.weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert not branch.score.bias.any()
    deviations = {"conv1": (0.001,) * 5, "conv2": (0.001, 0.001, 0.001, 0.001, 0.005)}
    for name, expected in deviations.items():
        for branch, deviation in zip(branches, expected, strict=False):
            layer = getattr(branch, name)
            assert layer.weight.std().item() == pytest.approx(deviation, rel=0.1)
            assert not layer.bias.any()


def test_half_of_fc6_and_fc7_is_dropped_in_training_only() -> None:
    view = lively("deeplab_largefov_vgg16").decoder.branches[0]
    maps = torch.rand((1, 32, 20, 20), generator=torch.Generator().manual_seed(0))
    assert torch.equal(view(maps), view(maps))
    view.train()
    torch.manual_seed(0)
    kept = view.drop6(torch.ones(1, 64, 50, 50))
    assert set(kept.unique().tolist()) == {0, 2}
    assert kept.mean() == pytest.approx(1, abs=0.02)
    assert {0, 2} == set(kept[0, :, 0, 0].unique().tolist()) == set(kept[0, 0].unique().tolist())  # value by value


# The trunk of a laptop.


@pytest.mark.parametrize(("name", "rates"), [("largefov", [6]), ("aspp", [3, 6, 9, 12])])
def test_lite0_sees_as_far_at_stride_16(name: str, rates: list[int]) -> None:
    network = full_size(f"deeplab_{name}_lite0")
    assert [branch.fc6.dilation[0] for branch in network.decoder.branches] == rates
    assert network.decoder.grid == network.backbone.grids[-1]
    assert network.decoder.grid.scale == 16
    assert cells(network, 321) == 21


@torch.no_grad()
def test_without_its_last_stride_the_trunk_gives_the_same_cells_and_those_between() -> None:
    network = create_model("deeplab_largefov_lite0", 2).eval()
    assert "EfficientNet-Lite0" in load_imagenet(network)
    strided = EfficientNetLite().eval()
    strided.load_state_dict(network.backbone.state_dict())
    x = torch.rand((1, 112, 20, 14), generator=torch.Generator().manual_seed(0))
    dense, coarse = x, x
    for ours, theirs in zip(network.backbone.stages[5:], strided.stages[5:], strict=True):
        dense, coarse = ours(dense), theirs(coarse)
    assert dense.shape[-2:] == (20, 14)
    assert coarse.std() > 0.1
    torch.testing.assert_close(dense[..., 1::2, 1::2], coarse, rtol=0, atol=1e-4)
    offset = (strided.grids[-1].shift - network.backbone.grids[-1].shift) / network.backbone.grids[-1].scale
    assert offset == 1  # which is where the grids say that they lie
