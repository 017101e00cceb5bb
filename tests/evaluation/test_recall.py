"""Recall of proposals, against loops and pictures worked out by hand."""

from __future__ import annotations

import numpy as np
from tests.conftest import Refuses

from pixelwise.data.objects import objects_of
from pixelwise.data.shapes import Shapes
from pixelwise.evaluation.recall import COUNTS, measure_recall
from pixelwise.proposals.boxes import Proposals, RandomWindows


def test_recall_equals_a_loop():
    data, windows = Shapes(count=6), RandomWindows(count=60)
    recall = measure_recall(windows, data, (0.3, 0.5))
    for place, threshold in enumerate((0.3, 0.5)):
        for count in (1, 5, 60, 500):
            found = objects = 0
            for sample in data:
                boxes = windows(sample.image).boxes[:count]
                for y0, x0, y1, x1 in objects_of(sample, data.label_spec).boxes:
                    best = 0.0
                    for a0, b0, a1, b1 in boxes:
                        common = max(0, min(y1, a1) - max(y0, a0)) * max(0, min(x1, b1) - max(x0, b0))
                        best = max(best, common / ((y1 - y0) * (x1 - x0) + (a1 - a0) * (b1 - b0) - common))
                    objects += 1
                    found += best >= threshold
            assert recall.at(count)[place] == found / objects
            assert recall.objects == objects
    assert recall.images == 6


def test_the_true_boxes_find_everything_and_none_find_nothing():
    data = Shapes(count=3)
    truths = {sample.image.tobytes(): objects_of(sample, data.label_spec).boxes for sample in data}

    def perfect(image):
        boxes = truths[image.tobytes()]
        return Proposals(boxes, np.zeros(len(boxes), np.float32))

    def blind(image):
        return Proposals(np.zeros((0, 4), np.int64), np.zeros(0, np.float32))

    assert measure_recall(perfect, data, (1.0,)).at(COUNTS[-1]) == (1.0,)
    first = measure_recall(perfect, data, (1.0,)).at(1)[0]
    assert first == 3 / measure_recall(perfect, data).objects
    assert measure_recall(blind, data).at(COUNTS[-1]) == (0.0, 0.0)


def test_more_boxes_and_lower_thresholds_find_no_less():
    recall = measure_recall(RandomWindows(), Shapes(count=5), (0.3, 0.5, 0.7))
    values = np.array([recall.at(count) for count in COUNTS])
    assert (np.diff(values, axis=0) >= 0).all()
    assert (np.diff(values, axis=1) <= 0).all()
    assert values[-1, 0] > 0.3


def test_what_cannot_be_measured_is_refused(refuses: Refuses):
    for thresholds in ((), (0,), (1.5,)):
        with refuses("thresholds above 0", "choose others"):
            measure_recall(RandomWindows(), Shapes(count=1), thresholds)
    with refuses("no object in the 1 images"):
        measure_recall(RandomWindows(), Shapes(count=1).with_classes(["background"]))
