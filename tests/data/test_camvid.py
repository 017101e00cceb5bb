"""CamVid's layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.camvid import camvid_splits, read_camvid, recognise_camvid


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    for seed, name in enumerate("abc"):
        save_image(tmp_path / "images" / f"{name}.jpg", seed=seed)
        save_mask(tmp_path / "labels" / f"{name}.png", [0, 1, 2])
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "train.txt").write_text("b\na\n")
    (tmp_path / "splits" / "test.txt").write_text("c\n")
    (tmp_path / "classes.txt").write_text("0 sky\n1 road\n2 unlabelled ignore\n")
    return tmp_path


def test_a_split_is_a_list(camvid: Path) -> None:
    data = read_camvid(camvid, "train")
    assert data.names == ("b", "a")
    assert data[0].labels["main"][0, :3].tolist() == [0, 1, 255]
    assert camvid_splits(camvid) == ("test", "train")
    assert sorted(read_camvid(camvid, None).names) == ["a", "b", "c"]


def test_recognition(camvid: Path) -> None:
    sentence = "CamVid's layout: images, labels, classes.txt and the lists in splits: test 1, train 2"
    assert recognise_camvid(camvid) == sentence
    (camvid / "classes.txt").unlink()
    assert recognise_camvid(camvid) is None


def test_what_cannot_be_read(camvid: Path, refuses: Refuses) -> None:
    with refuses(str(camvid), "no split 'val'", "there are: test, train, all"):
        read_camvid(camvid, "val")
    (camvid / "splits" / "val.txt").write_text("x\na\n")
    with refuses(str(camvid), "1 have no image in images (first x)", "1 have no label map in labels (first x)"):
        read_camvid(camvid, "val")
    with refuses("1 ids of train are also in val, first a"):
        read_camvid(camvid, "train")
    (camvid / "classes.txt").unlink()
    with refuses(str(camvid), "not in CamVid's layout", "classes.txt"):
        read_camvid(camvid, "train")


def test_the_real_data(real_data: Path) -> None:
    sizes = {split: len(read_camvid(real_data / "camvid", split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 367, "val": 101, "test": 233}
    data = read_camvid(real_data / "camvid", "val")
    assert len(data.label_spec) == 11
    assert data[0].size == (360, 480)
