"""Objects by their size: pieces against a flood, buckets by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from pixelwise.evaluation.sizes import SIDES, SizeBuckets, connected_pieces, count_sizes
from pixelwise.labels import IGNORE


def flooded(labels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Pieces by flooding from every pixel that is not reached yet, in the order of the first pixels."""
    pieces = np.full(labels.shape, -1, np.int32)
    for piece, start in enumerate(place for place in np.ndindex(labels.shape)):
        if pieces[start] >= 0:
            continue
        pieces[start], edge = piece, [start]
        while edge:
            y, x = edge.pop()
            for v, u in ((y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
                inside = 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1]
                if inside and pieces[v, u] < 0 and labels[v, u] == labels[y, x]:
                    pieces[v, u] = piece
                    edge.append((v, u))
    return np.unique(pieces, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(2, 4), st.integers(0, 2**32))
def test_pieces_equal_a_flood(height: int, width: int, classes: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, (height, width)).astype(np.uint8)
    assert np.array_equal(connected_pieces(labels), flooded(labels))


def test_a_spiral_is_one_piece_and_a_large_picture_is_that_of_scipy() -> None:
    spiral = np.array(
        [
            [1, 1, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 1],
            [1, 1, 1, 1, 0, 1],
            [1, 0, 0, 1, 0, 1],
            [1, 0, 1, 1, 0, 1],
            [1, 0, 0, 0, 0, 1],
            [1, 1, 1, 1, 1, 1],
        ],
        np.uint8,
    )
    assert len(np.unique(connected_pieces(spiral)[spiral == 1])) == 1
    noise = (np.random.default_rng(0).random((80, 90)) < 0.4).astype(np.uint8)
    ours, (theirs, count) = connected_pieces(noise), ndimage.label(noise, np.ones((3, 3)))
    pairs = set(zip(ours[noise == 1].tolist(), theirs[noise == 1].tolist(), strict=True))
    assert len(pairs) == count == len({one for one, _ in pairs})


def picture() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """On class 0: 4 x 4 of class 1, all met; 20 x 20 of class 2, met in 9 of 20 rows; 2 x 5 of class 1, met but for one."""
    truth = np.zeros((40, 40), np.uint8)
    truth[1:5, 1:5] = 1
    truth[10:30, 10:30] = 2
    truth[35:37, 3:8] = 1
    predicted = truth.copy()
    predicted[19:30, 10:30] = 0
    predicted[35, 4] = 2
    return truth, predicted


def test_sizes_by_hand() -> None:
    truth, predicted = picture()
    counts = count_sizes(truth, predicted, None, 3, background=0)
    assert counts.shape == (len(SIDES) + 1, 4, 3)
    assert counts[0].tolist() == [[0, 2, 0], [0, 2, 0], [0, 26, 0], [0, 25, 0]]  # objects, found, pixels, met
    assert counts[1].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 400], [0, 0, 180]]
    assert not counts[2:].any()
    buckets = SizeBuckets.of(counts, (0, 1, 2))
    assert buckets.bounds[0] == (0, 16)
    assert buckets.bounds[-1] == (256, math.inf)
    assert buckets.objects.tolist() == [2, 1, 0, 0, 0, 0]
    assert buckets.found[:2].tolist() == [1, 0]
    assert buckets.accuracy[:2].tolist() == pytest.approx([25 / 26, 180 / 400])
    assert np.isnan(buckets.found[2:]).all()
    assert SizeBuckets.of(counts, (1,)).objects.tolist() == [2, 0, 0, 0, 0, 0]


def test_the_background_is_an_object_only_where_there_is_none_of_that_name() -> None:
    truth, predicted = picture()
    assert count_sizes(truth, predicted, None, 3)[:, 0, 0].tolist() == [0, 0, 1, 0, 0, 0]  # the frame around all
    assert count_sizes(truth, predicted, None, 3, background=0)[:, 0, 0].tolist() == [0] * 6


def test_instances_decide_where_there_are_some() -> None:
    truth, predicted = picture()
    instances = np.zeros((40, 40), np.int32)
    instances[1:5, 1:3], instances[1:5, 3:5] = 70_000, 3  # two that touch
    counts = count_sizes(truth, predicted, instances, 3, background=0)
    assert counts[0].tolist() == [[0, 2, 0], [0, 2, 0], [0, 16, 0], [0, 16, 0]]
    assert not counts[1:].any()


def test_specks_of_the_drawing_are_no_objects_but_small_instances_are() -> None:
    truth = np.zeros((9, 9), np.uint8)
    truth[1, 1:6] = 1
    truth[2, 1:5] = 1
    assert not count_sizes(truth, truth, None, 2, background=0).any()
    instances = truth.astype(np.int32)
    assert count_sizes(truth, truth, instances, 2, background=0)[0, :, 1].tolist() == [1, 1, 9, 9]
    truth[2, 5] = 1
    assert count_sizes(truth, truth, None, 2, background=0)[0, :, 1].tolist() == [1, 1, 10, 10]


def test_what_is_ignored_is_part_of_no_object() -> None:
    truth, predicted = picture()
    truth[10:30, 10:25] = IGNORE  # 20 x 5 is left: a side of 10
    counts = count_sizes(truth, predicted, None, 3, background=0)
    assert counts[0, :, 2].tolist() == [1, 0, 100, 45]
    instances = np.where(truth == 2, 1, 0).astype(np.int32)
    truth[truth == 2] = IGNORE
    assert not count_sizes(truth, predicted, instances, 3, background=0).any()


@pytest.mark.parametrize(("side", "place"), [(4, 0), (15, 0), (16, 1), (31, 1), (32, 2)])
def test_buckets_begin_at_their_side(side: int, place: int) -> None:
    truth = np.zeros((40, 40), np.uint8)
    truth[:side, :side] = 1
    assert np.flatnonzero(count_sizes(truth, truth, None, 2, background=0)[:, 0, 1]).tolist() == [place]
