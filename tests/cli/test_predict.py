"""`pixelwise predict`: pictures of every kind in, a label map for each out; one bad file stops no other."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import tree

from pixelwise.data.shapes import CLASSES, LABEL_SPEC, Shapes
from pixelwise.label_maps import read_label_map
from pixelwise.labels import read_classes

PICTURE = Image.fromarray(Shapes(count=1, size=(48, 64))[0].image)


@pytest.fixture
def masks(tmp_path) -> Path:
    """Where predictions go."""
    return tmp_path / "masks"


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("colour.jpg", PICTURE),
        ("grey.png", PICTURE.convert("L")),
        ("grey_alpha.png", PICTURE.convert("LA")),
        ("palette.png", PICTURE.quantize(16)),
        ("rgba.png", PICTURE.convert("RGBA")),
        ("cmyk.jpg", PICTURE.convert("CMYK")),
        ("bits.png", PICTURE.convert("1")),
        ("bitmap.bmp", PICTURE),
        ("web.webp", PICTURE),
        ("UPPER.JPEG", PICTURE),
        ("one_pixel.png", PICTURE.resize((1, 1))),
        ("thin.png", PICTURE.resize((200, 1))),
        ("with blanks.png", PICTURE),
        ("two  blanks.jpg", PICTURE),
        ("ünïcödé 日本 🐈.png", PICTURE),
        ("two.dots.png", PICTURE),
        ("-dash.png", PICTURE),
        ("[brackets].png", PICTURE),
    ],
)
def test_pictures_of_every_kind(name, picture, pixelwise, model, tmp_path, masks):
    picture.save(tmp_path / name)
    answer = pixelwise("predict", model, tmp_path / name, "--out", masks)
    assert answer.code == 0, answer.err
    written = masks / f"{Path(name).stem}.png"
    assert str(written) in answer.out
    labels = read_label_map(written, LABEL_SPEC)
    assert labels.shape == (picture.height, picture.width)
    assert tree(masks).keys() == {written.name, "classes.txt"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text.png", b"hello", "text.png: not a readable picture"),
        ("notes.txt", b"hello", "notes.txt: not a readable picture"),
        ("empty.jpg", b"", "empty.jpg: not a readable picture"),
        ("two  blanks.jpg", b"", "two  blanks.jpg: not a readable picture"),
        ("deep.png", "I;16", "deep.png: a picture of mode I;16 has no 8-bit colours; save it as 8-bit RGB"),
        ("float.tif", "F", "float.tif: a picture of mode F has no 8-bit colours"),
        ("cut.jpg", "cut", "cut.jpg: not a readable picture"),
    ],
)
def test_one_bad_picture_stops_no_other(name, content, said, pixelwise, model, tmp_path, masks):
    good = [tmp_path / "a.png", tmp_path / "z.png"]
    for path in good:
        PICTURE.save(path)
    bad = tmp_path / name
    if content == "cut":
        PICTURE.save(bad)
        bad.write_bytes(bad.read_bytes()[:500])
    elif isinstance(content, str):
        PICTURE.convert("L").convert("I" if content == "I;16" else content).convert(content).save(bad)
    else:
        bad.write_bytes(content)
    answer = pixelwise("predict", model, good[0], bad, good[1], "--out", masks, "--json")
    assert f"pixelwise: {tmp_path}/{said}" in answer.err
    assert answer.complaint == "1 of 3 pictures failed, the others are done"
    report = json.loads(answer.out)
    assert [entry["picture"] for entry in report["done"]] == [str(path) for path in good]
    assert [entry["picture"] for entry in report["failed"]] == [str(bad)]
    assert said in report["failed"][0]["error"]
    assert tree(masks).keys() == {"a.png", "z.png", "classes.txt"}  # and no half-written file beside them


def test_the_report_is_json_and_nothing_else(pixelwise, model, data, masks):
    answer = pixelwise("predict", model, data / "images", "--out", masks, "--json")
    report = json.loads(answer.out)
    assert report["failed"] == []
    assert len(report["done"]) == 10
    for entry in report["done"]:
        assert Path(entry["labels"]).is_file()
        assert sum(entry["areas"].values()) == pytest.approx(1)
        assert set(entry["areas"]) <= set(CLASSES)
    assert "predicting 10/10" in answer.err


def test_the_text_names_each_label_map_and_its_classes(pixelwise, model, data, masks):
    answer = pixelwise("predict", model, data / "images", "--out", masks)
    lines = answer.out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith(str(masks / "shapes_00000.png"))
    assert "%" in lines[0]
    assert read_classes(masks / "classes.txt") == LABEL_SPEC


def test_overlay_and_probabilities_on_request(pixelwise, model, tmp_path, masks):
    PICTURE.save(tmp_path / "a.png")
    assert pixelwise("predict", model, tmp_path / "a.png", "--out", masks, "--overlay", "--probabilities").code == 0
    assert tree(masks).keys() == {"a.png", "a_overlay.jpg", "a_probabilities.npz", "classes.txt"}
    with Image.open(masks / "a_overlay.jpg") as overlay:
        assert overlay.size == PICTURE.size
    with np.load(masks / "a_probabilities.npz") as file:
        assert file["probabilities"].shape == (len(LABEL_SPEC), PICTURE.height, PICTURE.width)
        assert tuple(file["classes"]) == LABEL_SPEC.names


def test_folders_keep_their_arrangement(pixelwise, model, tmp_path, masks):
    photos = tmp_path / "photos"
    for name in ("a.png", "deep/er/a.png", ".hidden.png", ".trash/a.png", "deep/._a.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        PICTURE.save(photos / name)
    (photos / "notes.txt").write_text("not a picture")
    assert pixelwise("predict", model, photos, "--out", masks).code == 0
    files = {name for name, content in tree(masks).items() if content is not None}
    assert files == {"a.png", "deep/er/a.png", "classes.txt"}


def test_patterns_and_repeated_words(pixelwise, model, data, masks):
    words = (data / "images" / "*3.png", data / "images" / "shapes_0000[13].png", data / "images" / "shapes_00003.png")
    assert pixelwise("predict", model, *words, "--out", masks).code == 0
    assert tree(masks).keys() == {"shapes_00001.png", "shapes_00003.png", "classes.txt"}


def test_the_output_of_an_earlier_run_is_no_input(pixelwise, model, data):
    masks = data / "images" / "masks"
    assert pixelwise("predict", model, data / "images", "--out", masks).code == 0
    before = tree(masks)
    again = pixelwise("predict", model, data / "images", "--out", masks, "--json")
    assert len(json.loads(again.out)["done"]) == 10
    assert tree(masks) == before


@pytest.mark.parametrize("spelt", ["", "../images"])
def test_no_picture_is_written_over(spelt, pixelwise, model, data):
    before = tree(data)
    answer = pixelwise("predict", model, data / "images" / spelt, "--out", data / "images")
    assert "would be written over by what is made of" in answer.complaint
    assert tree(data) == before


def test_two_pictures_of_one_name(pixelwise, model, tmp_path, masks):
    for name in ("a.png", "b/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PICTURE.save(tmp_path / name)
    complaint = pixelwise("predict", model, tmp_path / "a.png", tmp_path / "b" / "a.jpg", "--out", masks).complaint
    assert complaint.endswith("would both become a.png: give them apart")
    assert not masks.exists()


def test_a_folder_without_pictures(pixelwise, model, tmp_path, masks):
    (tmp_path / "empty").mkdir()
    complaint = pixelwise("predict", model, tmp_path / "empty", "--out", masks).complaint
    assert f"{tmp_path / 'empty'}: no pictures in it; expected files ending in .bmp, .jpeg, .jpg" in complaint
    assert not masks.exists()


def test_the_classes_of_a_data_set_are_not_written_over(pixelwise, model, data, tmp_path):
    (data / "classes.txt").write_text("0 road\n1 sky\n")
    before = tree(data)
    complaint = pixelwise("predict", model, data / "images", "--out", data).complaint
    assert complaint == f"{data / 'classes.txt'}: holds other classes than the model has; choose another --out"
    assert tree(data) == before


def test_a_run_is_a_model_too(pixelwise, model, data, tmp_path, masks):
    shutil.copytree(model, tmp_path / "run" / "model")
    assert pixelwise("predict", tmp_path / "run", data / "images" / "shapes_00000.png", "--out", masks).code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a file name any bytes")
def test_names_that_no_terminal_can_show(model, tmp_path, masks):
    picture = os.fsencode(tmp_path) + b"/\xff.png"
    stored = io.BytesIO()
    PICTURE.save(stored, "PNG")
    Path(os.fsdecode(picture)).write_bytes(stored.getvalue())
    command = [sys.executable, "-m", "pixelwise", "predict", model, picture, "--out", masks]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert b"\\udcff.png" in done.stdout
