"""PASCAL VOC's layout, SBD's labels, and the lists of the papers with their published counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Refuses
from tests.data.pictures import save_image, save_mask

from pixelwise.data.dataset import FileDataSet
from pixelwise.data.voc import LISTS, NAMED_LISTS, VOC_CLASSES, named_list, read_voc, recognise_voc, voc_splits
from pixelwise.labels import write_classes


def write_list(root: Path, name: str, *ids: str) -> None:
    path = root / LISTS / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(ids) + "\n")


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Three images: a, b to train with, c to validate with; instances of a."""
    root = tmp_path / "VOC2012"
    for seed, name in enumerate("abc"):
        save_image(root / "JPEGImages" / f"{name}.jpg", seed=seed)
        save_mask(root / "SegmentationClass" / f"{name}.png", [0, 15, 255], mode="P")
    save_mask(root / "SegmentationObject" / "a.png", [0, 1, 255], mode="P")
    write_list(root, "train", "a", "b")
    write_list(root, "val", "c")
    return root


@pytest.fixture
def sbd(tmp_path: Path) -> Path:
    """SBD's folder with labels and instances for b and d, and d's image."""
    savemat = pytest.importorskip("scipy.io").savemat
    root = tmp_path / "benchmark_RELEASE" / "dataset"
    for kind, struct in (("cls", "GTcls"), ("inst", "GTinst")):
        (root / kind).mkdir(parents=True)
        for name in "bd":
            values = np.resize(np.array([0, 2 if kind == "cls" else 1], np.uint8), (4, 6))
            savemat(root / kind / f"{name}.mat", {struct: {"Segmentation": values}}, do_compression=True)
    save_image(root / "img" / "d.jpg", seed=9)
    (root / "train.txt").write_text("b\nd\n")
    (root / "val.txt").write_text("c\n")
    return root


def test_a_split_is_a_list(voc: Path) -> None:
    data = read_voc(voc, "train")
    assert data.names == ("a", "b")
    assert data.label_spec.names == VOC_CLASSES
    sample = data[0]
    assert sample.labels["main"][0].tolist() == [0, 15, 255, 0, 15, 255]
    assert sample.instances is not None
    assert sample.instances[0].tolist() == [0, 1, 0, 0, 1, 0]
    assert data[1].instances is None
    assert voc_splits(voc) == ("train", "val")


def test_everything_is_every_listed_id(voc: Path) -> None:
    save_image(voc / "JPEGImages" / "unlisted.jpg")
    assert read_voc(voc, None).names == read_voc(voc, "all").names == ("a", "b", "c")


def test_the_21_classes_can_be_replaced(voc: Path) -> None:
    (voc / "classes.txt").write_text("0 background\n15 someone\n")
    assert read_voc(voc, "val").label_spec.names == ("background", "someone")
    write_classes(voc / "classes.txt", read_voc(voc, "val").label_spec)


def test_more_masks_may_lie_in_segmentation_class_aug(voc: Path) -> None:
    save_mask(voc / "SegmentationClassAug" / "d.png", [3])
    save_mask(voc / "SegmentationClassAug" / "a.png", [3])
    save_image(voc / "JPEGImages" / "d.jpg", seed=9)
    write_list(voc, "train_aug", "a", "d")
    data = read_voc(voc, "train_aug")
    assert data[0].labels["main"].max() == 255  # VOC's own comes first
    assert data[1].labels["main"].max() == 3


def test_the_test_list_has_no_labels(voc: Path) -> None:
    save_image(voc / "JPEGImages" / "t.jpg")
    write_list(voc, "test", "t")
    assert read_voc(voc, "test")[0].labels == {}
    write_list(voc, "test", "t", "c")  # one has a mask: then the other lacks one
    save_mask(voc / "SegmentationClass" / "c.png", [0])
    with pytest.raises(ValueError, match="1 have no mask"):
        read_voc(voc, "test")


def test_missing_files_are_counted_and_the_first_is_named(voc: Path, refuses: Refuses) -> None:
    save_mask(voc / "SegmentationClass" / "x.png", [0])
    write_list(voc, "train", "a", "x", "y", "z")
    parts = (
        "4 ids of split 'train'",
        "3 have no image in JPEGImages (first x)",
        "2 have no mask",
        "(first y)",
        "add the",
    )
    with refuses(str(voc), *parts):
        read_voc(voc, "train")


