"""TensorBoard's files, read back with its own reader."""

import io
import sys

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pixelwise.data.shapes import LABEL_SPEC, Shapes
from pixelwise.labels import IGNORE
from pixelwise.report.board import LONGEST_SIDE, PICTURES, Board, side_by_side
from pixelwise.training.loop import Progress


def at(step, *, score=None, parts=None) -> Progress:
    parts = {"pixels": 1.0 / step} if parts is None else parts
    return Progress(step, 10, sum(parts.values()), parts, 0.01, score, score, 2.0 * step)


def write(folder, *told, speed=None) -> None:
    board = Board(folder, LABEL_SPEC)
    for progress in told:
        board.tell(progress, speed)
    board.close()


def shown(folder) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def points(folder, tag) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value)) for event in shown(folder).Scalars(tag)]


def test_numbers_of_every_step(tmp_path):
    write(tmp_path, at(1), at(2, score=0.25), speed=3.5)
    assert points(tmp_path, "loss/all") == [(1, 1.0), (2, 0.5)]
    assert points(tmp_path, "learning rate") == [(1, 0.01), (2, 0.01)]
    assert points(tmp_path, "images per second") == [(1, 3.5), (2, 3.5)]
    assert points(tmp_path, "validation/mIoU") == [(2, 0.25)]
    assert set(shown(tmp_path).Tags()["scalars"]) == {
        "loss/all", "learning rate", "images per second", "validation/mIoU",
    }  # fmt: skip


def test_parts_of_the_loss_where_there_are_several(tmp_path):
    write(tmp_path, at(1, parts={"pixels": 0.75, "image": 0.25}))
    assert points(tmp_path, "loss/pixels") == [(1, 0.75)]
    assert points(tmp_path, "loss/image") == [(1, 0.25)]
    assert points(tmp_path, "loss/all") == [(1, 1.0)]


def test_a_run_that_goes_on_shows_no_step_twice(tmp_path):
    write(tmp_path, at(1), at(2), at(3), at(4))
    write(tmp_path, at(3), at(4), at(5))  # as after a kill: the state was of step 2
    assert [step for step, _ in points(tmp_path, "loss/all")] == [1, 2, 3, 4, 5]


def test_a_few_samples_are_shown_with_truth_and_prediction(tmp_path):
    data = Shapes(count=10, size=(48, 64))
    board = Board(tmp_path, LABEL_SPEC)
    for step in (1, 2):
        board.look(lambda image: np.eye(len(LABEL_SPEC))[1][:, None, None] * np.ones(image.shape[:2]), data)
        board.tell(at(step), None)
    board.tell(at(3), None)
    board.close()
    events = shown(tmp_path)
    tags = events.Tags()["images"]
    assert tags == [f"image, truth, prediction/{data.names[index]}" for index in (0, 3, 6, 9)]
    assert len(tags) == PICTURES
    pictures = events.Images(tags[0])
    assert [picture.step for picture in pictures] == [1, 2]
    picture = np.asarray(Image.open(io.BytesIO(pictures[0].encoded_image_string)))
    assert picture.shape == (300, 3 * LONGEST_SIDE + 8, 3)
    shown_image = Image.fromarray(picture[:, :LONGEST_SIDE]).resize((64, 48), Image.Resampling.BOX)
    assert np.abs(np.asarray(shown_image, int) - data[0].image).mean() < 5


def test_fewer_samples_than_there_is_room_for(tmp_path):
    board = Board(tmp_path, LABEL_SPEC)
    board.look(lambda image: np.zeros((len(LABEL_SPEC), *image.shape[:2])), Shapes(count=2, size=(48, 64)))
    board.tell(at(1), None)
    board.close()
    assert len(shown(tmp_path).Tags()["images"]) == 2


def test_large_pictures_are_shrunk_and_what_is_ignored_stays_untinted():
    image = np.full((100, 1000, 3), 80, np.uint8)
    ignored, disc = np.full((100, 1000), IGNORE, np.uint8), np.ones((100, 1000), np.uint8)
    picture = side_by_side(image, ignored, disc, LABEL_SPEC)
    assert picture.shape == (40, 3 * LONGEST_SIDE + 8, 3)
    assert (picture[:, LONGEST_SIDE + 4 : 2 * LONGEST_SIDE + 4] == 80).all()
    assert not (picture[:, 2 * LONGEST_SIDE + 8 :] == 80).all()


def test_without_tensorboard_it_says_what_to_install(tmp_path, monkeypatch, refuses):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with refuses("tensorboard", "pip install 'pixelwise[tensorboard]'"):
        Board(tmp_path, LABEL_SPEC)
