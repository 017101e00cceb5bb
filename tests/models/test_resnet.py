"""ResNet-101 in DeepLab's form: counts, names, sizes, and a map equal to that of a plain second writing of it."""

from __future__ import annotations

import pytest
import torch
from tests.models.networks import norms_of, stirred
from torch import Tensor
from torch.nn import functional

from pixelwise.geometry import Grid
from pixelwise.models.backbones.resnet import Bottleneck, ResNet

BLOCKS, STRIDES, DILATIONS = (3, 4, 23, 3), (1, 2, 1, 1), (1, 1, 2, 4)
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def full_size() -> ResNet:
    with torch.device("meta"):
        return ResNet()


def narrow(*, frozen_norms: bool = True) -> ResNet:
    """A trunk of few channels whose norms have statistics, scales and shifts of their own."""
    torch.manual_seed(0)
    return stirred(ResNet(width=1 / 16, frozen_norms=frozen_norms))


def test_parameter_count() -> None:
    assert sum(parameter.numel() for parameter in full_size().parameters()) == 42_500_160


def test_names_are_those_of_torchvisions_resnet101_without_its_classifier() -> None:
    expected = {"conv1.weight", *(f"bn1.{part}" for part in NORM)}
    for stage, blocks in enumerate(BLOCKS, start=1):
        for block in range(blocks):
            here = f"layer{stage}.{block}"
            for number in (1, 2, 3):
                expected |= {f"{here}.conv{number}.weight", *(f"{here}.bn{number}.{part}" for part in NORM)}
            if block == 0:
                expected |= {f"{here}.downsample.0.weight", *(f"{here}.downsample.1.{part}" for part in NORM)}
    assert len(expected) == 624
    assert full_size().state_dict().keys() == expected


def test_strides_sit_on_the_first_convolution_of_a_block() -> None:
    for name, block in full_size().named_modules():
        if not isinstance(block, Bottleneck):
            continue
        stage, number = int(name[5]) - 1, int(name.split(".")[1])
        stride = STRIDES[stage] if number == 0 else 1
        assert block.conv1.stride == (stride, stride)
        assert block.conv2.stride == block.conv3.stride == (1, 1)
        assert block.conv2.dilation == block.conv2.padding == (DILATIONS[stage], DILATIONS[stage])
        if block.downsample is not None:
            assert block.downsample[0].stride == (stride, stride)


def test_cells_lie_on_every_eighth_pixel() -> None:
    trunk = full_size()
    assert trunk.grids == (Grid(8, 0),)
    assert trunk.channels == (2048,)
    # 7x7: 7; pool: + 2 x 2; res2: + 3 blocks x 2 x 4; res3: + 4 x 2 x 8; res4: + 23 x 4 x 8; res5: + 3 x 8 x 8
    assert trunk.grids[0].field == 7 + 4 + 24 + 64 + 736 + 192


@pytest.mark.parametrize(("side", "cells"), [(1, 1), (2, 1), (9, 2), (321, 41), (500, 63), (513, 65)])
def test_sizes(side: int, cells: int) -> None:
    (map_,) = full_size()(torch.zeros(1, 3, side, side, device="meta")).maps
    assert map_.shape == (1, 2048, cells, cells)


def straightforward_resnet(state: dict[str, Tensor], x: Tensor) -> Tensor:
    def layer(x: Tensor, convolution: str, norm: str, **options: int) -> Tensor:
        x = functional.conv2d(x, state[f"{convolution}.weight"], **options)
        scale, shift, mean, variance = (state[f"{norm}.{part}"].view(1, -1, 1, 1) for part in NORM[:4])
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    x = functional.max_pool2d(layer(x, "conv1", "bn1", stride=2, padding=3).relu(), 3, 2, 1, ceil_mode=True)
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            here = f"layer{stage + 1}.{block}"
            stride, dilation = STRIDES[stage] if block == 0 else 1, DILATIONS[stage]
            y = layer(x, f"{here}.conv1", f"{here}.bn1", stride=stride).relu()
            y = layer(y, f"{here}.conv2", f"{here}.bn2", padding=dilation, dilation=dilation).relu()
            y = layer(y, f"{here}.conv3", f"{here}.bn3")
            if block == 0:
                x = layer(x, f"{here}.downsample.0", f"{here}.downsample.1", stride=stride)
            x = (x + y).relu()
    return x


@pytest.mark.parametrize("size", [(1, 1), (33, 50)])
@torch.no_grad()
def test_the_map_equals_a_straightforward_writing(size: tuple[int, int]) -> None:
    trunk = narrow().double()
    images = torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(1)).double()
    (map_,) = trunk(images).maps
    assert map_.std() > 0.01
    torch.testing.assert_close(map_, straightforward_resnet(trunk.state_dict(), images), rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_random_weights_keep_the_size_of_what_passes() -> None:
    torch.manual_seed(0)
    (map_,) = ResNet(width=1 / 8)(torch.randn(1, 3, 65, 65)).maps
    assert 0.1 < map_.std() < 10  # 33 blocks that each double the variance would make it 1e5


def test_frozen_norms_stay_as_they_are_loaded() -> None:
    trunk = narrow().train()
    before = {name: value.clone() for name, value in trunk.state_dict().items() if "bn" in name}
    trunk(torch.randn(2, 3, 33, 33)).maps[0].sum().backward()
    assert all(torch.equal(trunk.state_dict()[name], value) for name, value in before.items())
    assert not any(norm.training or norm.weight.requires_grad or norm.bias.requires_grad for norm in norms_of(trunk))
    assert trunk.training
    assert trunk.conv1.weight.grad.any()


def test_norms_that_are_not_frozen_learn() -> None:
    trunk = narrow(frozen_norms=False).train()
    mean = trunk.bn1.running_mean.clone()
    trunk(torch.randn(2, 3, 33, 33)).maps[0].sum().backward()
    assert all(norm.training and norm.weight.requires_grad for norm in norms_of(trunk))
    assert not torch.equal(trunk.bn1.running_mean, mean)
    assert trunk.bn1.weight.grad.any()
