"""`pixelwise compare`: the numbers of each model are those that `evaluate` gives, whatever the order of its classes."""

import json
from dataclasses import replace

import pytest
import torch

from pixelwise.data.shapes import CLASSES
from pixelwise.labels import LabelSpec
from pixelwise.weights.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def other(model, tmp_path_factory):
    """The same network with other scores, and with its classes in the opposite order."""
    checkpoint = load_checkpoint(model)
    torch.manual_seed(1)
    for layer in checkpoint.network.decoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.1)
    folder = tmp_path_factory.mktemp("models") / "other"
    save_checkpoint(folder, replace(checkpoint, label_spec=LabelSpec(CLASSES[::-1])))
    return folder


def test_the_numbers_are_those_of_evaluate(pixelwise, model, other, data):
    both = json.loads(pixelwise("compare", model, other, data, "--json").out)
    assert [one["model"] for one in both["models"]] == ["narrow", "other"]
    for folder, one in zip((model, other), both["models"], strict=True):
        alone = json.loads(pixelwise("evaluate", folder, data, "--json").out)
        assert one["mean_iou"]["value"] == pytest.approx(alone["mean_iou"])
        ious = dict(zip(alone["classes"], alone["iou"], strict=True))
        assert {entry["name"]: entry["iou"] for entry in one["classes"]} == pytest.approx(ious, nan_ok=True)
        assert [entry["name"] for entry in one["classes"]] == list(CLASSES)  # the first model's order
    (difference,) = both["differences"]
    assert (difference["model"], difference["minus"]) == ("other", "narrow")
    values = [one["pixel_accuracy"]["value"] for one in both["models"]]
    assert difference["pixel_accuracy"]["value"] == pytest.approx(values[1] - values[0])


def test_the_text_has_a_column_a_model(pixelwise, model, other, data):
    answer = pixelwise("compare", model, other, data)
    lines = answer.out.splitlines()
    assert lines[0].split() == ["class", "narrow", "other"]
    assert [line.split()[0] for line in lines[1:7]] == list(CLASSES)
    assert any(line.startswith("other minus narrow") for line in lines)
    assert lines[-1].startswith("2 images, 6,144 labelled pixels; in brackets 95 % intervals over images.")
    assert "evaluating other 2/2" in answer.err


def test_predictions_in_a_folder_are_compared_like_models(pixelwise, model, data, tmp_path):
    pixelwise("predict", model, data / "images", "--out", tmp_path / "kept")
    both = json.loads(pixelwise("compare", model, tmp_path / "kept", data, "--json").out)
    assert both["differences"][0]["mean_iou"]["value"] == 0
    assert both["models"][0]["confusion"] == both["models"][1]["confusion"]


def test_a_report_is_written(pixelwise, model, other, data, tmp_path):
    answer = pixelwise("compare", model, other, data, "--report", tmp_path / "report", "--split", "all")
    assert f"report: {tmp_path / 'report' / 'report.html'}" in answer.err
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "metrics.json", "per_image.csv", "report.html",
    ]  # fmt: skip
    numbers = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert [one["images"] for one in numbers["models"]] == [10, 10]
    assert all("trimap" in one for one in numbers["models"])


def test_a_folder_with_other_things_is_not_replaced(pixelwise, model, other, data):
    complaint = pixelwise("compare", model, other, data, "--report", data).complaint
    assert "holds other things than a report" in complaint
    assert (data / "images").is_dir()


def test_what_cannot_be_compared(pixelwise, model, data, tmp_path):
    checkpoint = load_checkpoint(model)
    renamed = LabelSpec((*CLASSES[:-1], "hedgehog"))
    save_checkpoint(tmp_path / "renamed", replace(checkpoint, label_spec=renamed))
    complaint = pixelwise("compare", model, tmp_path / "renamed", data).complaint
    assert "only one of narrow and renamed has 'hedgehog'" in complaint
    assert "compare models of the same classes" in complaint
    assert "got 1 model" in pixelwise("compare", model, data).complaint
    assert "given twice" in pixelwise("compare", model, model.parent / "." / "narrow", data).complaint
    assert "an empty word" in pixelwise("compare", model, "", data).complaint
    assert "no such model directory" in pixelwise("compare", model, tmp_path / "nowhere", data).complaint


def test_predictions_that_are_missing_are_told_before_anything_is_counted(pixelwise, model, data, tmp_path):
    pixelwise("predict", model, data / "images", "--out", tmp_path / "kept")
    next((tmp_path / "kept").rglob("*4.png")).unlink()  # shapes_00004 is in val
    answer = pixelwise("compare", model, tmp_path / "kept", data)
    assert "NAME.png" in answer.complaint


def test_means_over_some_classes(pixelwise, model, other, data):
    for options in (["--foreground"], ["--classes", "disc, ring", "--absent", "zero"]):
        both = json.loads(pixelwise("compare", model, other, data, "--json", *options).out)
        for folder, one in zip((model, other), both["models"], strict=True):
            alone = json.loads(pixelwise("evaluate", folder, data, "--json", *options).out)
            assert one["mean_iou"]["value"] == pytest.approx(alone["mean_iou"])
        first, second = (one["mean_iou"]["value"] for one in both["models"])
        assert both["differences"][0]["mean_iou"]["value"] == pytest.approx(second - first)
    assert "did you mean 'disc'" in pixelwise("compare", model, other, data, "--classes", "dics").complaint
    assert "rule for absent classes" in pixelwise("compare", model, other, data, "--absent", "perhaps").complaint
    assert (
        "give one of the two" in pixelwise("compare", model, other, data, "--classes", "disc", "--foreground").complaint
    )
