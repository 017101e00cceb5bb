"""Random views: image and labels stay one picture, nothing is invented, and the same draw gives the same view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pixelwise.data.augment import Augmentation, View, apply_view, draw_view
from pixelwise.data.sample import RGB, ChannelSpec, Sample
from pixelwise.geometry import Box, Grid, crop
from pixelwise.labels import IGNORE, MAIN

FILL = (7.0, 8.0, 9.0)
RED_OF = np.arange(256, dtype=np.uint8)
RED_OF[[0, 1, 2, IGNORE]] = 0, 255, 130, 60
"""The red of a pixel of each label, in the samples here; no other red than of a label is in them."""

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
settings = st.builds(
    Augmentation,
    scale=st.sampled_from([(1.0, 1.0), (0.5, 2.0), (2.0, 3.0), (0.3, 0.3)]),
    crop=st.none() | st.integers(1, 50),
    flip=st.sampled_from([0.0, 0.5, 1.0]),
    brightness=st.sampled_from([0.0, 0.4]),
    contrast=st.sampled_from([0.0, 0.4]),
    saturation=st.sampled_from([0.0, 0.4]),
)
seeds = st.integers(0, 2**32)


def coded_sample(size: tuple[int, int], seed: int, *, classes: tuple[int, ...] = (0, 1, 2, IGNORE)) -> Sample:
    """Labels in random patches of 3 x 3; red says the label, green and blue are noise."""
    generator = np.random.default_rng(seed)
    patches = generator.choice(np.array(classes, np.uint8), (size[0] // 3 + 1, size[1] // 3 + 1))
    labels = patches.repeat(3, axis=0).repeat(3, axis=1)[: size[0], : size[1]]
    image = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    image[..., 0] = RED_OF[labels]
    return Sample("coded", image, {MAIN: labels})


def plain_view(sample: Sample, **changes: object) -> View:
    """The view that changes nothing, but for `changes`."""
    return replace(View(sample.size, Box(0, 0, *sample.size), False, 1.0, 1.0, 1.0), **changes)


def drawn(sample: Sample, augmentation: Augmentation, seed: int) -> tuple[View, NDArray, NDArray[np.uint8]]:
    view = draw_view(sample.size, augmentation, np.random.default_rng(seed))
    image, labels = apply_view(sample, view, FILL)
    return view, image, labels[MAIN]


@given(sizes, settings, seeds)
def test_no_label_is_invented(size: tuple[int, int], augmentation: Augmentation, seed: int) -> None:
    sample = coded_sample(size, seed)
    view, image, labels = drawn(sample, augmentation, seed)
    assert set(np.unique(labels)) <= {*np.unique(sample.labels[MAIN]), IGNORE}
    assert image.shape == (*labels.shape, 3)
    assert labels.shape == (view.size if augmentation.crop is None else (augmentation.crop,) * 2)
    assert (image.dtype, labels.dtype) == (np.uint8, np.uint8)


@given(sizes, st.none() | st.integers(1, 50), st.sampled_from([0.0, 0.5, 1.0]), seeds)
def test_image_and_labels_stay_one_picture(size: tuple[int, int], crop: int | None, flip: float, seed: int) -> None:
    sample = coded_sample(size, seed)
    view, image, labels = drawn(sample, Augmentation(crop=crop, flip=flip), seed)
    rows, columns = np.mgrid[view.box.y0 : view.box.y1, view.box.x0 : view.box.x1]
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    if view.flipped:
        inside = inside[:, ::-1]
    assert np.array_equal(image[inside][:, 0], RED_OF[labels[inside]])
    assert (image[~inside] == FILL).all()
    assert (labels[~inside] == IGNORE).all()
    assert inside.any()  # a window never misses the image


@given(sizes, st.sampled_from([(0.4, 0.4), (0.7, 0.7), (1.3, 1.3), (3.0, 3.0)]), seeds)
def test_image_and_labels_stay_one_picture_at_every_scale(
    size: tuple[int, int], scale: tuple[float, float], seed: int
) -> None:
    # Between two patches the image is a mixture; where red is purely that of a label, that label must lie.
    sample = coded_sample(size, seed, classes=(0, 1))
    _, image, labels = drawn(sample, Augmentation(scale=scale, flip=0.5), seed)
    for label in (0, 1):
        assert (labels[image[..., 0] == RED_OF[label]] == label).all()


@given(sizes, settings, seeds)
def test_the_same_draw_gives_the_same_view(size: tuple[int, int], augmentation: Augmentation, seed: int) -> None:
    sample = coded_sample(size, seed)
    first, again = drawn(sample, augmentation, seed), drawn(sample, augmentation, seed)
    assert first[0] == again[0]
    assert np.array_equal(first[1], again[1])
    assert np.array_equal(first[2], again[2])


@given(sizes, settings, seeds)
def test_views_keep_to_their_settings(size: tuple[int, int], augmentation: Augmentation, seed: int) -> None:
    view = draw_view(size, augmentation, np.random.default_rng(seed))
    for side, resized in zip(size, view.size, strict=True):
        lower, upper = augmentation.scale
        assert max(1, round(side * lower)) - 1 <= resized <= max(1, round(side * upper)) + 1
    for begin, end, have in zip((view.box.y0, view.box.x0), (view.box.y1, view.box.x1), view.size, strict=True):
        assert (begin >= 0 and end <= have) or (begin <= 0 and end >= have)  # inside, or around the whole image
    for factor, most in (
        (view.brightness, augmentation.brightness),
        (view.contrast, augmentation.contrast),
        (view.saturation, augmentation.saturation),
    ):
        assert 1 - most <= factor <= 1 + most
    assert view.flipped in ({0.0: (False,), 0.5: (False, True), 1.0: (True,)}[augmentation.flip])


@given(sizes, st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_a_jittered_window_lies_so_much_further_at_most(size: tuple[int, int], jitter: int, seed: int) -> None:
    view = draw_view(size, Augmentation(crop=24, jitter=jitter), np.random.default_rng(seed))
    for start, have in zip((view.box.y0, view.box.x0), size, strict=True):
        assert min(0, have - 24) - jitter <= start <= max(0, have - 24) + jitter


def test_jitter_reaches_beyond_the_image() -> None:
    drawn = [draw_view((24, 24), Augmentation(crop=24, jitter=3), np.random.default_rng(seed)) for seed in range(200)]
    assert {view.box.y0 for view in drawn} == {view.box.x0 for view in drawn} == set(range(-3, 4))
    whole = [draw_view((24, 24), Augmentation(jitter=3), np.random.default_rng(seed)) for seed in range(200)]
    assert {view.box.x0 for view in whole} == set(range(-3, 4))


def test_scales_are_drawn_evenly_in_the_logarithm() -> None:
    generator = np.random.default_rng(0)
    factors = [draw_view((1000, 1000), Augmentation(scale=(0.5, 2)), generator).size[0] / 1000 for _ in range(2000)]
    smaller = np.mean(np.array(factors) < 1)
    assert 0.45 < smaller < 0.55  # half of them: standard deviation 0.011
    assert min(factors) < 0.52
    assert max(factors) > 1.93


@given(sizes, seeds)
def test_a_view_that_changes_nothing(size: tuple[int, int], seed: int) -> None:
    sample = coded_sample(size, seed)
    image, labels = apply_view(sample, plain_view(sample), FILL)
    assert np.array_equal(image, sample.image)
    assert np.array_equal(labels[MAIN], sample.labels[MAIN])


@given(sizes, seeds)
def test_a_flip_mirrors_left_and_right(size: tuple[int, int], seed: int) -> None:
    sample = coded_sample(size, seed)
    image, labels = apply_view(sample, plain_view(sample, flipped=True), FILL)
    assert np.array_equal(image[:, ::-1], sample.image)
    assert np.array_equal(labels[MAIN][:, ::-1], sample.labels[MAIN])


def test_colour_changes_by_hand() -> None:
    sample = Sample("two pixels", np.array([[[100, 50, 0], [200, 250, 150]]], np.uint8))

    def changed(**factors: float) -> list:
        return apply_view(sample, plain_view(sample, **factors), FILL)[0].tolist()

    assert changed(brightness=0.5) == [[[50, 25, 0], [100, 125, 75]]]
    assert changed(brightness=2.0) == [[[200, 100, 0], [255, 255, 255]]]
    # the greys are 50 and 200, the mean of all values 125
    assert changed(saturation=0.5) == [[[75, 50, 25], [200, 225, 175]]]
    assert changed(saturation=0.0) == [[[50, 50, 50], [200, 200, 200]]]
    assert changed(contrast=0.0) == [[[125, 125, 125], [125, 125, 125]]]
    assert changed(contrast=2.0) == [[[75, 0, 0], [255, 255, 175]]]


@given(sizes, seeds, st.floats(0, 2))
def test_saturation_leaves_grey_as_it_is(size: tuple[int, int], seed: int, saturation: float) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (*size, 1), dtype=np.uint8).repeat(3, axis=2)
    sample = Sample("grey", grey)
    image, _ = apply_view(sample, plain_view(sample, saturation=saturation), FILL)
    assert np.array_equal(image, grey)


@given(sizes, settings, seeds)
def test_a_window_is_a_part_of_the_whole_view(size: tuple[int, int], augmentation: Augmentation, seed: int) -> None:
    # Only what it shows is resized and recoloured, by the mean of all that the picture shows.
    sample = coded_sample(size, seed)
    view = replace(draw_view(size, augmentation, np.random.default_rng(seed)), flipped=False)
    image, labels = apply_view(sample, view, FILL)
    whole, everywhere = apply_view(sample, replace(view, box=Box(0, 0, *view.size)), FILL)
    # The same pixels but for rounding before the colours change, which may stretch it to 1.4 ** 3, and after that.
    assert abs(image.astype(int) - crop(whole, view.box, FILL)).max() <= 3
    assert np.array_equal(labels[MAIN], crop(everywhere[MAIN], view.box, IGNORE))


@given(sizes, seeds, st.floats(0, 2), st.floats(0, 2), st.floats(0, 2))
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
@pytest.mark.parametrize(
    "channels", [RGB, ChannelSpec(("red", "green", "blue", "depth"), ((0, 255),) * 4, (None,) * 4)]
)
def test_colours_change_in_three_steps(
    channels: ChannelSpec, kind: type, size: tuple[int, int], seed: int, saturation: float, contrast: float,
    brightness: float,
) -> None:  # fmt: skip
    noise = np.random.default_rng(seed).uniform(0, 255, (*size, len(channels.names))).astype(kind)
    sample, image = Sample("noise", noise, channels=channels), noise.astype(float)
    changes = {"saturation": saturation, "contrast": contrast, "brightness": brightness}
    grey = image.mean(2, keepdims=True)
    image = grey + (image - grey) * saturation
    image = image.mean() + (image - image.mean()) * contrast
    expected = (image * brightness).clip(0, 255)
    rounding = 0.5 if kind is np.uint8 else 0
    changed = apply_view(sample, plain_view(sample, **changes), FILL)[0]
    assert changed.dtype == kind
    np.testing.assert_allclose(changed, expected, rtol=0, atol=rounding + 1e-3)


def test_a_window_that_misses_the_image_is_fill() -> None:
    sample = coded_sample((10, 12), 0)
    image, labels = apply_view(sample, plain_view(sample, box=Box(10, -9, 15, -2), brightness=0.5), FILL)
    assert image.shape == (5, 7, 3)
    assert (image == FILL).all()
    assert (labels[MAIN] == IGNORE).all()


def test_colours_change_and_labels_do_not() -> None:
    sample = coded_sample((20, 30), 0)
    image, labels = apply_view(sample, plain_view(sample, brightness=0.8, contrast=1.3, saturation=0.6), FILL)
    assert not np.array_equal(image, sample.image)
    assert np.array_equal(labels[MAIN], sample.labels[MAIN])


@pytest.mark.parametrize("scale", [(0, 1), (2, 1), (-1, 1)])
def test_scales_that_cannot_be_drawn_are_refused(scale: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="smallest <= largest"):
        Augmentation(scale=scale)


def test_images_can_be_stretched_first() -> None:
    sample = coded_sample((20, 30), 1)
    settings = Augmentation(stretch=24)
    view, image, labels = drawn(sample, settings, 0)
    assert view.size == labels.shape == (24, 24)
    assert image.shape == (24, 24, 3)
    scaled = draw_view(sample.size, replace(settings, scale=(2.0, 2.0)), np.random.default_rng(0))
    assert scaled.size == (48, 48)


@given(seeds)
def test_a_larger_window_may_hang_over_right_and_below(seed: int) -> None:
    sample = coded_sample((12, 40), seed)
    view, image, labels = drawn(sample, Augmentation(crop=20, overhang="behind"), seed)
    assert (view.box.y0, view.box.y1) == (0, 20)
    assert 0 <= view.box.x0 <= 20  # a smaller one lies anywhere inside
    assert np.array_equal(labels[:12], sample.labels[MAIN][:, view.box.x0 : view.box.x1])
    assert (labels[12:] == IGNORE).all()
    assert (image[12:] == FILL).all()


@pytest.mark.parametrize("grid", [Grid(8, 0), Grid(8, 0.5), Grid(8, 7), Grid(16, -5)], ids=str)
def test_sampled_cells_keep_the_labels_of_their_pixels(grid: Grid) -> None:
    sample = coded_sample((40, 60), 3, classes=(0, 1, 2))
    plain = drawn(sample, Augmentation(crop=33, flip=0.5), 5)
    _, image, labels = drawn(sample, Augmentation(crop=33, flip=0.5, sampled=0.5, cells=grid), 5)
    assert np.array_equal(image, plain[1])  # all that was drawn before is drawn as before
    kept = labels != IGNORE
    assert np.array_equal(labels[kept], plain[2][kept])
    assert 0.2 < kept.mean() < 0.8
    places = [np.floor((np.arange(33) - grid.shift) / grid.scale + 0.5) for _ in range(2)]
    for row in set(places[0]):
        for column in set(places[1]):
            cell = kept[np.ix_(places[0] == row, places[1] == column)]
            assert cell.all() or not cell.any()


def test_the_part_that_is_kept_is_the_one_asked_for() -> None:
    sample = coded_sample((64, 64), 0, classes=(0,))
    shares = [
        (drawn(sample, Augmentation(sampled=0.25, cells=Grid(4, 1.5)), seed)[2] == 0).mean() for seed in range(40)
    ]
    assert np.mean(shares) == pytest.approx(0.25, abs=0.02)  # 40 x 256 cells
    assert min(shares) < max(shares)
