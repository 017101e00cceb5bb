"""The atrous algorithm and its decoder: dilation against shift and stitch, branches and their maps, enlarging by a loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pixelwise.geometry import IMAGE_GRID, Grid
from pixelwise.labels import MAIN
from pixelwise.models.decoders.atrous import AtrousDecoder, score
from pixelwise.models.layers import grid_through
from pixelwise.models.network import Features, Outputs
from pixelwise.models.published import create_model


@pytest.mark.parametrize("grid", [Grid(8, 0), Grid(8, 0.5), Grid(4, 1.5)])
@pytest.mark.parametrize("size", [(1, 2), (17, 20), (30, 41)])
def test_any_side_is_enlarged_as_a_loop_over_pixels_does(grid: Grid, size: tuple[int, int]) -> None:
    decoder = AtrousDecoder(1, [nn.Sequential(score(1, 1))], [grid])
    coarse = torch.randn((1, 1, 3, 5), generator=torch.Generator().manual_seed(0)).double()
    made = decoder.upsample(Outputs({MAIN: coarse}, {MAIN: grid}), size)[MAIN]
    plane = coarse[0, 0].numpy()
    expected = np.zeros(size)
    for y, x in np.ndindex(size):
        down = min(max((y - grid.shift) / grid.scale, 0), 2)
        right = min(max((x - grid.shift) / grid.scale, 0), 4)
        top, left = int(down), int(right)
        bottom, beyond = min(top + 1, 2), min(left + 1, 4)
        above = plane[top, left] * (left + 1 - right) + plane[top, beyond] * (right - left)
        below = plane[bottom, left] * (left + 1 - right) + plane[bottom, beyond] * (right - left)
        expected[y, x] = above * (top + 1 - down) + below * (down - top)
    np.testing.assert_allclose(made[0, 0].numpy(), expected, rtol=1e-12, atol=1e-12)


def test_cells_of_one_size_that_do_not_meet_are_a_defect() -> None:
    with pytest.raises(AssertionError, match="on one grid"):
        AtrousDecoder(1, [nn.Sequential(score(1, 1)) for _ in range(2)], [Grid(8), Grid(8, 0.5)], reads=[0, 1])


def test_coarser_branches_are_enlarged_to_where_their_cells_lie() -> None:
    fine, coarse = Grid(8, shift=7, field=3), Grid(16, shift=15, field=90)  # cell 0 of the coarse is cell 1 of the fine
    decoder = AtrousDecoder(
        1, [nn.Sequential(nn.Conv2d(1, 1, 1, bias=False)) for _ in range(3)], [fine, coarse], reads=[1, 0, 1]
    )
    for branch, weight in zip(decoder.branches, (1.0, 100.0, 1.0), strict=True):
        nn.init.constant_(branch[0].weight, weight)
    ramp = torch.tensor([10.0, 20.0, 40.0]).view(1, 1, 1, 3)
    outputs = decoder(Features((torch.ones(1, 1, 1, 6), ramp)))
    assert outputs.scores[MAIN].flatten().tolist() == [100 + 2 * x for x in (10, 10, 15, 20, 30, 40)]
    assert outputs.grids[MAIN] == fine
    assert decoder.grid.field == 90
    at_centres = decoder.upsample(outputs, (8, 48))[MAIN][0, 0, 7, 7::8]
    assert torch.equal(at_centres, outputs.scores[MAIN].flatten())


def test_a_place_is_seen_from_another_grid() -> None:
    assert Grid(16, 15).seen_from(Grid(8, 7)) == Grid(2, 1)
    assert Grid(8, 3).seen_from(IMAGE_GRID) == Grid(8, 3)


@torch.inference_mode()
def test_what_the_image_shows_is_told_at_every_cell_alike() -> None:
    network = create_model("deeplab8s_lite0", 3, width=1 / 16).eval()
    anywhere = network.decoder.branches[5]
    told = torch.randn((2, network.backbone.channels[2], 4, 5), generator=torch.Generator().manual_seed(0))
    scores = anywhere(told)
    assert scores.shape == (2, 3, 4, 5)
    assert scores.std() > 0
    torch.testing.assert_close(scores, anywhere(told.mean((2, 3), keepdim=True)).expand(2, 3, 4, 5))


def test_maps_of_a_trunk_go_to_the_branches_that_read_them() -> None:
    branches = [nn.Sequential(nn.Conv2d(1, 1, 1, bias=False)) for _ in range(3)]
    for branch, weight in zip(branches, (1.0, 10.0, 100.0), strict=True):
        nn.init.constant_(branch[0].weight, weight)
    maps = Features((torch.full((1, 1, 2, 2), 1.0), torch.full((1, 1, 2, 2), 2.0)))
    grids = [Grid(8, field=3), Grid(8, field=5)]
    last, chosen = AtrousDecoder(1, branches, grids), AtrousDecoder(1, branches, grids, reads=[0, 1, 0])
    assert last(maps).scores[MAIN].unique().item() == 222
    assert chosen(maps).scores[MAIN].unique().item() == 1 + 20 + 100
    assert chosen.grid.field == 5


# The atrous algorithm is exact: FCN (PAMI 2017), section 3.2.


def subsampling(*, strided: bool) -> nn.Sequential:
    """Three convolutions with pools between: with strides of 2, or without and dilated by what they would have been."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    rate = 1
    for channels, out in ((3, 4), (4, 4), (4, 2)):
        if layers:
            layers.append(nn.MaxPool2d(2, 2) if strided else nn.MaxPool2d(2, 1, dilation=rate))
            rate *= 1 if strided else 2
        layers += [nn.Conv2d(channels, out, 3, dilation=rate), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


@settings(max_examples=10)
@given(height=st.integers(22, 40), width=st.integers(22, 40))
@torch.no_grad()
def test_shift_and_stitch_equals_dilation(height: int, width: int) -> None:
    strided, dilated = subsampling(strided=True), subsampling(strided=False)
    image = torch.randn((1, 3, height, width), generator=torch.Generator().manual_seed(height)).double()
    dense = dilated(image)
    stitched = torch.full_like(dense, torch.nan)
    for down in range(4):
        for right in range(4):
            stitched[..., down::4, right::4] = strided(image[..., down:, right:])
    torch.testing.assert_close(stitched, dense, rtol=1e-12, atol=1e-12)
    coarse, fine = grid_through(strided, IMAGE_GRID), grid_through(dilated, IMAGE_GRID)
    assert coarse == Grid(4, fine.shift)
    assert fine.scale == 1
    assert coarse.field == fine.field == 18
