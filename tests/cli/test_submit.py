"""`pixelwise submit`: VOC's folder in, the server's folder out, or one line and nothing."""

import json

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import tree
from tests.data.pictures import save_image

from pixelwise.data.voc import VOC_CLASSES
from pixelwise.labels import LabelSpec, write_classes

FILES = "results/VOC2012/Segmentation/comp6_test_cls"


@pytest.fixture
def voc(tmp_path):
    """VOC's layout with two test images, which have no masks."""
    root = tmp_path / "VOC2012"
    for name, size in (("2008_000006", (4, 6)), ("2008_000011", (5, 3))):
        save_image(root / "JPEGImages" / f"{name}.jpg", size=size)
    (root / "SegmentationClass").mkdir()
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "test.txt").write_text("2008_000006\n2008_000011\n")
    return root


@pytest.fixture
def predictions(tmp_path):
    folder = tmp_path / "predictions"
    write_classes(folder / "classes.txt", LabelSpec(("cat", "background")))
    for name, size in (("2008_000006", (4, 6)), ("2008_000011", (5, 3))):
        Image.fromarray(np.zeros(size, np.uint8)).save(folder / f"{name}.png")
    return folder


def test_predictions_become_a_submission(pixelwise, predictions, voc, tmp_path):
    answer = pixelwise("submit", predictions, voc, "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out) == {"archive": str(tmp_path / "out" / "comp6_test_cls.tar.gz"), "images": 2}
    assert "never predicted, unknown to the model: aeroplane, bicycle" in answer.err
    with Image.open(tmp_path / "out" / FILES / "2008_000011.png") as picture:
        assert (picture.mode, picture.size) == ("P", (3, 5))
        assert set(np.asarray(picture).ravel().tolist()) == {VOC_CLASSES.index("cat")}


def test_a_model_of_other_classes_is_refused(pixelwise, model, voc, tmp_path):
    complaint = pixelwise("submit", model, voc, "--out", tmp_path / "out").complaint
    assert "the model's class 'disc' is none of VOC's 21" in complaint
    assert not (tmp_path / "out").exists()


def _missing(predictions, voc):
    (predictions / "2008_000011.png").unlink()


def _small(predictions, voc):
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(predictions / "2008_000011.png")


def _unsure(predictions, voc):
    Image.fromarray(np.full((5, 3), 255, np.uint8)).save(predictions / "2008_000011.png")


def _no_list(predictions, voc):
    (voc / "ImageSets" / "Segmentation" / "test.txt").rename(voc / "ImageSets" / "Segmentation" / "val.txt")


@pytest.mark.parametrize(
    ("spoil", "words", "parts"),
    [
        (_missing, (), ("1 have no NAME.png with its prediction (first 2008_000011)",)),
        (_small, (), ("2008_000011.png is 2 high and 2 wide, but its image is 5 high and 3 wide",)),
        (_unsure, (), ("2008_000011.png holds the value 255 (15 pixels), expected 0..20",)),
        (_no_list, (), ("no split 'test'",)),
        (None, ("--competition", "comp7"), ("unknown competition 'comp7'", "comp6")),
        (None, ("--out", "VOC"), ("holds other files", "choose another --out")),
    ],
)
def test_one_line_and_nothing_written(spoil, words, parts, pixelwise, predictions, voc, tmp_path):
    if spoil:
        spoil(predictions, voc)
    before = tree(tmp_path)
    answer = pixelwise(
        "submit", predictions, voc, "--out", tmp_path / "out", *(word.replace("VOC", str(voc)) for word in words)
    )
    for part in parts:
        assert part in answer.complaint
    assert tree(tmp_path) == before
