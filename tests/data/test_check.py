"""What is wrong with a data set is said in words, all of it, and nothing is said of a sound one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.check import ClassShare, Report, check
from pixelwise.data.dataset import DataSet, Entry, FileDataSet
from pixelwise.data.layouts import open_data
from pixelwise.data.sample import Sample
from pixelwise.data.shapes import Shapes
from pixelwise.errors import InputError
from pixelwise.labels import LabelSpec

SPEC = LabelSpec(("background", "cat"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four sound images `a` to `d` of background and cat."""
    for seed, name in enumerate("abcd"):
        save_image(tmp_path / "images" / f"{name}.png", seed=seed)
        save_mask(tmp_path / "masks" / f"{name}.png", [0, 0, 1])
    (tmp_path / "classes.txt").write_text("0 background\n1 cat\n")
    return tmp_path


def texts(report: Report, level: str) -> list[str]:
    return [problem.text for problem in report.problems if problem.level == level]


def only(report: Report, level: str, *parts: str) -> None:
    """There is one problem, of this level, with these parts in its one line."""
    assert len(report.problems) == 1, report.problems
    assert report.problems[0].level == level
    text = report.problems[0].text
    assert "\n" not in text
    for part in parts:
        assert part in text


def test_a_sound_folder(folder: Path) -> None:
    report = check(open_data(folder))
    assert report.problems == report.errors == ()
    assert report.images == 4
    assert report.sizes == {(4, 6): 4}
    assert report.classes == (ClassShare("background", 2 / 3, 4, 2 / 3), ClassShare("cat", 1 / 3, 4, 1 / 3))
    assert report.ignored == 0


def test_a_sound_generated_set() -> None:
    shapes = Shapes(count=50)
    report = check({split: shapes.split(split) for split in ("train", "val")})
    assert report.problems == ()
    assert report.images == 50
    assert sum(share.pixels for share in report.classes) == pytest.approx(1)


