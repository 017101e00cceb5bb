"""The confusion matrix against a loop, against torchmetrics, and against the published formulae by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.conftest import Refuses
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from pixelwise.evaluation.confusion import ABSENT_RULES, ConfusionMatrix, Measures, means_of, tally_of
from pixelwise.labels import IGNORE

Case = tuple[int, NDArray[np.uint8], NDArray[np.int64]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Classes, truth (often without some of the classes, sometimes all ignored) and prediction."""
    classes = draw(st.integers(2, 6))
    size = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    there = generator.choice(classes, draw(st.integers(1, classes)), replace=False)
    truth = generator.choice(there, size).astype(np.uint8)
    truth[generator.random(size) < draw(st.sampled_from([0.0, 0.3, 1.1]))] = IGNORE
    return classes, truth, generator.choice(generator.choice(classes, draw(st.integers(1, classes))), size)


def matrix_of(classes: int, *pairs: tuple[NDArray[np.uint8], NDArray]) -> ConfusionMatrix:
    matrix = ConfusionMatrix(classes)
    for truth, predicted in pairs:
        matrix.add(truth, predicted)
    return matrix


@given(cases())
def test_counts_equal_a_loop_over_the_pixels(case: Case) -> None:
    classes, truth, predicted = case
    expected = np.zeros((classes, classes), int)
    for y, x in np.ndindex(truth.shape):
        if truth[y, x] != IGNORE:
            expected[truth[y, x], predicted[y, x]] += 1
    assert np.array_equal(matrix_of(classes, (truth, predicted)).counts, expected)


@given(cases())
def test_counts_equal_those_of_torchmetrics(case: Case) -> None:
    classes, truth, predicted = case
    metric = MulticlassConfusionMatrix(classes, ignore_index=IGNORE)
    expected = metric(torch.from_numpy(predicted), torch.from_numpy(truth.astype(np.int64)))
    assert np.array_equal(matrix_of(classes, (truth, predicted)).counts, expected.numpy())


@given(st.lists(cases().filter(lambda case: case[0] == 4), min_size=1, max_size=3))
def test_mean_iou_equals_that_of_torchmetrics(images: list[Case]) -> None:
    # It averages over the classes that are in truth or prediction of the whole set, as FCN's score.py does.
    metric = MulticlassJaccardIndex(4, ignore_index=IGNORE)
    for _, truth, predicted in images:
        metric.update(torch.from_numpy(predicted), torch.from_numpy(truth.astype(np.int64)))
    measures = matrix_of(4, *((truth, predicted) for _, truth, predicted in images)).measures()
    if measures.pixels:
        assert measures.mean_iou == pytest.approx(metric.compute().item(), abs=1e-6)
    else:
        assert math.isnan(measures.mean_iou)


@given(cases())
def test_measures_equal_the_published_formulae(case: Case) -> None:
    # FCN, section 5: n_ij pixels of class i predicted as j, t_i of class i
    classes, truth, predicted = case
    matrix = matrix_of(classes, (truth, predicted))
    n, t = matrix.counts.tolist(), matrix.counts.sum(1).tolist()
    measures = matrix.measures()
    unions = [t[i] + sum(n[j][i] for j in range(classes)) - n[i][i] for i in range(classes)]
    ious = [n[i][i] / unions[i] if unions[i] else math.nan for i in range(classes)]
    accuracies = [n[i][i] / t[i] if t[i] else math.nan for i in range(classes)]
    assert measures.pixels == sum(t)
    np.testing.assert_allclose(measures.iou, ious)
    np.testing.assert_allclose(measures.accuracy, accuracies)
    if sum(t):
        assert measures.pixel_accuracy == pytest.approx(sum(n[i][i] for i in range(classes)) / sum(t))
        assert measures.mean_accuracy == pytest.approx(mean_of_known(accuracies))
        assert measures.mean_iou == pytest.approx(mean_of_known(ious))
        weighted = sum(t[i] * ious[i] for i in range(classes) if t[i]) / sum(t)
        assert measures.frequency_weighted_iou == pytest.approx(weighted)


def mean_of_known(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known)


