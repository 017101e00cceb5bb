"""Layers that networks share, against numbers worked out by hand and against positions in the image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pixelwise.geometry import IMAGE_GRID, Grid
from pixelwise.models.layers import (
    BilinearUpsample,
    bilinear_kernel,
    bilinear_kernel_size,
    common_grid,
    crop_both,
    crop_to,
    grid_through,
)

EVEN, ODD = Grid(4, 1.5), Grid(4, 0)
"""Cells of four pixels whose centres fall between two pixels, and onto one."""


def positions(grid: Grid, count: int) -> Tensor:
    """The pixel at which each of the first `count` cells lies."""
    return grid.scale * torch.arange(count, dtype=torch.float64) + grid.shift


def test_bilinear_kernels_by_hand() -> None:
    # FCN, surgery.py: side 3 has factor 2 and centre 1, side 4 has factor 2 and centre 1.5
    three = torch.tensor([0.5, 1.0, 0.5])
    four = torch.tensor([0.25, 0.75, 0.75, 0.25])
    assert torch.equal(bilinear_kernel(3), torch.outer(three, three))
    assert torch.equal(bilinear_kernel(4), torch.outer(four, four))
    assert torch.equal(bilinear_kernel(1), torch.ones(1, 1))


@pytest.mark.parametrize(("coarse", "side"), [(EVEN, 8), (ODD, 7)])
def test_the_grids_decide_whether_a_kernel_is_even(coarse: Grid, side: int) -> None:
    assert bilinear_kernel_size(coarse, IMAGE_GRID) == side


@pytest.mark.parametrize("coarse", [EVEN, ODD, Grid(4, -12.5)])
@pytest.mark.parametrize("fine", [IMAGE_GRID, Grid(2, 0.5)])
def test_a_ramp_over_the_image_stays_that_ramp(coarse: Grid, fine: Grid) -> None:
    layer = BilinearUpsample(1, coarse, fine).double()
    down, right = positions(coarse, 6), positions(coarse, 7)
    enlarged = layer((3 * down[:, None] - 5 * right[None, :])[None, None])[0, 0]
    rows, columns = positions(layer.grid, enlarged.shape[0]), positions(layer.grid, enlarged.shape[1])
    expected = 3 * rows[:, None] - 5 * columns[None, :]
    # between the first and the last cell there are always two to lean on
    between = (rows >= down[0]) & (rows <= down[-1])
    across = (columns >= right[0]) & (columns <= right[-1])
    assert between.sum() >= 5 * layer.stride
    torch.testing.assert_close(enlarged[between][:, across], expected[between][:, across], rtol=0, atol=1e-12)
    assert layer.grid.scale == fine.scale


@pytest.mark.parametrize("coarse", [EVEN, ODD])
def test_a_constant_stays_constant_to_the_edge_with_a_repeated_border(coarse: Grid) -> None:
    flat, size = torch.full((1, 2, 3, 5), 7.0), (12, 20)
    with_border = BilinearUpsample(2, coarse, IMAGE_GRID, border=1)
    assert torch.equal(crop_to(with_border(flat), with_border.grid, IMAGE_GRID, size), torch.full((1, 2, *size), 7.0))
    without = BilinearUpsample(2, coarse, IMAGE_GRID)
    assert without(flat)[0, 0, 0, 0] < 7  # leans on nothing


def test_classes_are_enlarged_apart() -> None:
    scores = torch.zeros(1, 3, 4, 4)
    scores[:, 1] = 1
    enlarged = BilinearUpsample(3, EVEN, IMAGE_GRID)(scores)
    assert enlarged[:, 1].any()
    assert not enlarged[:, [0, 2]].any()


def test_only_a_learned_kernel_is_a_parameter() -> None:
    fixed = BilinearUpsample(2, EVEN, IMAGE_GRID)
    learned = BilinearUpsample(2, EVEN, IMAGE_GRID, learned=True)
    assert not fixed.state_dict()
    assert list(learned.state_dict()) == [name for name, _ in learned.named_parameters()] == ["weight"]
    assert torch.equal(fixed.weight, learned.weight)


def test_grids_are_read_off_the_layers() -> None:
    layers = nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU6(),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=2, dilation=2), nn.ReLU(), nn.Dropout2d()),
        nn.MaxPool2d(2, 2),
    )  # fmt: skip
    # the stride-2 convolution sees pixels 0..2, so its first centre is 1; a pool of two cells lies between them
    assert grid_through(layers, IMAGE_GRID) == Grid(4, 2)


@pytest.mark.parametrize("layer", [nn.Conv1d(1, 1, 3), nn.Upsample(scale_factor=2), nn.Flatten()])
def test_a_layer_that_is_not_known_is_no_guess(layer: nn.Module) -> None:
    with pytest.raises(AssertionError):
        grid_through(nn.Sequential(nn.ReLU(), layer), IMAGE_GRID)


def test_a_crop_is_where_the_grids_say() -> None:
    ramp = positions(Grid(2, -6), 10)
    cut = crop_to(ramp[:, None].expand(10, 10), Grid(2, -6), Grid(2, 0), (4, 5))
    assert torch.equal(cut[:, 0], positions(Grid(2, 0), 4))
    assert cut.shape == (4, 5)


def test_a_crop_beyond_the_map_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="cannot give"):
        crop_to(torch.zeros(1, 1, 10, 10), Grid(1, -6), IMAGE_GRID, (4, 5))
    with pytest.raises(ValueError, match="no whole crop"):
        crop_to(torch.zeros(1, 1, 10, 10), Grid(1, 0.5), IMAGE_GRID, (4, 5))


def test_two_maps_are_cut_to_the_cells_they_share() -> None:
    first_grid, second_grid = Grid(8, -20), Grid(8, -4)  # the second begins two cells later
    first, second = positions(first_grid, 9)[:, None].expand(9, 9), positions(second_grid, 8)[:, None].expand(8, 6)
    one, other = crop_both(first, first_grid, second, second_grid)
    assert common_grid(first_grid, second_grid) == second_grid
    assert one.shape == other.shape == (7, 6)
    assert torch.equal(one, other)  # the same places of the image
