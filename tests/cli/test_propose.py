"""`pixelwise propose` and `pixelwise recall`: boxes and pictures, an interrupted run that goes on, mistakes in one line."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import tree
from tests.proposals.test_edge_boxes import HED_FILE, TRUE, best_overlap, rectangle

from pixelwise.proposals.boxes import Proposals


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Two pictures of a rectangle, one in a sub-folder."""
    folder = tmp_path / "pictures"
    (folder / "inner").mkdir(parents=True)
    Image.fromarray(rectangle()).save(folder / "a.png")
    Image.fromarray(rectangle(box=(20, 30, 90, 100))).save(folder / "inner" / "b.jpg", quality=95)
    return folder


def read(path: Path) -> Proposals:
    record = json.loads(path.read_text())
    return Proposals(np.array(record["boxes"]), np.array(record["objectness"], np.float32))


def test_a_folder_becomes_boxes_and_pictures(pixelwise, pictures, tmp_path):
    out = tmp_path / "boxes"
    answer = pixelwise("propose", pictures, "--out", out, "--set", "max_boxes=50", "--set", "beta=0.8")
    assert answer.code == 0, answer.err
    assert sorted(tree(out)) == ["a.json", "a_boxes.jpg", "inner", "inner/b.json", "inner/b_boxes.jpg"]
    assert best_overlap(read(out / "a.json"), TRUE) > 0.85
    record = json.loads((out / "inner" / "b.json").read_text())
    assert record["size"] == [200, 240]
    assert record["made_by"]["edges"] == "gradient"
    assert (record["made_by"]["beta"], record["made_by"]["alpha"]) == (0.8, 0.65)
    assert len(record["boxes"]) == len(record["objectness"]) <= 50
    with Image.open(out / "a_boxes.jpg") as drawn:
        assert drawn.size == (240, 200)
    assert f"{out / 'a.json'}  " in answer.out


def test_what_is_there_is_kept_unless_anything_changed(pixelwise, pictures, tmp_path):
    out = tmp_path / "boxes"

    def kept(*words: str) -> list[bool]:
        answer = pixelwise("propose", pictures, "--out", out, "--json", *words)
        assert answer.code == 0, answer.err
        return [entry["kept"] for entry in json.loads(answer.out)["done"]]

    assert kept() == [False, False]
    first = tree(out)
    assert kept() == [True, True]
    (out / "a_boxes.jpg").unlink()
    assert kept() == [False, True]
    (out / "a.json").write_text('{"boxes": [')
    assert kept() == [False, True]
    assert kept("--force") == [False, False]
    assert tree(out) == first
    assert kept("--set", "beta=0.5") == [False, False]
    later = (out / "a.json").stat().st_mtime_ns + 10**9
    os.utime(pictures / "a.png", ns=(later, later))
    assert kept("--set", "beta=0.5") == [False, True]


def test_a_broken_picture_is_reported_and_the_others_are_done(pixelwise, pictures, tmp_path):
    (pictures / "broken.png").write_bytes(b"no picture")
    answer = pixelwise("propose", pictures, "--out", tmp_path / "boxes")
    assert answer.complaint == "1 of 3 pictures failed, the others are done"
    assert "broken.png: not a readable picture" in answer.err
    assert (tmp_path / "boxes" / "inner" / "b.json").is_file()
    assert not (tmp_path / "boxes" / "broken.json").exists()


@pytest.mark.parametrize("form", ["npy", "png", "folder"])
def test_edges_of_ones_own(form, pixelwise, pictures, tmp_path):
    outline = np.zeros((200, 240), np.uint8)
    y0, x0, y1, x1 = 30, 40, 130, 190
    outline[[y0, y1 - 1], x0:x1] = outline[y0:y1, [x0, x1 - 1]] = 255
    place = tmp_path / "edges" / "a.npy"
    place.parent.mkdir()
    if form == "png":
        place = place.with_suffix(".png")
        Image.fromarray(outline).save(place)
    else:
        np.save(place, outline / 255)
    given = place.parent if form == "folder" else place
    answer = pixelwise("propose", pictures / "a.png", "--out", tmp_path / "boxes", "--edges", given)
    assert answer.code == 0, answer.err
    assert best_overlap(read(tmp_path / "boxes" / "a.json"), (y0, x0, y1, x1)) > 0.85
    assert place.name in json.loads((tmp_path / "boxes" / "a.json").read_text())["made_by"]["edges"]


