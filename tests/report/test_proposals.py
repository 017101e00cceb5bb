"""Pictures of proposals: the best box lies on top, and the page of recalls is written whole."""

import numpy as np
from PIL import Image

from pixelwise.data.shapes import Shapes
from pixelwise.evaluation.recall import measure_recall
from pixelwise.proposals.boxes import Proposals, RandomWindows
from pixelwise.report.proposals import draw_boxes, draw_recall

BLUE, VERMILION = (0x56, 0xB4, 0xE9), (0xD5, 0x5E, 0x00)


def test_the_best_box_is_vermilion_and_lies_on_top_of_the_others_in_blue():
    boxes = np.array([[10, 10, 50, 50], [10, 20, 60, 70], [30, 5, 40, 15]])
    image = np.full((80, 90, 3), 200, np.uint8)
    drawn = draw_boxes(image, Proposals(boxes, np.array([3, 2, 1], np.float32)), count=2)
    assert tuple(drawn[10, 30]) == VERMILION  # where both have a side
    assert tuple(drawn[49, 49]) == VERMILION
    assert tuple(drawn[59, 60]) == BLUE
    assert tuple(drawn[39, 5]) == (200, 200, 200)  # the third is not asked for
    assert (image == 200).all()


def test_no_boxes_leave_the_image_and_one_is_drawn_as_the_best():
    image = np.full((20, 30, 3), 200, np.uint8)
    none = Proposals(np.zeros((0, 4), np.int64), np.zeros(0, np.float32))
    np.testing.assert_array_equal(draw_boxes(image, none), image)
    one = draw_boxes(image, Proposals(np.array([[2, 2, 15, 15]]), np.ones(1, np.float32)))
    assert tuple(one[2, 8]) == VERMILION


def test_recalls_are_drawn(tmp_path):
    data = Shapes(count=2)
    recalls = {f"seed {seed}": measure_recall(RandomWindows(seed=seed), data) for seed in (0, 1)}
    draw_recall(recalls, tmp_path / "recall.png")
    with Image.open(tmp_path / "recall.png") as picture:
        assert picture.size == (1200, 800)
    assert [path.name for path in tmp_path.iterdir()] == ["recall.png"]
