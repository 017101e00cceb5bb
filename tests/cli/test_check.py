"""`pixelwise check`: what it says of good and bad sets, as text and as JSON."""

import json

import pytest
from PIL import Image


def test_a_good_set(pixelwise):
    answer = pixelwise("check", "shapes:200")
    assert answer.code == 0
    assert answer.out.splitlines()[-1] == "shapes:200: nothing wrong"
    assert "checking 200/200" in answer.err


def test_the_data_are_announced_once(pixelwise, data):
    answer = pixelwise("check", data)
    assert answer.err.count("folder of images and masks") == 1
    assert "8 images, split train; 6 classes" in answer.err
    assert "2 images, split val; 6 classes" in answer.err


def test_the_json_is_the_report_and_nothing_else(pixelwise, data):
    report = json.loads(pixelwise("check", data, "--json").out)
    assert report["images"] == 10
    assert report["sizes"] == [{"height": 48, "width": 64, "images": 10}]
    assert len(report["classes"]) == 6
    assert all(problem["level"] == "warning" for problem in report["problems"])


@pytest.mark.parametrize("count", [1, 2])
def test_errors_are_listed_and_the_code_is_2(count, pixelwise, data):
    for index in range(count):
        (data / "images" / f"shapes_0000{index}.png").write_text("hello")
    answer = pixelwise("check", data, "--json")
    assert answer.complaint == f"{data}: {count} error{'s' * (count > 1)}"
    errors = [problem["text"] for problem in json.loads(answer.out)["problems"] if problem["level"] == "error"]
    assert len(errors) == count
    assert "images/shapes_00000.png: not a readable picture" in errors[0]
    text = pixelwise("check", data)
    assert text.code == 2
    assert f"error: {errors[0]}" in text.out


def test_a_set_without_splits_of_the_usual_names(pixelwise, tmp_path):
    for name in ("a", "b"):
        for folder, mode in (("images", "RGB"), ("masks", "L")):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.linear_gradient("L").convert("1").resize((8, 8)).convert(mode).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "spring.txt").write_text("a\nb\n")
    answer = pixelwise("check", tmp_path)
    assert "2 images, split all" in answer.err
    assert "the same picture 2 times" in answer.out
