"""Edges: where they are, which way they run, and how thin they get."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import Refuses

from pixelwise.proposals.edges import across, edges_of, gradient_edges, thin

UP = np.float32(np.pi / 2)


def stripes(angle: float, side: int = 61) -> np.ndarray:
    """A soft ridge through the middle; `angle` is the direction across it, from x towards y, which points down."""
    rows, columns = np.mgrid[:side, :side] - side // 2
    return np.exp(-((columns * np.cos(angle) + rows * np.sin(angle)) ** 2) / 8).astype(np.float32)


def apart(one: np.ndarray, other: float) -> np.ndarray:
    """Angle between directions without a sense."""
    return np.abs((one - other + np.pi / 2) % np.pi - np.pi / 2)


def test_thinning_by_hand():
    row = np.array([[0, 0.3, 1, 0.6, 0, 0.2, 0, 0]], np.float32)
    flat = np.zeros_like(row)  # the direction along the row
    assert thin(row, flat, radius=1).tolist() == np.array([[0, 0, 1, 0, 0, 0.2, 0, 0]], np.float32).tolist()
    far = np.array([[0, 0.3, 1, 0.6, 0.7, 0, 0]], np.float32)  # 0.7 is the largest of its neighbours, and 2 from a 1
    assert thin(far, np.zeros_like(far), radius=1)[0, 4] == np.float32(0.7)
    assert thin(far, np.zeros_like(far), radius=2)[0, 4] == 0
    assert thin(row.T.copy(), flat.T + UP, radius=1)[:, 0].tolist() == thin(row, flat, radius=1)[0].tolist()


def test_of_equal_neighbours_one_stays():
    row = np.array([[0, 0, 1, 1, 1, 1, 0, 0]], np.float32)
    assert np.count_nonzero(thin(row, np.zeros_like(row))) == 1
    plain = np.ones((9, 9), np.float32)
    assert not thin(plain, np.full_like(plain, 0.3)).any()


def test_thinning_equals_a_loop_where_nothing_is_interpolated():
    random = np.random.default_rng(0)
    strength = random.random((12, 15), np.float32)
    direction = np.where(random.random((12, 15)) < 0.5, 0, UP).astype(np.float32)
    expected = np.zeros_like(strength)
    for y in range(12):
        for x in range(15):
            down, right = (0, 1) if direction[y, x] == 0 else (1, 0)
            stays = all(
                strength[y, x] >= strength[min(11, max(0, y + step * down)), min(14, max(0, x + step * right))]
                for step in (-2, -1, 1, 2)
            )
            at_the_rim = any(not (0 <= y + s * down < 12 and 0 <= x + s * right < 15) for s in (1, 2))
            expected[y, x] = strength[y, x] if stays and not at_the_rim else 0
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_array_equal(thin(strength, direction)[inner], expected[inner])


@given(st.floats(0, np.pi, exclude_max=True))
@settings(max_examples=25)
def test_the_direction_is_the_one_across_a_ridge(angle: float):
    ridge = stripes(angle)
    inner = np.s_[15:-15, 15:-15]
    on_it = ridge[inner] > 0.9
    assert apart(across(ridge)[inner][on_it], angle).max() < 0.1


def test_a_ridge_is_thinned_to_a_line():
    edges = edges_of(stripes(0.4))
    inner = edges.strength[10:-10, 10:-10]
    assert (np.count_nonzero(inner, axis=0) <= 3).all()
    assert 41 <= np.count_nonzero(inner) <= 60
    assert 0 <= edges.direction.min() <= edges.direction.max() < np.pi


@pytest.mark.parametrize(("down", "angle"), [(False, 0.0), (True, np.pi / 2)])
def test_a_step_of_colour_is_an_edge_across_it(down: bool, angle: float):
    image = np.full((40, 40, 3), (90, 120, 60), np.uint8)
    image[:, 20:] = (90, 60, 120)  # as bright, but another colour
    edges = gradient_edges(image.swapaxes(0, 1) if down else image)
    strength = edges.strength.T if down else edges.strength
    assert (np.count_nonzero(strength, axis=1) == 1).all()
    assert set(strength.argmax(axis=1).tolist()) <= {19, 20}
    assert apart(edges.direction[(edges.strength > 0)], angle).max() < 0.01
    assert strength.max() > 0.1


def test_a_plain_image_has_no_edges():
    assert gradient_edges(np.full((20, 30, 3), 77, np.uint8)).strength.max() < 1e-6  # rounding


def test_whole_numbers_are_fractions_of_255():
    grey = (stripes(1.0) * 255).round().astype(np.uint8)
    np.testing.assert_array_equal(edges_of(grey).strength, edges_of(grey / np.float32(255)).strength)


def test_what_is_no_edge_map_is_refused(refuses: Refuses):
    for wrong in (np.zeros((4, 4, 1)), np.zeros((0, 4)), np.zeros((4, 4), np.int64), np.zeros((4, 4), bool)):
        with refuses("(H, W)", str(wrong.shape), str(wrong.dtype)):
            edges_of(wrong)
    for values in (np.full((4, 4), 1.5), np.full((4, 4), -0.5), np.full((4, 4), np.nan)):
        with refuses("0..1", "scale the map"):
            edges_of(values)
    for picture in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with refuses("(H, W, 3) uint8", str(picture.shape)):
            gradient_edges(picture)
