"""The objectives on coarse scores against loops over cells."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.training.loops import CLASSES, KINDS, by_loop, random_batch
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.geometry import Grid, Size, resize_image
from pixelwise.labels import IGNORE, MAIN
from pixelwise.models.network import Outputs
from pixelwise.models.published import create_model
from pixelwise.training.objectives import CoarseObjective, MultiScaleObjective, Objective, PixelObjective, Trainee

SCALES = (0.5, 0.75, 1.0)


class Coarse(nn.Module):
    """A network whose coarse scores are random, another map for every size of image, of `extra` cells more than needed."""

    def __init__(self, grid: Grid, extra: int = 0) -> None:
        super().__init__()
        self.grid = grid
        self.extra = extra
        self.factor = nn.Parameter(torch.ones(()))
        self.maps: dict[Size, Tensor] = {}
        self.shown: list[Tensor] = []

    def outputs(self, images: Tensor) -> Outputs:
        self.shown.append(images)
        height, width = images.shape[-2:]
        cells = [max(1, math.ceil((side - self.grid.shift) / self.grid.scale)) + self.extra for side in (height, width)]
        generator = torch.Generator().manual_seed(1000 * height + width)
        self.maps[height, width] = torch.randn((len(images), CLASSES, *cells), generator=generator)
        return Outputs({MAIN: self.factor * self.maps[height, width]}, {MAIN: self.grid})


def labels_of_cells(labels: np.ndarray, grid: Grid, cells: Size, scaled: Size) -> np.ndarray:
    """The label of each cell of a map, one at a time; ignored where the cell is outside. `scaled` is the size it was made of."""
    taken = np.full((len(labels), *cells), IGNORE)
    for n, i, j in np.ndindex(taken.shape):
        place = []
        for index, side, scaled_side in zip((i, j), labels.shape[1:], scaled, strict=True):
            centre = (grid.scale * index + grid.shift + 0.5) * (side / scaled_side) - 0.5
            place.append(math.floor(centre + 0.5 + 1e-6))  # halfway, the later one
        if 0 <= place[0] < labels.shape[1] and 0 <= place[1] < labels.shape[2]:
            taken[n, i, j] = labels[n, place[0], place[1]]
    return taken


def mean_loss(scores: Tensor, labels: np.ndarray) -> tuple[float, float]:
    """The mean over the labelled cells, and their number."""
    total, count = by_loop(scores.detach().double().numpy(), labels, PixelObjective())
    return total / max(count, 1), count


GRIDS = [Grid(8, 0), Grid(8, 0.5), Grid(8, 4), Grid(16, 15), Grid(8, -21), Grid(32, 7.5)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("size", [(33, 17), (20, 30), (5, 64)])
def test_coarse_scores_equal_a_loop_over_cells(grid: Grid, size: Size) -> None:
    batch, network = random_batch(ignored=0.3, size=size), Coarse(grid, extra=1)
    objective = CoarseObjective(grid)
    parts = objective(network, batch)  # type: ignore[arg-type]
    scores = network.maps[size]
    labels = labels_of_cells(batch.labels[MAIN].numpy(), grid, scores.shape[-2:], size)
    mean, count = mean_loss(scores, labels)
    assert list(parts) == ["cells"]
    assert objective.count(batch).item() == count
    np.testing.assert_allclose(parts["cells"].item(), mean * count, rtol=1e-5)
    assert count > 0 or min(size) < 15


@pytest.mark.parametrize("kind", ["weighted", "hardest", "sigmoid"])
def test_cells_are_compared_as_pixels_are(kind: str) -> None:
    loss, grid, size = KINDS[kind].loss, Grid(8, 0), (33, 41)
    batch, network = random_batch(ignored=0.3, size=size), Coarse(grid)
    parts = CoarseObjective(grid, loss)(network, batch)  # type: ignore[arg-type]
    labels = labels_of_cells(batch.labels[MAIN].numpy(), grid, (5, 6), size)
    total, count = by_loop(network.maps[size].double().numpy(), labels, KINDS[kind])
    np.testing.assert_allclose(parts["cells"].item(), total, rtol=1e-5)
    np.testing.assert_allclose(CoarseObjective(grid, loss).count(batch).item(), count, rtol=1e-5)
    scales = MultiScaleObjective(grid, (1,), loss)
    assert scales(Coarse(grid), batch)["scale_1"].item() == parts["cells"].item()  # type: ignore[arg-type]


@pytest.mark.parametrize(("shift", "side", "cells"), [(0, 321, 41), (0.5, 306, 39)])
def test_labels_are_those_that_the_release_takes(shift: float, side: int, cells: int) -> None:
    # Every eighth pixel; for base DeepLab's 306 pixels after one was cropped at the beginning.
    batch, network = random_batch(ignored=0.3, size=(side, side)), Coarse(Grid(8, shift))
    loss = CoarseObjective(Grid(8, shift))(network, batch)["cells"]  # type: ignore[arg-type]
    first = round(shift + 0.25)
    labels = batch.labels[MAIN][:, first::8, first::8]
    assert labels.shape[-1] == cells
    expected = functional.cross_entropy(network.maps[side, side], labels, ignore_index=IGNORE, reduction="sum")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_cells_outside_the_image_do_not_enter() -> None:
    # 500 pixels give LargeFOV 64 cells, the last of them at pixel 504.
    torch.manual_seed(0)
    network = create_model("deeplab_largefov_vgg16", CLASSES, width=1 / 16).eval()
    batch = random_batch(ignored=0, size=(20, 500))
    assert network.outputs(batch.images).scores[MAIN].shape[-2:] == (4, 64)
    objective = CoarseObjective(network.decoder.grid)
    assert objective.count(batch).item() == 2 * 3 * 63
    trainee = Trainee(network, objective)
    trainee(batch)["cells"].backward()
    for layer in (network.backbone.features[0], network.decoder.branches[0].fc6, *network.last_layers):
        assert layer.weight.grad.any()


def interpolated(scores: np.ndarray, grid: Grid, scaled: Size, size: Size, cells: Size) -> np.ndarray:
    """A scale's map where the cells of scale 1 lie, one cell at a time: bilinear, flat beyond its outermost cells."""
    made = np.empty((*scores.shape[:2], *cells))
    for i, j in np.ndindex(cells):
        axes = []
        for index, side, scaled_side, count in zip((i, j), size, scaled, scores.shape[2:], strict=True):
            pixel = (grid.scale * index + grid.shift + 0.5) * (scaled_side / side) - 0.5
            place = min(max((pixel - grid.shift) / grid.scale, 0), count - 1)
            low = min(int(place), count - 1)
            axes.append((low, min(low + 1, count - 1), place - low))
        (top, bottom, down), (left, beyond, right) = axes
        above = scores[:, :, top, left] * (1 - right) + scores[:, :, top, beyond] * right
        below = scores[:, :, bottom, left] * (1 - right) + scores[:, :, bottom, beyond] * right
        made[:, :, i, j] = above * (1 - down) + below * down
    return made


