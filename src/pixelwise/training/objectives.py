"""What training minimises. An objective owns how the network is called and which labels it is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.data.batches import Batch
from pixelwise.geometry import Grid, Size
from pixelwise.labels import MAIN
from pixelwise.models.layers import bilinear_matrix, interpolate_separably
from pixelwise.models.network import Network
from pixelwise.training.losses import Loss


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
    """The loss at the images' size.

    label_weight  what GDN's label loss weighs: for each image, the mean over all classes but the first, the background,
                  of the cross-entropy of whether a labelled pixel of the class is in it. 0: none

    The label loss is multiplied by the places counted / images: the two are then means over places and over images, and
    their proportion does not depend on what a step is divided by.

    Of a network with several heads the losses of all are summed, each over the pixels that its own map labels; those
    of main are counted.

    Sources: FCN (PAMI 2017), section 4.2, and its released `siftflow-fcn32s/net.py` for several heads; Global
    Deconvolutional Networks (BMVC 2016), section 3.3, for the label loss.
    """

    def __init__(self, loss: Loss | None = None, label_weight: float = 0.0) -> None:
        self.loss = loss or Loss()
        self.label_weight = label_weight

    def count(self, batch: Batch) -> Tensor:
        """The weight of the labelled pixels."""
        return self.loss.count(batch.labels[MAIN])

    def __call__(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """The part `pixels`, 0 where every pixel is ignored, one such as `pixels_geometric` for each further head, and
        `labels` where the label loss has a weight.
        """
        labels = batch.labels[MAIN]
        outputs = network.outputs(batch.images)
        scores = network.upsample(outputs, (labels.shape[-2], labels.shape[-1]))
        parts = {
            "pixels" if head == MAIN else f"pixels_{head}": self.loss.sum(scores[head], batch.labels[head])
            for head in network.heads
        }
        if not self.label_weight:
            return parts
        assert outputs.image_logits is not None, "a label loss needs a label head, and images of its size"
        missed = _label_loss(outputs.image_logits, labels)
        return parts | {"labels": self.label_weight * missed * self.count(batch)}


class CoarseObjective:
    """The loss at the network's own stride, on its cells.

    A cell is compared with the label of the pixel it lies on: the nearest, and of two the later one. A cell that lies
    outside the image does not enter.

    grid  where the network's scores lie: that of its `Outputs`

    Source: the released train.prototxt of DeepLab v1 (ICLR 2015), which takes every eighth pixel of sides 8k + 1.
    """

    def __init__(self, grid: Grid, loss: Loss | None = None) -> None:
        self.grid = grid
        self.loss = loss or Loss()

    def count(self, batch: Batch) -> Tensor:
        """The weight of the labelled cells."""
        return self.loss.count(_at_cells(batch.labels[MAIN], (self.grid, self.grid))[0])

    def __call__(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """One part, `cells`; 0 where every cell is ignored."""
        outputs = network.outputs(batch.images)
        assert outputs.grids[MAIN] == self.grid
        labels, inside = _at_cells(batch.labels[MAIN], (self.grid, self.grid))
        return {"cells": self.loss.sum(_cut(outputs.scores[MAIN], inside, labels), labels)}


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

    def __init__(self, grid: Grid, scales: Sequence[float], loss: Loss | None = None) -> None:
        assert 1 in scales, "all maps are brought to that of scale 1"
        self.grid = grid
        self.scales = tuple(scales)
        self.loss = loss or Loss()

    def count(self, batch: Batch) -> Tensor:
        """The weight of the labelled cells at scale 1."""
        return self.loss.count(_at_cells(batch.labels[MAIN], (self.grid, self.grid))[0])

    def __call__(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """A part for each scale, such as `scale_0.5`, and `fused`."""
        labels, count = batch.labels[MAIN], self.count(batch)
        height, width = labels.shape[-2:]
        parts: dict[str, Tensor] = {}
        maps: dict[float, tuple[Tensor, tuple[Grid, Grid]]] = {}
        for scale in self.scales:
            size = scaled_size((height, width), scale)
            scores = network.outputs(_resized(batch.images, size)).scores[MAIN]
            grids = _enlarged(self.grid, height / size[0]), _enlarged(self.grid, width / size[1])
            wanted, inside = _at_cells(labels, grids)
            own = self.loss.count(wanted)
            total = self.loss.sum(_cut(scores, inside, wanted), wanted)
            parts[f"scale_{scale:g}"] = total * (count / own.masked_fill(own == 0, 1))
            maps[scale] = scores, grids
        whole, grids = maps[1]
        cells = whole.shape[-2], whole.shape[-1]
        brought = [whole if scores is whole else _brought(scores, seen, grids, cells) for scores, seen in maps.values()]
        wanted, inside = _at_cells(labels, grids)
        fused = torch.stack(brought).amax(0)
        return parts | {"fused": self.loss.sum(_cut(fused, inside, wanted), wanted)}


def scaled_size(size: Size, scale: float) -> Size:
    """The sides at which an image of `size` is shown at a scale, rounded, at least 1."""
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def _label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over images and classes for `logits` `(N, K - 1)` of all classes but the first, in float32."""
    classes = torch.arange(1, logits.shape[1] + 1, device=labels.device)
    there = (labels.flatten(1)[:, None] == classes[:, None]).any(2)
    return functional.binary_cross_entropy_with_logits(logits.float(), there.float())


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


def _cut(scores: Tensor, cells: tuple[slice, slice], labels: Tensor) -> Tensor:
    """The `cells` of a map that `labels` `(N, h, w)` belong to."""
    scores = scores[..., cells[0], cells[1]]
    assert scores.shape[-2:] == labels.shape[-2:], "the map ends before the image does"
    return scores


def _brought(scores: Tensor, grids: tuple[Grid, Grid], targets: tuple[Grid, Grid], cells: Size) -> Tensor:
    """A map on `grids` interpolated at the first `cells` cells of `targets`, which are the pixels of this interpolation."""
    seen = [
        Grid(grid.scale / target.scale, (grid.shift - target.shift) / target.scale)
        for grid, target in zip(grids, targets, strict=True)
    ]
    rows, columns = (bilinear_matrix(scores.shape[axis], seen[axis], cells[axis], like=scores) for axis in (-2, -1))
    return interpolate_separably(scores, rows, columns)


class Trainee(nn.Module):
    """A network with its objective, as one module: what several processes wrap, so that any way of calling it is synchronised.

    Batch norms that do not learn stay in evaluation mode: a part that is held still keeps its running statistics too.
    """

    def __init__(self, network: Network, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The named parts of the sum that is minimised."""
        return self.objective(self.network, batch)

    def train(self, mode: bool = True) -> Self:
        """Training mode for everything but norms that do not learn."""
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.affine and not module.weight.requires_grad:
                module.eval()
        return self
