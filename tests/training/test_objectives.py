"""The objectives against loops over pixels and cells."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from pixelwise.data.batches import Batch
from pixelwise.geometry import Grid, Size, resize_image
from pixelwise.labels import IGNORE, MAIN
from pixelwise.models.network import Outputs
from pixelwise.models.published import create_model
from pixelwise.training.losses import Loss
from pixelwise.training.objectives import CoarseObjective, MultiScaleObjective, Objective, PixelObjective, Trainee

CLASSES = 4
WEIGHTS = (0.5, 0.0, 2.0, 1.5)
SCALES = (0.5, 0.75, 1.0)

KINDS = {
    "plain": PixelObjective(),
    "weighted": PixelObjective(Loss(WEIGHTS)),
    "hardest": PixelObjective(Loss(hardest=0.3)),
    "smoothed": PixelObjective(Loss(smoothing=0.2)),
    "weighted and smoothed": PixelObjective(Loss(WEIGHTS, smoothing=0.2)),
    "hardest and smoothed": PixelObjective(Loss(hardest=0.3, smoothing=0.2)),
    "sigmoid": PixelObjective(Loss(link="sigmoid")),
    "sigmoid and weighted": PixelObjective(Loss(WEIGHTS, link="sigmoid")),
    "sigmoid and hardest": PixelObjective(Loss(hardest=0.3, link="sigmoid")),
}


def random_batch(*, ignored: float, seed: int = 0, size: tuple[int, int] = (20, 30)) -> Batch:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, (2, *size))
    labels[generator.random(labels.shape) < ignored] = IGNORE
    images = generator.integers(0, 256, (2, 3, *size)).astype(np.float32)
    return Batch(torch.from_numpy(images), {MAIN: torch.from_numpy(labels)}, ("a", "b"))


def random_trainee(objective: PixelObjective | None = None) -> Trainee:
    torch.manual_seed(0)
    network = create_model("fcn8s_vgg16", CLASSES, width=1 / 16).eval()
    for parameter in network.decoder.score.parameters():
        torch.nn.init.normal_(parameter)
    return Trainee(network, objective or PixelObjective())


def by_loop(scores: np.ndarray, labels: np.ndarray, objective: PixelObjective) -> tuple[float, float]:
    """The sum and what to divide it by, a pixel at a time."""
    weights = [1.0] * CLASSES if objective.loss.class_weights is None else objective.loss.class_weights.tolist()
    losses, places = [], []
    for n, y, x in np.ndindex(labels.shape):
        label = labels[n, y, x]
        if label == IGNORE:
            continue
        if objective.loss.link == "sigmoid":
            signs = np.array([1 if k == label else -1 for k in range(CLASSES)])
            losses.append(weights[label] * np.logaddexp(0, -signs * scores[n, :, y, x]).sum())
            places.append(weights[label])
            continue
        shifted = scores[n, :, y, x] - scores[n, :, y, x].max()
        surprise = np.log(np.exp(shifted).sum()) - shifted
        target = [
            (1 - objective.loss.smoothing) * (k == label) + objective.loss.smoothing / CLASSES for k in range(CLASSES)
        ]
        losses.append(sum(weights[k] * target[k] * surprise[k] for k in range(CLASSES)))
        places.append(weights[label])
    if objective.loss.hardest is not None:
        kept = math.ceil(objective.loss.hardest * len(losses))
        losses, places = sorted(losses, reverse=True)[:kept], [1.0] * kept
    return sum(losses), sum(places)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_equals_a_loop_over_the_labelled_pixels(kind: str) -> None:
    batch, trainee = random_batch(ignored=0.3), random_trainee(KINDS[kind])
    scores = trainee.network(batch.images).detach().double().numpy()
    total, count = by_loop(scores, batch.labels[MAIN].numpy(), KINDS[kind])
    parts = trainee(batch)
    assert list(parts) == ["pixels"]
    np.testing.assert_allclose(parts["pixels"].item(), total, rtol=1e-5)
    np.testing.assert_allclose(trainee.objective.count(batch).item(), count, rtol=1e-5)
    assert 0 < count < 1200


class Given(nn.Module):
    """A network that answers with the scores it was given."""

    heads: ClassVar = {MAIN: CLASSES}

    def __init__(self, scores: torch.Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)

    def outputs(self, images: torch.Tensor) -> Outputs:
        return Outputs({MAIN: self.scores}, {MAIN: Grid()})

    def upsample(self, outputs: Outputs, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        assert self.scores.shape[-2:] == size
        return dict(outputs.scores)


@given(
    seed=st.integers(0, 2**16),
    ignored=st.sampled_from([0.0, 0.5, 0.95, 1.1]),
    scale=st.sampled_from([0.1, 1.0, 100.0]),
    weighted=st.booleans(),
    hardest=st.none() | st.floats(0.01, 1),
    smoothing=st.sampled_from([0.0, 0.1, 0.9]),
)
def test_any_scores_and_labels_give_what_the_loop_gives(
    seed: int, ignored: float, scale: float, weighted: bool, hardest: float | None, smoothing: float
) -> None:
    objective = PixelObjective(Loss(WEIGHTS if weighted else None, None if weighted else hardest, smoothing))
    batch = random_batch(ignored=ignored, seed=seed, size=(3, 4))
    scores = scale * torch.randn((2, CLASSES, 3, 4), generator=torch.Generator().manual_seed(seed))
    network = Given(scores)
    total, count = by_loop(scores.double().numpy(), batch.labels[MAIN].numpy(), objective)
    loss = objective(network, batch)["pixels"]  # type: ignore[arg-type]
    np.testing.assert_allclose(loss.item(), total, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(objective.count(batch).item(), count, rtol=1e-5)
    loss.backward()
    assert network.scores.grad is not None
    assert network.scores.grad.isfinite().all()
    unlabelled = (batch.labels[MAIN] == IGNORE)[:, None].expand_as(scores)
    assert not network.scores.grad[unlabelled].any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_labelled_pixels_teaches_nothing(kind: str) -> None:
    batch, trainee = random_batch(ignored=1.1), random_trainee(KINDS[kind])
    loss = trainee(batch)["pixels"]
    loss.backward()
    assert loss.item() == trainee.objective.count(batch).item() == 0
    gradients = [parameter.grad for parameter in trainee.parameters() if parameter.grad is not None]
    assert gradients
    assert not any(gradient.any() for gradient in gradients)


def test_ignored_pixels_do_not_move_the_weights() -> None:
    some, trainee = random_batch(ignored=0.5), random_trainee()
    trainee(some)["pixels"].backward()
    expected = trainee.network.decoder.score.bias.grad.clone()
    trainee.zero_grad()
    labelled = some.labels[MAIN] != IGNORE
    scores = trainee.network(some.images).movedim(1, -1)[labelled]  # the same, with the ignored pixels taken out
    torch.nn.functional.cross_entropy(scores, some.labels[MAIN][labelled], reduction="sum").backward()
    torch.testing.assert_close(trainee.network.decoder.score.bias.grad, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_is_in_32_bits_under_16_bit_arithmetic(kind: str) -> None:
    trainee, batch = random_trainee(KINDS[kind]), random_batch(ignored=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert trainee.network(batch.images).dtype == torch.bfloat16
        assert trainee(batch)["pixels"].dtype == torch.float32


@pytest.mark.parametrize("ignored", [0.3, 1.1])
def test_the_label_loss_equals_a_loop_over_images_and_classes(ignored: float) -> None:
    torch.manual_seed(0)
    network = create_model("gdn_fcn32s_vgg16", CLASSES, width=1 / 16, side=33, label_loss=True, label_hidden=128).eval()
    nn.init.normal_(network.decoder.coarse.score.weight, std=0.01)
    batch = random_batch(ignored=ignored, size=(33, 33))
    labels = batch.labels[MAIN]
    labels[0][labels[0] == 2] = IGNORE  # a class that is in one image only
    objective = PixelObjective(Loss(), label_weight=0.7)
    parts = objective(network, batch)
    logits = network.outputs(batch.images).image_logits.detach().double().numpy()
    losses = []
    for n in range(2):
        for k in range(1, CLASSES):
            there = bool((labels[n] == k).any())
            losses.append(np.logaddexp(0, -logits[n, k - 1] if there else logits[n, k - 1]))
    total, count = by_loop(network(batch.images).detach().double().numpy(), labels.numpy(), objective)
    assert list(parts) == ["pixels", "labels"]
    np.testing.assert_allclose(parts["pixels"].item(), total, rtol=1e-5)
    np.testing.assert_allclose(parts["labels"].item(), 0.7 * np.mean(losses) * count, rtol=1e-5)
    torch.stack(list(parts.values())).sum().backward()
    assert bool(network.decoder.label_head[1].weight.grad.any()) == bool(count)


# Objectives on the coarse scores.


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


def test_the_losses_of_several_heads_are_summed() -> None:
    torch.manual_seed(0)
    network = create_model("fcn32s_vgg16", CLASSES, width=1 / 16, heads={"geometric": ["sky", "ground"]}).eval()
    for layer in network.last_layers:
        torch.nn.init.normal_(layer.weight)
    batch = random_batch(ignored=0.2)
    geometry = torch.from_numpy(np.random.default_rng(1).integers(0, 2, (2, 20, 30)))
    geometry[:, :7] = IGNORE
    batch = Batch(batch.images, {**batch.labels, "geometric": geometry}, batch.names)
    objective = PixelObjective()
    parts = objective(network, batch)
    full = network.upsample(network.outputs(batch.images), (20, 30))
    assert {name: part.item() for name, part in parts.items()} == {
        "pixels": pytest.approx(summed(full[MAIN], batch.labels[MAIN]), rel=1e-5),
        "pixels_geometric": pytest.approx(summed(full["geometric"], geometry), rel=1e-5),
    }
    assert objective.count(batch) == (batch.labels[MAIN] != IGNORE).sum()
    sum(parts.values()).backward()
    assert all(layer.weight.grad.any() for layer in network.last_layers)


def summed(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """The cross-entropy of the labelled pixels, one at a time."""
    total = 0.0
    logs = scores.detach().double().log_softmax(1).numpy()
    for image, row, column in np.argwhere(labels.numpy() != IGNORE):
        total -= logs[image, labels[image, row, column], row, column]
    return total
