"""Folders of images and masks, as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.dataset import hashed_part
from pixelwise.data.folder import HELD_OUT, folder_splits, read_folder, recognise_folder

VALUES = [0, 1, 255]


def fill(root: Path, *names: str, images: str = "images", masks: str = "masks", ending: str = "") -> Path:
    """Save an image and a mask a name."""
    for seed, name in enumerate(names):
        save_image(root / images / f"{name}.jpg", seed=seed)
        save_mask(root / masks / f"{name}{ending}.png", VALUES)
    return root


@pytest.mark.parametrize("masks", ["masks", "labels", "annotations", "gt", "Masks"])
def test_images_and_masks_side_by_side(tmp_path: Path, masks: str) -> None:
    data = read_folder(fill(tmp_path, "b", "a", masks=masks), None)
    assert data.names == ("a", "b")
    assert data.label_spec.names == ("background", "object")
    assert data[0].labels["main"][0, :3].tolist() == VALUES
    assert data.notes == ()


@pytest.mark.parametrize("suffix", ["jpg", "JPG", "jpeg", "png", "PNG", "bmp", "tif", "TIFF", "webp"])
def test_images_of_every_format(tmp_path: Path, suffix: str) -> None:
    save_image(tmp_path / "images" / f"a.{suffix}")
    save_mask(tmp_path / "masks" / "a.PNG", VALUES)
    assert read_folder(tmp_path, "all")[0].size == (4, 6)


@pytest.mark.parametrize("ending", ["_mask", "_label", "_gt", "_L"])
def test_masks_may_have_an_ending(tmp_path: Path, ending: str) -> None:
    assert read_folder(fill(tmp_path, "a", "b", ending=ending), None).names == ("a", "b")


def test_endings_count_only_where_no_plain_name_matches(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    fill(tmp_path, "b", ending="_mask")
    data = read_folder(tmp_path, None)
    assert data.names == ("a",)
    assert any("masks without an image, left out: 1" in note and "b_mask.png" in note for note in data.notes)


def test_files_without_partner_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")
    save_image(tmp_path / "images" / "x.jpg")
    save_image(tmp_path / "images" / "y.jpg")
    save_mask(tmp_path / "masks" / "z.png", VALUES)
    notes = read_folder(tmp_path, None).notes
    assert notes[0].startswith("images without a mask, left out: 2, first ")
    assert notes[0].endswith("x.jpg")
    assert notes[1].startswith("masks without an image, left out: 1")
    assert "images without a mask, left out: 2" in (recognise_folder(tmp_path) or "")


def test_sub_folders_are_part_of_the_name(tmp_path: Path) -> None:
    data = read_folder(fill(tmp_path, "city/1", "land/1"), None)
    assert data.names == ("city/1", "land/1")
    assert folder_splits(tmp_path) == ("train", "val")  # city and land are no splits


def test_hidden_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    for name in ("images/._a.jpg", "images/.hidden/b.jpg", "images/notes.txt", "masks/a.json", "masks/Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert read_folder(tmp_path, None).names == ("a",)


def test_two_images_of_one_name(tmp_path: Path, refuses: Refuses) -> None:
    fill(tmp_path, "a")
    save_image(tmp_path / "images" / "a.png")
    with refuses(str(tmp_path / "images"), "'a.jpg' and 'a.png'", "rename or remove"):
        read_folder(tmp_path, None)


def test_no_mask_has_the_name_of_an_image(tmp_path: Path, refuses: Refuses) -> None:
    save_image(tmp_path / "images" / "photo_1.jpg")
    save_mask(tmp_path / "masks" / "seg_1.png", VALUES)
    with refuses(str(tmp_path), "'photo_1' in images/", "'seg_1' in masks/", "give the mask the name of its image"):
        read_folder(tmp_path, None)


def test_empty_folders(tmp_path: Path, refuses: Refuses) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with refuses(str(tmp_path), "no image with a mask found", "images/cat.jpg"):
        read_folder(tmp_path, None)
    with refuses(str(tmp_path / "none"), "no image with a mask found"):
        read_folder(tmp_path / "none", None)


# --- splits ---


def test_a_folder_a_split(tmp_path: Path) -> None:
    fill(tmp_path / "train", "a", "b")
    fill(tmp_path / "valid", "a")
    save_image(tmp_path / "test" / "images" / "t.jpg")  # no masks: not a split
    assert folder_splits(tmp_path) == ("train", "val")
    assert read_folder(tmp_path, "train").names == ("train/a", "train/b")
    assert read_folder(tmp_path, "val").names == ("valid/a",)
    assert len(read_folder(tmp_path, None)) == 3


def test_splits_inside_images_and_masks(tmp_path: Path) -> None:
    fill(tmp_path, "train/a", "train/deep/b", "val/a", masks="labels")
    assert folder_splits(tmp_path) == ("train", "val")
    assert read_folder(tmp_path, "train").names == ("train/a", "train/deep/b")
    assert read_folder(tmp_path, "val").names == ("val/a",)


def test_data_sets_beside_each_other_are_no_splits(tmp_path: Path) -> None:
    fill(tmp_path / "cats", "a")
    fill(tmp_path / "dogs", "a")
    assert recognise_folder(tmp_path) is None


@pytest.mark.parametrize("place", [".", "splits"])
@pytest.mark.parametrize("form", ["{}", "{}.jpg", "images/{}.jpg", "./images/{}.jpg", "images/{}"])
def test_lists(tmp_path: Path, place: str, form: str) -> None:
    fill(tmp_path, "a.1", "b", "c")
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "train.txt").write_text("\n".join(form.format(name) for name in ("b", "a.1")))
    (tmp_path / place / "val.txt").write_text(form.format("c") + "\n\n")
    (tmp_path / "readme.txt").write_text("not a list")
    assert folder_splits(tmp_path) == ("train", "val")
    assert read_folder(tmp_path, "train").names == ("b", "a.1")
    assert read_folder(tmp_path, "val").names == ("c",)


def test_a_list_that_names_what_is_not_there(tmp_path: Path, refuses: Refuses) -> None:
    fill(tmp_path, "a")
    (tmp_path / "train.txt").write_text("a\nx\ny\n")
    with refuses(str(tmp_path), "3 ids of split 'train'", "2 have no image with a mask (first x)", "take the ids off"):
        read_folder(tmp_path, "train")


def test_training_images_in_val_are_refused(tmp_path: Path, refuses: Refuses) -> None:
    fill(tmp_path, "a", "b")
    (tmp_path / "train.txt").write_text("a\nb.jpg\n")
    (tmp_path / "val.txt").write_text("images/b.jpg\n")
    with refuses("1 ids of train are also in val, first b"):
        read_folder(tmp_path, "train")


def test_without_splits_a_stable_tenth_is_val(tmp_path: Path) -> None:
    names = [f"{i:02d}" for i in range(40)]
    fill(tmp_path, *names)
    train, val = read_folder(tmp_path, "train"), read_folder(tmp_path, "val")
    assert sorted([*train.names, *val.names]) == names
    assert val.names == hashed_part(names, HELD_OUT, "val")
    assert val.names
    assert "a stable hash" in (recognise_folder(tmp_path) or "")


def test_too_few_images_for_a_val_split(tmp_path: Path, refuses: Refuses) -> None:
    fill(tmp_path, "lonely")
    assert folder_splits(tmp_path) == ("train",)
    with refuses(str(tmp_path), "split 'val' is empty", "add images, or write train.txt and val.txt"):
        read_folder(tmp_path, "val")


def test_an_unknown_split(tmp_path: Path, refuses: Refuses) -> None:
    with refuses(str(tmp_path), "no split 'tset'", "there are: train, val, all"):
        read_folder(fill(tmp_path, "a"), "tset")


# --- classes ---


def test_classes_txt_comes_before_the_masks_values(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    (tmp_path / "classes.txt").write_text("0 road\n1 car\n2 bus\n")
    assert read_folder(tmp_path, None).label_spec.names == ("road", "car", "bus")


def test_classes_are_those_of_all_splits(tmp_path: Path) -> None:
    fill(tmp_path / "train", "a")
    fill(tmp_path / "val", "a")
    save_mask(tmp_path / "val" / "masks" / "a.png", [0, 4, 9])
    names = ("class_0", "class_1", "class_4", "class_9")
    assert read_folder(tmp_path, "train").label_spec.names == read_folder(tmp_path, "val").label_spec.names == names


def test_one_unreadable_mask_does_not_hide_the_others(tmp_path: Path, refuses: Refuses) -> None:
    fill(tmp_path, "a", "b")
    (tmp_path / "masks" / "a.png").write_bytes(b"broken")
    data = read_folder(tmp_path, None)
    assert data.label_spec.names == ("background", "object")
    with refuses("a.png", "not a readable label picture"):
        data[0]
