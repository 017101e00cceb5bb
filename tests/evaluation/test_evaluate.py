"""A predictor over a data set, and classes that meet by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.dataset import Entry, FileDataSet
from pixelwise.data.shapes import CLASSES, Shapes
from pixelwise.evaluation.confusion import ConfusionMatrix
from pixelwise.evaluation.evaluate import evaluate, match_classes
from pixelwise.inference.contracts import Predictor
from pixelwise.labels import IGNORE, MAIN, LabelSpec

SHAPES = Shapes(5, size=(40, 56))


def knowing(data: Shapes) -> Predictor:
    """A predictor that knows every sample's labels by heart; where they are ignored it says class 0."""
    answers = {sample.image.tobytes(): sample.labels[MAIN] for sample in data}

    def predict(image: NDArray) -> NDArray[np.float32]:
        labels = np.where(answers[image.tobytes()] == IGNORE, 0, answers[image.tobytes()])
        return (np.arange(len(data.label_spec))[:, None, None] == labels).astype(np.float32)

    return predict


def test_a_perfect_predictor_scores_1() -> None:
    measures = evaluate(knowing(SHAPES), SHAPES).measures()
    assert measures.mean_iou == measures.pixel_accuracy == measures.mean_accuracy == 1
    assert measures.pixels == 5 * 40 * 56


def test_a_predictor_that_swaps_two_classes_misses_both() -> None:
    right = knowing(SHAPES)
    disc, ring = CLASSES.index("disc"), CLASSES.index("ring")
    order = np.arange(len(CLASSES))
    order[[disc, ring]] = ring, disc
    measures = evaluate(lambda image: right(image)[order], SHAPES).measures()
    assert measures.iou[[disc, ring]].tolist() == [0, 0]
    assert np.nan_to_num(np.delete(measures.iou, [disc, ring]), nan=1).tolist() == [1] * (len(CLASSES) - 2)


def test_every_image_is_counted_in_order() -> None:
    told: list[tuple[int, int]] = []
    matrix = evaluate(knowing(SHAPES), SHAPES, progress=lambda done, of: told.append((done, of)))
    assert told == [(done, 5) for done in range(1, 6)]
    expected = ConfusionMatrix(len(CLASSES))
    for sample in SHAPES:
        expected.add(sample.labels[MAIN], sample.labels[MAIN])
    assert np.array_equal(matrix.counts, expected.counts)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_parts_of_several_processes_add_up(parts: int) -> None:
    """Five images: also with an uneven last share, and with processes that have none."""
    wrong = lambda image: np.roll(knowing(SHAPES)(image), 1, axis=0)  # noqa: E731
    told: list[tuple[int, int]] = []
    shares = [evaluate(wrong, SHAPES, part=part, parts=parts).counts for part in range(parts)]
    assert np.array_equal(sum(shares), evaluate(wrong, SHAPES).counts)
    assert [share.sum() // (40 * 56) for share in shares] == [len(range(part, 5, parts)) for part in range(parts)]
    evaluate(wrong, SHAPES, part=0, parts=parts, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (len(range(0, 5, parts)),) * 2


def test_classes_meet_by_name_and_unknown_ones_are_ignored_and_listed() -> None:
    matched = match_classes(SHAPES, ("ring", "background", "disc"))
    assert matched.ignored == ("square", "triangle", "line")
    assert matched.data.label_spec.names == ("ring", "background", "disc")
    measures = evaluate(knowing(matched.data), matched.data).measures()
    assert measures.mean_iou == 1
    kept = [CLASSES.index(name) for name in ("ring", "background", "disc")]
    assert measures.pixels == sum(np.isin(sample.labels[MAIN], kept).sum() for sample in SHAPES) < 5 * 40 * 56


def test_the_same_classes_in_another_order_ignore_nothing() -> None:
    matched = match_classes(SHAPES, CLASSES[::-1])
    assert matched.ignored == ()
    assert evaluate(knowing(matched.data), matched.data).measures().pixels == 5 * 40 * 56


def test_a_class_that_the_data_lack_is_named(refuses: Refuses) -> None:
    with refuses("the model's class 'cat' is not a class of the data set", "background, disc"):
        match_classes(SHAPES, ("background", "cat"))


def test_an_image_without_truth_is_named(tmp_path: Path, refuses: Refuses) -> None:
    first = Entry("first", save_image(tmp_path / "first.png"), save_mask(tmp_path / "mask.png", [0, 1]))
    second = Entry("second", save_image(tmp_path / "second.png"))
    data = FileDataSet((first, second), LabelSpec(("a", "b")))
    with refuses("second", "no label map"):
        evaluate(lambda image: np.zeros((2, *image.shape[:2]), np.float32), data)
    only_first = replace(data, entries=(first,))
    counts = evaluate(lambda image: np.zeros((2, *image.shape[:2]), np.float32), only_first).counts
    assert counts.tolist() == [[12, 0], [12, 0]]


def test_a_prediction_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="same pixels"):
        evaluate(lambda image: np.zeros((len(CLASSES), 3, 3), np.float32), SHAPES)
