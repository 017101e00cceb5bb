"""GDN: another decoder's coarse scores, enlarged at once by two learned matrices, or mixed by a fully connected layer.

Source: Global Deconvolutional Networks (Nekrasov, Ju & Choi, BMVC 2016), and its released `src/gdn.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.errors import InputError, unknown_name
from pixelwise.geometry import Grid, Size
from pixelwise.labels import MAIN
from pixelwise.models.layers import bilinear_matrix, interpolate_separably
from pixelwise.models.network import Decoder, Features, Outputs

INITIALISATIONS = ("uniform", "bilinear")

NONLINEARITIES: Mapping[str, Callable[[], nn.Module]] = {"none": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}

PYRAMID_BINS = (1, 2, 4, 8, 16)  # 5 levels (section 4.3); Caffe's pyramid of that height doubles from 1
"""How many bins a side each level of the pyramid has."""


class GlobalDeconvolution(nn.Module):
    """The scores of the decoder `coarse`, enlarged by `rows` x `columns`^T: every pixel is made of all cells.

    The matrices `(side, cells)` are those of an image of `side` x `side` pixels, the largest; a smaller one uses their
    first rows and columns, which is right because image and map begin in the same corner. They are shared by all
    classes.

    coarse          the decoder whose scores are enlarged
    cells, grid     the side of its map for an image of `side` pixels, and where its cells lie
    initialisation  "uniform" as published, or "bilinear": the interpolation between the cells' places to start from
    nonlinearity    what follows the matrices: "none", "relu" or "tanh"
    label_head      what gives one answer an image from `(N, K, cells, cells)`, as `image_classifier` does; None: nothing

    Source: sections 3.2 and 4.3. The release stores the transposed matrices.
    """

    def __init__(
        self,
        coarse: Decoder,
        cells: int,
        grid: Grid,
        side: int,
        *,
        initialisation: str = "uniform",
        nonlinearity: str = "none",
        label_head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if initialisation not in INITIALISATIONS:
            raise unknown_name("initialisation", initialisation, INITIALISATIONS)
        if nonlinearity not in NONLINEARITIES:
            raise unknown_name("nonlinearity", nonlinearity, NONLINEARITIES)
        self.heads = coarse.heads
        self.coarse = coarse
        self.side = side
        self.cells = cells
        self.rows = nn.Parameter(torch.empty(side, cells))
        self.columns = nn.Parameter(torch.empty(side, cells))
        if initialisation == "uniform":
            _fill_uniformly(self.rows, self.columns, coarse.heads[MAIN])
        else:
            self.rows.data = bilinear_matrix(cells, grid, side, self.rows)
            self.columns.data = self.rows.data.clone()
        self.nonlinearity = NONLINEARITIES[nonlinearity]()
        self.label_head = label_head

    @property
    def last_layers(self) -> Sequence[nn.Module]:
        """Those of `coarse`; the matrices hold nothing of any class."""
        return self.coarse.last_layers

    def forward(self, features: Features) -> Outputs:
        """The coarse scores; `image_logits` with them where there is a `label_head` and the map has the full size."""
        outputs = self.coarse(features)
        return outputs if self.label_head is None else _with_image_logits(outputs, self.label_head, self.cells)

    def upsample(self, outputs: Outputs, size: Size) -> dict[str, Tensor]:
        """The scores at the image's size `(H, W)`; raises `InputError` beyond `side`."""
        if max(size) > self.side:
            raise InputError(
                f"global deconvolution takes images of up to {self.side} x {self.side} pixels, got {size[0]} x {size[1]}: "
                f"shrink the image, or build the network with a larger side"
            )
        scores = outputs.scores[MAIN]
        height, width = scores.shape[-2:]
        rows, columns = self.rows[: size[0], :height], self.columns[: size[1], :width]
        return {MAIN: self.nonlinearity(interpolate_separably(scores, rows, columns))}


class LabelledScores(nn.Module):
    """The decoder `coarse` as it is, with a `label_head` on its scores: what the label loss does without the matrices.

    cells, side  the side of the coarse map that the head reads, and of the image that has it

    Source: sections 3.3 and 4.3, table 1, the rows "Label Loss".
    """

    def __init__(self, coarse: Decoder, cells: int, side: int, label_head: nn.Module) -> None:
        super().__init__()
        self.heads = coarse.heads
        self.coarse = coarse
        self.cells = cells
        self.side = side
        self.label_head = label_head

    @property
    def last_layers(self) -> Sequence[nn.Module]:
        """Those of `coarse`."""
        return self.coarse.last_layers

    def forward(self, features: Features) -> Outputs:
        """The coarse scores; `image_logits` with them where the map has the full size."""
        return _with_image_logits(self.coarse(features), self.label_head, self.cells)

    def upsample(self, outputs: Outputs, size: Size) -> dict[str, Tensor]:
        """As `coarse` does it."""
        return self.coarse.upsample(outputs, size)


