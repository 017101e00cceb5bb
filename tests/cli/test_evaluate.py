"""`pixelwise evaluate`: the measures as text and as JSON, and classes that do not correspond."""

import json

import numpy as np
import pytest
from PIL import Image

from pixelwise.data.shapes import CLASSES, Shapes
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.inference.loading import load


def test_the_json_is_the_measures_and_nothing_else(pixelwise, model, data):
    answer = pixelwise("evaluate", model, data, "--json")
    report = json.loads(answer.out, parse_constant=_refuse)
    assert (report["split"], report["images"], report["classes"]) == ("val", 2, list(CLASSES))
    measures = evaluate(load(model).predictor, Shapes(count=10, size=(48, 64)).split("val")).measures()
    assert report["mean_iou"] == pytest.approx(measures.mean_iou)
    assert report["pixels"] == 2 * 48 * 64
    assert "evaluating 2/2" in answer.err


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_the_table_has_a_line_a_class(pixelwise, model, data):
    answer = pixelwise("evaluate", model, data)
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(CLASSES)]] == list(CLASSES)
    assert any(line.startswith("mean IoU") for line in lines)
    assert lines[-1] == "2 images, 6,144 labelled pixels, one confusion matrix over all of them"


def test_classes_that_are_nowhere_are_null(pixelwise, model, data):
    for mask in (data / "masks").iterdir():
        Image.fromarray(np.zeros((48, 64), np.uint8)).save(mask)
    report = json.loads(pixelwise("evaluate", model, data, "--json").out, parse_constant=_refuse)
    assert report["accuracy"][1:] == [None] * 5
    text = pixelwise("evaluate", model, data).out
    assert "n/a" in text
    assert "nan" not in text


@pytest.mark.parametrize(("split", "images"), [("train", 8), ("all", 10)])
def test_other_splits(split, images, pixelwise, model, data):
    assert json.loads(pixelwise("evaluate", model, data, "--split", split, "--json").out)["images"] == images


def test_classes_that_the_model_does_not_know_are_listed(pixelwise, model, data):
    with (data / "classes.txt").open("a") as classes:
        classes.write("6 hedgehog\n")
    answer = pixelwise("evaluate", model, data, "--json")
    assert "ignored, unknown to the model: hedgehog" in answer.err
    assert json.loads(answer.out)["ignored_classes"] == ["hedgehog"]


def test_a_class_that_the_data_lack_is_an_error(pixelwise, model, data):
    classes = (data / "classes.txt").read_text().replace("disc", "disk")
    (data / "classes.txt").write_text(classes)
    complaint = pixelwise("evaluate", model, data).complaint
    assert "the model's class 'disc' is not a class of the data set" in complaint
    assert "classes.txt" in complaint


def test_nothing_labelled_is_nothing_to_measure_by(pixelwise, model, data):
    for mask in (data / "masks").iterdir():
        Image.new("L", (64, 48), 255).save(mask)
    answer = pixelwise("evaluate", model, data, "--json")
    assert "no labelled pixel of the model's classes in split 'val'" in answer.complaint
    assert answer.out == ""
