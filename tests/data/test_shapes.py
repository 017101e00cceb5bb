"""The generated data set: the same everywhere, with all classes, thin parts and changes of scale."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Refuses

from pixelwise.data.layouts import open_data
from pixelwise.data.shapes import CLASSES, SPLITS, Shapes


def test_a_sample_is_the_same_on_every_machine() -> None:
    sample = Shapes()[3]
    assert sample.instances is not None
    parts = (sample.image, sample.labels["main"], sample.instances.astype("<i4"))
    assert [hashlib.sha256(part.tobytes()).hexdigest()[:12] for part in parts] == [
        "8f0ee5523056",
        "7bbfa9273923",
        "04d52094fa0f",
    ]


def test_seeds_and_indexes_give_other_samples() -> None:
    images = [Shapes(seed=seed)[index].image for seed in (0, 1) for index in (0, 1)]
    assert len({image.tobytes() for image in images}) == 4


def test_a_sample_does_not_depend_on_the_others() -> None:
    few, many = Shapes(count=5), Shapes(count=50)
    assert np.array_equal(few[4].image, many[4].image)
    assert np.array_equal(many.subset(["shapes_00004"])[0].image, few[4].image)


def test_samples_have_the_size_asked_for() -> None:
    sample = Shapes(size=(48, 80))[0]
    assert sample.size == (48, 80)
    assert sample.image.dtype == np.uint8


def test_every_class_occurs_in_objects_small_and_large() -> None:
    data = Shapes(count=60)
    areas: dict[int, list[int]] = {kind: [] for kind in range(1, len(CLASSES))}
    for sample in data:
        assert sample.instances is not None
        labels = sample.labels["main"]
        assert np.array_equal(labels > 0, sample.instances > 0)
        for instance in np.unique(sample.instances)[1:]:
            kinds = np.unique(labels[sample.instances == instance])
            assert len(kinds) == 1  # an instance is of one class
            areas[int(kinds[0])].append(int((sample.instances == instance).sum()))
    for found in areas.values():
        assert len(found) > 20
        assert max(found) > 20 * np.percentile(found, 5)


def test_lines_are_one_to_three_pixels_thin() -> None:
    for sample in Shapes(count=20):
        line = sample.labels["main"] == CLASSES.index("line")
        inner = line[2:-2, 2:-2].copy()
        for down in range(5):
            for right in range(5):
                inner &= line[down : down + inner.shape[0], right : right + inner.shape[1]]
        assert inner.sum() < 0.1 * line.sum()  # 5 x 5 pixels of line only where lines cross


def test_splits_are_disjoint_and_more_images_move_none() -> None:
    few, many = Shapes(count=20), Shapes(count=100)
    assert not set(few.split("train").names) & set(few.split("val").names)
    assert len(few.split("val")) == 4
    for split in SPLITS:
        assert set(few.split(split).names) <= set(many.split(split).names)
    assert few.split(None) == few.split("all") == few


def test_classes_can_be_picked() -> None:
    sample = Shapes(count=5).with_classes(["line", "disc"])[0]
    original = Shapes(count=5)[0]
    assert set(np.unique(sample.labels["main"])) <= {0, 1, 255}
    assert np.array_equal(sample.labels["main"] == 0, original.labels["main"] == CLASSES.index("line"))


def test_what_cannot_be_made(refuses: Refuses) -> None:
    with refuses("at least 1 image", "got 0"):
        Shapes(count=0)
    with refuses("sides of 32", "(8, 100)"):
        Shapes(size=(8, 100))
    with refuses("no split 'test'", "train, val, all"):
        Shapes().split("test")
    with refuses("shapes:3 has no image in 'val'", "at least 5"):
        Shapes(count=3).split("val")
    with refuses("no sample 'x'"):
        Shapes().subset(["x"])


def test_written_shapes_are_read_back(tmp_path: Path) -> None:
    shapes = Shapes(count=6, size=(40, 50), seed=2)
    shapes.write(tmp_path / "set")
    for split in (None, *SPLITS):
        read, made = open_data(tmp_path / "set", split), shapes.split(split)
        assert read.names == made.names
        assert read.label_spec == made.label_spec
        for index in range(len(made)):
            assert np.array_equal(read[index].image, made[index].image)
            assert np.array_equal(read[index].labels["main"], made[index].labels["main"])


def test_few_shapes_are_written_without_a_val_list(tmp_path: Path) -> None:
    Shapes(count=2, size=(32, 32)).write(tmp_path / "set")
    assert (tmp_path / "set" / "train.txt").read_text() == "shapes_00000\nshapes_00001\n"
    assert not (tmp_path / "set" / "val.txt").exists()


def test_writing_replaces_a_folder_only_when_it_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Shapes(count=2, size=(32, 32)).write(tmp_path / "set")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pixelwise.data.shapes.write_classes", fail)
    with pytest.raises(OSError, match="disk full"):
        Shapes(count=3, size=(32, 32)).write(tmp_path / "set")
    assert len(list((tmp_path / "set" / "images").iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
