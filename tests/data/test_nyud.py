"""NYUDv2's layout: pictures called img_ID, label maps in MATLAB files, their values from 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from tests.conftest import Refuses
from tests.data.pictures import save_image

from pixelwise.data.layouts import open_data, recognise_layout, splits_of
from pixelwise.data.nyud import NYUD_CLASSES, read_nyud


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """Three rooms, the first pixels of each void, the first class and the last."""
    (tmp_path / "segmentation").mkdir()
    for seed, name in enumerate(("5001", "5002", "5003")):
        save_image(tmp_path / "data" / "images" / f"img_{name}.png", seed=seed)
        values = np.ones((4, 6), np.uint8)
        values[0, :3] = 0, 1, 40
        savemat(tmp_path / "segmentation" / f"img_{name}.mat", {"segmentation": values})
    for split, names in {"train": "5002\n", "val": "5001\n", "test": "5003\n"}.items():
        (tmp_path / f"{split}.txt").write_text(names)
    return tmp_path


def test_a_split_is_a_list(rooms: Path) -> None:
    data = read_nyud(rooms, "trainval")
    assert data.names == ("5002", "5001")
    assert data.label_spec.names == NYUD_CLASSES
    assert len(NYUD_CLASSES) == 40
    assert data[0].labels["main"][0, :4].tolist() == [255, 0, 39, 0]
    assert recognise_layout(rooms).layout == "nyud"
    assert splits_of(rooms) == ("train", "val", "test", "trainval")
    assert sorted(open_data(rooms).names) == ["5001", "5002", "5003"]


def test_what_cannot_be_read(rooms: Path, refuses: Refuses) -> None:
    with refuses(str(rooms), "no split 'tset'", "did you mean 'test'?"):
        read_nyud(rooms, "tset")
    (rooms / "segmentation" / "img_5003.mat").unlink()
    with refuses("1 have no label map in segmentation (first 5003)"):
        read_nyud(rooms, "test")
    for path in rooms.rglob("*.txt"):
        path.unlink()
    with refuses(str(rooms), "not in NYUDv2's layout"):
        read_nyud(rooms, "train")
