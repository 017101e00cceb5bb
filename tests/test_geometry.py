"""Coordinates: grids, boxes, sizes, and moves between frames, against numbers worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Refuses

from pixelwise.geometry import (
    IMAGE_GRID,
    Box,
    Grid,
    SizeRule,
    crop,
    intersection_over_union,
    resize_image,
    resize_labels,
    resize_scores,
    square_around,
)

VGG_BLOCKS = (2, 2, 3, 3, 3)


def vgg_pools(padding: int) -> list[Grid]:
    """The grids of VGG16's five pools, with this padding at the first convolution."""
    grid, pools = IMAGE_GRID, []
    for block, convolutions in enumerate(VGG_BLOCKS):
        for i in range(convolutions):
            grid = grid.through(3, padding=padding if block == i == 0 else 1)
        grid = grid.through(2, stride=2)
        pools.append(grid)
    return pools


def test_fcns_crop_offsets_on_vgg16_follow_from_the_layers() -> None:
    # FCN, voc-fcn{32,16,8}s/net.py: 19, 5, 27, 9, 31
    _, _, pool3, pool4, pool5 = vgg_pools(padding=100)
    coarse = pool5.through(7)
    assert IMAGE_GRID.offset_in(coarse.through_transposed(64, 32)) == 19
    twice = coarse.through_transposed(4, 2)
    assert twice.offset_in(pool4) == 5
    assert IMAGE_GRID.offset_in(twice.through_transposed(32, 16)) == 27
    fourfold = twice.through_transposed(4, 2)
    assert fourfold.offset_in(pool3) == 9
    assert IMAGE_GRID.offset_in(fourfold.through_transposed(16, 8)) == 31


def test_fcns_crop_offset_on_alexnet_follows_from_the_layers() -> None:
    # FCN, voc-fcn-alexnet/net.py: 18 with kernel 63; 64 would fall between two pixels
    grid = IMAGE_GRID.through(11, 4, padding=100).through(3, 2).through(5, padding=2).through(3, 2)
    grid = grid.through(3, padding=1).through(3, padding=1).through(3, padding=1).through(3, 2).through(6)
    assert IMAGE_GRID.offset_in(grid.through_transposed(63, 32)) == 18
    with pytest.raises(ValueError, match=r"18\.5"):
        IMAGE_GRID.offset_in(grid.through_transposed(64, 32))


def test_the_crop_offset_on_googlenet_follows_from_the_layers() -> None:
    grid = IMAGE_GRID.through(7, 2, padding=3)
    for _ in range(4):  # every other layer keeps the alignment; the pools reach one pixel to the right of it
        grid = grid.through(3, 2)
    assert IMAGE_GRID.offset_in(grid.through_transposed(63, 32)) == 1


def test_padding_moves_a_grid_back() -> None:
    assert Grid(4, 1.5).padded(2) == Grid(4, -6.5)
    assert IMAGE_GRID.padded(5).offset_in(IMAGE_GRID.padded(8)) == 3


def test_grids_of_other_scales_have_no_offset() -> None:
    with pytest.raises(ValueError, match="no whole crop"):
        IMAGE_GRID.offset_in(Grid(2, 0))
    with pytest.raises(ValueError, match="offset -3"):
        Grid(1, -3).offset_in(IMAGE_GRID)


layers = st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3))


@given(st.lists(layers, max_size=4), st.integers(0, 20))
def test_a_grid_is_the_centre_of_the_pixels_that_a_cell_sees(stack: list[tuple[int, int, int, int]], cell: int) -> None:
    grid, first, last = IMAGE_GRID, cell, cell
    for kernel, stride, padding, dilation in stack:
        grid = grid.through(kernel, stride, padding, dilation)
    for kernel, stride, padding, dilation in reversed(stack):
        first, last = first * stride - padding, last * stride - padding + dilation * (kernel - 1)
    assert grid.scale * cell + grid.shift == (first + last) / 2


@given(layers, st.integers(-8, 8))
def test_a_transposed_layer_undoes_the_layer(layer: tuple[int, int, int, int], shift: int) -> None:
    kernel, stride, padding, _ = layer
    undone = Grid(2, shift).through(kernel, stride, padding).through_transposed(kernel, stride, padding)
    assert undone.scale == pytest.approx(2)
    assert undone.shift == pytest.approx(shift)


