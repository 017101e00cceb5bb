"""SIFT Flow's layout: two label maps a scene, in MATLAB files, their values from 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from tests.conftest import Refuses
from tests.data.pictures import save_image

from pixelwise.data.augment import Augmentation
from pixelwise.data.batches import Batches
from pixelwise.data.check import check
from pixelwise.data.layouts import open_data, recognise_layout, splits_of
from pixelwise.data.siftflow import GEOMETRIC, GEOMETRY, SCENES, SIFTFLOW_CLASSES, read_siftflow


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three scenes; the first pixels of each are void, the first class and the last."""
    for kind, unlabelled, last in (("SemanticLabels", 0, 33), ("GeoLabels", -1, 3)):
        (tmp_path / kind / SCENES).mkdir(parents=True)
        for name in "abc":
            values = np.ones((8, 12), np.int16)
            values[0, :3] = unlabelled, 1, last
            savemat(tmp_path / kind / SCENES / f"{name}.mat", {"S": values}, do_compression=True)
    for seed, name in enumerate("abc"):
        save_image(tmp_path / "Images" / SCENES / f"{name}.jpg", size=(8, 12), seed=seed)
    (tmp_path / "trainval.txt").write_text("b\na\n")
    (tmp_path / "test.txt").write_text("c\n")
    return tmp_path


def test_a_scene_has_two_label_maps(scenes: Path) -> None:
    data = read_siftflow(scenes, "trainval")
    assert data.names == ("b", "a")
    assert data.label_spec.names == SIFTFLOW_CLASSES
    assert len(SIFTFLOW_CLASSES) == 33
    assert data.head_specs[GEOMETRIC].names == GEOMETRY
    labels = data[0].labels
    assert {head: labels[head][0, :4].tolist() for head in labels} == {
        "main": [255, 0, 32, 0], GEOMETRIC: [255, 0, 2, 0],
    }  # fmt: skip
    assert recognise_layout(scenes).layout == "siftflow"
    assert splits_of(scenes) == ("trainval", "test")
    assert sorted(open_data(scenes).names) == ["a", "b", "c"]
    assert not check(data).errors


def test_a_batch_holds_both_cut_alike(scenes: Path) -> None:
    data = read_siftflow(scenes, "trainval")
    batch = Batches(data, 2, Augmentation(crop=6, flip=1.0), (0.0, 0.0, 0.0), seed=0)[0]
    assert {head: tuple(maps.shape) for head, maps in batch.labels.items()} == {"main": (2, 6, 6), GEOMETRIC: (2, 6, 6)}
    assert ((batch.labels["main"] == 255) == (batch.labels[GEOMETRIC] == 255)).all()


def test_without_geometry_there_is_one_map(scenes: Path) -> None:
    before = read_siftflow(scenes, "test").fingerprint()
    (scenes / "GeoLabels").rename(scenes / "elsewhere")
    data = read_siftflow(scenes, "test")
    assert data[0].labels.keys() == {"main"}
    assert data.fingerprint() != before


def test_what_cannot_be_read(scenes: Path, refuses: Refuses) -> None:
    with refuses(str(scenes), "no split 'val'", "there are: trainval, test, all"):
        read_siftflow(scenes, "val")
    savemat(scenes / "GeoLabels" / SCENES / "c.mat", {"S": np.full((8, 12), 4)})
    with refuses("c.mat", "holds the value 4"):
        read_siftflow(scenes, "test")[0]
    savemat(scenes / "GeoLabels" / SCENES / "c.mat", {"T": np.ones((8, 12))})
    with refuses("c.mat", "not a readable MATLAB file of GTcls.Segmentation or S or segmentation"):
        read_siftflow(scenes, "test")[0]
    (scenes / "GeoLabels" / SCENES / "c.mat").unlink()
    with refuses("1 have no label map in GeoLabels (first c)"):
        read_siftflow(scenes, "test")
    for path in scenes.rglob("*.txt"):
        path.unlink()
    with refuses(str(scenes), "not in SIFT Flow's layout"):
        read_siftflow(scenes, "test")
