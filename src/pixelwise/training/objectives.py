"""What training minimises. An objective owns how the network is called and which labels it is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.data.batches import Batch
from pixelwise.geometry import Grid, Size
from pixelwise.labels import IGNORE, MAIN
from pixelwise.models.layers import bilinear_matrix, interpolate_separably
from pixelwise.models.network import Network


class Objective(Protocol):
    """A sum over labelled places, and how many there are.

    The loop divides by the count over all processes and accumulated batches, so that a step weighs every labelled
    pixel alike, however the pixels are spread.
    """

    def count(self, batch: Batch) -> Tensor:
        """The number of places the sum runs over, a scalar."""
        ...

    def __call__(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """The named parts of the sum, each a scalar in float32; what is minimised is their total."""
        ...


class PixelObjective:
    """Softmax cross-entropy summed over labelled pixels at the images' size, in float32; ignored pixels do not enter.

    class_weights  `(K,)`, what a pixel of each class weighs; None: 1
    hardest        the share of a batch's labelled pixels that counts, those with the largest loss; None: all
    smoothing      the share of the target that is spread evenly over all classes

    Sources: FCN (PAMI 2017), section 4.2; for `hardest`, Shrivastava et al., OHEM (CVPR 2016), here with a fixed share;
    for `smoothing`, Szegedy et al. (CVPR 2016), section 7.
    """

    def __init__(
        self, class_weights: Sequence[float] | None = None, hardest: float | None = None, smoothing: float = 0.0
    ) -> None:
        assert class_weights is None or hardest is None, "a share of weighted pixels has no agreed meaning"
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.hardest = hardest
        self.smoothing = smoothing

    def count(self, batch: Batch) -> Tensor:
        """The weight of the pixels that the sum runs over."""
        labels = batch.labels[MAIN]
        labelled = labels[labels != IGNORE]
        if self.class_weights is not None:
            return self.class_weights.to(labels.device)[labelled].sum()
        return labelled.new_tensor(self._kept(labelled.numel()))

    def __call__(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """One part, `pixels`; 0 where every pixel is ignored."""
        labels = batch.labels[MAIN]
        scores = network(batch.images).float()
        weights = None if self.class_weights is None else self.class_weights.to(labels.device)
        losses = functional.cross_entropy(
            scores, labels, weights, ignore_index=IGNORE, reduction="none", label_smoothing=self.smoothing
        )
        if self.hardest is not None:
            labelled = labels != IGNORE
            losses = losses[labelled].topk(self._kept(int(labelled.sum()))).values
        return {"pixels": losses.sum()}

    def _kept(self, labelled: int) -> int:
        return labelled if self.hardest is None else math.ceil(self.hardest * labelled)


class CoarseObjective:
    """Softmax cross-entropy at the network's own stride, summed over its labelled cells, in float32.

    A cell is compared with the label of the pixel it lies on: the nearest, and of two the later one. A cell that lies
    outside the image does not enter.

    grid  where the network's scores lie: that of its `Outputs`

    Source: the released train.prototxt of DeepLab v1 (ICLR 2015), which takes every eighth pixel of sides 8k + 1.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def count(self, batch: Batch) -> Tensor:
        """The number of labelled cells."""
        return _labelled(_at_cells(batch.labels[MAIN], (self.grid, self.grid))[0])

    def __call__(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """One part, `cells`; 0 where every cell is ignored."""
        outputs = network.outputs(batch.images)
        assert outputs.grids[MAIN] == self.grid
        return {"cells": _loss(outputs.scores[MAIN], *_at_cells(batch.labels[MAIN], (self.grid, self.grid)))}


class MultiScaleObjective:
    """The image is shown at several scales; each scale's scores are compared with the labels, and so is their maximum.

    Every term is that of `CoarseObjective`, with the labels brought to its scale by nearest neighbours. For the last one,
    `fused`, the maps of all scales are brought to the cells of scale 1, bilinearly, and merged by the largest score of
    each class in each cell.

    The loop divides all parts by one count, that of scale 1. A scale with other places to count has its sum multiplied
    by places at scale 1 / places of its own, both in this batch: so each term is a mean over its own labelled cells, and
    batches weigh by theirs at scale 1.

    grid    where the network's scores lie: that of its `Outputs`
    scales  factors of both sides, among them 1

    Source: DeepLab v2 (PAMI 2018), sections 3.2 and 4.1.2, and its released training with three scales.
    """

    def __init__(self, grid: Grid, scales: Sequence[float] = (0.5, 0.75, 1.0)) -> None:
        assert 1 in scales, "all maps are brought to that of scale 1"
        self.grid = grid
        self.scales = tuple(scales)

    def count(self, batch: Batch) -> Tensor:
        """The number of labelled cells at scale 1."""
        return _labelled(_at_cells(batch.labels[MAIN], (self.grid, self.grid))[0])

    def __call__(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """A part for each scale, such as `scale_0.5`, and `fused`."""
        labels, count = batch.labels[MAIN], self.count(batch)
        height, width = labels.shape[-2:]
        parts: dict[str, Tensor] = {}
        maps: dict[float, tuple[Tensor, tuple[Grid, Grid]]] = {}
        for scale in self.scales:
            size = max(1, round(scale * height)), max(1, round(scale * width))
            scores = network.outputs(_resized(batch.images, size)).scores[MAIN]
            grids = _enlarged(self.grid, height / size[0]), _enlarged(self.grid, width / size[1])
            wanted, inside = _at_cells(labels, grids)
            parts[f"scale_{scale:g}"] = _loss(scores, wanted, inside) * (count / _labelled(wanted).clamp(min=1))
            maps[scale] = scores, grids
        whole, grids = maps[1]
        cells = whole.shape[-2], whole.shape[-1]
        brought = [whole if scores is whole else _brought(scores, seen, grids, cells) for scores, seen in maps.values()]
        return parts | {"fused": _loss(torch.stack(brought).amax(0), *_at_cells(labels, grids))}


def _resized(images: Tensor, size: Size) -> Tensor:
    """As `geometry.resize_image` does it, which shows a trained network its images at several scales."""
    if tuple(images.shape[-2:]) == size:
        return images
    return functional.interpolate(images, size, mode="bilinear", antialias=True)


def _enlarged(grid: Grid, factor: float) -> Grid:
    """Where the cells lie once the image is enlarged by `factor`; pixels are squares, and their corners stay in place."""
    return Grid(grid.scale * factor, (grid.shift + 0.5) * factor - 0.5)


def _at_cells(labels: Tensor, grids: tuple[Grid, Grid]) -> tuple[Tensor, tuple[slice, slice]]:
    """The labels `(N, h, w)` of the cells that lie in the image, and which cells of a map these are.

    `grids` are those of the rows and of the columns.
    """
    inside, pixels = [], []
    for grid, side in zip(grids, labels.shape[-2:], strict=True):
        cells = torch.arange(max(0, math.ceil((side - grid.shift) / grid.scale)) + 1, dtype=torch.float64)
        # Halfway between two pixels it is the later one, whatever the last bit says.
        nearest = (grid.scale * cells + grid.shift + 0.5 + 1e-6).floor().long()
        first, behind = (int((nearest < limit).sum()) for limit in (0, side))
        inside.append(slice(first, behind))
        pixels.append(nearest[first:behind].to(labels.device))
    return labels[:, pixels[0][:, None], pixels[1]], (inside[0], inside[1])


def _labelled(labels: Tensor) -> Tensor:
    return (labels != IGNORE).sum()


def _loss(scores: Tensor, labels: Tensor, cells: tuple[slice, slice]) -> Tensor:
    """Cross-entropy of `cells` of a map with their labels `(N, h, w)`, summed."""
    scores = scores[..., cells[0], cells[1]].float()
    assert scores.shape[-2:] == labels.shape[-2:], "the map ends before the image does"
    return functional.cross_entropy(scores, labels, ignore_index=IGNORE, reduction="sum")


def _brought(scores: Tensor, grids: tuple[Grid, Grid], targets: tuple[Grid, Grid], cells: Size) -> Tensor:
    """A map on `grids` interpolated at the first `cells` cells of `targets`, which are the pixels of this interpolation."""
    seen = [
        Grid(grid.scale / target.scale, (grid.shift - target.shift) / target.scale)
        for grid, target in zip(grids, targets, strict=True)
    ]
    rows, columns = (bilinear_matrix(scores.shape[axis], seen[axis], cells[axis], like=scores) for axis in (-2, -1))
    return interpolate_separably(scores, rows, columns)


class Trainee(nn.Module):
    """A network with its objective, as one module: what several processes wrap, so that any way of calling it is synchronised."""

    def __init__(self, network: Network, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The named parts of the sum that is minimised."""
        return self.objective(self.network, batch)