def test_a_box_has_a_size_and_a_part_inside() -> None:
    box = Box(-2, 3, 5, 9)
    assert box.size == (7, 6)
    assert box.within((4, 7)) == Box(0, 3, 4, 7)
    with pytest.raises(ValueError, match="y0 < y1"):
        box.within((4, 3))
    with pytest.raises(ValueError, match="y0 < y1"):
        Box(0, 0, 0, 4)


def test_a_crop_beyond_the_border_is_filled() -> None:
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert crop(labels, Box(-1, 1, 2, 4), 255).tolist() == [[255, 255, 255], [1, 2, 255], [4, 5, 255]]
    assert crop(labels, Box(5, 5, 6, 7), 9).tolist() == [[9, 9]]


def test_a_crop_of_an_image_takes_one_fill_a_channel() -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    assert crop(image, Box(0, 0, 1, 2), (7, 8, 9)).tolist() == [[[0, 0, 0], [7, 8, 9]]]


sides = st.integers(1, 90)


@st.composite
def rules(draw: st.DrawFn) -> SizeRule:
    multiple = draw(st.integers(1, 32))
    minimum = draw(st.integers(1, 64))
    offset = draw(st.integers(0, multiple))
    maximum = draw(st.none() | st.integers(minimum + multiple, 200))
    return SizeRule(minimum, maximum, multiple, offset)


@given(rules(), sides, sides)
def test_every_image_can_be_brought_to_a_size_the_network_takes(rule: SizeRule, height: int, width: int) -> None:
    shrunk = rule.shrunk((height, width))
    padded = rule.padded(shrunk)
    assert rule.admits(padded)
    assert all(small <= large for small, large in zip(shrunk, padded, strict=True))
    assert shrunk == (height, width) or max(shrunk) < max(height, width)
    if rule.maximum is not None:
        assert max(padded) <= rule.maximum


def test_deconvnets_sides_are_224_and_32_more_each() -> None:
    rule = SizeRule(minimum=224, multiple=32, offset=224)
    assert rule.padded((100, 225)) == (224, 256)
    assert rule.admits((224, 288))
    assert not rule.admits((224, 240))


def test_padding_beyond_the_maximum_is_refused(refuses: Refuses) -> None:
    with refuses("up to 512", "(600, 20)", "shrink"):
        SizeRule(maximum=512).padded((600, 20))
    assert SizeRule(maximum=512).shrunk((600, 20)) == (512, 17)
    assert SizeRule(maximum=500, multiple=32).shrunk((490, 490)) == (480, 480)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_resizing_keeps_type_constants_and_the_size_asked_for(dtype: type) -> None:
    image = np.full((5, 7, 3), 40, dtype)
    resized = resize_image(image, (9, 4))
    assert resized.dtype == dtype
    assert resized.shape == (9, 4, 3)
    assert (resized == 40).all()
    assert resize_scores(np.full((2, 5, 7), 40, dtype), (3, 3)).shape == (2, 3, 3)


def test_resizing_is_bilinear_with_aligned_centres() -> None:
    row = np.array([[[0.0, 1.0]]], np.float32)
    assert resize_scores(row, (1, 4))[0, 0].tolist() == [0, 0.25, 0.75, 1]


def test_shrinking_is_antialiased() -> None:
    stripes = np.tile(np.array([0, 1], np.float32), 32).reshape(1, 1, 64)
    assert abs(resize_scores(stripes, (1, 8)) - 0.5).max() < 0.05


def test_resizing_to_its_own_size_changes_nothing() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    assert np.array_equal(resize_scores(scores, (3, 4)), scores)


@given(st.lists(st.sampled_from([0, 3, 9, 255]), min_size=4, max_size=4), sides, sides)
def test_resizing_labels_invents_no_value(values: list[int], height: int, width: int) -> None:
    labels = np.array(values, np.uint8).reshape(2, 2)
    resized = resize_labels(labels, (height, width))
    assert resized.shape == (height, width)
    assert set(np.unique(resized)) <= set(values)
    resized[0, 0] = 1  # it can be written to


