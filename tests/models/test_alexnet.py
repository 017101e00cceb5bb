"""AlexNet's trunk: its two unusual layers against plain loops, the whole against a plain second writing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.models.networks import full_size, narrow, parameter_count, pictures
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.models.backbones.alexnet import CAFFENET_STAGES, AlexNet, response_norm

CONVOLUTIONS = (0, 4, 8, 10, 12)
"""Places of conv1 to conv5 in `features`."""


def normalised_by_loops(x: NDArray, *, neighbours: int = 5, alpha: float = 1e-4, beta: float = 0.75) -> NDArray:
    out = np.empty_like(x)
    channels, height, width = x.shape
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                near = range(max(c - neighbours // 2, 0), min(c + neighbours // 2 + 1, channels))
                energy = sum(x[other, i, j] ** 2 for other in near)
                out[c, i, j] = x[c, i, j] / (1 + alpha / neighbours * energy) ** beta
    return out


def pooled_by_loops(x: NDArray, kernel: int = 3, stride: int = 2) -> NDArray:
    """Caffe's max pool: a last window that is begun counts, with as much as there is under it."""
    channels, *sides = x.shape
    cells = [math.ceil((side - kernel) / stride) + 1 for side in sides]
    out = np.empty((channels, *cells))
    for c in range(channels):
        for i in range(cells[0]):
            for j in range(cells[1]):
                out[c, i, j] = x[c, i * stride : i * stride + kernel, j * stride : j * stride + kernel].max()
    return out


@pytest.mark.parametrize("channels", [2, 5, 9])
def test_responses_are_normalised_as_loops_say(channels: int) -> None:
    # large enough for the norm to matter: the sum of squares is about 5 x 200^2, times alpha / 5 it is 4
    x = 200 * torch.randn(channels, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = normalised_by_loops(x.numpy())
    assert (expected / x.numpy()).min() < 0.5
    np.testing.assert_allclose(response_norm()(x[None])[0].numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("sides", [(3, 4), (5, 12), (7, 8), (13, 2)])
def test_pools_round_sizes_up_as_loops_say(sides: tuple[int, int]) -> None:
    pools = [layer for layer in AlexNet(width=1 / 16).features if isinstance(layer, nn.MaxPool2d)]
    assert len(pools) == 3
    x = torch.randn(2, *sides, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for pool in pools:
        assert np.array_equal(pool(x[None])[0].numpy(), pooled_by_loops(x.numpy()))


def plain_trunk(state: dict[str, Tensor], x: Tensor, padding: int) -> Tensor:
    """conv1 to pool5 as `voc-fcn-alexnet/net.py` lists them: pool, then norm."""
    layers = ((4, padding, 1), (1, 2, 2), (1, 1, 1), (1, 1, 2), (1, 1, 2))  # stride, padding, groups
    for number, (place, (stride, pad, groups)) in enumerate(zip(CONVOLUTIONS, layers, strict=True), start=1):
        weight, bias = (state[f"features.{place}.{part}"] for part in ("weight", "bias"))
        x = functional.conv2d(x, weight, bias, stride, pad, groups=groups).relu()
        if number in (1, 2, 5):
            x = torch.from_numpy(np.stack([pooled_by_loops(map_.numpy()) for map_ in x]))
        if number in (1, 2):
            x = torch.from_numpy(np.stack([normalised_by_loops(map_.numpy()) for map_ in x]))
    return x


@pytest.mark.parametrize(("size", "padding"), [((67, 90), 0), ((1, 20), 100)])
@torch.no_grad()
def test_the_trunk_equals_a_plain_second_writing(size: tuple[int, int], padding: int) -> None:
    torch.manual_seed(0)
    trunk = AlexNet(width=1 / 32, first_padding=padding).double()
    images = pictures(1, size).double() - 120
    (map_,) = trunk(images).maps
    assert map_.std() > 0.1
    torch.testing.assert_close(map_, plain_trunk(trunk.state_dict(), images, padding), rtol=1e-10, atol=1e-10)


def test_groups_do_not_see_each_other() -> None:
    trunk = AlexNet(width=1 / 16)
    groups = [trunk.features[place].groups for place in CONVOLUTIONS]
    assert groups == [1, 2, 1, 2, 2]
    conv2 = trunk.features[4]
    maps = torch.randn(1, conv2.in_channels, 9, 9)
    changed = maps.clone()
    changed[:, conv2.in_channels // 2 :] += 1  # only the second half of what comes in
    half = conv2.out_channels // 2
    before, after = conv2(maps), conv2(changed)
    assert torch.equal(before[:, :half], after[:, :half])
    assert not torch.equal(before[:, half:], after[:, half:])


@pytest.mark.parametrize("width", [1 / 100, 0.05, 0.3, 1])
def test_every_width_leaves_two_halves(width: float) -> None:
    with torch.device("meta"):
        trunk = AlexNet(width=width)
    counts = [trunk.features[place].out_channels for place in CONVOLUTIONS]
    assert all(count % 2 == 0 for count in counts)
    if width == 1:
        assert counts == [stage.channels for stage in CAFFENET_STAGES] == [96, 256, 384, 384, 256]


def test_a_crop_of_227_pixels_becomes_the_six_by_six_that_fc6_reads() -> None:
    with torch.device("meta"):
        trunk = AlexNet()
    (map_,) = trunk(torch.empty(1, 3, 227, 227, device="meta")).maps
    assert map_.shape == (1, *trunk.channels, 6, 6) == (1, 256, 6, 6)


def test_counts_and_field_are_those_of_the_paper() -> None:
    network = full_size("fcn32s_alexnet")
    score = parameter_count(network.decoder.score)
    assert parameter_count(network) - score == 56_868_224
    assert network.decoder.grid.field == 355  # FCN, table 1
    assert narrow("fcn32s_alexnet").decoder.grid.field == 355