def test_an_unknown_split(voc: Path, refuses: Refuses) -> None:
    with refuses(str(voc), "no split 'vall'", "did you mean 'val'?", "train, val, all"):
        read_voc(voc, "vall")


def test_a_folder_of_another_layout(tmp_path: Path, refuses: Refuses) -> None:
    with refuses(str(tmp_path), "no folder ImageSets/Segmentation", "VOCdevkit/VOC2012"):
        read_voc(tmp_path, "train")


@pytest.mark.parametrize("name", ["train", "train_aug", "train_mine"])
def test_training_ids_in_val_are_refused(voc: Path, name: str, refuses: Refuses) -> None:
    write_list(voc, name, "a", "c")
    with refuses(f"1 ids of {name} are also in val, first c", "take them out"):
        read_voc(voc, name)
    assert len(read_voc(voc, "val")) == 1
    write_list(voc, "trainval", "a", "c")
    assert len(read_voc(voc, "trainval")) == 2


@pytest.mark.parametrize(("text", "parts"), [("", ["empty", "one id a line"]), ("a\nb\na\n", ["1 ids twice, first a"])])
def test_lists_that_cannot_be(voc: Path, text: str, parts: list[str], refuses: Refuses) -> None:
    (voc / LISTS / "train.txt").write_text(text)
    with refuses("train.txt", *parts):
        read_voc(voc, "train")


def test_recognition(voc: Path, tmp_path: Path) -> None:
    assert recognise_voc(voc) == "PASCAL VOC layout: JPEGImages, SegmentationClass and the lists train 2, val 1"
    assert recognise_voc(tmp_path) is None


# --- SBD ---


@pytest.fixture
def small_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """The named lists with the counts of the tiny folders above."""
    counts = {"sbd_train": 2, "train_aug": 3}
    small = {
        name: type(rule)(counts.get(name, rule.count), rule.year, rule.add, rule.less)
        for name, rule in NAMED_LISTS.items()
    }
    monkeypatch.setattr("pixelwise.data.voc.NAMED_LISTS", small)


@pytest.mark.usefixtures("small_lists")
def test_vocs_labels_come_before_sbds(voc: Path, sbd: Path) -> None:
    data = read_voc(voc, "train_aug", sbd)
    assert data.names == ("a", "b", "d")  # c is in val
    assert data[1].labels["main"].max() == 255
    assert data[1].instances is None  # SBD's would not fit VOC's labels
    of_sbd = data[2]
    assert of_sbd.labels["main"][0].tolist() == [0, 2] * 3
    assert of_sbd.instances is not None
    assert of_sbd.instances.dtype == np.int32
    assert of_sbd.instances[0].tolist() == [0, 1] * 3
    assert voc_splits(voc, sbd) == ("train", "val", "sbd_train", "train_aug")


@pytest.mark.usefixtures("small_lists")
def test_the_folder_around_sbd_will_do(voc: Path, sbd: Path) -> None:
    assert read_voc(voc, "sbd_train", sbd.parent).names == ("b", "d")


@pytest.mark.usefixtures("small_lists")
def test_lists_are_built_even_where_a_file_is(voc: Path, sbd: Path) -> None:
    write_list(voc, "train_aug", "a")
    assert read_voc(voc, "train_aug").names == ("a",)
    assert read_voc(voc, "train_aug", sbd).names == ("a", "b", "d")


@pytest.mark.usefixtures("small_lists")
def test_subsets_of_classes_hold_for_sbd_too(voc: Path, sbd: Path) -> None:
    data = read_voc(voc, "sbd_train", sbd).with_classes(["bicycle"])
    assert data[1].labels["main"][0].tolist() == [255, 0] * 3


@pytest.mark.usefixtures("small_lists")
@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file", None])
def test_a_broken_mat_is_named(voc: Path, sbd: Path, content: bytes | None, refuses: Refuses) -> None:
    path = sbd / "cls" / "d.mat"
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with refuses("d.mat", "GTcls.Segmentation", "copy it again"):
        read_voc(voc, "sbd_train", sbd)[1]


@pytest.mark.usefixtures("small_lists")
def test_a_mat_of_another_kind_is_named(voc: Path, sbd: Path, refuses: Refuses) -> None:
    (sbd / "cls" / "d.mat").write_bytes((sbd / "inst" / "d.mat").read_bytes())
    with refuses("d.mat", "GTcls"):
        read_voc(voc, "sbd_train", sbd)[1]


