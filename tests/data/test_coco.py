"""COCO's layout with VOC's classes: outlines on a picture small enough to count by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Refuses
from tests.data.pictures import save_image

from pixelwise.data.check import check
from pixelwise.data.coco import coco_splits, read_coco
from pixelwise.data.layouts import open_data, recognise_layout
from pixelwise.data.voc import VOC_CLASSES

CATEGORIES = {1: "person", 5: "airplane", 18: "dog", 27: "backpack"}
SOFT = {"size": [4, 6], "counts": [8, 8, 8]}  # runs down the columns: columns 2 and 3


def square(y0: int, x0: int, y1: int, x1: int) -> list[list[float]]:
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def annotation(image: int, category: int, outline: Any, *, area: float, crowd: int = 0) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "segmentation": outline, "area": area, "iscrowd": crowd}


def write(root: Path, split: str, annotations: list[dict[str, Any]]) -> None:
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "height": 4, "width": 6} for i in (1, 2)]
    categories = [{"id": i, "name": name} for i, name in CATEGORIES.items()]
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    for image in images:
        save_image(root / split / str(image["file_name"]), seed=int(str(image["id"])))


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    write(
        tmp_path,
        "train2017",
        [
            annotation(1, 18, square(1, 1, 3, 3), area=4),
            annotation(1, 5, square(0, 0, 4, 4), area=16),  # larger, so it lies below, though it comes later
            annotation(1, 27, square(0, 4, 4, 6), area=8),  # no class of VOC
            annotation(2, 27, square(0, 0, 4, 6), area=24),
        ],
    )
    write(tmp_path, "val2017", [annotation(2, 1, SOFT, area=8, crowd=1), annotation(2, 18, square(0, 3, 2, 5), area=4)])
    return tmp_path


def test_objects_are_painted_the_smaller_above_the_larger(coco: Path) -> None:
    data = read_coco(coco, "train")
    assert data.names == ("000000000001",)  # the other image shows nothing of VOC's
    plane, dog = VOC_CLASSES.index("aeroplane"), VOC_CLASSES.index("dog")
    expected = np.zeros((4, 6), np.uint8)
    expected[:, :4] = plane
    expected[1:3, 1:3] = dog
    sample = data[0]
    assert np.array_equal(sample.labels["main"], expected)
    assert sample.instances is not None
    assert np.array_equal(sample.instances, np.where(expected == dog, 1, np.where(expected == plane, 2, 0)))
    assert coco_splits(coco) == ("train", "val")
    assert recognise_layout(coco).layout == "coco"
    assert len(open_data(coco)) == 2
    assert not check(data).errors


def test_crowds_are_ignored_but_for_objects_in_them(coco: Path) -> None:
    sample = read_coco(coco, "val")[0]
    dog = VOC_CLASSES.index("dog")
    assert sample.labels["main"].tolist() == [[0, 0, 255, dog, dog, 0]] * 2 + [[0, 0, 255, 255, 0, 0]] * 2


def test_classes_and_samples_can_be_picked(coco: Path, refuses: Refuses) -> None:
    data = read_coco(coco, None).with_classes(["dog", "background"])
    assert data[0].labels["main"][1].tolist() == [255, 0, 0, 255, 1, 1]
    assert data.subset(["000000000002"]).names == ("000000000002",)
    with refuses("no sample 'x' among its 2"):
        data.subset(["x"])


def test_years_are_told_apart_where_there_are_several(coco: Path) -> None:
    write(coco, "train2014", [annotation(1, 1, square(0, 0, 2, 2), area=4)])
    assert coco_splits(coco) == ("train2014", "train2017", "val2017")
    assert read_coco(coco, "train2014")[0].labels["main"].sum() == 4 * VOC_CLASSES.index("person")


def test_what_cannot_be_read(coco: Path, refuses: Refuses) -> None:
    with refuses(str(coco), "no split 'test'", "train, val, all"):
        read_coco(coco, "test")
    write(coco, "val2017", [annotation(1, 1, {"size": [4, 6], "counts": None}, area=1)])
    with refuses("000000000001.jpg", "damaged"):
        read_coco(coco, "val")[0]
    write(coco, "val2017", [annotation(1, 1, {"size": [2, 2], "counts": [4]}, area=1)])
    with refuses("000000000001.jpg"):
        read_coco(coco, "val")[0]
    file = coco / "annotations" / "instances_val2017.json"
    for text in ("{", "[]", '{"images": [], "annotations": []}'):
        file.write_text(text)
        with refuses(str(file), "copy it again"):
            read_coco(coco, "val")
    write(coco, "val2017", [])
    with refuses("no image shows an object of VOC's classes"):
        read_coco(coco, "val")
    (coco / "train2017" / "000000000001.jpg").unlink()
    with refuses("000000000001.jpg: no such file", "train2017"):
        read_coco(coco, "train")


def test_a_fingerprint_knows_objects_classes_and_files(coco: Path) -> None:
    data = read_coco(coco, "train")
    known = {data.fingerprint(), data.with_classes(["dog", "background"]).fingerprint()}
    assert read_coco(coco, "train").fingerprint() in known
    write(coco, "train2017", [annotation(1, 18, square(1, 1, 3, 4), area=6)])
    known.add(read_coco(coco, "train").fingerprint())
    save_image(coco / "train2017" / "000000000001.jpg", seed=9)
    known.add(read_coco(coco, "train").fingerprint())
    assert len(known) == 4
