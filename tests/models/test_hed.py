"""HED: crops as the release derives them, five scales that agree on where a pixel is, and edges where edges are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from tests.conftest import Refuses
from torch import nn

from pixelwise.geometry import IMAGE_GRID
from pixelwise.models.backbones.vgg import VGG
from pixelwise.models.hed import create_hed
from pixelwise.weights.hed import load_hed

NARROW = 1 / 16
FILE = "hed_vgg16_bsds500.fp16.safetensors"


def disc(side: int = 96, radius: int = 28, noise: float = 6.0) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A bright disc on dark ground, with mild noise; and how far each pixel is from its rim."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    distance = np.hypot(rows, columns)
    random = np.random.default_rng(0)
    grey = np.where(distance < radius, 200, 60)[..., None] + random.normal(0, noise, (side, side, 3))
    return grey.clip(0, 255).astype(np.uint8), np.abs(distance - radius)


@pytest.mark.parametrize("size", [(1, 1), (37, 51), (64, 48)])
def test_an_image_of_any_size_gives_a_strength_a_pixel(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    edges = create_hed(width=NARROW).edges(image)
    assert (edges.shape, edges.dtype) == (size, np.float32)
    assert 0 <= edges.min() <= edges.max() <= 1


def test_crops_and_kernels_are_those_of_the_release() -> None:
    # deploy.prototxt: padding 35, kernels 4, 8, 16, 32; worked out by hand: 34 = 35 - 1, and half a kernel's reach more
    network = create_hed(width=NARROW, as_released=True)
    assert [IMAGE_GRID.offset_in(layer.grid) for layer in network.enlarge] == [34, 35, 36, 38, 42]  # type: ignore[arg-type, union-attr]
    assert [layer.weight.shape[-1] for layer in network.enlarge] == [1, 4, 8, 16, 32]  # type: ignore[union-attr, index]


@torch.no_grad()
def test_constant_sides_stay_constant_up_to_the_edges() -> None:
    network = create_hed(width=NARROW)
    for number, side in enumerate(network.sides, start=1):
        nn.init.zeros_(side.weight)  # type: ignore[arg-type]
        nn.init.constant_(side.bias, number)  # type: ignore[arg-type]
    nn.init.ones_(network.fuse.weight)
    nn.init.zeros_(network.fuse.bias)  # type: ignore[arg-type]
    for size in ((1, 1), (16, 17), (50, 31)):
        logits = network(torch.zeros(1, 3, *size))
        torch.testing.assert_close(logits, torch.full((1, 1, *size), 1.0 + 2 + 3 + 4 + 5))


@torch.no_grad()
def test_strengths_are_freed_of_the_weight_that_edges_had_in_training() -> None:
    network = create_hed(width=NARROW)
    for odds, strength in ((1, 0.1), (9, 0.5), (81, 0.9)):  # nine times as likely as without the weight
        nn.init.zeros_(network.fuse.weight)
        nn.init.constant_(network.fuse.bias, np.log(odds))  # type: ignore[arg-type]
        np.testing.assert_allclose(network.edges(np.zeros((8, 8, 3), np.uint8)), strength, rtol=1e-5)


def test_maps_are_taken_before_the_pools() -> None:
    before, behind = (VGG(width=NARROW, taps=(0, 2, 5), before_pools=early).eval() for early in (True, False))
    behind.load_state_dict(before.state_dict())
    images = torch.rand(1, 3, 33, 40)
    image, fine, coarse = before(images).maps
    assert torch.equal(image, images)
    assert [tuple(feature.shape[-2:]) for feature in (fine, coarse)] == [(17, 20), (3, 3)]
    assert [grid.scale for grid in before.grids] == [1, 2, 16]
    assert [grid.scale for grid in behind.grids] == [1, 4, 32]
    _, pooled, _ = behind(images).maps
    assert torch.equal(nn.functional.max_pool2d(fine, 2, 2, ceil_mode=True), pooled)


def test_a_picture_that_is_none_is_refused(refuses: Refuses) -> None:
    network = create_hed(width=NARROW)
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with refuses("(H, W, 3) uint8", str(wrong.shape)):
            network.edges(wrong)  # type: ignore[arg-type]


def test_another_file_is_refused(tmp_path: Path, refuses: Refuses) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}, path)
    with refuses(str(path), "lacks weights"):
        load_hed(path)


@pytest.fixture(scope="module")
def weights(real_data: Path) -> Path:
    """HED's weights as it was trained on BSDS500; skipped where they are not beside the real data."""
    path = real_data.parent / "weights" / FILE
    if not path.is_file():
        pytest.skip(f"no {FILE} beside the real data: no trained HED here")
    return path


def test_the_rim_of_a_disc_is_an_edge_and_noise_is_none(weights: Path) -> None:
    image, from_rim = disc()
    edges = load_hed(weights).edges(image)
    assert edges[from_rim < 1.5].mean() > 0.4  # measured: 0.56
    assert edges[from_rim > 8].mean() < 0.02  # measured: 0.004


def test_the_releases_padding_finds_the_same_rim_and_a_frame(weights: Path) -> None:
    image, from_rim = disc()
    edges = load_hed(weights, as_released=True).edges(image)
    assert edges[from_rim < 1.5].mean() > 0.4  # measured: 0.51
    inside = np.zeros(edges.shape, bool)
    inside[8:-8, 8:-8] = True
    assert edges[inside & (from_rim > 8)].mean() < 0.02  # measured: 0.005
    assert edges[~inside].mean() > 0.05  # measured: 0.09; without the release's padding 0.005
