"""Layers that several networks share, and how each of them moves the grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.geometry import Grid, Size


class ImageMean(nn.Module):
    """The mean over the whole map, at every cell of it: what the image shows, wherever one looks."""

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, h, w)` -> the same shape."""
        return x.mean((2, 3), keepdim=True).expand_as(x)


POINTWISE = (nn.ReLU, nn.ReLU6, nn.BatchNorm2d, nn.LocalResponseNorm, nn.Dropout2d, nn.Dropout, nn.Identity, ImageMean)
"""Layers that leave every cell where it is."""


def grid_through(layers: nn.Module, grid: Grid) -> Grid:
    """The grid after a layer, or after all layers of a `Sequential`, read off the layers themselves.

    Pointwise layers leave it; a layer that this function does not know is an error, not a guess.
    """
    if isinstance(layers, nn.Sequential):
        for layer in layers:
            grid = grid_through(layer, grid)
        return grid
    if isinstance(layers, nn.Conv2d | nn.MaxPool2d):
        kernel, stride, padding, dilation = (
            _square(value) for value in (layers.kernel_size, layers.stride, layers.padding, layers.dilation)
        )
        return grid.through(kernel, stride, padding, dilation)
    if isinstance(layers, nn.AvgPool2d):
        return grid.through(*(_square(value) for value in (layers.kernel_size, layers.stride, layers.padding)))
    if isinstance(layers, nn.ConvTranspose2d):
        return grid.through_transposed(
            *(_square(value) for value in (layers.kernel_size, layers.stride, layers.padding))
        )
    if isinstance(layers, nn.ZeroPad2d):
        return grid.padded(layers.padding[0])
    assert isinstance(layers, POINTWISE), layers
    return grid


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, at least 1."""
    return max(1, round(channels * width))


def _square(value: object) -> int:
    if isinstance(value, tuple):
        assert value[0] == value[-1]
        value = value[0]
    assert isinstance(value, int)
    return value


def bilinear_kernel(size: int) -> Tensor:
    """The `(size, size)` kernel with which a transposed convolution interpolates bilinearly.

    Source: FCN's released `surgery.py`: factor f = floor((k+1)/2), centre f-1 (odd) or f-0.5 (even).
    """
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - (torch.arange(size, dtype=torch.float32) - centre).abs() / factor
    return line[:, None] * line[None, :]


def bilinear_kernel_size(coarse: Grid, fine: Grid) -> int:
    """The kernel side that enlarges `coarse` onto cells of `fine`: twice the stride, or one less where only that is whole.

    An even kernel shifts by half a cell of the fine grid and an odd one does not, so the grids decide: 64 on VGG16
    with its pad of 100, 63 on AlexNet and GoogLeNet, both at stride 32.
    """
    stride = round(coarse.scale / fine.scale)
    even = coarse.through_transposed(2 * stride, stride)
    return 2 * stride if (fine.shift - even.shift) % fine.scale == 0 else 2 * stride - 1


class BilinearUpsample(nn.Module):
    """Enlarges scores by a transposed convolution, one plane at a time, from the grid `coarse` towards the cells of `fine`.

    The kernel starts as bilinear interpolation; it is fixed unless `learned`. `border` repeats that many cells around
    the map first, so that the interpolation has something to lean on at the edge of a trunk without FCN's padding.

    Source: FCN (PAMI 2017), section 3.3; the grouped form holds the same numbers as the released K x K x k x k tensor.
    """

    weight: Tensor

    def __init__(self, classes: int, coarse: Grid, fine: Grid, *, border: int = 0, learned: bool = False) -> None:
        super().__init__()
        kernel = bilinear_kernel_size(coarse, fine)
        self.stride = round(coarse.scale / fine.scale)
        self.border = border
        self.grid = coarse.padded(border).through_transposed(kernel, self.stride)
        """Where the cells of the enlarged map lie."""
        weight = bilinear_kernel(kernel).expand(classes, 1, kernel, kernel).contiguous()
        if learned:
            self.weight = nn.Parameter(weight)
        else:  # known from its size, so it need not travel with the weights
            self.register_buffer("weight", weight, persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """`(N, K, h, w)` -> `(N, K, (h + 2 border - 1) s + k, ...)`."""
        if self.border:
            scores = functional.pad(scores, (self.border,) * 4, mode="replicate")
        return functional.conv_transpose2d(scores, self.weight, stride=self.stride, groups=len(self.weight))


def crop_to(scores: Tensor, grid: Grid, target: Grid, size: Size) -> Tensor:
    """Cut a map on `grid` to the cells of `target`, `size` of them: the crop layer of FCN with its offset derived."""
    start = target.offset_in(grid)
    cut = scores[..., start : start + size[0], start : start + size[1]]
    assert tuple(cut.shape[-2:]) == tuple(size), f"crop of {tuple(scores.shape)} at {start} cannot give {size}"
    return cut


def common_grid(first: Grid, second: Grid) -> Grid:
    """The grid of the cells that two maps of one scale share: it starts where the later one starts, and sees what both see."""
    assert first.scale == second.scale
    return Grid(first.scale, max(first.shift, second.shift), max(first.field, second.field))


def bilinear_matrix(cells: int, grid: Grid, side: int, like: Tensor) -> Tensor:
    """The `(side, cells)` matrix that interpolates one axis of a map on `grid` linearly at pixels 0 .. side - 1.

    Pixels before the first cell's centre or behind the last one's take that cell's value. Type and device are those of
    `like`. For a grid without shift this is the corner-aligned interpolation of DeepLab's released Interp layer.
    """
    pixels = torch.arange(side, dtype=torch.float64, device=like.device)
    places = ((pixels - grid.shift) / grid.scale).clamp(0, cells - 1)
    centres = torch.arange(cells, dtype=torch.float64, device=like.device)
    return (1 - (places[:, None] - centres).abs()).clamp(min=0).to(like.dtype)


def interpolate_separably(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`(N, K, h, w)`, `(H, h)`, `(W, w)` -> `(N, K, H, W)`: y = rows x columns^T in every plane.

    Source: Global Deconvolutional Networks (Nekrasov et al., BMVC 2016), section 3.2.
    """
    return rows @ scores @ columns.transpose(-1, -2)


def crop_both(first: Tensor, first_grid: Grid, second: Tensor, second_grid: Grid) -> tuple[Tensor, Tensor]:
    """Cut two maps of one scale to the cells that both have; these lie on `common_grid`."""
    shared = common_grid(first_grid, second_grid)
    starts = shared.offset_in(first_grid), shared.offset_in(second_grid)
    height, width = (min(first.shape[axis] - starts[0], second.shape[axis] - starts[1]) for axis in (-2, -1))
    return crop_to(first, first_grid, shared, (height, width)), crop_to(second, second_grid, shared, (height, width))