def test_progress_is_told_after_each_sample(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    data = open_data(folder)
    check(
        {"train": data.subset(["a", "b", "c"]), "val": data.subset(["d"])},
        lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_every_bad_file_is_listed(folder: Path) -> None:
    (folder / "images" / "a.png").write_bytes(b"broken")
    (folder / "masks" / "b.png").write_bytes(b"broken")
    save_mask(folder / "masks" / "c.png", [0, 1], size=(3, 6))
    report = check(open_data(folder))
    assert [part in text for text, part in zip(texts(report, "error"), ("a.png", "b.png", "c.png"), strict=True)] == [
        True
    ] * 3
    assert "not a readable picture" in report.errors[0].text
    assert "not a readable label picture" in report.errors[1].text
    assert "3 high and 6 wide, but the image is 4 and 6" in report.errors[2].text
    assert "export the mask again" in report.errors[2].text
    assert report.images == 4
    assert report.sizes == {(4, 6): 3}


def test_a_mask_of_a_turned_image(folder: Path) -> None:
    save_mask(folder / "masks" / "a.png", [0, 1], size=(6, 4))
    only(check(open_data(folder)), "error", "a.png", "6 high and 4 wide", "orientation mark", "turn the mask")


def test_values_that_are_no_class(folder: Path) -> None:
    save_mask(folder / "masks" / "a.png", [0, 1, 7, 7, 7, 9])
    save_mask(folder / "masks" / "b.png", [7])
    errors = texts(check(open_data(folder)), "error")
    assert len(errors) == 3
    assert "values that are no class in 2 of 4 masks: 7 (36 pixels), 9 (4 pixels)" in errors[0]
    assert "write '7 NAME' or '7 NAME ignore' into classes.txt" in errors[0]
    assert errors[1].startswith("a: its mask holds values that are no class: 7 (12 pixels), 9 (4 pixels)")
    assert errors[2].startswith("b: ")


def test_masks_that_count_from_one(folder: Path) -> None:
    for name in "abcd":
        save_mask(folder / "masks" / f"{name}.png", [1, 2])
    assert "count classes from 1" in texts(check(open_data(folder)), "error")[0]


def test_masks_with_noise(folder: Path) -> None:
    save_mask(folder / "masks" / "a.png", list(range(24)))
    error = texts(check(open_data(folder)), "error")[0]
    assert "and 14 more" in error
    assert "smoothed, scaled or saved as JPEG" in error


def test_masks_of_0_and_255_whose_255_is_ignored(folder: Path) -> None:
    for name in "abcd":
        save_mask(folder / "masks" / f"{name}.png", [0, 0, 255])
    only(check(open_data(folder)), "error", "'cat' never occurs", "33.3%", "write '255 cat' into classes.txt")


def test_masks_of_0_and_255_whose_255_is_no_class(folder: Path) -> None:
    for name in "abcd":
        save_mask(folder / "masks" / f"{name}.png", [0, 255])
    data = open_data(folder)
    assert isinstance(data, FileDataSet)
    report = check(FileDataSet(data.entries, LabelSpec(("background", "cat"), raw={0: 0, 1: 1})))
    assert "write '255 cat' into classes.txt" in report.errors[0].text


def test_a_colour_mask_among_values(folder: Path) -> None:
    save_mask(folder / "masks" / "a.png", [[255, 0, 0]])
    only(check(open_data(folder)), "error", "a.png", "a colour picture", "classes.txt")


def test_colours_that_are_no_class(folder: Path) -> None:
    (folder / "classes.txt").write_text("#000000 background\n#ff0000 cat\n")
    for name in "abcd":
        save_mask(folder / "masks" / f"{name}.png", [[0, 0, 0], [255, 0, 0]])
    assert check(open_data(folder)).problems == ()
    save_mask(folder / "masks" / "a.png", [[0, 0, 0], [254, 0, 0]])
    assert "#fe0000 (12 pixels)" in texts(check(open_data(folder)), "error")[0]


def test_classes_never_seen_and_hardly_seen(folder: Path) -> None:
    (folder / "classes.txt").write_text("0 background\n1 cat\n2 dog\n3 cow\n")
    save_mask(folder / "masks" / "a.png", [0, 1, 2])
    report = check(open_data(folder))
    assert texts(report, "error") == []
    never, hardly = texts(report, "warning")
    assert never == "the data set: classes that never occur: cow"
    assert hardly == "the data set: 'dog' is in only 1 of 4 images"


def test_an_image_with_only_ignored_pixels(folder: Path) -> None:
    save_mask(folder / "masks" / "b.png", [255])
    report = check(open_data(folder))
    only(report, "warning", "images with only ignored pixels", "1 of 4, first b", "remove them")
    assert report.ignored == 0.25


def test_masks_as_jpeg_and_grey_masks_as_rgb(folder: Path) -> None:
    (folder / "masks" / "a.png").unlink()
    Image.fromarray(np.ones((4, 6), np.uint8)).save(folder / "masks" / "a.jpg", quality=100)
    save_mask(folder / "masks" / "b.png", [[0, 0, 0], [1, 1, 1]])
    jpeg, grey = texts(check(open_data(folder)), "warning")
    assert "masks saved as JPEG" in jpeg
    assert "1 of 4, first a" in jpeg
    assert "masks saved as colour pictures, but grey" in grey
    assert "1 of 4, first b" in grey


def test_the_same_picture_twice(folder: Path) -> None:
    save_image(folder / "images" / "a.png", seed=1)  # as b
    only(check(open_data(folder)), "warning", "the same picture 2 times: a, b", "keep one")


def test_the_same_picture_in_two_splits_whatever_its_file_format(folder: Path) -> None:
    (folder / "images" / "a.png").unlink()
    save_image(folder / "images" / "a.bmp", seed=3)  # as d.png
    data = open_data(folder)
    splits = {"train": data.subset(["a", "b", "c"]), "val": data.subset(["c", "d"])}
    report = check(splits)
    leak = texts(report, "error")
    assert len(leak) == 1
    assert leak[0].startswith("train and val share 2 pictures: a = d, c = c; ")
    assert "take them out" in leak[0]


def test_plain_pictures_of_as_many_pixels_are_not_the_same() -> None:
    entries = {"a": np.zeros((40, 60, 3), np.uint8), "b": np.zeros((60, 40, 3), np.uint8)}
    assert check(InMemory(entries)).problems == ()


def test_files_without_partner_are_reported(folder: Path) -> None:
    save_image(folder / "images" / "x.png", seed=9)
    only(check(open_data(folder)), "warning", "images without a mask, left out: 1", "x.png")


def test_images_without_labels(folder: Path) -> None:
    data = FileDataSet((Entry("a", folder / "images" / "a.png"),), SPEC)
    only(check(data), "warning", "images without a label map; 1 of 1, first a")


def test_a_broken_label_file_of_sbd_is_listed(folder: Path) -> None:
    pytest.importorskip("scipy.io")
    (folder / "a.mat").write_bytes(b"broken")
    data = FileDataSet((Entry("a", folder / "images" / "a.png", folder / "a.mat"),), SPEC)
    only(check(data), "error", "a.mat", "copy it again")


def test_splits_must_have_the_same_classes(folder: Path, refuses: Refuses) -> None:
    data = open_data(folder)
    with refuses("train and val differ in their classes", "one classes.txt"):
        check({"train": data, "val": data.with_classes(["cat"])})
    with refuses("nothing to check"):
        check({})


def test_errors_come_before_warnings(folder: Path) -> None:
    save_mask(folder / "masks" / "b.png", [255])
    (folder / "masks" / "c.png").write_bytes(b"broken")
    assert [problem.level for problem in check(open_data(folder)).problems] == ["error", "warning"]


def test_the_report_as_json(folder: Path) -> None:
    save_mask(folder / "masks" / "b.png", [255])
    record = json.loads(json.dumps(check(open_data(folder)).to_json()))
    assert record["images"] == 4
    assert record["sizes"] == [{"height": 4, "width": 6, "images": 4}]
    third = pytest.approx(1 / 3)
    assert record["classes"][1] == {"name": "cat", "pixels": third, "images": 3, "where_present": third}
    assert record["ignored"] == 0.25
    assert record["problems"][0]["level"] == "warning"


class InMemory:
    """A data set that is no folder; where the image is missing, the sample cannot be made."""

    label_spec = SPEC

    def __init__(self, images: dict[str, np.ndarray | None]) -> None:
        self.images = images
        self.names = tuple(images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        image = self.images[self.names[index]]
        if image is None:
            raise InputError(f"{self.names[index]}: broken")
        labels = np.resize(np.array([0, 1], np.uint8), image.shape[:2])
        return Sample(self.names[index], image, {"main": labels})

    def subset(self, names: object) -> DataSet:
        raise NotImplementedError

    def with_classes(self, names: object) -> DataSet:
        raise NotImplementedError


def test_a_data_set_that_is_no_folder_is_checked_through_its_samples() -> None:
    whole = {name: np.full((4, 6, 3), value, np.uint8) for value, name in enumerate("abc")}
    report = check(InMemory({**whole, "d": None}))
    assert texts(report, "error") == ["d: broken"]
    assert report.sizes == {(4, 6): 3}


@pytest.mark.slow
def test_the_real_sets_have_no_errors(real_data: Path) -> None:
    for name, splits in (("camvid", ("train", "val", "test")), ("voc2012_subset", ("train_aug", "val"))):
        report = check({split: open_data(real_data / name, split) for split in splits})
        assert report.errors == ()