class FullyConnectedScores(nn.Module):
    """The scores of the decoder `coarse` made anew by one fully connected layer, which sees all of them at once.

    It reads max pools of the map in bins, and gives `K` scores for each of `cells` x `cells` cells: those of the largest
    image. A smaller map lies in the corner of one of that size; what is not there is in no maximum, a bin that holds
    nothing else gives 0, and the cells beyond the map are cut off again.

    Source: section 4.3. "A 5-level pyramid with max-pooling" is all that is said of it: bins as in Caffe's SPP layer.
    """

    def __init__(self, coarse: Decoder, cells: int) -> None:
        super().__init__()
        self.heads = coarse.heads
        self.coarse = coarse
        self.cells = cells
        classes = coarse.heads[MAIN]
        self.fully_connected = nn.Linear(classes * sum(bins**2 for bins in PYRAMID_BINS), classes * cells**2)

    @property
    def last_layers(self) -> Sequence[nn.Module]:
        """Those of `coarse`; behind them classes are mixed, and no row belongs to one."""
        return self.coarse.last_layers

    def forward(self, features: Features) -> Outputs:
        """Scores on the cells of `coarse`, each of which sees what any of them sees."""
        outputs = self.coarse(features)
        scores, grid = outputs.scores[MAIN], outputs.grids[MAIN]
        height, width = scores.shape[-2:]
        pooled = torch.cat([pool.flatten(1) for pool in pyramid(scores, self.cells)], dim=1)
        mixed = self.fully_connected(pooled).unflatten(1, (-1, self.cells, self.cells))[..., :height, :width]
        seen = Grid(grid.scale, grid.shift, grid.field + grid.scale * (self.cells - 1))
        return Outputs({MAIN: mixed}, {MAIN: seen}, outputs.image_logits)

    def upsample(self, outputs: Outputs, size: Size) -> dict[str, Tensor]:
        """As `coarse` does it."""
        return self.coarse.upsample(outputs, size)


def pyramid(scores: Tensor, cells: int) -> list[Tensor]:
    """`(N, K, h, w)` -> its maxima `(N, K, b, b)` in b x b bins of a map of `cells` x `cells`, for each of `PYRAMID_BINS`.

    The map lies in the upper left corner; a bin without any of its cells gives 0. Raises `InputError` for a larger map.

    Source: Caffe's SPP layer: bins of ceil(cells / b), with (bins together - cells + 1) // 2 empty cells before the first.
    """
    height, width = scores.shape[-2:]
    if max(height, width) > cells:
        raise InputError(
            f"the fully connected layer takes maps of up to {cells} x {cells} cells, got {height} x {width}: "
            f"shrink the image, or build the network with a larger side"
        )
    pools = []
    for bins in PYRAMID_BINS:
        kernel = math.ceil(cells / bins)
        before = (kernel * bins - cells + 1) // 2
        after = kernel * bins - before
        padding = (before, after - width, before, after - height)
        pool = functional.max_pool2d(functional.pad(scores, padding, value=-math.inf), kernel)
        pools.append(pool.masked_fill(pool == -math.inf, 0))
    return pools


def image_classifier(classes: int, cells: int, hidden: int) -> nn.Sequential:
    """GDN's head for the label loss: scores `(N, K, cells, cells)` -> logits `(N, K - 1)`, whether each class is there.

    The classes are all but the first, which is the background. Raises `InputError` where there is no other.

    Source: section 3.3: three fully connected layers. Widths and nonlinearity of the hidden two are not stated.
    """
    if classes < 2:
        raise InputError(
            f"a label loss needs a background and at least 1 more class, got {classes} in all: leave it out"
        )
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(classes * cells**2, hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, classes - 1),
    )  # fmt: skip


def _with_image_logits(outputs: Outputs, label_head: nn.Module, cells: int) -> Outputs:
    scores = outputs.scores[MAIN]
    if tuple(scores.shape[-2:]) != (cells, cells):
        return outputs
    return replace(outputs, image_logits=label_head(scores))


def _fill_uniformly(rows: Tensor, columns: Tensor, classes: int) -> None:
    """The release's bounds: 2 sqrt(6 / (values in + values out)) over the maps that go into and come out of a matrix."""
    side, cells = rows.shape
    coarse, half, full = (classes * size for size in (cells * cells, side * cells, side * side))
    for matrix, out in ((rows, half), (columns, full)):
        bound = 2 * math.sqrt(6 / (coarse + out))
        nn.init.uniform_(matrix, -bound, bound)
