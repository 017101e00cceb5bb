"""What is near a boundary, against a search through all pixels, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from pixelwise.evaluation.boundary import (
    REACH,
    TOLERANCE,
    BoundaryF1,
    Trimap,
    boundary_distance,
    count_boundaries,
    count_trimap,
)
from pixelwise.evaluation.confusion import Measures
from pixelwise.labels import IGNORE

Maps = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@st.composite
def maps(draw: st.DrawFn) -> Maps:
    """Truth with patches, some of them ignored, and a prediction that is near it."""
    size = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    coarse = generator.choice([0, 0, 1, 2, IGNORE], (5, 5)).astype(np.uint8)
    truth = np.repeat(np.repeat(coarse, 3, 0), 3, 1)[: size[0], : size[1]]
    predicted = np.roll(np.where(truth == IGNORE, 1, truth), draw(st.integers(0, 2)), draw(st.integers(0, 1)))
    noisy = generator.random(size) < draw(st.sampled_from([0.0, 0.1, 1.0]))
    return truth, np.where(noisy, generator.integers(0, 3, size), predicted).astype(np.uint8)


def searched_distance(labels: NDArray, y: int, x: int) -> float:
    """The distance to the nearest pixel of another label, by looking at all."""
    return min(
        (math.hypot(y - v, x - u) for v, u in np.ndindex(labels.shape) if labels[v, u] != labels[y, x]),
        default=math.inf,
    )


@given(maps(), st.integers(1, 15))
def test_distances_equal_a_search(pair: Maps, reach: int) -> None:
    labels, _ = pair
    found = boundary_distance(labels, reach)
    for y, x in np.ndindex(labels.shape):
        expected = searched_distance(labels, y, x)
        assert found[y, x] == (pytest.approx(expected, rel=1e-6) if expected <= reach else math.inf)


def test_distances_equal_those_of_scipy_as_far_as_they_reach() -> None:
    generator = np.random.default_rng(0)
    labels = generator.random((90, 130)) < 0.001
    expected = np.where(labels, ndimage.distance_transform_edt(labels), ndimage.distance_transform_edt(~labels))
    found = boundary_distance(labels)
    assert (expected > REACH).any()
    assert (found[expected <= REACH] == expected[expected <= REACH].astype(np.float32)).all()
    assert np.isinf(found[expected > REACH]).all()


def test_distances_by_hand() -> None:
    labels = np.array([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    r = math.sqrt
    expected = [[3, 2, 1, 1], [math.inf, r(5), r(2), 1], [math.inf, r(8), r(5), 2]]
    np.testing.assert_allclose(boundary_distance(labels, 3), expected, rtol=1e-6)
    assert np.isinf(boundary_distance(np.zeros((3, 3)))).all()


@given(maps())
def test_trimap_counts_equal_a_search(pair: Maps) -> None:
    truth, predicted = pair
    counts = count_trimap(truth, predicted, 3)
    bands = counts.cumsum(0)
    for width in (1, 2, 5, REACH):
        expected = np.zeros((3, 3), int)
        for y, x in np.ndindex(truth.shape):
            if truth[y, x] != IGNORE and searched_distance(truth, y, x) <= width:
                expected[truth[y, x], predicted[y, x]] += 1
        assert bands[width - 1].tolist() == [
            np.diag(expected).tolist(),
            expected.sum(1).tolist(),
            expected.sum(0).tolist(),
        ]
        measures = Measures.of(expected)
        curve = Trimap.of(counts, range(3))
        assert curve.pixels[width - 1] == measures.pixels
        np.testing.assert_equal(curve.mean_iou[width - 1], measures.mean_iou)
        np.testing.assert_equal(curve.accuracy[width - 1], measures.pixel_accuracy)


def test_a_trimap_by_hand() -> None:
    # Two halves of 8 columns each, the boundary found one column too far right: one wrong column next to it.
    truth = np.repeat(np.array([[0] * 8 + [1] * 8], np.uint8), 4, axis=0)
    predicted = np.repeat(np.array([[0] * 9 + [1] * 7], np.uint8), 4, axis=0)
    curve = Trimap.of(count_trimap(truth, predicted, 2), (0, 1))
    assert curve.widths.tolist() == list(range(1, 41))
    assert curve.pixels[:9].tolist() == [8, 16, 24, 32, 40, 48, 56, 64, 64]
    assert curve.accuracy[[0, 1, 39]].tolist() == [1 / 2, 3 / 4, 15 / 16]
    assert curve.mean_iou[0] == (4 / 8 + 0 / 4) / 2
    assert curve.mean_iou[1] == (8 / 12 + 4 / 8) / 2
    assert curve.mean_iou[39] == Measures.of(np.array([[32, 0], [4, 28]])).mean_iou
    assert Trimap.of(count_trimap(truth, predicted, 2), (1,)).accuracy[0] == 0


def test_the_border_drawn_as_ignored_is_a_boundary() -> None:
    # As in VOC: the classes never touch, and a band begins at the edge of what is ignored.
    truth = np.array([[0, 0, 0, IGNORE, IGNORE, 1, 1, 1]], np.uint8)
    assert Trimap.of(count_trimap(truth, truth, 2), (0, 1)).pixels[:4].tolist() == [2, 4, 6, 6]


def test_without_boundaries_there_is_nothing_to_measure() -> None:
    plain = np.zeros((5, 5), np.uint8)
    curve = Trimap.of(count_trimap(plain, plain, 2), (0, 1))
    assert not curve.pixels.any()
    assert np.isnan([curve.accuracy, curve.mean_iou]).all()


def rim(labels: NDArray, label: int) -> list[tuple[int, int]]:
    """The pixels of a class with another label above, below, left or right."""
    height, width = labels.shape
    return [
        (y, x)
        for y, x in np.ndindex(labels.shape)
        if labels[y, x] == label
        and any(
            0 <= v < height and 0 <= u < width and labels[v, u] != label
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        )
    ]


@given(maps())
def test_boundary_counts_equal_a_search(pair: Maps) -> None:
    truth, predicted = pair
    counts = count_boundaries(truth, predicted, 3)
    for label in range(3):
        true, said = rim(truth, label), rim(predicted, label)
        met = [pixel for pixel in said if any(math.dist(pixel, other) <= TOLERANCE for other in true)]
        counted = [pixel for pixel in said if truth[pixel] != IGNORE or pixel in met]
        found = [pixel for pixel in true if any(math.dist(pixel, other) <= TOLERANCE for other in said)]
        assert counts[:, label].tolist() == [len(met), len(counted), len(found), len(true)]


def half(first_column: int) -> NDArray[np.uint8]:
    return np.repeat((np.arange(20) >= first_column).astype(np.uint8)[None], 4, axis=0)


@pytest.mark.parametrize(("off", "f1"), [(0, 1.0), (3, 1.0), (4, 0.0)])
def test_a_boundary_is_met_within_three_pixels(off: int, f1: float) -> None:
    found = BoundaryF1.of(count_boundaries(half(8), half(8 + off), 2), (0, 1))
    assert found.f1.tolist() == [f1, f1]
    assert found.mean_f1 == f1


def test_boundary_f1_by_hand() -> None:
    # class 0: 6 of 8 predicted are met, 3 of 6 true ones; class 1 is only predicted; class 2 has no boundary at all
    found = BoundaryF1.of(np.array([[6, 0, 0], [8, 5, 0], [3, 0, 0], [6, 0, 0]]), (0, 1, 2))
    assert found.precision[:2].tolist() == [0.75, 0]
    assert found.recall[0] == 0.5
    assert math.isnan(found.recall[1])
    assert found.f1[:2].tolist() == pytest.approx([2 * 0.75 * 0.5 / 1.25, 0])
    assert math.isnan(found.f1[2])
    assert found.mean_f1 == pytest.approx(0.3)
    assert BoundaryF1.of(np.array([[6, 0, 0], [8, 5, 0], [3, 0, 0], [6, 0, 0]]), (0,)).mean_f1 == pytest.approx(0.6)
    assert math.isnan(BoundaryF1.of(np.zeros((4, 2), int), (0, 1)).mean_f1)


def test_a_boundary_within_an_ignored_border_is_right_and_one_far_within_does_not_count() -> None:
    truth = half(8)
    truth[:, 6:11] = IGNORE
    assert BoundaryF1.of(count_boundaries(truth, half(8), 2), (0, 1)).f1.tolist() == [1, 1]
    truth[:, 6:] = IGNORE  # nobody knows what is on the right
    assert count_boundaries(truth, half(15), 2).tolist() == [[0, 0], [0, 0], [0, 0], [4, 0]]
