"""Objects: tight boxes and classes, from instances or from connected pieces, against pictures worked out by hand."""

from __future__ import annotations

import numpy as np
from tests.conftest import Refuses

from pixelwise.data.objects import objects_of
from pixelwise.data.sample import Sample
from pixelwise.data.shapes import Shapes
from pixelwise.labels import IGNORE, MAIN, LabelSpec

SPEC = LabelSpec(("background", "cat", "dog"))


def sample(labels: np.ndarray, instances: np.ndarray | None = None) -> Sample:
    image = np.zeros((*labels.shape, 3), np.uint8)
    given = None if instances is None else instances.astype(np.int32)
    return Sample("a", image, {MAIN: labels.astype(np.uint8)}, given)


def found(labels: np.ndarray, instances: np.ndarray | None = None, smallest: int = 1) -> list[tuple[list[int], int]]:
    objects = objects_of(sample(labels, instances), SPEC, smallest)
    return sorted(zip(objects.boxes.tolist(), objects.classes.tolist(), strict=True))


LABELS = np.array(
    [
        [1, 1, 0, 2, 2, 2],
        [1, 1, 0, 2, 2, 2],
        [0, 0, 1, 255, 0, 0],
        [2, 0, 0, 0, 0, 2],
    ]
)


def test_pieces_are_tight_join_over_corners_and_drop_crumbs():
    everything = [([0, 0, 3, 3], 1), ([0, 3, 2, 6], 2), ([3, 0, 4, 1], 2), ([3, 5, 4, 6], 2)]
    assert found(LABELS) == everything
    assert found(LABELS, smallest=2) == everything[:2]
    assert found(LABELS, smallest=6) == everything[1:2]
    assert found(np.full((3, 3), IGNORE)) == found(np.zeros((3, 3))) == []


def test_instances_are_objects_even_where_they_touch_or_are_in_parts():
    instances = np.array(
        [
            [1, 1, 0, 7, 8, 8],
            [1, 1, 0, 7, 8, 8],
            [0, 0, 0, 8, 0, 0],  # on a pixel that is ignored
            [1, 0, 3, 0, 0, 0],  # the first once more, on a pixel of another class; the third on background
        ]
    )
    assert found(LABELS, instances, smallest=50) == [([0, 0, 4, 2], 1), ([0, 3, 2, 4], 2), ([0, 4, 2, 6], 2)]


def test_instances_of_an_ignored_class_are_none():
    assert found(np.full((3, 3), IGNORE), np.ones((3, 3))) == []


def test_without_a_background_every_class_is_made_of_objects():
    objects = objects_of(sample(np.array([[0, 0, 1]])), LabelSpec(("sky", "road")), 1)
    assert objects.boxes.tolist() == [[0, 0, 1, 2], [0, 2, 1, 3]]
    assert objects.classes.tolist() == [0, 1]


def test_the_boxes_of_generated_shapes_equal_a_loop():
    data = Shapes(count=4)
    for one in data:
        objects = objects_of(one, data.label_spec)
        assert one.instances is not None
        expected = []
        for number in np.unique(one.instances[one.instances > 0]):
            rows, columns = np.nonzero(one.instances == number)
            box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            expected.append(([int(side) for side in box], int(one.labels[MAIN][rows[0], columns[0]])))
        assert list(zip(objects.boxes.tolist(), objects.classes.tolist(), strict=True)) == expected


def test_a_sample_without_labels_is_refused(refuses: Refuses):
    with refuses("a: has no label map", "choose a split"):
        objects_of(Sample("a", np.zeros((4, 4, 3), np.uint8)), SPEC)