def test_twice_as_large_labels_repeat_each_pixel() -> None:
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    assert np.array_equal(resize_labels(labels, (4, 4)), labels.repeat(2, 0).repeat(2, 1))


def test_squares_by_hand():
    # 10 x 20 at rows 40..50, columns 100..120: side 24, centre (45, 110)
    assert square_around(Box(40, 100, 50, 120), 1.2) == Box(33, 98, 57, 122)
    # at the corner of the image it leaves it
    assert square_around(Box(0, 0, 10, 5), 2.0) == Box(-5, -8, 15, 12)
    # an odd side about an even box: half a pixel up and left
    assert square_around(Box(0, 0, 2, 2), 1.5) == Box(-1, -1, 2, 2)
    assert square_around(Box(5, 5, 6, 6), 0.1) == Box(5, 5, 6, 6)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 80), st.integers(1, 80), st.floats(1, 2))
def test_a_square_is_one_has_the_boxs_centre_and_holds_it(y, x, high, wide, factor):
    square = square_around(Box(y, x, y + high, x + wide), factor)
    assert square.size == (round(factor * max(high, wide)),) * 2
    assert abs(square.y0 + square.y1 - (2 * y + high)) <= 1
    assert abs(square.x0 + square.x1 - (2 * x + wide)) <= 1
    assert square.y0 <= y
    assert square.x0 <= x
    assert square.y1 >= y + high
    assert square.x1 >= x + wide


def test_overlap_by_hand_and_by_counting_pixels():
    one, other = np.array([[0, 0, 2, 2]]), np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2], [0, 0, 2, 1]])
    assert intersection_over_union(one, other).tolist() == [[1, 1 / 7, 0, 0.5]]
    random = np.random.default_rng(0)
    starts, sides = random.integers(0, 10, (9, 2)), random.integers(1, 10, (9, 2))
    boxes = np.concatenate([starts, starts + sides], axis=1)
    drawn = np.zeros((9, 20, 20), bool)
    for mask, (y0, x0, y1, x1) in zip(drawn, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    expected = [[(a & b).sum() / (a | b).sum() for b in drawn] for a in drawn]
    np.testing.assert_allclose(intersection_over_union(boxes, boxes), expected)
    assert intersection_over_union(np.zeros((0, 4)), boxes).shape == (0, 9)


@st.composite
def parts(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int], Box]:
    """A size, another one, and a box inside that."""
    size, wanted = (draw(st.tuples(st.integers(1, 40), st.integers(1, 40))) for _ in range(2))
    (y0, y1), (x0, x1) = (
        sorted(draw(st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True))) for side in wanted
    )
    return size, wanted, Box(y0, x0, y1, x1)


@given(parts(), st.integers(0, 2**32 - 1))
def test_a_part_of_a_resized_picture_can_be_made_alone(
    drawn: tuple[tuple[int, int], tuple[int, int], Box], seed: int
) -> None:
    size, wanted, part = drawn
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    for kind, most in ((np.uint8, 1), (np.float32, 0.01)):  # of 255
        alone, whole = resize_image(image.astype(kind), wanted, part), resize_image(image.astype(kind), wanted)
        assert alone.dtype == kind
        assert abs(alone.astype(float) - whole[part.y0 : part.y1, part.x0 : part.x1]).max() <= most
    labels = generator.integers(0, 5, size, dtype=np.uint8)
    alone, whole = resize_labels(labels, wanted, part), resize_labels(labels, wanted)
    assert np.array_equal(alone, whole[part.y0 : part.y1, part.x0 : part.x1])


@given(parts())
def test_a_label_is_that_of_the_pixel_in_which_its_centre_lies(
    drawn: tuple[tuple[int, int], tuple[int, int], Box],
) -> None:
    size, wanted, _ = drawn
    labels = np.arange(size[0] * size[1]).reshape(size)
    resized = resize_labels(labels, wanted)
    for row in range(wanted[0]):
        for column in range(wanted[1]):
            y, x = (
                Fraction(2 * i + 1, 2) * have / want for i, have, want in zip((row, column), size, wanted, strict=True)
            )
            assert resized[row, column] == labels[int(y), int(x)]