def test_measures_by_hand() -> None:
    # class 0: 6 hits of 8, 1 false; class 1: 1 hit of 2, 2 false
    measures = Measures.of(np.array([[6, 2], [1, 1]]))
    assert measures.iou.tolist() == pytest.approx([6 / 9, 1 / 4])
    assert measures.accuracy.tolist() == pytest.approx([6 / 8, 1 / 2])
    assert measures.pixel_accuracy == pytest.approx(7 / 10)
    assert measures.mean_accuracy == pytest.approx(5 / 8)
    assert measures.mean_iou == pytest.approx(11 / 24)
    assert measures.frequency_weighted_iou == pytest.approx(0.8 * 6 / 9 + 0.2 / 4)
    assert measures.pixels == 10


def test_a_class_that_is_predicted_but_never_true_counts_as_0() -> None:
    truth, predicted = np.zeros((2, 2), np.uint8), np.array([[0, 0], [0, 1]])
    measures = matrix_of(3, (truth, predicted)).measures()
    assert measures.iou[:2].tolist() == [0.75, 0]
    assert math.isnan(measures.iou[2])
    assert measures.mean_iou == 0.375
    assert measures.mean_accuracy == 0.75  # over the classes in the truth: one
    assert measures.frequency_weighted_iou == 0.75