@pytest.mark.parametrize("grid", [Grid(8, 0), Grid(8, 0.5), Grid(4, 1.5)], ids=str)
@pytest.mark.parametrize("size", [(33, 41), (30, 21)])
def test_four_losses_equal_loops_over_cells(grid: Grid, size: Size) -> None:
    batch, network = random_batch(ignored=0.3, size=size), Coarse(grid, extra=1)
    labels = batch.labels[MAIN].numpy()
    objective = MultiScaleObjective(grid, SCALES)
    parts, count = objective(network, batch), objective.count(batch).item()  # type: ignore[arg-type]
    assert list(parts) == ["scale_0.5", "scale_0.75", "scale_1", "fused"]
    whole = network.maps[size]
    largest = np.full(whole.shape, -np.inf)
    for scale in (0.5, 0.75, 1):
        scaled = round(scale * size[0]), round(scale * size[1])
        scores = network.maps[scaled]
        mean, places = mean_loss(scores, labels_of_cells(labels, grid, scores.shape[-2:], scaled))
        assert 0 < places <= count
        np.testing.assert_allclose(parts[f"scale_{scale:g}"].item() / count, mean, rtol=1e-4)
        largest = np.maximum(largest, interpolated(scores.numpy(), grid, scaled, size, whole.shape[-2:]))
    mean, places = mean_loss(torch.from_numpy(largest), labels_of_cells(labels, grid, whole.shape[-2:], size))
    assert places == count
    np.testing.assert_allclose(parts["fused"].item() / count, mean, rtol=1e-4)
    assert (largest > whole.numpy()).mean() > 0.3


