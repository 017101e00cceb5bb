"""The value itself: parts add up, JSON gives it back, and every number is asked of the right counts."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Refuses

from pixelwise.evaluation.confusion import Measures
from pixelwise.evaluation.evaluation import THOROUGH, Evaluation

CLASSES = ("background", "cat", "dog")
SHAPES = {"trimap": (40, 3, 3), "boundary": (4, 3), "calibration": (15, 3), "sizes": (6, 4, 3)}


def image(name: str, seed: int = 0, *, thorough: bool = False) -> Evaluation:
    generator = np.random.default_rng(seed)
    rest = {part: generator.integers(1, 9, shape) for part, shape in SHAPES.items()} if thorough else {}
    return Evaluation.of_image(CLASSES, name, generator.integers(0, 100, (3, 3)), **rest)


def assert_same(one: Evaluation, other: Evaluation) -> None:
    assert (one.classes, one.images, one.head, one.facts) == (other.classes, other.images, other.head, other.facts)
    for name in ("confusion", "tallies", *THOROUGH):
        np.testing.assert_equal(getattr(one, name), getattr(other, name))


@given(st.integers(0, 6), st.booleans())
def test_however_it_is_parted_the_sum_is_the_same(cut: int, thorough: bool) -> None:
    images = [image(str(seed), seed, thorough=thorough) for seed in range(6)]
    parts = [Evaluation.merged([Evaluation.of_none(CLASSES), *images[:cut]]), *images[cut:]]
    whole = Evaluation.merged(parts)
    assert_same(whole, Evaluation.merged(images))
    assert whole.confusion.tolist() == sum(one.confusion for one in images).tolist()
    assert whole.tallies[3].tolist() == images[3].tallies[0].tolist()
    assert (whole.sizes is not None) == thorough


def test_what_one_part_did_not_count_is_not_counted() -> None:
    whole = Evaluation.merged([image("a", 1, thorough=True), replace(image("b", 2, thorough=True), calibration=None)])
    assert whole.calibration is None
    assert whole.reliability() is None
    assert whole.trimap is not None


def test_json_gives_it_back() -> None:
    whole = Evaluation.merged([image("a", 1, thorough=True), image("b", 2, thorough=True)])
    one = replace(whole, facts={"model": "m", "split": "val"})
    assert_same(Evaluation.from_json(json.loads(json.dumps(one.to_json()))), one)
    plain = replace(image("c"), head="geometry")
    assert_same(Evaluation.from_json(json.loads(json.dumps(plain.to_json()))), plain)


def test_parts_of_several_processes_are_put_in_the_order_of_one() -> None:
    names = ("a", "b", "c")
    one, *parts = (
        Evaluation.merged([image(name, ord(name), thorough=True) for name in some]) for some in (names, "ac", "b")
    )
    assert_same(Evaluation.merged(parts).in_order(names), one)


def test_what_does_not_belong_together_is_not_added(refuses: Refuses) -> None:
    with refuses("different classes", "background, cat, cow"):
        Evaluation.merged([image("a"), replace(image("b"), classes=("background", "cat", "cow"))])
    with refuses("head geometry"):
        Evaluation.merged([image("a"), replace(image("b"), head="geometry")])
    with refuses("'b' is counted twice"):
        Evaluation.merged([image("a"), image("b", 1), image("b", 2)])


def test_measures_are_those_of_the_sum_over_chosen_classes() -> None:
    whole = Evaluation.merged([image("a", 1), image("b", 2)])
    measures = whole.measures(("dog", "cat"), absent="zero")
    expected = Measures.of(whole.counts, (1, 2), "zero")
    assert (measures.mean_iou, measures.pixels, measures.absent) == (expected.mean_iou, expected.pixels, "zero")
    assert measures.chosen.tolist() == [False, True, True]
    assert whole.measures(whole.foreground).mean_iou == expected.mean_iou
    assert whole.measures().mean_iou != expected.mean_iou


def test_an_unknown_class_is_named(refuses: Refuses) -> None:
    with refuses("unknown class 'dgo': did you mean 'dog'?"):
        image("a").measures(("dgo",))


def test_images_by_themselves_are_another_number() -> None:
    # 90 pixels of which all are met, and 10 of which none is
    first = Evaluation.of_image(("a", "b"), "large", np.array([[90, 0], [0, 0]]))
    second = Evaluation.of_image(("a", "b"), "small", np.array([[0, 10], [0, 0]]))
    blank = Evaluation.of_image(("a", "b"), "ignored", np.zeros((2, 2), int))
    whole = Evaluation.merged([first, second, blank])
    np.testing.assert_equal(whole.of_images()["mean_iou"], [1, 0, math.nan])
    np.testing.assert_equal(whole.of_images()["pixel_accuracy"], [1, 0, math.nan])
    assert whole.mean_of_image_ious() == 0.5
    assert whole.measures().mean_iou == (90 / 100 + 0) / 2
    assert whole.measures(absent="truth").mean_iou == 90 / 100
    assert blank.mean_of_image_ious() is None


def test_objects_are_found_whatever_they_are_called(refuses: Refuses) -> None:
    confusions = np.array([[[50, 3, 2], [7, 20, 10], [4, 1, 9]], [[5, 0, 1], [0, 0, 0], [2, 3, 4]]])
    whole = Evaluation.merged(
        [Evaluation.of_image(CLASSES, name, one) for name, one in zip("ab", confusions, strict=True)]
    )
    objects = whole.of_objects()
    assert objects.classes == ("background", "object")
    assert objects.images == whole.images
    np.testing.assert_equal(objects.confusion, [[55, 6], [13, 47]])
    parts = [Evaluation.of_image(objects.classes, name, one) for name, one in
             (("a", np.array([[50, 5], [11, 40]])), ("b", np.array([[5, 1], [2, 7]])))]  # fmt: skip
    assert_same(objects, Evaluation.merged(parts))
    assert objects.measures(("object",)).mean_iou == 47 / 66
    with refuses("unknown class 'background'"):
        Evaluation.of_none(("cat", "dog")).of_objects()


def test_confused_pairs_are_the_most_frequent_mistakes() -> None:
    one = Evaluation.of_image(CLASSES, "a", np.array([[50, 0, 3], [7, 80, 0], [7, 2, 9]]))
    assert one.confused_pairs() == [
        ("cat", "background", 7), ("dog", "background", 7), ("background", "dog", 3), ("dog", "cat", 2),
    ]  # fmt: skip
    assert one.confused_pairs(1) == [("cat", "background", 7)]


def test_what_was_not_counted_is_none() -> None:
    plain = image("a")
    assert [plain.trimap_curve(), plain.boundary_f1(), plain.reliability(), plain.size_buckets()] == [None] * 4
    thorough = image("a", thorough=True)
    assert None not in [
        thorough.trimap_curve(("cat",)), thorough.boundary_f1(), thorough.reliability(), thorough.size_buckets(("dog",)),
    ]  # fmt: skip


@pytest.mark.parametrize("empty", [Evaluation.of_none(CLASSES), Evaluation.merged([Evaluation.of_none(CLASSES)] * 2)])
def test_of_no_image_nothing_is_measured(empty: Evaluation) -> None:
    assert math.isnan(empty.measures().mean_iou)
    assert empty.measures().pixels == 0
