"""Data sets are opened by what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.layouts import open_data, recognise_layout, splits_of
from pixelwise.data.shapes import Shapes


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A folder of each layout, with the images a to train with and b to validate with."""
    parts = {
        "voc": ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
        "camvid": ("images", "labels", "splits"),
    }
    for layout, (images, masks, lists) in {**parts, "folder": ("images", "masks", ".")}.items():
        for seed, name in enumerate("ab"):
            save_image(tmp_path / layout / images / f"{name}.jpg", seed=seed)
            save_mask(tmp_path / layout / masks / f"{name}.png", [0, 1, 2])
        (tmp_path / layout / lists).mkdir(parents=True, exist_ok=True)
        (tmp_path / layout / lists / "train.txt").write_text("a\n")
        (tmp_path / layout / lists / "val.txt").write_text("b\n")
        (tmp_path / layout / "classes.txt").write_text("0 sky\n1 road\n2 car\n")
    return tmp_path


@pytest.mark.parametrize("layout", ["voc", "camvid", "folder"])
def test_every_layout_opens_alike(sets: Path, layout: str) -> None:
    recognised = recognise_layout(sets / layout)
    assert recognised.layout == layout
    assert "train 1, val 1" in recognised.sentence
    assert splits_of(sets / layout) == ("train", "val")
    assert open_data(sets / layout, "train").names == ("a",)
    assert open_data(str(sets / layout), "val", layout=layout)[0].name == "b"
    assert sorted(open_data(sets / layout).names) == ["a", "b"]


@pytest.mark.parametrize("layout", ["voc", "camvid", "folder", "shapes"])
def test_classes_can_be_picked(sets: Path, layout: str, refuses: Refuses) -> None:
    root = "shapes" if layout == "shapes" else str(sets / layout)
    last = open_data(root).label_spec.names[-1]
    assert open_data(root, "train", classes=[last]).label_spec.names == (last,)
    with refuses("unknown class 'lorry'", last):
        open_data(root, "train", classes=["lorry"])


def test_the_generated_set_is_a_word() -> None:
    assert open_data("shapes") == Shapes()
    assert len(open_data("shapes:10", "val")) == 2
    assert splits_of("shapes:10") == ("train", "val")
    assert splits_of("shapes:3") == ("train",)
    recognised = recognise_layout("shapes:10")
    assert recognised.layout == "shapes"
    assert "10 images of 120 x 160" in recognised.sentence


def test_a_folder_called_shapes_is_a_path(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sets / "folder").rename(sets / "shapes")
    monkeypatch.chdir(sets)
    assert open_data(Path("shapes")).names == open_data("./shapes").names == ("a", "b")
    assert len(open_data("shapes")) == 200


@pytest.mark.parametrize("word", ["shapes:", "shapes:many", "shapes:0", "shapes:-3"])
def test_a_wrong_count(word: str, refuses: Refuses) -> None:
    with refuses(word, "shapes:100"):
        open_data(word)


def test_the_layout_shapes_for_something_else(sets: Path, refuses: Refuses) -> None:
    with refuses(str(sets), "'shapes:COUNT'"):
        open_data(sets, layout="shapes")


@pytest.mark.parametrize("layout", ["auto", "voc", "camvid", "folder"])
def test_a_missing_folder(tmp_path: Path, layout: str, refuses: Refuses) -> None:
    with refuses(str(tmp_path / "none"), "no such folder", "'shapes'"):
        open_data(tmp_path / "none", layout=layout)


def test_a_file_is_no_data_set(tmp_path: Path, refuses: Refuses) -> None:
    with refuses(str(save_image(tmp_path / "a.jpg")), "a file, but a data set is a folder"):
        open_data(tmp_path / "a.jpg")


def test_an_unknown_layout(sets: Path, refuses: Refuses) -> None:
    with refuses("unknown layout 'vco'", "did you mean 'voc'?"):
        open_data(sets / "voc", layout="vco")


def test_a_folder_of_no_layout(tmp_path: Path, refuses: Refuses) -> None:
    save_image(tmp_path / "empty" / "a.jpg")
    with refuses(str(tmp_path / "empty"), "no layout recognised", "images/ and masks/", "SegmentationClass"):
        open_data(tmp_path / "empty")


def test_the_folder_above_or_below_is_proposed(sets: Path, refuses: Refuses) -> None:
    with refuses("no layout recognised", f"did you mean {sets / 'camvid'} or {sets / 'folder'} or {sets / 'voc'}?"):
        open_data(sets)
    with refuses("no layout recognised", f"did you mean {sets / 'voc'}?"):
        open_data(sets / "voc" / "JPEGImages")


@pytest.mark.parametrize("layout", ["voc", "camvid", "folder"])
def test_an_unknown_split(sets: Path, layout: str, refuses: Refuses) -> None:
    with refuses(str(sets / layout), "no split 'vall'", "did you mean 'val'?", "train, val, all"):
        open_data(sets / layout, "vall")


def test_sbd_goes_with_voc_only(sets: Path, refuses: Refuses) -> None:
    with refuses("SBD goes with the VOC layout only", "'folder'", "leave sbd out"):
        open_data(sets / "folder", sbd=sets)
    with refuses("SBD goes with the VOC layout only"):
        splits_of(sets / "folder", sbd=sets)


def test_the_real_data(real_data: Path) -> None:
    assert recognise_layout(real_data / "camvid").layout == "camvid"
    assert recognise_layout(real_data / "voc2012_subset").layout == "voc"