def test_edges_of_hed(real_data, pixelwise, pictures, tmp_path):
    path = real_data.parent / "weights" / HED_FILE
    if not path.is_file():
        pytest.skip(f"no {HED_FILE} beside the real data: no trained HED here")
    words = ("propose", pictures / "a.png", "--out", tmp_path / "boxes", "--edges", "hed", "--weights", path)
    assert pixelwise(*words).code == 0
    assert best_overlap(read(tmp_path / "boxes" / "a.json"), TRUE) > 0.7  # measured: 0.77


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("PICTURES/none.png",), ("none.png: no such file",)),
        (("PICTURES", "--edges", "gradent"), ("--edges gradent", "expected gradient, hed", "no such file")),
        (("PICTURES", "--edges", "hed"), ("--edges hed needs", "--weights FILE")),
        (("PICTURES", "--weights", "PICTURES/a.png"), ("goes with --edges hed",)),
        (("PICTURES", "--edges", "hed", "--weights", "PICTURES/a.png"), ("a.png",)),
        (("PICTURES", "--set", "bta=1"), ("'bta'", "did you mean 'beta'?")),
        (("PICTURES", "--set", "beta=2"), ("beta from 0 to 1, got 2",)),
        (("PICTURES", "--set", "beta=high"), ("beta=high: expected a number",)),
        (("PICTURES", "--set", "max_boxes=1.5"), ("max_boxes=1.5: expected a whole number",)),
        (("PICTURES", "--set", "beta"), ("expected key=value", "max_boxes=500")),
        (("PICTURES/a.png", "--out", "PICTURES"), ("holds the pictures", "choose another --out")),
        (("PICTURES/a.png", "--out", "PICTURES/a.png"), ("a file", "choose another --out")),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(words, parts, pixelwise, pictures, tmp_path):
    given = [str(word).replace("PICTURES", str(pictures)) for word in words]
    before = tree(tmp_path)
    out = () if "--out" in given else ("--out", tmp_path / "boxes")
    complaint = pixelwise("propose", *given, *out).complaint
    for part in parts:
        assert part in complaint
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("made", "part"),
    [
        (np.zeros((3, 4)), "an edge map of (3, 4), but"),
        (np.zeros((2, 3, 4)), "expected an array (H, W)"),
        (np.full((200, 240), 9.0), "edge strengths 0..1, got 9..9"),
        (b"no array", "not a readable .npy file"),
        (None, "has no edge map called a.npy"),
    ],
)
def test_edge_maps_that_do_not_fit_are_told_for_their_picture(made, part, pixelwise, pictures, tmp_path):
    place = tmp_path / "edges" / "a.npy"
    place.parent.mkdir()
    if isinstance(made, np.ndarray):
        np.save(place, made)
    elif made is not None:
        place.write_bytes(made)
    given = place if made is not None else place.parent
    answer = pixelwise("propose", pictures / "a.png", "--out", tmp_path / "boxes", "--edges", given)
    assert answer.complaint == "1 of 1 pictures failed, the others are done"
    assert part in answer.err
    assert not (tmp_path / "boxes").exists() or not tree(tmp_path / "boxes")


@pytest.mark.parametrize("verb", ["propose", "recall"])
def test_an_opencv_without_ximgproc_is_one_line(verb, pixelwise, pictures, tmp_path, monkeypatch):
    monkeypatch.delattr("cv2.ximgproc")
    words = {"propose": (pictures, "--out", tmp_path / "boxes"), "recall": ("shapes:5",)}[verb]
    assert "has no ximgproc" in pixelwise(verb, *words).complaint


def test_recall_says_the_same_in_text_and_json_and_draws(pixelwise, tmp_path):
    words = ("recall", "shapes:10", "--edges", "random", "--edges", "gradient", "--split", "val")
    answer = pixelwise(*words, "--figure", tmp_path / "recall.png", "--json")
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert (record["images"], record["split"], list(record["recall"])) == (2, "val", ["random", "gradient"])
    text = pixelwise(*words).out
    row = next(line.split() for line in text.splitlines() if line.strip().startswith("100 "))
    place = record["counts"].index(100)
    told = [record["recall"][name][f"{overlap:g}"][place] for name in ("random", "gradient") for overlap in (0.5, 0.7)]
    assert row[1:] == [f"{100 * value:.1f}" for value in told]
    assert f"{record['objects']} objects in 2 images" in text
    with Image.open(tmp_path / "recall.png") as picture:
        assert picture.size == (1200, 800)


def test_recall_of_some_classes_counts_their_objects_alone(pixelwise):
    def objects(*words: str) -> int:
        answer = pixelwise("recall", "shapes:20", "--edges", "random", "--json", *words)
        assert answer.code == 0, answer.err
        return json.loads(answer.out)["objects"]

    every, some, others = objects(), objects("--classes", "disc, ring"), objects("--classes", "square,triangle,line")
    assert some + others == every
    assert 0 < some < every


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("shapes:10", "--classes", "disk"), ("unknown class 'disk'", "did you mean 'disc'?")),
        (("shapes:10", "--edges", "edgy"), ("--edges 'edgy'", "gradient, hed, random")),
        (("shapes:10", "--weights", "w"), ("goes with --edges hed",)),
        (("shapes:10", "--edges", "hed"), ("--weights FILE",)),
        (("nowhere",), ("nowhere: no such folder",)),
        (("shapes:10", "--split", "vall"), ("no split 'vall'", "did you mean 'val'?")),
    ],
)
def test_mistakes_of_recall(words, parts, pixelwise):
    complaint = pixelwise("recall", *words).complaint
    for part in parts:
        assert part in complaint
