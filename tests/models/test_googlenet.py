"""GoogLeNet's trunk: sizes and counts of the paper's table, and a plain second writing."""

from __future__ import annotations

import pytest
import torch
from tests.models.networks import full_size, parameter_count, pictures
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.geometry import IMAGE_GRID
from pixelwise.models.backbones.googlenet import GoogLeNet, Inception

# Szegedy et al., table 1, output sizes: channels behind each block, and the side of its map for an image of 224 pixels.
OUTPUTS = {
    "3a": (256, 28), "3b": (480, 28),
    "4a": (512, 14), "4b": (512, 14), "4c": (512, 14), "4d": (528, 14), "4e": (832, 14),
    "5a": (832, 7), "5b": (1024, 7),
}  # fmt: skip


def test_sizes_are_those_of_the_papers_table() -> None:
    with torch.device("meta"):
        trunk = GoogLeNet()
    seen = {}
    for name, block in trunk.blocks.items():
        block.register_forward_hook(lambda _, __, made, name=name: seen.update({name: tuple(made.shape[1:])}))
    (map_,) = trunk(torch.empty(1, 3, 224, 224, device="meta")).maps
    assert seen == {name: (channels, side, side) for name, (channels, side) in OUTPUTS.items()}
    assert tuple(map_.shape[1:]) == (*trunk.channels, 7, 7) == (1024, 7, 7)


def test_counts_and_field() -> None:
    network = full_size("fcn32s_googlenet")
    assert parameter_count(network.backbone) == 5_973_552
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.backbone.modules()) == 57  # 3 and 9 x 6
    assert network.decoder.grid.field == 715  # the 907 of FCN's table 1 has the average pool in it, which is discarded
    assert network.backbone.grids[0].scale == 32


def test_a_block_sees_as_far_as_its_widest_way() -> None:
    block = Inception(3, 1, 1, 1, 1, 1, 1)
    grid = IMAGE_GRID.through(7, 2, padding=3)
    assert block.grid_from(grid) == grid
    assert block.grid_from(grid).field == grid.field + 4 * grid.scale  # the 5x5


def test_ways_that_part_are_a_defect() -> None:
    block = Inception(3, 1, 1, 1, 1, 1, 1)
    block.five.padding = (1, 1)
    with pytest.raises(AssertionError, match="shift"):
        block.grid_from(IMAGE_GRID)


def plain_block(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    def convolution(part: str, given: Tensor, padding: int = 0) -> Tensor:
        weight, bias = (state[f"blocks.{name}.{part}.{kind}"] for kind in ("weight", "bias"))
        return functional.conv2d(given, weight, bias, padding=padding).relu()

    return torch.cat(
        [
            convolution("one", x),
            convolution("three", convolution("three_reduce", x), 1),
            convolution("five", convolution("five_reduce", x), 2),
            convolution("pool_projection", functional.max_pool2d(x, 3, 1, 1)),
        ],
        dim=1,
    )


def plain_trunk(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The layers in a row, as the paper's table has them, with Caffe's names for what is normalised when."""

    def convolution(name: str, given: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        return functional.conv2d(given, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding).relu()

    def pool(given: Tensor) -> Tensor:
        return functional.max_pool2d(given, 3, 2, ceil_mode=True)

    def norm(given: Tensor) -> Tensor:
        return functional.local_response_norm(given, 5, alpha=0.0001, beta=0.75)

    x = norm(pool(convolution("conv1", x, 2, 3)))
    x = pool(norm(convolution("conv2", convolution("conv2_reduce", x), padding=1)))
    x = pool(plain_block(state, "3b", plain_block(state, "3a", x)))
    for name in ("4a", "4b", "4c", "4d", "4e"):
        x = plain_block(state, name, x)
    x = pool(x)
    return plain_block(state, "5b", plain_block(state, "5a", x))


@pytest.mark.parametrize("size", [(31, 40), (65, 97)])
@torch.no_grad()
def test_the_trunk_equals_a_plain_second_writing(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    trunk = GoogLeNet(width=1 / 8).double()
    images = pictures(1, size).double() - 120
    (map_,) = trunk(images).maps
    assert map_.std() > 0.1
    torch.testing.assert_close(map_, plain_trunk(trunk.state_dict(), images), rtol=1e-10, atol=1e-10)


@torch.inference_mode()
def test_fewer_pixels_than_the_network_asks_for_leave_a_pool_nothing() -> None:
    network = full_size("fcn32s_googlenet")
    assert network.sizes.padded((1, 32)) == (31, 32)
    assert network(torch.empty(1, 3, 31, 31, device="meta")).shape == (1, 21, 31, 31)
    with pytest.raises(RuntimeError, match="too small"):
        network(torch.empty(1, 3, 30, 31, device="meta"))
