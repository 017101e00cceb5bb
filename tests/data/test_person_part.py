"""Person-Part's layout, with both kinds of lists in which it goes round."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.layouts import open_data, recognise_layout, splits_of
from pixelwise.data.person_part import LISTS, MASKS, PERSON_PARTS, read_person_part


@pytest.fixture(params=["ids", "paths"])
def parts(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    for seed, name in enumerate("abc"):
        save_image(tmp_path / "JPEGImages" / f"{name}.jpg", seed=seed)
        save_mask(tmp_path / MASKS / f"{name}.png", [0, 1, 6, 255])
    if request.param == "ids":
        (tmp_path / "train_id.txt").write_text("b\na\n")
        (tmp_path / "val_id.txt").write_text("c\n")
    else:
        (tmp_path / LISTS).mkdir()
        (tmp_path / LISTS / "train.txt").write_text("/JPEGImages/b.jpg /gt/b.png\n/JPEGImages/a.jpg /gt/a.png\n")
        (tmp_path / LISTS / "val.txt").write_text("/JPEGImages/c.jpg /gt/c.png\n")
    return tmp_path


def test_a_split_is_a_list(parts: Path) -> None:
    data = read_person_part(parts, "train")
    assert data.names == ("b", "a")
    assert data.label_spec.names == PERSON_PARTS
    assert len(PERSON_PARTS) == 7  # six parts and the background
    assert data[0].labels["main"][0, :4].tolist() == [0, 1, 6, 255]
    assert recognise_layout(parts).layout == "person_part"
    assert splits_of(parts) == ("train", "val")
    assert sorted(open_data(parts).names) == ["a", "b", "c"]


def test_what_cannot_be_read(parts: Path, refuses: Refuses) -> None:
    with refuses(str(parts), "no split 'test'", "there are: train, val, all"):
        read_person_part(parts, "test")
    (parts / MASKS / "c.png").unlink()
    with refuses("1 have no label map in pascal_person_part_gt (first c)"):
        read_person_part(parts, "val")
    (parts / "train_id.txt").write_text("a\nc\n")
    (parts / "val_id.txt").write_text("c\n")
    with refuses("1 ids of train are also in val, first c"):
        read_person_part(parts, "train")
    for path in parts.rglob("*.txt"):
        path.unlink()
    with refuses(str(parts), "not in Person-Part's layout"):
        read_person_part(parts, "train")
