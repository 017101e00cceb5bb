"""EdgeBoxes: it finds what is drawn, in the image's frame, in bounded time, with every number that the paper has."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import Refuses

from pixelwise.geometry import Box, intersection_over_union
from pixelwise.models.hed import create_hed
from pixelwise.proposals.boxes import Proposals, RandomWindows
from pixelwise.proposals.edge_boxes import EdgeBoxes, edge_boxes_module
from pixelwise.proposals.edges import EdgeMap, edges_of
from pixelwise.weights.hed import load_hed

TRUE = (60, 70, 120, 160)
HED_FILE = "hed_vgg16_bsds500.fp16.safetensors"


def rectangle(size: tuple[int, int] = (200, 240), box: tuple[int, int, int, int] = TRUE) -> NDArray[np.uint8]:
    """A red rectangle on grey, with mild noise."""
    image = np.full((*size, 3), 110, np.int64)
    y0, x0, y1, x1 = box
    image[y0:y1, x0:x1] = (190, 60, 50)
    return (image + np.random.default_rng(0).integers(-6, 7, image.shape)).astype(np.uint8)


def best_overlap(proposals: Proposals, box: tuple[int, int, int, int], first: int = 1) -> float:
    return float(intersection_over_union(proposals.boxes[:first], np.array([box])).max())


def test_a_drawn_rectangle_is_the_best_box():
    proposals = EdgeBoxes()(rectangle())
    assert best_overlap(proposals, TRUE) > 0.85
    assert (np.diff(proposals.objectness) <= 0).all()
    assert proposals.box(0) == Box(*proposals.boxes[0])


def test_boxes_lie_inside_the_image_and_are_of_its_frame():
    image = np.repeat(np.repeat(rectangle(), 4, axis=0), 4, axis=1)  # 800 x 960: searched at 417 x 500
    search = EdgeBoxes()
    assert search.searched((800, 960)) == (417, 500)
    assert search.searched((200, 240)) == (200, 240)
    assert replace(search, longest_side=None).searched((800, 960)) == (800, 960)
    proposals = search(image)
    assert best_overlap(proposals, tuple(4 * side for side in TRUE)) > 0.85  # type: ignore[arg-type]
    assert (proposals.boxes[:, :2] >= 0).all()
    assert (proposals.boxes[:, 2:] <= (800, 960)).all()
    assert proposals.boxes.dtype == np.int64


def test_edges_of_ones_own():
    outline = np.zeros((200, 240), np.float32)
    cv2.rectangle(outline, (70, 60), (159, 119), 1.0, thickness=5)  # thick: it must be thinned first
    proposals = EdgeBoxes().of_edges(edges_of(outline))
    assert best_overlap(proposals, TRUE, first=10) > 0.8
    doubled = EdgeBoxes().of_edges(edges_of(outline), size=(400, 480))
    assert np.abs(doubled.boxes - 2 * proposals.boxes).max() == 0


def test_no_edges_give_no_boxes():
    for proposals in (EdgeBoxes()(np.full((100, 120, 3), 9, np.uint8)), EdgeBoxes()(np.zeros((3, 2, 3), np.uint8))):
        assert len(proposals) == 0
        assert proposals.boxes.shape == (0, 4)


def test_noise_takes_bounded_time():
    # Every pixel a strong edge in a direction of its own. Left as it is, one of 200 x 200 took a minute on a busy machine.
    random = np.random.default_rng(0)
    noise = random.random((300, 300), np.float32)
    unthinned = EdgeMap(noise, (random.random((300, 300)) * np.pi).astype(np.float32))
    for edges in (edges_of(noise), unthinned):
        began = time.process_time()
        EdgeBoxes().of_edges(edges)
        assert time.process_time() - began < 5  # measured: 0.6; thinned, but with all its edges: 5.5


def test_only_the_strongest_edges_count():
    faint = np.zeros((100, 100), np.float32)
    faint[20, 20:80], faint[80, 20:80] = 1.0, 0.5
    edges = edges_of(faint)
    few = replace(EdgeBoxes(), most_edges=np.count_nonzero(edges.strength == 1) / faint.size)
    none = np.where(edges.strength == 1, edges.strength, np.float32(0))
    np.testing.assert_array_equal(few.of_edges(edges).boxes, few.of_edges(EdgeMap(none, edges.direction)).boxes)
    assert len(replace(few, most_edges=0.0).of_edges(edges)) == 0


def test_the_defaults_are_opencvs_but_for_how_many_boxes_and_every_number_arrives():
    theirs, ours = cv2.ximgproc.createEdgeBoxes(), EdgeBoxes()
    names = [name for name in ours._opencv() if name != "maxBoxes"]
    assert len(names) == 11
    for name in names:
        assert getattr(theirs, f"get{name[0].upper()}{name[1:]}")() == pytest.approx(ours._opencv()[name], rel=1e-6)
    other = cv2.ximgproc.createEdgeBoxes(**{name: 0.5 * ours._opencv()[name] for name in names}, maxBoxes=7)
    assert other.getGamma() == 1
    assert len(EdgeBoxes(max_boxes=7)(rectangle())) == 7
    assert set(ours.settings) == {field.name for field in fields(ours)} - {"edges"}


def test_numbers_that_make_no_sense_are_refused(refuses: Refuses):
    for name, value in [("alpha", 0.99), ("beta", -1), ("max_boxes", 0), ("longest_side", 0), ("most_edges", 1.5)]:
        with refuses("EdgeBoxes", name, str(value)):
            EdgeBoxes(**{name: value})
    with refuses("min_score", "nan"):
        EdgeBoxes(min_score=float("nan"))


def test_an_opencv_without_ximgproc_is_named(monkeypatch, refuses: Refuses):
    monkeypatch.delattr("cv2.ximgproc")
    with refuses("ximgproc", "pixelwise doctor"):
        edge_boxes_module()


def test_random_windows():
    windows = RandomWindows(count=300)
    image = np.zeros((90, 130, 3), np.uint8)
    boxes = windows(image).boxes
    np.testing.assert_array_equal(windows(image).boxes, boxes)
    assert (RandomWindows(count=300, seed=1)(image).boxes != boxes).any()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (90, 130)).all()
    high, wide = (boxes[:, 2:] - boxes[:, :2]).T
    assert (high * wide).min() > 900
    assert (high * wide).max() > 0.8 * 90 * 130
    assert len(windows(np.zeros((1, 1, 3), np.uint8))) == 300


def test_random_windows_refuse_nonsense(refuses: Refuses):
    with refuses("random windows", "count=0"):
        RandomWindows(count=0)


def test_edges_of_hed_arrive():
    edges = edges_of(create_hed(width=1 / 16).edges(rectangle((40, 50), (10, 10, 20, 20))))
    assert edges.strength.shape == (40, 50)


def test_trained_hed_finds_the_rectangle(real_data: Path):
    path = real_data.parent / "weights" / HED_FILE
    if not path.is_file():
        pytest.skip(f"no {HED_FILE} beside the real data: no trained HED here")
    hed = load_hed(path)
    proposals = EdgeBoxes(lambda image: edges_of(hed.edges(image)))(rectangle())
    assert best_overlap(proposals, TRUE) > 0.7  # measured: 0.77