def counted() -> NDArray[np.int64]:
    """Class 0: 3 hits, class 1: 1 hit of 2; 2 is predicted once but never true, 3 is nowhere."""
    return np.array([[3, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("absent", "mean_iou", "mean_accuracy", "counting"),
    [
        ("present", (1 + 1 / 2 + 0) / 3, (1 + 1 / 2) / 2, [True, True, True, False]),
        ("truth", (1 + 1 / 2) / 2, (1 + 1 / 2) / 2, [True, True, False, False]),
        ("zero", (1 + 1 / 2 + 0 + 0) / 4, (1 + 1 / 2 + 0 + 0) / 4, [True] * 4),
        ("one", (1 + 1 / 2 + 0 + 1) / 4, (1 + 1 / 2 + 1 + 1) / 4, [True] * 4),
    ],
)
def test_what_absent_classes_do_to_a_mean(
    absent: str, mean_iou: float, mean_accuracy: float, counting: list[bool]
) -> None:
    measures = Measures.of(counted(), absent=absent)
    assert measures.mean_iou == pytest.approx(mean_iou)
    assert measures.mean_accuracy == pytest.approx(mean_accuracy)
    assert measures.counting.tolist() == counting
    assert (measures.pixel_accuracy, measures.frequency_weighted_iou) == (4 / 5, (3 * 1 + 2 * 1 / 2) / 5)
    assert (measures.absent, measures.to_json()["absent"]) == (absent, absent)
    np.testing.assert_equal(measures.iou, [1, 1 / 2, 0, math.nan])  # whatever the rule


def test_every_rule_has_a_sentence_and_no_other_is_known(refuses: Refuses) -> None:
    assert all(" " in sentence for sentence in ABSENT_RULES.values())
    with refuses("unknown rule for absent classes 'zeroes': did you mean 'zero'?"):
        Measures.of(counted(), absent="zeroes")


@given(cases(), st.data())
def test_chosen_classes_alone_are_in_means_and_pixels(case: Case, data: st.DataObject) -> None:
    # As SIFT Flow scores 30 of its 33 classes: what is mistaken for another class stays wrong, but the others' own
    # pixels and means do not count.
    classes, truth, predicted = case
    chosen = data.draw(st.lists(st.integers(0, classes - 1), min_size=1, unique=True))
    counts = matrix_of(classes, (truth, predicted)).counts
    whole, part = Measures.of(counts), Measures.of(counts, chosen)
    np.testing.assert_equal(part.iou, whole.iou)
    assert part.pixels == sum(int((truth == place).sum()) for place in chosen)
    if known := [whole.iou[place] for place in chosen if not math.isnan(whole.iou[place])]:
        assert part.mean_iou == pytest.approx(sum(known) / len(known))
    else:
        assert math.isnan(part.mean_iou)
    if part.pixels:
        met = sum(int(((truth == place) & (predicted == place)).sum()) for place in chosen)
        assert part.pixel_accuracy == pytest.approx(met / part.pixels)


@given(cases())
def test_precision_is_recall_with_truth_and_prediction_exchanged(case: Case) -> None:
    counts = matrix_of(*case[:1], case[1:]).counts
    np.testing.assert_equal(Measures.of(counts).precision, Measures.of(counts.T).accuracy)


@given(cases())
def test_labels_of_8_bits_and_wider_ones_are_counted_alike(case: Case) -> None:
    classes, truth, predicted = case
    narrow = matrix_of(classes, (truth, predicted.astype(np.uint8))).counts
    assert np.array_equal(narrow, matrix_of(classes, (truth, predicted.astype(np.int32))).counts)


def test_many_images_at_once_have_the_measures_that_each_has_alone() -> None:
    matrices = np.random.default_rng(0).integers(0, 3, (20, 3, 3))
    together = means_of(tally_of(matrices), np.array([True, True, False]), "present")
    for place, counts in enumerate(matrices):
        alone = Measures.of(counts, (0, 1))
        for name, values in together.items():
            np.testing.assert_equal(values[place], getattr(alone, name))


def test_where_everything_is_ignored_nothing_is_measured() -> None:
    measures = matrix_of(3, (np.full((4, 4), IGNORE, np.uint8), np.ones((4, 4), int))).measures()
    assert measures.pixels == 0
    values = [measures.mean_iou, measures.mean_accuracy, measures.pixel_accuracy, measures.frequency_weighted_iou]
    assert all(math.isnan(value) for value in [*values, *measures.iou, *measures.accuracy])
    record = json.loads(json.dumps(measures.to_json(), allow_nan=False))
    assert record["mean_iou"] is None
    assert record["iou"] == [None] * 3
    assert record["pixels"] == 0


def test_one_class_is_always_right() -> None:
    measures = matrix_of(1, (np.zeros((3, 3), np.uint8), np.zeros((3, 3), int))).measures()
    assert measures.mean_iou == measures.pixel_accuracy == measures.frequency_weighted_iou == 1


@given(cases(), st.integers(0, 2**32))
def test_two_matrices_add_up(case: Case, seed: int) -> None:
    classes, truth, predicted = case
    other = np.random.default_rng(seed).integers(0, classes, (5, 5)).astype(np.uint8)
    both = matrix_of(classes, (truth, predicted), (other, other[::-1]))
    summed = matrix_of(classes, (truth, predicted))
    summed += matrix_of(classes, (other, other[::-1]))
    assert np.array_equal(summed.counts, both.counts)


def test_images_are_not_weighed_alike_but_pixels() -> None:
    # A mean over images would be (1 + 0) / 2 for class 1.
    large, small = np.ones((3, 3), np.uint8), np.ones((1, 1), np.uint8)
    measures = matrix_of(2, (large, large), (small, np.zeros((1, 1), int))).measures()
    assert measures.iou[1] == 0.9


def test_counts_beyond_32_bits() -> None:
    matrix = ConfusionMatrix(2)
    matrix.counts[:] = 2**33
    matrix += matrix_of(2, (np.zeros((1, 1), np.uint8), np.zeros((1, 1), int)))
    assert matrix.counts[0, 0] == 2**33 + 1
    assert matrix.measures().pixels == 4 * 2**33 + 1


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="same pixels"):
        ConfusionMatrix(2).add(np.zeros((2, 3), np.uint8), np.zeros((3, 2), int))


@pytest.mark.parametrize("classes", [2, 17])  # among 17, 0 * 17 + 255 would still be a place in the matrix
@pytest.mark.parametrize(("truth", "predicted"), [(0, IGNORE), (0, 17), (0, -1), (0, 256), (17, 0)])
def test_what_is_no_class_is_refused(classes: int, truth: int, predicted: int) -> None:
    matrix = ConfusionMatrix(classes)
    with pytest.raises(ValueError, match=f"classes 0..{classes - 1}"):
        matrix.add(np.array([[truth, 0]], np.uint8), np.array([[predicted, 0]]))
    if 0 <= predicted < 256:
        with pytest.raises(ValueError, match=f"classes 0..{classes - 1}"):
            matrix.add(np.array([[truth, 0]], np.uint8), np.array([[predicted, 0]], np.uint8))
    assert not matrix.counts.any()


def test_what_is_predicted_where_the_truth_is_ignored_does_not_matter() -> None:
    for said in (np.array([[IGNORE, 1]], np.uint8), np.array([[-7, 1]])):
        assert matrix_of(2, (np.array([[IGNORE, 1]], np.uint8), said)).counts.tolist() == [[0, 0], [0, 1]]
