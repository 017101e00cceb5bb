"""DeepLab: dilated convolutions score a dense map, the scores of all branches are summed and enlarged bilinearly.

Sources: DeepLab v1 (Chen et al., ICLR 2015), sections 3.1, 3.2 and 4.3; v2 (PAMI 2018), sections 3.1 and 3.2.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from pixelwise.errors import InputError
from pixelwise.geometry import Grid, Size
from pixelwise.labels import MAIN
from pixelwise.models.layers import bilinear_matrix, grid_through, interpolate_separably
from pixelwise.models.network import Features, Outputs


class AtrousDecoder(nn.Module):
    """The sum of the scores of several branches: one is LargeFOV, several on one map are ASPP, several on several are MSc.

    branches  each ends with the layer that gives the scores; those that come out on coarser grids than others are
              enlarged to the finest one, bilinearly
    grids     of the trunk's maps, fine to coarse
    reads     which of these maps each branch reads; None: all the coarsest
    """

    def __init__(
        self,
        classes: int,
        branches: Sequence[nn.Sequential],
        grids: Sequence[Grid],
        *,
        reads: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.heads = {MAIN: classes}
        self.branches = nn.ModuleList(branches)
        self.reads = (len(grids) - 1,) * len(branches) if reads is None else tuple(reads)
        self.ends = [grid_through(branch, grids[read]) for branch, read in zip(branches, self.reads, strict=True)]
        finest = min(self.ends, key=lambda grid: grid.scale)
        self.grid = Grid(finest.scale, finest.shift, max(grid.field for grid in self.ends))
        same_scale = {grid for grid in self.ends if grid.scale == finest.scale}
        assert same_scale == {self.grid}, f"cells of one size must lie on one grid to be summed: {self.ends}"

    @property
    def last_layers(self) -> tuple[nn.Module, ...]:
        """The convolution of each branch that gives its scores."""
        return tuple(branch[-1] for branch in self.branches)  # type: ignore[index]  # branches are Sequential

    def forward(self, features: Features) -> Outputs:
        """Scores at the stride of the finest branches.

        Raises `InputError` where the trunk's maps do not cover the same cells, which only networks of several maps know.
        """
        sums = dict[Grid, Tensor]()
        for branch, read, grid in zip(self.branches, self.reads, self.ends, strict=True):
            scores = branch(features.maps[read])
            if grid not in sums:
                sums[grid] = scores
                continue
            if scores.shape != sums[grid].shape:
                stride, sizes = round(grid.scale), sorted(tuple(one.shape[-2:]) for one in (scores, sums[grid]))
                raise InputError(
                    f"this network takes sides of {stride}k + 1 pixels, such as {40 * stride + 1}; "
                    f"with these its branches differ in size: {sizes}; pad or crop the images"
                )
            sums[grid] = sums[grid] + scores
        whole = sums.pop(self.grid)
        for grid, coarser in sums.items():
            whole = whole + _interpolated(coarser, grid.seen_from(self.grid), (whole.shape[-2], whole.shape[-1]))
        return Outputs({MAIN: whole}, {MAIN: self.grid})

    def upsample(self, outputs: Outputs, size: Size) -> dict[str, Tensor]:
        """The scores at the image's size `(H, W)`, bilinear between cells, and flat beyond the outermost of them."""
        return {MAIN: _interpolated(outputs.scores[MAIN], self.grid, size)}


def field_of_view(
    channels: int,
    classes: int,
    *,
    hidden: int,
    kernel: int = 3,
    rate: int = 12,
    pool: bool = False,
    norm: Callable[[int], nn.Module] | None = None,
    dropout: float = 0.5,
) -> nn.Sequential:
    """fc6 (`kernel` x `kernel`, dilated by `rate`), fc7 (1x1) and the scores: `(N, channels, h, w)` -> `(N, classes, h, w)`.

    pool   whether v1's average pool stands in front
    norm   what stands between a convolution and its ReLU, made from the channel count; None: nothing

    Raises `InputError` for an odd rate of an even kernel.
    """
    layers: dict[str, nn.Module] = {"pool5a": nn.AvgPool2d(3, stride=1, padding=1)} if pool else {}
    reach = rate * (kernel - 1)
    if reach % 2:
        raise InputError(
            f"a kernel of {kernel} dilated by {rate} would move the map by half a cell: choose an even rate"
        )
    fc6 = nn.Conv2d(channels, hidden, kernel, padding=reach // 2, dilation=rate, bias=norm is None)
    fc7 = nn.Conv2d(hidden, hidden, 1, bias=norm is None)
    for number, convolution in ((6, fc6), (7, fc7)):
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers[f"fc{number}"] = convolution
        if norm is not None:
            layers[f"norm{number}"] = norm(hidden)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        layers[f"drop{number}"] = nn.Dropout(dropout)
    layers["score"] = score(hidden, classes)
    return nn.Sequential(OrderedDict(layers))


def _interpolated(scores: Tensor, grid: Grid, size: Size) -> Tensor:
    rows, columns = (bilinear_matrix(scores.shape[axis], grid, size[axis], like=scores) for axis in (-2, -1))
    return interpolate_separably(scores, rows, columns)


def side_branch(
    channels: int, classes: int, stride: int, *, hidden: int, deviations: tuple[float, float]
) -> nn.Sequential:
    """What MSc puts on a finer map: 3x3 with `stride`, 1x1, and the scores.

    `(N, channels, h, w)` -> `(N, classes, ceil(h / stride), ...)`. `deviations` are those of the first weights of the two
    hidden layers.
    """
    conv1 = nn.Conv2d(channels, hidden, 3, stride=stride, padding=1)
    conv2 = nn.Conv2d(hidden, hidden, 1)
    layers = {
        "conv1": _gaussian(conv1, deviations[0]), "relu1": nn.ReLU(inplace=True), "drop1": nn.Dropout(0.5),
        "conv2": _gaussian(conv2, deviations[1]), "relu2": nn.ReLU(inplace=True), "drop2": nn.Dropout(0.5),
        "score": score(hidden, classes),
    }  # fmt: skip
    return nn.Sequential(OrderedDict(layers))


def score(channels: int, classes: int, *, kernel: int = 1, rate: int = 1) -> nn.Conv2d:
    """The convolution that gives the scores: `(N, channels, h, w)` -> `(N, classes, h, w)`, small and random at first."""
    layer = nn.Conv2d(channels, classes, kernel, padding=rate * (kernel - 1) // 2, dilation=rate)
    return _gaussian(layer, 0.01)  # Source: the fillers of fc8 in the released train.prototxt


def _gaussian(layer: nn.Conv2d, deviation: float) -> nn.Conv2d:
    nn.init.normal_(layer.weight, std=deviation)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # there is a bias: the default
    return layer
