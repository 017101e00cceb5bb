"""Intervals over images: the same draws one by one, cases whose answer is known, and pairs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import Refuses

from pixelwise.evaluation.bootstrap import MEASURES, difference, interval
from pixelwise.evaluation.confusion import Measures
from pixelwise.evaluation.evaluation import Evaluation


def evaluation(matrices: np.ndarray, classes: tuple[str, ...] = ("a", "b")) -> Evaluation:
    """Of images called 0, 1, ..., from their confusion matrices `(N, K, K)`."""
    return Evaluation.merged([Evaluation.of_image(classes, str(i), counts) for i, counts in enumerate(matrices)])


def two_classes(hits: list[int], pixels: int = 100) -> Evaluation:
    """Images of so many pixels of class a, of which some are predicted as b."""
    return evaluation(np.array([[[hit, pixels - hit], [0, pixels]] for hit in hits]))


@pytest.mark.parametrize("measure", MEASURES)
def test_each_draw_is_the_measure_of_the_drawn_images_sum(measure: str) -> None:
    matrices = np.random.default_rng(0).integers(0, 50, (7, 3, 3))
    found = interval(evaluation(matrices, ("a", "b", "c")), measure, draws=150, seed=5, level=0.9)
    generator = np.random.default_rng(5)
    values = []
    for size in (100, 50):  # as many draws at a time as the code makes
        for times in generator.multinomial(7, [1 / 7] * 7, size=size):
            drawn = sum(counts * time for counts, time in zip(matrices, times, strict=True))
            values.append(getattr(Measures.of(drawn), measure))
    assert found.value == pytest.approx(getattr(Measures.of(matrices.sum(0)), measure))
    assert [found.low, found.high] == pytest.approx(np.quantile(values, [0.05, 0.95]).tolist())


def test_the_interval_of_a_mean_is_as_wide_as_its_standard_error_says() -> None:
    hits = np.random.default_rng(1).integers(0, 101, 400)
    found = interval(two_classes(hits.tolist()), "pixel_accuracy", classes=("a",))
    error = hits.std() / 100 / math.sqrt(400)
    assert found.value == pytest.approx(hits.mean() / 100)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_the_same_seed_gives_the_same_interval_and_another_one_does_not() -> None:
    one = two_classes([10, 20, 90, 40, 55])
    assert interval(one, seed=3) == interval(one, seed=3)
    assert interval(one, seed=3) != interval(one, seed=4)


def test_images_that_are_alike_leave_no_doubt_and_a_single_one_says_nothing() -> None:
    found = interval(two_classes([30] * 6))
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(found.value)
    single = interval(two_classes([30]))
    assert single.value == pytest.approx(found.value)
    assert math.isnan(single.low)
    assert math.isnan(single.high)


def test_what_is_the_same_in_every_image_is_certain_in_the_difference() -> None:
    hits = np.random.default_rng(2).integers(0, 95, 50)
    first, second = two_classes(hits.tolist()), two_classes((hits + 5).tolist())
    found = difference(first, second, "pixel_accuracy", classes=("a",))
    assert [found.value, found.low, found.high] == pytest.approx([0.05] * 3)
    alone = interval(first, "pixel_accuracy", classes=("a",))
    assert alone.high - alone.low > 0.05  # side by side the two would seem to say nothing
    assert difference(second, first, "pixel_accuracy", classes=("a",)).value == pytest.approx(-0.05)


def test_a_difference_meets_images_by_name() -> None:
    hits = np.random.default_rng(3).integers(0, 101, (2, 20))
    first, second = two_classes(hits[0].tolist()), two_classes(hits[1].tolist())
    turned = replace(second, images=second.images[::-1], tallies=second.tallies[::-1])
    assert difference(first, turned) == difference(first, second)


def test_a_model_does_not_differ_from_itself() -> None:
    one = two_classes([10, 20, 90])
    found = difference(one, one)
    assert [found.value, found.low, found.high] == [0, 0, 0]


def test_what_cannot_be_compared_is_refused(refuses: Refuses) -> None:
    one = two_classes([10, 20])
    with refuses("models are compared over the same classes", "a, c"):
        difference(one, replace(one, classes=("a", "c")))
    with refuses("same images", "only one has '2'", "evaluate both on one split"):
        difference(one, two_classes([10, 20, 30]))
    with refuses("unknown measure 'mean_iuo': did you mean 'mean_iou'?"):
        interval(one, "mean_iuo")
