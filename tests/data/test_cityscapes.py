"""Cityscapes' layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.cityscapes import SPEC, cityscapes_splits, read_cityscapes
from pixelwise.data.layouts import open_data, recognise_layout


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    for split, city, number in (("train", "ulm", 1), ("train", "aachen", 2), ("val", "bonn", 3), ("test", "bern", 4)):
        name = f"{city}_00000{number}_000019"
        save_image(tmp_path / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", seed=number)
        folder = tmp_path / "gtFine" / split / city
        save_mask(folder / f"{name}_gtFine_labelIds.png", [7, 0, 33, 4, 26, 255])
        save_image(folder / f"{name}_gtFine_color.png")  # beside them lie pictures of other kinds
        save_mask(folder / f"{name}_gtFine_instanceIds.png", [7])
    return tmp_path


def test_a_split_is_a_folder_of_cities(streets: Path) -> None:
    data = read_cityscapes(streets, "train")
    assert data.names == ("aachen/aachen_000002_000019", "ulm/ulm_000001_000019")
    # road, unlabelled, bicycle, static, car, nothing
    assert data[0].labels["main"][0].tolist() == [0, 255, 18, 255, 13, 255]
    assert (len(SPEC), SPEC.names[0], SPEC.names[-1]) == (19, "road", "bicycle")
    assert recognise_layout(streets).layout == "cityscapes"
    assert "test 1, train 2, val 1" in recognise_layout(streets).sentence
    assert cityscapes_splits(streets) == ("test", "train", "val")


def test_the_labels_of_test_are_nobodys(streets: Path) -> None:
    assert read_cityscapes(streets, "test")[0].labels == {}
    assert len(open_data(streets)) == 3  # everything that is labelled


def test_what_cannot_be_read(streets: Path, refuses: Refuses) -> None:
    with refuses(str(streets), "no split 'vall'", "did you mean 'val'?"):
        read_cityscapes(streets, "vall")
    next((streets / "gtFine" / "val").rglob("*_labelIds.png")).unlink()
    with refuses("1 have no label map *_labelIds.png in gtFine (first bonn/bonn_000003_000019)"):
        read_cityscapes(streets, "val")
    (streets / "gtFine").rename(streets / "gt")
    with refuses(str(streets), "not in Cityscapes' layout"):
        read_cityscapes(streets, "train")