def test_a_wrong_sbd_folder(voc: Path, tmp_path: Path, refuses: Refuses) -> None:
    with refuses(str(tmp_path), "not SBD", "'dataset'"):
        read_voc(voc, "train", tmp_path)


def test_a_list_that_needs_sbd(voc: Path, refuses: Refuses) -> None:
    with refuses(str(voc), "'sbd_train' is sbd train", "give SBD's folder", "sbd_train.txt"):
        read_voc(voc, "sbd_train")


# --- the lists of the papers, from id lists of the true counts and overlaps ---

Lists = Mapping[str, tuple[str, ...]]


def ids(first: int, count: int) -> tuple[str, ...]:
    return tuple(f"{number:05d}" for number in range(first, first + count))


@pytest.fixture(scope="module")
def year_2011() -> tuple[Lists, Lists]:
    """VOC2011: 1,112 train, 1,111 val; of the val ids SBD trains on 375."""
    voc = {"train": ids(0, 1112), "val": ids(2000, 1111)}
    sbd = {"train": (*ids(2000, 375), *ids(10000, 8498 - 375)), "val": ids(20000, 2857)}
    return voc, sbd


@pytest.fixture(scope="module")
def year_2012() -> tuple[Lists, Lists]:
    """VOC2012: 1,464 train, 1,449 val; SBD's 11,355 hold 9,118 that are in neither, 1,133 of train and 1,104 of val."""
    voc = {"train": ids(0, 1464), "val": ids(2000, 1449)}
    everything = (*ids(0, 1133), *ids(2000, 1104), *ids(10000, 9118))
    return {**voc, "trainval": (*voc["train"], *voc["val"])}, {"train": everything[:8498], "val": everything[8498:]}


@pytest.mark.parametrize(("name", "count"), [("voc2011_train", 1112), ("sbd_train", 8498), ("seg11valid", 736)])
def test_the_lists_of_2011(year_2011: tuple[Lists, Lists], name: str, count: int) -> None:
    built = named_list(name, *year_2011)
    assert len(set(built)) == len(built) == count
    assert list(built) == sorted(built)


@pytest.mark.parametrize(("name", "count"), [("train_aug", 10582), ("trainval_aug", 12031)])
def test_the_lists_of_2012(year_2012: tuple[Lists, Lists], name: str, count: int) -> None:
    assert len(named_list(name, *year_2012)) == count


def test_train_aug_has_nothing_of_val_and_seg11valid_nothing_of_sbd_train(
    year_2011: tuple[Lists, Lists], year_2012: tuple[Lists, Lists]
) -> None:
    assert not set(named_list("train_aug", *year_2012)) & set(year_2012[0]["val"])
    assert not set(named_list("seg11valid", *year_2011)) & set(year_2011[1]["train"])


def test_a_wrong_count_is_refused_with_its_cause(year_2012: tuple[Lists, Lists], refuses: Refuses) -> None:
    parts = (
        "'seg11valid' is voc val - sbd train with 736 ids, got",
        "voc val 1,449",
        "not the complete VOC2011",
        "give the",
    )
    with refuses(*parts):
        named_list("seg11valid", *year_2012)
    voc, sbd = year_2012
    with refuses("10,582 ids, got 10,581", "VOC2012"):
        named_list("train_aug", {**voc, "train": voc["train"][:-1]}, sbd)


def test_a_missing_part_and_an_unknown_name(year_2011: tuple[Lists, Lists], refuses: Refuses) -> None:
    with refuses("no list 'voc trainval'", "complete VOC2012"):
        named_list("trainval_aug", *year_2011)
    with refuses("unknown list 'train_augg'", "did you mean 'train_aug'"):
        named_list("train_augg", *year_2011)


# --- real data ---


def test_the_real_subset(real_data: Path) -> None:
    root = real_data / "voc2012_subset"
    sizes = {split: len(read_voc(root, split)) for split in voc_splits(root)}
    assert sizes == {"train": 437, "train_aug": 837, "trainval": 882, "val": 445}
    data = read_voc(root, "val")
    assert isinstance(data, FileDataSet)
    assert 8 in data.label_spec.raw  # cat
    assert data[0].labels["main"].shape == data[0].size