def test_one_scale_is_the_coarse_objective_twice() -> None:
    batch, grid = random_batch(ignored=0.3, size=(33, 41)), Grid(8, 0)
    several, one = MultiScaleObjective(grid, (1,)), CoarseObjective(grid)
    parts = several(Coarse(grid), batch)  # type: ignore[arg-type]
    expected = one(Coarse(grid), batch)["cells"].item()  # type: ignore[arg-type]
    assert {name: part.item() for name, part in parts.items()} == {"scale_1": expected, "fused": expected}
    assert several.count(batch).item() == one.count(batch).item()


def test_images_are_resized_as_they_are_for_prediction() -> None:
    batch, network = random_batch(ignored=0, size=(33, 41)), Coarse(Grid(8, 0))
    MultiScaleObjective(network.grid, SCALES)(network, batch)  # type: ignore[arg-type]
    assert [tuple(images.shape[-2:]) for images in network.shown] == [(16, 20), (25, 31), (33, 41)]
    for images in network.shown:
        for image, original in zip(images, batch.images, strict=True):
            pixels = original.permute(1, 2, 0).contiguous().numpy()
            expected = resize_image(pixels, (image.shape[-2], image.shape[-1]))
            np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), expected, rtol=0, atol=1e-3)


def test_the_whole_image_must_be_among_the_scales() -> None:
    with pytest.raises(AssertionError, match="scale 1"):
        MultiScaleObjective(Grid(8, 0), (0.5, 0.75))


@pytest.mark.parametrize(
    "kind", [CoarseObjective, lambda grid: MultiScaleObjective(grid, SCALES)], ids=["cells", "scales"]
)
def test_coarse_labels_that_are_all_ignored_teach_nothing(kind: Callable[[Grid], Objective]) -> None:
    batch, network = random_batch(ignored=1.1, size=(33, 41)), Coarse(Grid(8, 0))
    objective: Objective = kind(network.grid)
    loss = torch.stack(list(objective(network, batch).values())).sum()  # type: ignore[arg-type]
    loss.backward()
    assert loss.item() == objective.count(batch).item() == 0
    assert network.factor.grad == 0


@pytest.mark.parametrize(
    "kind", [CoarseObjective, lambda grid: MultiScaleObjective(grid, SCALES)], ids=["cells", "scales"]
)
def test_coarse_sums_are_in_32_bits_under_16_bit_arithmetic(kind: Callable[[Grid], Objective]) -> None:
    torch.manual_seed(0)
    network = create_model("deeplab_aspp_l_vgg16", CLASSES, width=1 / 16)
    batch = random_batch(ignored=0.3, size=(33, 41))
    with torch.autocast("cpu", torch.bfloat16):
        assert network.outputs(batch.images).scores[MAIN].dtype == torch.bfloat16
        parts = kind(network.decoder.grid)(network, batch)
    assert all(part.dtype == torch.float32 and part.isfinite() for part in parts.values())
    torch.stack(list(parts.values())).sum().backward()
    assert network.backbone.features[0].weight.grad.any()
